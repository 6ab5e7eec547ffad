//! `attack_net_*.safetensors`: the networks, images and starting points of all attacks.

use std::collections::HashMap;

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Tensor};
use rrm_models::{Model, Network};
use rrm_spec::{Arch, Mode, Norm};

use crate::{
    arithmetic::Arithmetic,
    compare::{OF_PYTORCHS_ERROR, Report, Tolerance, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    generator::{self, Generator},
    models::{Meta, norm, normalization_in},
};

/// A network under attack with its images.
pub(crate) struct Victim {
    pub(crate) network: Network,
    pub(crate) pixels: Tensor,
    pub(crate) labels: Vec<u32>,
    pub(crate) logits: Vec<Vec<f64>>,
    epsilons: HashMap<String, HashMap<String, f64>>,
    tensors: Tensors,
    generator: Generator,
    dtype: DType,
}

/// The network of a file named like `attack_net_dnn.safetensors`.
fn net_of(file: &str) -> Option<&str> {
    file.strip_prefix("attack_net_")?.strip_suffix(".safetensors")
}

/// Whether we have the network of `file`.
pub(crate) fn is_known(file: &str) -> bool {
    net_of(file).is_some_and(|net| net.parse::<Arch>().is_ok())
}

/// A norm by its golden name.
pub(crate) fn norm_named(name: &str) -> Result<Norm> {
    match name {
        "Linf" => Ok(Norm::Linf),
        "L2" => Ok(Norm::L2),
        "L1" => Ok(Norm::L1),
        _ => anyhow::bail!("no norm `{name}`"),
    }
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let text = &folder.entry(file)?.tolerance;
    let mut report = Report::default();
    for &arithmetic in Arithmetic::all() {
        report.begin(arithmetic);
        let victim = arithmetic.during(|| Victim::load(folder, file, arithmetic.dtype()))?;
        let found: Vec<f64> = victim.logits.iter().flatten().copied().collect();
        let name = format!("logits.{}", arithmetic.suffix());
        let tolerance = Tolerance::Scaled(allowed_of_logits(&victim.tensors, text, arithmetic)?);
        report.close(&name, &found, &victim.tensors.numbers(&name)?, tolerance);
        for name in victim.tensors.names().iter().filter(|name| name.starts_with("start.")) {
            victim.compare_start(name, &mut report)?;
        }
        let other = |name: &str| name.starts_with("logits") || name == "pool_index";
        victim.tensors.all_but("", &mut Report::default(), other)?; // The other type's, and the makers' own.
    }
    Ok(report)
}

/// What the index allows. It measures by the largest logit, which a bias that takes the mean away makes small against what was
/// rounded before: in f32 some times PyTorch's own error is allowed, too.
fn allowed_of_logits(tensors: &Tensors, text: &str, arithmetic: Arithmetic) -> Result<f64> {
    let told = tolerance_after(text, arithmetic.suffix())?;
    if arithmetic == Arithmetic::Double {
        return Ok(told);
    }
    let (single, exact) = (tensors.numbers("logits.f32")?, tensors.numbers("logits.f64")?);
    let largest = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0f64, |largest, n| largest.max(n.abs()));
    let error = largest(&mut single.iter().zip(&exact).map(|(single, exact)| single - exact));
    Ok(told.max(OF_PYTORCHS_ERROR * error / largest(&mut exact.iter().copied())))
}

impl Victim {
    /// The victim of `file`, computing in `dtype`.
    pub(crate) fn load(folder: &Folder, file: &str, dtype: DType) -> Result<Self> {
        let net = net_of(file).with_context(|| format!("{file} is no attacked network"))?;
        let entry = folder.entry(file)?;
        let code = entry.code.as_str().context("code")?;
        let tensors = folder.tensors(file)?;
        let meta = Meta::of(folder, net)?;
        let mut weights = meta.weights(folder.generator())?;
        let (before, _) = code.split_once(" REPLACED by tensor 'bias'").context("no bias is replaced")?;
        let replaced = before.rsplit(' ').next().context("the bias's name")?;
        weights.insert(replaced.to_owned(), tensors.get("bias")?);
        let network = meta.network(net, normalization_in(code)?, weights, dtype)?.frozen();
        let x = tensors.get("x_u8")?;
        let pixels = generator::images(&tensors.bytes("x_u8")?, x.dims(), dtype)?;
        let labels = tensors.labels("labels")?;
        let epsilons = serde_json::from_value(entry.parameters["eps"].clone())?;
        let logits = logits(&network, &pixels)?;
        Ok(Self { network, pixels, labels, logits, epsilons, tensors, generator: folder.generator(), dtype })
    }

    /// How many images there are.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The radius called `tag`.
    pub(crate) fn epsilon(&self, norm: &str, tag: &str) -> Result<f64> {
        let epsilon = self.epsilons.get(norm).and_then(|tags| tags.get(tag)).copied();
        epsilon.with_context(|| format!("no epsilon {norm}.{tag}"))
    }

