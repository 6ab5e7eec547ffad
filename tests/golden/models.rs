//! `model_*.safetensors` and `models_meta.json`: forward passes, gradients and running statistics of whole networks.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use rrm_losses::cross_entropy;
use rrm_models::{Model, Network, NetworkSpec, Output};
use rrm_spec::{Arch, Family, Mode, Normalization};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    arithmetic::Arithmetic,
    compare::{OF_PYTORCHS_ERROR, Report, Tolerance, tolerance_after},
    flat,
    folder::{Entry, Folder, Tensors},
    generator::{Call, Generator},
};

/// Describes all networks of a folder.
pub(crate) const META: &str = "models_meta.json";

/// The network whose numbers are in `file`, with what is special about it.
fn parts(file: &str) -> Option<(&str, &str)> {
    let name = file.strip_prefix("model_")?.strip_suffix(".safetensors")?;
    // Restricted-ImageNet's networks are named rin_*.
    match name.rsplit_once('_') {
        Some((net, variant)) if matches!(variant, "T" | "clamp") => Some((net, variant)),
        _ => Some((name, "")),
    }
}

/// Whether we have the network of `file`.
pub(crate) fn is_known(file: &str) -> bool {
    parts(file).is_some_and(|(net, _)| arch(net).is_some())
}

/// Whether the folder has the network also at a sixteenth of its width. Such networks take minutes: what need not be made with
/// them is made with the narrow one.
pub(crate) fn is_wide(folder: &Folder, file: &str) -> bool {
    let narrow = parts(file).map(|(net, _)| format!("model_{net}_w16.safetensors"));
    narrow.is_some_and(|narrow| folder.files().any(|file| file == narrow))
}

/// How a network is computed: in f32 by every algorithm, unless it is a wide one.
fn arithmetics(folder: &Folder, net: &str) -> &'static [Arithmetic] {
    if is_wide(folder, &format!("model_{net}.safetensors")) {
        &[Arithmetic::Double, Arithmetic::Winograd]
    } else {
        Arithmetic::all()
    }
}

/// A network by its name in a golden folder: Restricted-ImageNet's begin with `rin_`, and those of a sixteenth of the width end
/// with `_w16`.
pub(crate) fn arch(net: &str) -> Option<Arch> {
    let (name, divisor) = match net.rsplit_once("_w") {
        Some((name, divisor)) => (name, divisor.parse().ok()?),
        None => (net, 1),
    };
    let golden = |family: Family| match family.name().strip_suffix("-imagenet") {
        Some(sibling) => format!("rin_{sibling}"),
        None if family.image_side() > 32 => format!("rin_{}", family.name()),
        None => family.name().to_owned(),
    };
    let family = Family::ALL.into_iter().find(|&family| golden(family) == name)?;
    Arch::new(family, divisor)
}

/// A network of `models_meta.json`.
#[derive(Deserialize)]
pub(crate) struct Meta {
    parameters: u64,
    state_tensors: usize,
    classes: usize,
    weight_gain: f64,
    trainable: Vec<String>,
    state: Value,
    grads: BTreeMap<String, Gradients>,
}

#[derive(Deserialize)]
struct Gradients {
    mode: String,
    ce_mean: f64,
    grads: BTreeMap<String, Checksum>,
}

impl Gradients {
    /// The largest gradient's length.
    fn largest(&self) -> f64 {
        self.grads.values().map(|checksum| checksum.l2).fold(0.0, f64::max)
    }

    /// The largest relative errors of `other` in length and in checksum, among gradients that are more than rounding.
    fn errors_of(&self, other: &Self) -> Result<[f64; 2]> {
        let mut largest = [0f64; 2];
        for (name, exact) in self.grads.iter().filter(|(_, exact)| exact.l2 > 1e-9 * self.largest()) {
            let other = other.grads.get(name).with_context(|| format!("no gradient of {name}"))?;
            let errors = [(exact.l2 - other.l2).abs(), (exact.probe - other.probe).abs()];
            largest = std::array::from_fn(|i| largest[i].max(errors[i] / exact.l2));
        }
        Ok(largest)
    }
}

/// What is told of a tensor that is too large to be stored.
#[derive(Deserialize)]
pub(crate) struct Checksum {
    pub(crate) l2: f64,
    pub(crate) probe: f64,
    #[serde(default)]
    pub(crate) first3: Vec<f64>,
}

