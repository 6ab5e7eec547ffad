//! From a file's bytes to a network of the project's own form.

use std::collections::{BTreeMap, HashMap};

use half::f16;
use rrm_anatomy::{Anatomy, Role, Tensor};
use rrm_spec::{Arch, Family, NetworkSpec, Normalization};
use safetensors::tensor::TensorView;

use crate::file::Opened;
use crate::infer::{self, Outline, Outlines};
use crate::names::{self, Meaning};
use crate::normalizer::{self, Constants};
use crate::tensor::Stored;
use crate::torch::Content;
use crate::{CheckpointError, Dtype, Finding, Misfit, Misfits, Numbers};

/// What the caller knows of the network; what is absent is taken from the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The architecture. Only the project's own files tell it.
    pub arch: Option<Arch>,
    /// How many classes it must know.
    pub classes: Option<usize>,
    /// How it normalises pixels; needed where the file does not tell.
    pub normalization: Option<Normalization>,
    /// What it divides its logits by, above 0; where nobody tells it, 1. Only the project's own files do.
    pub temperature: Option<f64>,
}

/// A network read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// What it is.
    pub network: NetworkSpec,
    /// Key, shape and numbers of every tensor, in PyTorch's order.
    pub tensors: Vec<(String, Vec<usize>, Numbers)>,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// Reads a network from the bytes of a checkpoint.
///
/// # Errors
/// [`CheckpointError`], where the file is damaged, hostile, of no known form, or holds another network than was asked for.
pub fn import(bytes: &[u8], wanted: &Wanted) -> Result<Imported, CheckpointError> {
    let mut file = Opened::new(bytes)?;
    let sorted = Sorted::new(&mut file)?;
    let (network, normalization) = sorted.network(&file, wanted)?;
    sorted.check_fit(&network, wanted)?;
    let duplicates = sorted.check_duplicates(&mut file)?;
    let anatomy = Anatomy::of(&network)?;
    let mut loader = Loader::default();
    let load = |tensor: &Tensor| loader.load(&mut file, sorted.tensors.get(&tensor.key), tensor);
    let tensors = anatomy.tensors().map(load).collect::<Result<Vec<_>, _>>()?;
    loader.check_finite()?;
    let mut findings = vec![Finding::Form(file.form)];
    findings.extend(sorted.findings(file.passed_over, duplicates));
    findings.push(normalization);
    findings.extend(temperature(&network, file.description.as_ref(), wanted));
    findings.extend(loader.findings());
    findings.extend(adapter(&network));
    // The project's own files are of the project's own network.
    findings.extend(file.description.is_none().then(|| shortcuts(&network)).flatten());
    Ok(Imported { network, tensors, findings })
}

impl Imported {
    /// The file of the project's own form: safetensors under PyTorch's keys, with the network's description. The same network
    /// always gives the same bytes.
    pub fn to_artifact(&self) -> Vec<u8> {
        let little_endian = |numbers: &Numbers| match numbers {
            Numbers::Real(numbers) => {
                (safetensors::Dtype::F32, numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>())
            }
            Numbers::Whole(numbers) => {
                (safetensors::Dtype::I64, numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
            }
        };
        let raw: Vec<_> = self.tensors.iter().map(|(_, _, numbers)| little_endian(numbers)).collect();
        let views = self.tensors.iter().zip(&raw).map(|((key, shape, _), (dtype, bytes))| {
            (key, TensorView::new(*dtype, shape.clone(), bytes).expect("as many numbers as the shape has"))
        });
        let description = serde_json::to_string(&self.network).expect("a spec is plain data");
        let metadata = HashMap::from([(NetworkSpec::METADATA_KEY.to_owned(), description)]);
        safetensors::serialize(views, Some(metadata)).expect("keys differ and shapes are those of the numbers")
    }
}

/// A tensor of the file with its name there.
struct Candidate {
    name: String,
    tensor: Stored,
}

/// A file's entries by what they stand for.
struct Sorted {
    /// Of those that stand for the same key, the one that is taken.
    tensors: BTreeMap<String, Candidate>,
    duplicates: Vec<(String, Candidate)>,
    constants: Option<Constants>,
    prefixes: Vec<String>,
    no_tensors: Vec<String>,
}

impl Sorted {
    fn new(file: &mut Opened<'_>) -> Result<Self, CheckpointError> {
        let (mut mean, mut std) = (None, None);
        let (mut tensors, mut copies): (BTreeMap<String, Candidate>, _) = (BTreeMap::new(), Vec::new());
        let (mut prefixes, mut no_tensors, mut duplicates) = (Vec::new(), Vec::new(), Vec::new());
        for entry in std::mem::take(&mut file.entries) {
            let tensor = match entry.value {
                Content::Tensor(tensor) => tensor,
                Content::Other(what) => {
                    no_tensors.push(format!("{} ({what})", entry.name));
                    continue;
                }
            };
            let parsed = names::parse(&entry.name);
            if !parsed.prefix.is_empty() && !prefixes.contains(&parsed.prefix) {
                prefixes.push(parsed.prefix);
            }
            let candidate = Candidate { name: entry.name, tensor };
            match parsed.meaning {
                Meaning::Mean => mean = mean.or(Some(candidate)),
                Meaning::Deviation => std = std.or(Some(candidate)),
                Meaning::Tensor(key) if parsed.is_copy || tensors.contains_key(&key) => copies.push((key, candidate)),
                Meaning::Tensor(key) => drop(tensors.insert(key, candidate)),
            }
        }
        for (key, candidate) in copies {
            match tensors.contains_key(&key) {
                true => duplicates.push((key, candidate)),
                false => drop(tensors.insert(key, candidate)),
            }
        }
        let constants = constants(file, mean, std)?;
        Ok(Self { tensors, duplicates, constants, prefixes, no_tensors })
    }