    /// Whether each image is classified as labelled.
    pub(crate) fn correct(&self, pixels: &Tensor) -> Result<Vec<bool>> {
        let predicted: Vec<u32> = self.network.forward(pixels, Mode::Eval)?.logits.argmax(D::Minus1)?.to_vec1()?;
        Ok(predicted.iter().zip(&self.labels).map(|(predicted, label)| predicted == label).collect())
    }

    /// The class of the `rank`th highest natural logit of each image, counted from 1.
    pub(crate) fn ranked(&self, rank: usize) -> Vec<u32> {
        let of = |logits: &Vec<f64>| {
            let mut classes: Vec<usize> = (0..logits.len()).collect();
            classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            classes[rank - 1] as u32
        };
        self.logits.iter().map(of).collect()
    }

    /// The stored starting point of a restart.
    pub(crate) fn stored_start(&self, norm: &str, tag: &str, restart: usize) -> Result<Tensor> {
        Ok(self.tensors.get(&format!("start.{norm}.{tag}.r{restart}"))?.to_dtype(self.dtype)?)
    }

    /// The starting point of any restart: f32 clamp01(x + f32(eps*v)) with v = sym('attack.start.r<restart>'), for l2
    /// divided by each image's length.
    pub(crate) fn generated_start(&self, norm: &str, tag: &str, restart: usize) -> Result<Tensor> {
        let change = self.generated_change(norm, tag, restart)?;
        let start = (self.pixels.to_dtype(DType::F32)? + change)?.clamp(0f32, 1f32)?;
        Ok(start.to_dtype(self.dtype)?)
    }

    /// f32(eps*v).
    pub(crate) fn generated_change(&self, norm_name: &str, tag: &str, restart: usize) -> Result<Tensor> {
        let epsilon = self.epsilon(norm_name, tag)?;
        let v = self.generated_direction(norm_name, restart);
        let change: Vec<f32> = v.into_iter().map(|v| (epsilon * v) as f32).collect();
        Ok(Tensor::from_vec(change, self.pixels.shape(), &Device::Cpu)?)
    }

    /// v, for l2 of length 1.
    pub(crate) fn generated_direction(&self, norm_name: &str, restart: usize) -> Vec<f64> {
        let mut v = self.generator.sym(&format!("attack.start.r{restart}"), self.pixels.elem_count());
        if norm_name == "L2" {
            for image in v.chunks_mut(self.pixels.elem_count() / self.labels.len()) {
                let length = norm(image);
                image.iter_mut().for_each(|v| *v /= length);
            }
        }
        v
    }

    /// Generated starts must be the stored ones: other files name starts that are not stored.
    fn compare_start(&self, name: &str, report: &mut Report) -> Result<()> {
        let mut parts = name.split('.').skip(1);
        let mut part = || parts.next().with_context(|| format!("`{name}` is no start"));
        let (norm, tag, restart) = (part()?, part()?, part()?);
        let restart = restart.strip_prefix('r').context("no restart")?.parse()?;
        let found = flat(&self.generated_start(norm, tag, restart)?)?;
        report.close(name, &found, &self.tensors.numbers(name)?, Tolerance::Absolute(1e-7));
        Ok(())
    }

    /// The change of each image, in f64.
    pub(crate) fn changes(&self, images: &Tensor) -> Result<Vec<Vec<f64>>> {
        let (images, natural) = (flat(images)?, flat(&self.pixels)?);
        let image = images.len() / self.labels.len();
        let change: Vec<f64> = images.iter().zip(&natural).map(|(z, x)| z - x).collect();
        Ok(change.chunks(image).map(<[f64]>::to_vec).collect())
    }

    /// How far each image was moved.
    pub(crate) fn distances(&self, norm_name: &str, images: &Tensor) -> Result<Vec<f64>> {
        let norm_of = norm_named(norm_name)?;
        let size = |change: &Vec<f64>| match norm_of {
            Norm::Linf => change.iter().fold(0f64, |largest, c| largest.max(c.abs())),
            Norm::L2 => norm(change),
            Norm::L1 => change.iter().map(|c| c.abs()).sum(),
        };
        Ok(self.changes(images)?.iter().map(size).collect())
    }

    /// The signed checksum of each image's change.
    pub(crate) fn probes(&self, images: &Tensor) -> Result<Vec<f64>> {
        let changes = self.changes(images)?;
        Ok(changes.iter().enumerate().map(|(i, change)| self.generator.probe(&format!("x{i}"), change)).collect())
    }
}

fn logits(network: &Network, pixels: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(network.forward(pixels, Mode::Eval)?.logits.to_dtype(DType::F64)?.to_vec2()?)
}