impl Meta {
    /// What is told of `net`.
    pub(crate) fn of(folder: &Folder, net: &str) -> Result<Self> {
        let mut all: HashMap<String, Value> = folder.json(META)?;
        let meta = all.remove(net).with_context(|| format!("{META} has no {net}"))?;
        serde_json::from_value(meta).with_context(|| format!("{net} in {META}"))
    }

    /// The generated weights of the network.
    pub(crate) fn weights(&self, generator: Generator) -> Result<HashMap<String, Tensor>> {
        generator.weights(&self.state, self.weight_gain)
    }

    /// The network `net` with these weights.
    pub(crate) fn network(
        &self,
        net: &str,
        normalization: Normalization,
        weights: HashMap<String, Tensor>,
        dtype: DType,
    ) -> Result<Network> {
        self.network_at(1.0, net, normalization, weights, dtype)
    }

    /// The same with logits divided by `temperature`.
    pub(crate) fn network_at(
        &self,
        temperature: f64,
        net: &str,
        normalization: Normalization,
        weights: HashMap<String, Tensor>,
        dtype: DType,
    ) -> Result<Network> {
        let arch = arch(net).with_context(|| format!("no network {net}"))?;
        let classes = self.classes;
        let representation_width = arch.representation_width();
        let spec = NetworkSpec { arch, channels: 3, classes, normalization, representation_width, temperature };
        Ok(Network::from_tensors(&spec, weights, &Device::Cpu, dtype)?)
    }

    /// Checks that the network has the state that is told of it.
    fn check_state(&self, network: &Network, report: &mut Report) {
        let trainable: Vec<String> = network.parameters().iter().map(|(name, _)| name.clone()).collect();
        report.same("trainable", &trainable, &self.trainable);
        report.same("parameters", &network.parameter_count(), &self.parameters);
        let state: serde_json::Map<String, Value> =
            network.state().into_iter().map(|(name, tensor)| (name, tensor.dims().into())).collect();
        report.same("state", &Value::from(state), &self.state);
        report.same("state tensors", &network.state().len(), &self.state_tensors);
    }
}

/// The normalisation with the constants that the index gives: a name, or means and deviations.
pub(crate) fn normalization(description: &Value) -> Result<Normalization> {
    match description.as_str() {
        Some("madry") => return Ok(Normalization::Cifar10Madry),
        Some("fast") => return Ok(Normalization::Cifar10Fast),
        Some("rin") => return Ok(Normalization::RestrictedImageNet),
        _ => {}
    }
    let constants = |key: &str| serde_json::from_value::<Vec<f64>>(description[key].clone());
    let wanted = (constants("mean")?, constants("std")?);
    let all = [Normalization::Cifar10Madry, Normalization::Cifar10Fast, Normalization::RestrictedImageNet];
    let found = all.into_iter().find(|normalization| {
        let (mean, std) = normalization.constants();
        (mean, std) == (wanted.0.as_slice(), wanted.1.as_slice())
    });
    found.with_context(|| format!("no normalisation {description}"))
}

/// The normalisation that a description names by its deviations, such as `(madry std)`.
pub(crate) fn normalization_in(text: &str) -> Result<Normalization> {
    let names = ["madry", "fast"].into_iter().filter(|name| text.contains(&format!("{name} std")));
    let names: Vec<&str> = names.collect();
    ensure!(names.len() == 1, "`{text}` names not one normalisation but {names:?}");
    normalization(&names[0].into())
}