    fn outlines(&self) -> Outlines {
        let outline = |(key, Candidate { name, tensor }): (&String, &Candidate)| {
            (key.clone(), Outline { name: name.clone(), dtype: tensor.dtype, shape: tensor.shape.clone() })
        };
        self.tensors.iter().map(outline).collect()
    }

    /// What network it is, and what is to be said about its normalisation.
    fn network(&self, file: &Opened<'_>, wanted: &Wanted) -> Result<(NetworkSpec, Finding), CheckpointError> {
        let described = file.description.as_ref();
        let arch = match (described.map(|network| network.arch), wanted.arch) {
            (Some(found), Some(asked)) if found != asked => {
                return Err(CheckpointError::OtherNetwork { found: found.to_string(), asked: asked.to_string() });
            }
            (Some(arch), _) | (None, Some(arch)) => arch,
            (None, None) => return Err(CheckpointError::NoArch),
        };
        let own = described.map(|network| network.normalization.constants());
        let own = own.map(|(mean, std)| Constants { mean: mean.to_vec(), std: std.to_vec() });
        let outlines = self.outlines();
        let network = infer::network(arch, &outlines, Normalization::Identity);
        let constants = own.as_ref().or(self.constants.as_ref());
        let chosen = normalizer::choose(constants, wanted.normalization, network.channels);
        // Another network's file is better told by its tensors than by a normalisation that it lacks.
        if chosen.is_err() {
            self.check_fit(&network, wanted)?;
        }
        let (normalization, finding) = chosen?;
        let temperature = match (described.map(|network| network.temperature), wanted.temperature) {
            (Some(found), Some(asked)) if found != asked => {
                return Err(CheckpointError::OtherTemperature { found, asked });
            }
            (Some(temperature), _) | (None, Some(temperature)) => temperature,
            (None, None) => network.temperature,
        };
        Ok((NetworkSpec { normalization, temperature, ..network }, finding))
    }

    fn check_fit(&self, network: &NetworkSpec, wanted: &Wanted) -> Result<(), CheckpointError> {
        let outlines = self.outlines();
        let mut misfits = infer::misfits(network, &outlines)?;
        let found = network.classes;
        misfits.extend(
            wanted.classes.filter(|expected| *expected != found).map(|expected| Misfit::Classes { expected, found }),
        );
        if misfits.is_empty() {
            return Ok(());
        }
        let arch = network.arch;
        let fitting = infer::fitting(&outlines).filter(|fitting| *fitting != arch);
        Err(CheckpointError::Misfit { arch, misfits: Misfits(misfits), fitting })
    }

    /// Refuses tensors that stand for the same key and differ; answers how many there are twice.
    fn check_duplicates(&self, file: &mut Opened<'_>) -> Result<usize, CheckpointError> {
        for (key, other) in &self.duplicates {
            let chosen = &self.tensors[key];
            if chosen.tensor == other.tensor {
                continue;
            }
            let alike = chosen.tensor.shape == other.tensor.shape && chosen.tensor.dtype == other.tensor.dtype;
            if !alike || file.raw(&chosen.name, &chosen.tensor)? != file.raw(&other.name, &other.tensor)? {
                let (chosen, other) = (chosen.name.clone(), other.name.clone());
                return Err(CheckpointError::Ambiguous { key: key.clone(), chosen, other });
            }
        }
        Ok(self.duplicates.len())
    }

