//! The tensors of a network by name, and where layers get theirs from.
//!
//! Layers ask a [`VarBuilder`] for their tensors, which walks the names of PyTorch's modules. Behind it stands one of
//! three sources: a seed, tensors read from somewhere, or the variables of a network that is already there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::{Mismatch, Mismatches, init};

/// Every tensor of a network under its name in PyTorch, in the order of PyTorch's `state_dict`.
///
/// Cloning shares the storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights {
    /// Everything.
    pub(crate) state: Vec<(String, Var)>,
    /// What training moves along the gradient.
    pub(crate) parameters: Vec<(String, Var)>,
    /// Running means and variances.
    pub(crate) buffers: Vec<(String, Var)>,
}

impl Weights {
    fn of(state: Vec<(String, Var)>) -> Self {
        let those = |wanted: Role| state.iter().filter(|(name, _)| Role::of(name) == wanted).cloned().collect();
        Self { parameters: those(Role::Parameter), buffers: those(Role::Buffer), state }
    }

    /// Builds layers from `source`, and keeps the variables that they asked for.
    pub(crate) fn make<L>(
        source: &dyn Source,
        device: &Device,
        dtype: DType,
        build: impl FnOnce(VarBuilder<'_>) -> Result<L>,
    ) -> Result<(Self, L)> {
        let recorder = Recorder { source, state: Mutex::default() };
        let layers = build(VarBuilder::from_backend(Box::new(&recorder), dtype, device.clone()))?;
        let state = recorder.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((Self::of(state), layers))
    }

    /// Builds layers that share this storage but track no gradient for it.
    pub(crate) fn share<L>(
        &self,
        device: &Device,
        dtype: DType,
        build: impl FnOnce(VarBuilder<'_>) -> Result<L>,
    ) -> Result<L> {
        let shared = Shared(self.state.iter().map(|(name, var)| (name.as_str(), var)).collect());
        build(VarBuilder::from_backend(Box::new(shared), dtype, device.clone()))
    }
}

/// What becomes of a tensor in training.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Parameter,
    Buffer,
    Counter,
}

impl Role {
    /// PyTorch's names tell.
    fn of(name: &str) -> Self {
        match name.rsplit('.').next() {
            Some("running_mean" | "running_var") => Self::Buffer,
            Some("num_batches_tracked") => Self::Counter,
            _ => Self::Parameter,
        }
    }
}

/// Where a network's tensors come from.
pub(crate) trait Source: Sync {
    /// The tensor `name` on `device` in `dtype`. What cannot be had is noted, and replaced by a lone zero.
    fn tensor(&self, name: &str, shape: &Shape, init: Init, dtype: DType, device: &Device) -> Result<Tensor>;
}

/// PyTorch's default initialisation, reproducible from a seed.
pub(crate) struct Seed(pub(crate) u64);

impl Source for Seed {
    fn tensor(&self, name: &str, shape: &Shape, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        init::tensor(self.0, name, shape, init, dtype, device)
    }
}

/// Tensors read from somewhere.
pub(crate) struct Given {
    left: Mutex<HashMap<String, Tensor>>,
    mismatches: Mutex<Vec<Mismatch>>,
}

impl Given {
    pub(crate) fn new(tensors: HashMap<String, Tensor>) -> Self {
        Self { left: Mutex::new(tensors), mismatches: Mutex::default() }
    }

    /// Every difference that turned up, and the tensors that nobody asked for.
    pub(crate) fn mismatches(self) -> Mismatches {
        let left = self.left.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut unexpected: Vec<(String, Tensor)> = left.into_iter().collect();
        unexpected.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut all = self.mismatches.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.extend(
            unexpected.into_iter().map(|(key, tensor)| Mismatch::Unexpected { key, shape: tensor.dims().to_vec() }),
        );
        Mismatches(all)
    }

    fn take(&self, name: &str, shape: &Shape) -> std::result::Result<Tensor, Mismatch> {
        let (key, expected) = (name.to_owned(), shape.dims().to_vec());
        let given = self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        match given {
            None => Err(Mismatch::Missing { key, shape: expected }),
            Some(tensor) if tensor.shape() != shape => {
                Err(Mismatch::Shape { key, expected, found: tensor.dims().to_vec() })
            }
            Some(tensor) if tensor.dtype().is_int() != (Role::of(name) == Role::Counter) => {
                Err(Mismatch::Kind { key, found: tensor.dtype() })
            }
            Some(tensor) => Ok(tensor),
        }
    }
}

impl Source for Given {
    fn tensor(&self, name: &str, shape: &Shape, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        match self.take(name, shape) {
            // Detached: a variable handed in must be copied, not adopted.
            Ok(tensor) => tensor.detach().to_dtype(dtype)?.to_device(device),
            Err(mismatch) => {
                self.mismatches.lock().unwrap_or_else(PoisonError::into_inner).push(mismatch);
                Tensor::zeros((), dtype, device)
            }
        }
    }
}

/// Makes variables of a source's tensors and remembers them in the order in which they are asked for.
struct Recorder<'a> {
    source: &'a dyn Source,
    state: Mutex<Vec<(String, Var)>>,
}

impl SimpleBackend for &Recorder<'_> {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let var = Var::from_tensor(&self.source.tensor(name, &shape, init, dtype, device)?)?;
        let tensor = var.as_tensor().clone();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), var));
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        candle_core::bail!("`{name}` was asked for without its shape")
    }

    fn contains_tensor(&self, _name: &str) -> bool {
        true
    }
}

/// The tensors of a network that is already there, without its gradients.
struct Shared<'a>(HashMap<&'a str, &'a Var>);

impl SimpleBackend for Shared<'_> {
    fn get(&self, _shape: Shape, name: &str, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.get_unchecked(name, dtype, device)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        match self.0.get(name) {
            Some(var) => Ok(var.as_detached_tensor()),
            None => candle_core::bail!("the shared network has no tensor `{name}`"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