/// By what share of its length a weight's f32 gradient may be off in train mode, where a ReLU or a pool that rounding turns reaches all weights
/// below it: of a ResNet50, and of the other networks. Seen in PyTorch's own f32 runs of two seeds: 4e-5 to 0.03 of a ResNet50, 1e-6 to
/// 0.007 of the others; with their convolutions' sums moved by up to 3e-6 of their root mean square (as Winograd's algorithm moves them), up to
/// 0.2 and up to 0.02.
const OF_TURNED_UNITS: (f64, f64) = (0.3, 0.03);

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let (net, variant) = parts(file).context("a network's file")?;
    // The variants' entries refer to the plain file's for whatever they do not change.
    let plain = folder.entry(&format!("model_{net}.safetensors"))?;
    let meta = Meta::of(folder, net)?;
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    for &arithmetic in arithmetics(folder, net) {
        report.begin(arithmetic);
        let (dtype, suffix) = (arithmetic.dtype(), arithmetic.suffix());
        let own = &folder.entry(file)?.parameters;
        let normalization = normalization(own.get("normaliser").unwrap_or(&plain.parameters["normaliser"]))?;
        let temperature = own.get("temperature").map_or(Some(1.0), Value::as_f64).context("no temperature")?;
        let network = meta.network_at(temperature, net, normalization, meta.weights(folder.generator())?, dtype)?;
        let (pixels, labels) = inputs(folder, folder.entry(file)?, &tensors, &meta, dtype)?;
        let tolerances = Tolerances::read(&plain.tolerance, suffix)?;
        let generator = folder.generator();
        let of_turned_units = if net.contains("resnet50") { OF_TURNED_UNITS.0 } else { OF_TURNED_UNITS.1 };
        let mut subject = Subject {
            generator,
            tensors: &tensors,
            suffix,
            network,
            pixels,
            labels,
            tolerances,
            of_turned_units,
            report: &mut report,
        };
        meta.check_state(&subject.network, subject.report);
        arithmetic.during(|| {
            subject.compare_eval(variant == "clamp")?;
            if variant.is_empty() { subject.compare_gradients_of_weights(&meta) } else { Ok(()) }
        })?;
    }
    let of_training = |name: &str| variant == "T" && (name.starts_with("train.") || name.starts_with("after1."));
    tensors.all_but("a temperature changes nothing before the logits", &mut report, of_training)?;
    Ok(report)
}

/// Pixels and labels, which the file repeats or holds.
fn inputs(folder: &Folder, entry: &Entry, tensors: &Tensors, meta: &Meta, dtype: DType) -> Result<(Tensor, Vec<u32>)> {
    let pixels = if tensors.has("x") {
        tensors.get("x")?.to_dtype(dtype)?
    } else {
        let call = Call::expect("img_u8", &entry.parameters["input"])?;
        folder.generator().images(&call.name, &call.numbers, dtype)?
    };
    let call = Call::expect("labels", &entry.parameters["labels"])?;
    let labels = folder.generator().labels(&call.name, pixels.dim(0)?, meta.classes as u64);
    ensure!(labels == tensors.labels("labels")?, "the labels are not those of the recipe");
    Ok((pixels, labels))
}

/// Read from the index's words, such as `f64: logits/latent 1e-10 rel (max-abs scaled), input_grad 1e-9; f32 vs .f32: ...`.
#[derive(Clone, Copy)]
struct Tolerances {
    outputs: f64,
    input_gradient: f64,
    running: f64,
    gradients: f64,
}

impl Tolerances {
    fn read(text: &str, suffix: &str) -> Result<Self> {
        let running = tolerance_after(text, "running stats")?;
        if suffix == "f64" {
            let (outputs, input_gradient) =
                (tolerance_after(text, "logits/latent")?, tolerance_after(text, "input_grad")?);
            return Ok(Self { outputs, input_gradient, running, gradients: tolerance_after(text, "grad l2 (f64)")? });
        }
        let all = tolerance_after(text, "f32 vs .f32:")?;
        Ok(Self { outputs: all, input_gradient: all, running, gradients: tolerance_after(text, "(f32)")? })
    }
}

struct Subject<'a> {
    generator: Generator,
    tensors: &'a Tensors,
    suffix: &'a str,
    network: Network,
    pixels: Tensor,
    labels: Vec<u32>,
    tolerances: Tolerances,
    /// What the f32 gradients of weights may be off in any case.
    of_turned_units: f64,
    report: &'a mut Report,
}