    fn findings(self, passed_over: Vec<String>, duplicates: usize) -> Vec<Finding> {
        let listed =
            |names: Vec<String>, finding: fn(Vec<String>) -> Finding| (!names.is_empty()).then(|| finding(names));
        let findings = [
            listed(self.prefixes, Finding::Prefixes),
            (duplicates > 0).then_some(Finding::Duplicates(duplicates)),
            listed(passed_over, Finding::PassedOver),
            listed(self.no_tensors, Finding::NoTensors),
        ];
        findings.into_iter().flatten().collect()
    }
}

/// The normaliser's constants in a file.
fn constants(
    file: &mut Opened<'_>,
    mean: Option<Candidate>,
    std: Option<Candidate>,
) -> Result<Option<Constants>, CheckpointError> {
    let mut numbers = |candidate: Candidate| {
        let Candidate { name, tensor } = candidate;
        // One for each channel; what is larger is no normaliser's.
        if tensor.elements().is_none_or(|elements| elements > 16) {
            return Err(CheckpointError::malformed(
                format!("the normaliser's constants `{name}`"),
                "they are too many",
            ));
        }
        let raw = file.raw(&name, &tensor)?;
        Ok(raw.chunks_exact(tensor.dtype.bytes()).map(|bytes| tensor.dtype.real(bytes)).collect::<Vec<f64>>())
    };
    match (mean, std) {
        (None, None) => Ok(None),
        (Some(mean), Some(std)) => Ok(Some(Constants { mean: numbers(mean)?, std: numbers(std)? })),
        (Some(lone), None) | (None, Some(lone)) => {
            let part = format!("the normaliser's constants `{}`", lone.name);
            Err(CheckpointError::malformed(part, "means and deviations must both be there, or neither"))
        }
    }
}

/// Reads numbers, and remembers what was remarkable about them.
#[derive(Default)]
struct Loader {
    /// Tensors and rounded numbers, by type.
    converted: BTreeMap<Dtype, (usize, usize)>,
    /// Weights in f32, and those of them that have no more precision than f16.
    weights: (usize, usize),
    no_counters: usize,
    not_finite: Vec<(String, usize)>,
}

impl Loader {
    fn load(
        &mut self,
        file: &mut Opened<'_>,
        candidate: Option<&Candidate>,
        expected: &Tensor,
    ) -> Result<(String, Vec<usize>, Numbers), CheckpointError> {
        let named = |numbers| (expected.key.clone(), expected.shape.clone(), numbers);
        let Some(Candidate { name, tensor }) = candidate else {
            // Only counters may be missing.
            self.no_counters += 1;
            return Ok(named(Numbers::Whole(vec![0; expected.elements()])));
        };
        let (raw, dtype) = (file.raw(name, tensor)?, tensor.dtype);
        let numbers = raw.chunks_exact(dtype.bytes());
        if expected.role == Role::Counter {
            return Ok(named(Numbers::Whole(numbers.map(|bytes| dtype.whole(bytes)).collect())));
        }
        let wide: Vec<f64> = numbers.map(|bytes| dtype.real(bytes)).collect();
        let narrow: Vec<f32> = wide.iter().map(|&number| number as f32).collect();
        self.note(expected, dtype, &wide, &narrow);
        Ok(named(Numbers::Real(narrow)))
    }

    fn note(&mut self, expected: &Tensor, dtype: Dtype, wide: &[f64], narrow: &[f32]) {
        let rounded = wide.iter().zip(narrow).filter(|(wide, narrow)| f64::from(**narrow) != **wide).count();
        if dtype != Dtype::F32 {
            let (tensors, numbers) = self.converted.entry(dtype).or_default();
            *tensors += 1;
            *numbers += rounded;
        } else if expected.shape.len() > 1 {
            let halves = narrow.iter().filter(|&&number| f16::from_f32(number).to_f32() == number).count();
            self.weights.0 += narrow.len();
            self.weights.1 += halves;
        }
        let faulty = narrow.iter().filter(|number| !number.is_finite()).count();
        if faulty > 0 {
            self.not_finite.push((expected.key.clone(), faulty));
        }
    }

    fn check_finite(&self) -> Result<(), CheckpointError> {
        if self.not_finite.is_empty() {
            return Ok(());
        }
        let count = self.not_finite.iter().map(|(_, count)| count).sum();
        let keys: Vec<String> = self.not_finite.iter().map(|(key, _)| format!("`{key}`")).collect();
        Err(CheckpointError::NotFinite { count, keys: keys.join(", ") })
    }

    fn findings(self) -> Vec<Finding> {
        let converted = |(from, (tensors, rounded))| Finding::Converted { from, tensors, rounded };
        let mut findings: Vec<Finding> = self.converted.into_iter().map(converted).collect();
        let (weights, halves) = self.weights;
        if weights > 0 && weights == halves {
            findings.push(Finding::HalfPrecisionValues);
        }
        if self.no_counters > 0 {
            findings.push(Finding::NoCounters(self.no_counters));
        }
        findings
    }
}

/// What is to be said about what the network divides its logits by, where it does or the caller spoke of it.
fn temperature(network: &NetworkSpec, described: Option<&NetworkSpec>, wanted: &Wanted) -> Option<Finding> {
    let temperature = network.temperature;
    match (described, wanted.temperature) {
        (Some(_), _) => (temperature != 1.0).then_some(Finding::TemperatureFound(temperature)),
        (None, Some(_)) => Some(Finding::TemperatureTold(temperature)),
        (None, None) => None,
    }
}

/// What is to be said about the network's adapter.
fn adapter(network: &NetworkSpec) -> Option<Finding> {
    let (representation, usual) = (network.representation_width, network.arch.representation_width());
    match network.has_adapter() {
        true => Some(Finding::Adapter(representation)),
        false => (usual != representation).then_some(Finding::NoAdapter { representation }),
    }
}

/// What is to be said about shortcuts of which the keys do not tell all.
fn shortcuts(network: &NetworkSpec) -> Option<Finding> {
    (network.arch.family() == Family::PreActResNet18).then_some(Finding::ShortcutsOfInputs)
}
