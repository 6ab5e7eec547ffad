//! What network the tensors of a file are, and where they differ from it.

use std::collections::BTreeMap;

use rrm_anatomy::{Anatomy, Role};
use rrm_spec::{Arch, Family, NetworkSpec, Normalization, Violations};

use crate::{Dtype, Misfit};

/// A tensor of a file, under the key that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Its name in the file.
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

/// The tensors of a file, by the keys that they stand for.
pub(crate) type Outlines = BTreeMap<String, Outline>;

/// A network of `arch` with the channels, classes and adapter that the tensors show; what they do not show is as the authors have it.
pub(crate) fn network(arch: Arch, tensors: &Outlines, normalization: Normalization) -> NetworkSpec {
    let size = |layer: &str, axis: usize| tensors.get(&format!("{layer}.weight"))?.shape.get(axis).copied();
    let family = arch.family();
    let usual_classes = if family.image_side() == 32 { 10 } else { 9 };
    NetworkSpec {
        arch,
        channels: size(Anatomy::first(family), 1).unwrap_or(3),
        classes: size(Anatomy::classifier(family), 0).unwrap_or(usual_classes),
        normalization,
        representation_width: size(Anatomy::ADAPTER, 0).unwrap_or(arch.feature_width()),
        temperature: 1.0,
    }
}

/// Every difference between a network and the tensors. Batch counters may be missing: PyTorch has them since 0.4.1.
pub(crate) fn misfits(network: &NetworkSpec, tensors: &Outlines) -> Result<Vec<Misfit>, Violations> {
    let anatomy = Anatomy::of(network)?;
    let mut misfits = Vec::new();
    let mut left: BTreeMap<&String, &Outline> = tensors.iter().collect();
    for expected in anatomy.tensors() {
        let (key, shape) = (expected.key.clone(), expected.shape.clone());
        match left.remove(&key) {
            None if expected.role == Role::Counter => {}
            None => misfits.push(Misfit::Missing { key, shape }),
            Some(found) if !same_shape(&found.shape, &shape) => {
                misfits.push(Misfit::Shape { key, expected: shape, found: found.shape.clone() });
            }
            Some(found) if found.dtype.is_float() == (expected.role == Role::Counter) => {
                misfits.push(Misfit::Kind { key, found: found.dtype });
            }
            Some(_) => {}
        }
    }
    let unexpected =
        left.into_values().map(|found| Misfit::Unexpected { name: found.name.clone(), shape: found.shape.clone() });
    misfits.extend(unexpected);
    Ok(misfits)
}

/// A lone number may have been written as a list of one.
fn same_shape(found: &[usize], expected: &[usize]) -> bool {
    found == expected || (expected.is_empty() && found == [1])
}

/// An architecture that the tensors are of, if there is one.
pub(crate) fn fitting(tensors: &Outlines) -> Option<Arch> {
    let every = Family::ALL
        .into_iter()
        .flat_map(|family| Arch::DIVISORS.into_iter().filter_map(move |divisor| Arch::new(family, divisor)));
    let fits = |arch: &Arch| {
        let network = network(*arch, tensors, Normalization::Identity);
        misfits(&network, tensors).is_ok_and(|misfits| misfits.is_empty())
    };
    every.into_iter().find(fits)
}