impl Subject<'_> {
    fn check(&mut self, name: &str, found: &[f64], tolerance: Tolerance) -> Result<()> {
        let name = format!("{name}.{}", self.suffix);
        self.report.close(&name, found, &self.tensors.numbers(&name)?, tolerance);
        Ok(())
    }

    /// One number of each image's input gradient, of which `allowed` is what the index allows. In f32 a ReLU or a pool that
    /// rounding decides the other way changes an image's gradient: at least half of the images keep to the index, or to some
    /// times PyTorch's own error, since in a large image some decision turns nearly always; and all to what a few flips leave.
    fn check_images(&mut self, name: &str, found: &[f64], allowed: f64) -> Result<()> {
        const AFTER_FLIPS: f64 = 500.0;
        if self.suffix == "f64" {
            return self.check(name, found, Tolerance::Absolute(allowed));
        }
        let full = format!("{name}.{}", self.suffix);
        let (single, exact) = (self.tensors.numbers(&full)?, self.tensors.numbers(&format!("{name}.f64"))?);
        let pytorchs = single.iter().zip(&exact).map(|(single, exact)| (single - exact).abs()).fold(0.0, f64::max);
        let usual = Tolerance::Absolute(allowed.max(OF_PYTORCHS_ERROR * pytorchs));
        self.report.mostly(&full, found, &exact, usual, 0.5);
        self.check(name, found, Tolerance::Absolute(AFTER_FLIPS * allowed))
    }

    /// An input gradient pixel by pixel; in f32, for the same reason, its direction, and the signs that an l∞ attack steps along.
    fn check_pixels(&mut self, name: &str, found: &[f64]) -> Result<()> {
        const LEAST_COSINE: f64 = 0.999;
        if self.suffix == "f64" {
            return self.check(name, found, Tolerance::Scaled(self.tolerances.input_gradient));
        }
        let full = format!("{name}.{}", self.suffix);
        let expected = self.tensors.numbers(&full)?;
        self.report.same(&format!("{full}: length"), &found.len(), &expected.len());
        let product: f64 = found.iter().zip(&expected).map(|(found, expected)| found * expected).sum();
        let cosine = product / (norm(found) * norm(&expected));
        self.report.close(&format!("{full}: cosine"), &[cosine], &[1.0], Tolerance::Absolute(1.0 - LEAST_COSINE));
        self.report.same_signs(&full, found, &expected);
        Ok(())
    }

    /// Both the trained network and its frozen twin, which folds its norms into its convolutions.
    fn compare_eval(&mut self, outside: bool) -> Result<()> {
        let frozen = self.network.frozen();
        let (gradient, _) = self.forward_and_back(&frozen, Mode::Eval)?;
        self.compare_input_gradient(&gradient, outside)?;
        let output = self.network.forward(&self.pixels, Mode::Eval)?;
        self.compare_outputs(&output, "eval")?;
        Ok(())
    }

    fn compare_outputs(&mut self, output: &Output, mode: &str) -> Result<f64> {
        let tolerance = Tolerance::Scaled(self.tolerances.outputs);
        self.check(&format!("{mode}.logits"), &flat(&output.logits)?, tolerance)?;
        self.check(&format!("{mode}.latent"), &flat(&output.representation)?, tolerance)?;
        let loss = flat(&self.mean_loss(&output.logits)?)?;
        self.check(&format!("{mode}.ce_mean"), &loss, tolerance)?;
        Ok(loss[0])
    }

    fn mean_loss(&self, logits: &Tensor) -> Result<Tensor> {
        Ok(cross_entropy(logits, &Tensor::new(self.labels.as_slice(), &Device::Cpu)?)?.mean_all()?)
    }

    /// The mean cross-entropy's gradient of the pixels, and all others.
    fn forward_and_back(&mut self, network: &Network, mode: Mode) -> Result<(Tensor, GradStore)> {
        let pixels = Var::from_tensor(&self.pixels)?;
        let output = network.forward(&pixels, mode)?;
        self.compare_outputs(&output, if mode == Mode::Eval { "eval" } else { "train" })?;
        let gradients = self.mean_loss(&output.logits)?.backward()?;
        Ok((gradients.get(&pixels).context("no gradient of the pixels")?.clone(), gradients))
    }

    fn compare_input_gradient(&mut self, gradient: &Tensor, outside: bool) -> Result<()> {
        let found = flat(gradient)?;
        let image = found.len() / self.labels.len();
        let norms: Vec<f64> = found.chunks(image).map(norm).collect();
        // A signed checksum may cancel; its error is the gradient's.
        let of_length = self.tolerances.input_gradient * norms.iter().copied().fold(0.0, f64::max);
        let probes =
            found.chunks(image).enumerate().map(|(i, g)| self.generator.probe(&format!("x{i}"), g)).collect::<Vec<_>>();
        self.check_images("eval.input_grad_l2", &norms, of_length)?;
        self.check_images("eval.input_grad_probe", &probes, of_length)?;
        let whole = format!("eval.input_grad.{}", self.suffix);
        let (name, told) = if self.tensors.has("input_grad_sub_positions") {
            // Positions within an image; the same in each.
            let positions = self.tensors.numbers("input_grad_sub_positions")?;
            let of_image = |image: &[f64]| positions.iter().map(|&at| image[at as usize]).collect::<Vec<_>>();
            ("input_grad_sub", found.chunks(image).flat_map(of_image).collect())
        } else if self.tensors.has(&whole) {
            ("input_grad", found.clone())
        } else {
            ("input_grad_img0", found[..image].to_vec())
        };
        self.check_pixels(&format!("eval.{name}"), &told)?;
        if outside {
            let zeros = |numbers: &[f64]| numbers.iter().map(|&g| g == 0.0).collect::<Vec<_>>();
            let expected = self.tensors.numbers(&whole)?;
            self.report.same("zeros of the input's gradient", &zeros(&found), &zeros(&expected));
        }
        Ok(())
    }

    /// In the mode in which they are told: the reference code's dropout cannot be repeated, so its networks with dropout are only
    /// told in eval mode.
    fn compare_gradients_of_weights(&mut self, meta: &Meta) -> Result<()> {
        let told = |suffix: &str| meta.grads.get(suffix).with_context(|| format!("no gradients in {suffix}"));
        let (expected, exact, single) = (told(self.suffix)?, told("f64")?, told("f32")?);
        let mode = match expected.mode.as_str() {
            "train" => Mode::Train,
            "eval" => Mode::Eval,
            other => bail!("gradients in {other} mode"),
        };
        let output = self.network.forward(&self.pixels, mode)?;
        let loss = self.compare_outputs(&output, &expected.mode)?;
        self.report.close("ce_mean", &[loss], &[expected.ce_mean], Tolerance::Each(self.tolerances.outputs));
        let gradients = self.mean_loss(&output.logits)?.backward()?;
        // PyTorch's own f32 gradients are farther from its f64 ones than the index allows, in deep networks, whose ReLUs and
        // pools turn rounding into other paths. In f32 we are held to f64, and may err by as many times PyTorch's errors;
        // fast convolutions round more coarsely, and checksums show single paths where lengths average over all.
        let told = self.tolerances.gradients;
        let allowed = match self.suffix {
            "f64" => [told, told],
            _ => exact.errors_of(single)?.map(|error| told.max(OF_PYTORCHS_ERROR * error).max(self.of_turned_units)),
        };
        self.compare_gradients(&gradients, exact, allowed)?;
        for (name, buffer) in self.network.buffers() {
            let name = format!("after1.{name}");
            let tolerance = Tolerance::Scaled(self.tolerances.running);
            self.report.close(&name, &flat(buffer)?, &self.tensors.numbers(&name)?, tolerance);
        }
        Ok(())
    }

    fn compare_gradients(&mut self, gradients: &GradStore, expected: &Gradients, allowed: [f64; 2]) -> Result<()> {
        self.report.same("gradients", &self.network.parameters().len(), &expected.grads.len());
        let rounding = expected.largest() * if self.suffix == "f64" { 1e-12 } else { 1e-6 };
        for (name, parameter) in self.network.parameters() {
            let expected = expected.grads.get(name).with_context(|| format!("no gradient of {name}"))?;
            let found = flat(gradients.get(parameter).with_context(|| format!("no gradient of {name}"))?)?;
            // A bias before a batch-norm has no gradient but rounding, and is held to the others' rounding.
            let [of_length, of_checksum] = allowed.map(|share| Tolerance::Absolute(share * expected.l2 + rounding));
            let what = format!("g.{name}.{}", self.suffix);
            self.report.close(&what, &[norm(&found)], &[expected.l2], of_length);
            let probe = self.generator.probe(&format!("g.{name}"), &found);
            self.report.close(&format!("{what}, checksum"), &[probe], &[expected.probe], of_checksum);
        }
        Ok(())
    }
}

/// Euclidean length.
pub(crate) fn norm(numbers: &[f64]) -> f64 {
    numbers.iter().map(|number| number * number).sum::<f64>().sqrt()
}
