//! One micro training run: its batches, and what is compared of it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use rrm_attacks::Ball;
use rrm_models::Network;
use rrm_spec::{Arch, Normalization};
use rrm_train::{Step, Student, TrainBatch};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    arithmetic::Arithmetic,
    compare::{OF_PYTORCHS_ERROR, Report, Tolerance, is_another_folder, tolerance_after},
    flat,
    folder::Folder,
    generator::Generator,
    models::{Checksum, Meta, norm},
    traced::{Log, Perturbation},
};

// In f32 we are held to f64, by direct convolutions and by Winograd's. Where a ReLU's input is next to zero, or two inputs of a pool are
// next to equal, rounding decides which way the gradient goes: one flip among the million of a batch of eight moves the losses that follow
// by half a percent, as it does in PyTorch once its weights are moved by 6e-7 of themselves (one of four tries with `natural_vgg11`). So an
// f32 run may be off by what the index allows, by some times the error of PyTorch's own f32 run, or by what flips leave.
//
// Runs that attack by signs are chaotic: a turned sign moves a pixel by a whole step, which turns others in the next step, and weights
// follow. PyTorch's own f32 run of free adversarial training keeps to its f64 run by 1e-6 for three replays, is 0.05 % off in the fifth, 2 %
// in the sixth, and has lost it after ten. Where its convolutions' sums are moved by 3e-7 of their root mean square (which another order of
// summation does; Winograd's algorithm moves them by up to 4e-6) it is 1 % off in the third replay and 4 % in the fourth; of the signs
// that a PGD of ten steps leaves, a hundredth to a quarter is turned, and the loss that follows is 0.2 to 2 % off. So in f32 an attacked run is
// held to f64 in what comes before PyTorch itself has parted from it, and in what was attacked first; the rest is noted as not compared. f64 is
// held to everything.

/// Share by which flips may move losses and weights in a run on natural images.
const AFTER_FLIPS: f64 = 0.02;
/// The same where signs are attacked with: a flipped one moves a pixel by a whole step.
const AFTER_FLIPPED_ATTACKS: f64 = 0.1;
/// And by Winograd's algorithm in another folder than the repository's: it moves sums ten times as far as another order of summation: a fresh seed has found a statistic of a
/// batch of eight 0.22 off, after three attacks by sign.
const AFTER_FLIPPED_ATTACKS_BY_WINOGRAD: f64 = 0.3;

/// Where a loss of PyTorch's own f32 run is off by more than this share, the run has parted from f64; where it is not, another run in f32
/// may have, by what [`AFTER_FLIPPED_ATTACKS`] allows.
const PARTED: f64 = 1e-6;

/// By what share the length of a batch's change may be off in f32.
const LENGTH_OF_CHANGE: f64 = 1e-2;

/// Share of the numbers of an attacked f32 run that keep to it. Images whose signs rounding flips end elsewhere.
const KEEP_TO_IT: f64 = 0.75;

/// Below this loss of an image its gradient, the difference of two numbers next to 1, has lost so many digits that the signs
/// of its smaller pixels are rounding, in f64 too.
const SATURATED: f64 = 1e-6;

type Told = serde_json::Map<String, Value>;

/// One run of a file, named like `rrm_cosine_dnn_to_vgg11.f64`.
pub(crate) struct Run<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) name: &'a str,
    pub(crate) told: &'a Value,
    /// The same run in f64.
    exact: &'a Value,
    code: &'a Value,
    arithmetic: Arithmetic,
    tolerances: Tolerances,
}

#[derive(Clone, Copy)]
struct Tolerances {
    losses: f64,
    parameters: f64,
}

impl Tolerances {
    /// From words such as `f64: losses 1e-8 rel, params l2/probe 1e-7; f32: losses 1e-3 rel (...), params 1e-4`.
    fn read(text: &str, suffix: &str) -> Result<Self> {
        let part = format!("{suffix}:");
        let (_, words) = text.split_once(&part).with_context(|| format!("`{text}` says nothing of {part}"))?;
        Ok(Self { losses: tolerance_after(words, "losses")?, parameters: tolerance_after(words, "params")? })
    }
}

pub(crate) fn compare(
    folder: &Folder,
    file: &str,
    run: impl Fn(&Run<'_>, &mut Report) -> Result<()>,
) -> Result<Report> {
    let entry = folder.entry(file)?;
    let told: Told = folder.json(file)?;
    ensure!(!told.is_empty(), "{file} is empty");
    let mut report = Report::default();
    for (name, one) in &told {
        let (run_name, suffix) = name.rsplit_once('.').with_context(|| format!("no number type in {name}"))?;
        let exact = told.get(&format!("{run_name}.f64")).with_context(|| format!("{run_name} in f64"))?;
        let tolerances = Tolerances::read(&entry.tolerance, suffix)?;
        for arithmetic in Arithmetic::of(suffix) {
            report.begin(arithmetic);
            let one = Run { folder, name, told: one, exact, code: &entry.code, arithmetic, tolerances };
            arithmetic.during(|| run(&one, &mut report)).with_context(|| format!("{name}, {arithmetic:?}"))?;
        }
    }
    Ok(report)
}

impl Checksum {
    fn numbers(&self) -> Vec<f64> {
        [self.l2, self.probe].into_iter().chain(self.first3.iter().copied()).collect()
    }

    /// The largest difference.
    fn distance(&self, exact: &Self) -> f64 {
        let differences = self.numbers().into_iter().zip(exact.numbers()).map(|(own, exact)| (own - exact).abs());
        differences.fold(0.0, f64::max)
    }
}

impl Run<'_> {
    pub(crate) fn code_of(&self, method: &str) -> Result<&str> {
        self.code[method].as_str().with_context(|| format!("the index tells no code of {method}"))
    }

    pub(crate) fn net_after(&self, prefix: &str) -> Result<&str> {
        let (name, _) = self.name.rsplit_once('.').context("no number type in the name")?;
        name.strip_prefix(prefix).with_context(|| format!("{} does not begin with {prefix}", self.name))
    }

    pub(crate) fn numbers(&self, key: &str) -> Result<Vec<f64>> {
        serde_json::from_value(self.told[key].clone()).with_context(|| format!("{key} of {}", self.name))
    }

    /// Losses of all steps. In f32 we are held to f64, as PyTorch's own f32 run is measured; of runs with deltas up to where it parts.
    pub(crate) fn compare_losses(&self, key: &str, found: &[f64], report: &mut Report) -> Result<()> {
        let told = self.numbers(key)?;
        let exact: Vec<f64> = serde_json::from_value(self.exact[key].clone())?;
        let lengths_agree = found.len() == exact.len() && told.len() == exact.len();
        ensure!(!exact.is_empty() && lengths_agree, "{}: {} of {} losses", self.name, found.len(), exact.len());
        let errors: Vec<f64> = told.iter().zip(&exact).map(|(told, exact)| (told / exact - 1.0).abs()).collect();
        let together = self.together(&errors, report, key);
        let allowed = self.allowed(self.tolerances.losses, errors[..together].iter().copied());
        let what = format!("{}: {key}", self.name);
        report.close(&what, &found[..together], &exact[..together], Tolerance::Each(allowed));
        if !self.is_attacked() || self.begins_before_attacks(key) {
            // No flip has moved a weight or an image yet.
            let first = Tolerance::Each(self.tolerances.losses);
            report.close(&format!("{what}, first"), &found[..1], &exact[..1], first);
        }
        Ok(())
    }

    /// Whether the first loss told is that of a start, and not of what an attack made of it.
    fn begins_before_attacks(&self, key: &str) -> bool {
        key == "losses" && self.tells_deltas()
    }

    /// Whether the run is one of those whose attacks change batches as a whole, most of them in train mode, where an image's turned signs
    /// reach all others through the batch-norms.
    fn tells_deltas(&self) -> bool {
        self.told.get("delta").is_some()
    }

    /// How many of the first numbers can be compared: all of them, but of an f32 run with deltas those in which PyTorch's own f32 run, by its
    /// `errors`, has not yet parted from f64, and the first in any case. Notes how many are left out.
    fn together(&self, errors: &[f64], report: &mut Report, what: &str) -> usize {
        if self.is_exact() || !self.tells_deltas() {
            return errors.len();
        }
        let parted = errors.iter().position(|&error| error.is_nan() || error > PARTED);
        let together = parted.map_or(errors.len(), |parted| parted.max(1));
        if together < errors.len() {
            let (name, left_out) = (self.name, errors.len() - together);
            report.skip(format!("{name}: the last {left_out} of {what}: PyTorch's own f32 run has parted from f64"));
        }
        together
    }

    fn is_exact(&self) -> bool {
        self.arithmetic == Arithmetic::Double
    }

    /// What the index allows, or some times PyTorch's own errors; in f32 at least what flips leave. Of attacked runs no more than that,
    /// however far PyTorch itself is off.
    fn allowed(&self, told: f64, errors: impl Iterator<Item = f64>) -> f64 {
        if self.is_exact() {
            told
        } else if self.is_attacked() {
            let by_winograd = self.arithmetic == Arithmetic::Winograd && is_another_folder();
            told.max(if by_winograd { AFTER_FLIPPED_ATTACKS_BY_WINOGRAD } else { AFTER_FLIPPED_ATTACKS })
        } else {
            told.max(OF_PYTORCHS_ERROR * largest(errors)).max(AFTER_FLIPS)
        }
    }

    /// Only attacked runs tell where their attacks ended.
    fn is_attacked(&self) -> bool {
        self.tells_deltas() || self.told.get("adv_dist").is_some()
    }

    pub(crate) fn network(&self, generator: Generator, net: &str, normalization: Normalization) -> Result<Network> {
        self.network_at(1.0, generator, net, normalization)
    }

    /// The same with logits divided by `temperature`.
    pub(crate) fn network_at(
        &self,
        temperature: f64,
        generator: Generator,
        net: &str,
        normalization: Normalization,
    ) -> Result<Network> {
        ensure!(net.parse::<Arch>().is_ok(), "no network {net}");
        let meta = Meta::of(self.folder, net)?;
        meta.network_at(temperature, net, normalization, meta.weights(generator)?, self.arithmetic.dtype())
    }

    /// Trains on the batches of `tag`; gives each step's loss.
    pub(crate) fn train(
        &self,
        student: &mut Student,
        step: &mut dyn Step,
        tag: &str,
        sizes: &[usize],
    ) -> Result<Vec<f64>> {
        let each = sizes.iter().enumerate().map(|(i, &size)| {
            let batch = self.batch(tag, i, size)?;
            Ok(step.step(student, &batch)?.loss_sum)
        });
        each.collect()
    }

    /// x = img_u8('train.<tag>.x<i>')/255, y = labels('train.<tag>.y<i>'). The batch's number keys its randomness.
    pub(crate) fn batch(&self, tag: &str, i: usize, size: usize) -> Result<TrainBatch> {
        let generator = self.folder.generator();
        let pixels = generator.images(&format!("train.{tag}.x{i}"), &[size, 3, 32, 32], self.arithmetic.dtype())?;
        let classes = generator.labels(&format!("train.{tag}.y{i}"), size, 10);
        let labels = Tensor::new(classes.as_slice(), &Device::Cpu)?;
        Ok(TrainBatch { pixels, labels, classes, indices: (0..size as u32).collect(), epoch: i as u32 })
    }

    /// Learning rates, and momenta where they are told.
    pub(crate) fn compare_rates(&self, student: &Student, report: &mut Report) -> Result<()> {
        let expected = self.numbers("lr")?;
        let rates: Vec<_> = (0..expected.len() as u64).map(|step| student.timetable().at(step)).collect();
        let found: Vec<f64> = rates.iter().map(|rate| rate.learning_rate).collect();
        report.close(&format!("{}: rates", self.name), &found, &expected, Tolerance::Absolute(1e-12));
        if self.told.get("momentum").is_some() {
            let found: Vec<f64> = rates.iter().map(|rate| rate.momentum).collect();
            let expected = self.numbers("momentum")?;
            report.close(&format!("{}: momentum", self.name), &found, &expected, Tolerance::Absolute(1e-12));
        }
        Ok(())
    }

    /// The total that was compared is made of the terms that are told, by the weights that we read: of the cross-entropy, and of
    /// the other term.
    pub(crate) fn compare_terms(&self, weights: (f64, f64), report: &mut Report) -> Result<()> {
        let (cross_entropy, other) = (self.numbers("xent")?, self.numbers("feat")?);
        let total = |(c, d): (&f64, &f64)| weights.0 * c + weights.1 * d;
        let totals: Vec<f64> = cross_entropy.iter().zip(&other).map(total).collect();
        report.close(&format!("{}: terms", self.name), &totals, &self.numbers("total")?, Tolerance::Each(1e-6));
        Ok(())
    }

    /// All weights and running statistics in the end, by shares of their lengths: checksums may cancel, and what they sum is
    /// as long as the weight. In f32 we are held to f64; attacked runs only where PyTorch's own f32 run ends near it, as some times its error would
    /// allow what an untrained network is off.
    pub(crate) fn compare_weights(&self, student: &Student, report: &mut Report) -> Result<()> {
        let checksums =
            |told: &Value| -> Result<Weights> { serde_json::from_value(told["params"].clone()).context("params") };
        let (exact, told) = (checksums(self.exact)?, checksums(self.told)?);
        let found = self.checksums_of(student, &exact)?;
        let error = |(name, exact): (&String, &Checksum)| told[name].distance(exact) / exact.l2;
        let allowed = self.allowed(self.tolerances.parameters, exact.iter().map(error));
        let pytorchs = OF_PYTORCHS_ERROR * largest(exact.iter().map(error));
        if !self.is_exact() && self.is_attacked() && pytorchs > AFTER_FLIPPED_ATTACKS {
            report.skip(format!("{}: weights in the end: PyTorch's own f32 run has parted from f64", self.name));
            return Ok(());
        }
        for (name, exact) in &exact {
            let tolerance = Tolerance::Absolute(allowed * exact.l2);
            report.close(&format!("{}: {name}", self.name), &found[name].numbers(), &exact.numbers(), tolerance);
        }
        Ok(())
    }

    /// Of each of the tensors that `told` names, which must be all there are.
    fn checksums_of(&self, student: &Student, told: &Weights) -> Result<Weights> {
        let state = state(student.network())?;
        ensure!(state.len() == told.len(), "{}: {} weights for {}", self.name, state.len(), told.len());
        let checksum = |(name, told): (&String, &Checksum)| {
            let numbers = state.get(name).with_context(|| format!("no {name}"))?;
            let probe = self.folder.generator().probe(&format!("p.{name}"), numbers);
            let first3 = numbers.iter().take(told.first3.len()).copied().collect();
            Ok((name.clone(), Checksum { l2: norm(numbers), probe, first3 }))
        };
        told.iter().map(checksum).collect()
    }

    /// Distance and checksum of each adversarial image. In f32 a flipped sign moves a pixel by a whole step.
    pub(crate) fn compare_perturbations(&self, log: &Log, ball: Ball, report: &mut Report) -> Result<()> {
        let log = log.lock().expect("no attack panics");
        let probes: Vec<Vec<f64>> = serde_json::from_value(self.told["adv_probe"].clone())?;
        let distances: Vec<Vec<f64>> = serde_json::from_value(self.told["adv_dist"].clone())?;
        report.same(&format!("{}: attacks", self.name), &log.len(), &probes.len());
        for (i, attack) in log.iter().enumerate() {
            let found = ball.distances(&attack.images, &attack.natural)?;
            let what = format!("{}: distances {i}", self.name);
            if !self.is_exact() {
                report.mostly(&what, &found, &distances[i], Tolerance::Each(1e-2), KEEP_TO_IT);
                report.skip(format!("{}: checksums of adversarial images: a flipped sign changes them", self.name));
                continue;
            }
            report.close(&what, &found, &distances[i], Tolerance::Each(self.tolerances.parameters));
            let change = flat(&(&attack.images - &attack.natural)?)?;
            let each = change.chunks(change.len() / probes[i].len()).enumerate();
            for (x, change) in each {
                if self.is_saturated(attack, x, report) {
                    continue;
                }
                let found = self.folder.generator().probe(&format!("x{x}"), change);
                let tolerance = Tolerance::Absolute(self.tolerances.parameters);
                report.close(&format!("{}: probe {x} of {i}", self.name), &[found], &probes[i][x..=x], tolerance);
            }
        }
        Ok(())
    }

    /// Whether an image's path hangs on rounding; notes that it is not compared.
    fn is_saturated(&self, attack: &Perturbation, image: usize, report: &mut Report) -> bool {
        let loss = attack.lowest[image];
        if loss < SATURATED {
            report.skip(format!(
                "{}: the path of image {image}, whose loss of {loss:.0e} has no gradient but rounding",
                self.name
            ));
        }
        loss < SATURATED
    }

    /// Size, checksum and signs of each batch's whole change.
    pub(crate) fn compare_deltas(&self, log: &Log, report: &mut Report) -> Result<()> {
        let log = log.lock().expect("no attack panics");
        let (told, exact) = (Delta::all(self.told)?, Delta::all(self.exact)?);
        report.same(&format!("{}: deltas", self.name), &told.len(), &exact.len());
        // Told after every step of every attack; what the steps before the last did, their losses show.
        let steps = (told.len() / log.len().max(1)).max(1);
        report.same(&format!("{}: attacks", self.name), &(log.len() * steps), &told.len());
        let mut exact = exact.chunks(steps).filter_map(|attack| attack.last());
        if !self.is_exact() {
            let first = log.first().zip(exact.next()).context("no attack")?;
            return self.compare_first_delta(first, report);
        }
        for (i, (attack, exact)) in log.iter().zip(exact).enumerate() {
            if (0..attack.lowest.len()).any(|image| self.is_saturated(attack, image, report)) {
                continue;
            }
            let (change, found) = self.delta_of(attack)?;
            let what = format!("{}: delta {i}", self.name);
            report.close(&what, &found.sizes(), &exact.sizes(), Tolerance::Each(self.tolerances.parameters));
            // Steps there and back leave changes of nothing but rounding, whose sign says nothing.
            let nothing = change.iter().filter(|change| change.abs() < 1e-12).count() as f64;
            let signs = |delta: &Delta| [delta.positive, delta.negative];
            report.close(&format!("{what}, signs"), &signs(&found), &signs(exact), Tolerance::Absolute(nothing));
        }
        Ok(())
    }

    /// In f32: how long the first change is. Its signs turn, and others follow.
    fn compare_first_delta(&self, (attack, exact): (&Perturbation, &Delta), report: &mut Report) -> Result<()> {
        let (_, found) = self.delta_of(attack)?;
        let what = format!("{}: length of the first delta", self.name);
        report.close(&what, &[found.l2], &[exact.l2], Tolerance::Each(LENGTH_OF_CHANGE));
        report.skip(format!("{}: other deltas, and checksums and signs: flipped signs change them", self.name));
        Ok(())
    }

    /// A batch's whole change, and what is told of it.
    fn delta_of(&self, attack: &Perturbation) -> Result<(Vec<f64>, Delta)> {
        let change = flat(&(attack.images.to_dtype(DType::F64)? - attack.natural.to_dtype(DType::F64)?)?)?;
        let count = |holds: &dyn Fn(f64) -> bool| change.iter().filter(|&&c| holds(c)).count() as f64;
        let delta = Delta {
            l2: norm(&change),
            probe: self.folder.generator().probe("delta", &change),
            linf: change.iter().fold(0f64, |largest, c| largest.max(c.abs())),
            n: change.len() as f64,
            positive: count(&|c| c > 0.0),
            negative: count(&|c| c < 0.0),
        };
        Ok((change, delta))
    }
}

/// What is told of a batch's whole change.
#[derive(Clone, Copy, Deserialize)]
struct Delta {
    l2: f64,
    probe: f64,
    linf: f64,
    n: f64,
    positive: f64,
    negative: f64,
}

impl Delta {
    /// After every step of every attack of a run.
    fn all(told: &Value) -> Result<Vec<Self>> {
        let all: Vec<Self> = serde_json::from_value(told["delta"].clone()).context("delta")?;
        ensure!(!all.is_empty(), "no delta");
        Ok(all)
    }

    fn sizes(&self) -> [f64; 4] {
        [self.l2, self.probe, self.linf, self.n]
    }
}

/// Checksums of weights and running statistics by name.
type Weights = BTreeMap<String, Checksum>;

fn largest(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, f64::max)
}

pub(crate) type State = HashMap<String, Vec<f64>>;

/// Weights and running statistics.
pub(crate) fn state(network: &Network) -> Result<State> {
    let named = network.state().into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    named.map(|(name, tensor)| Ok((name, flat(&tensor)?))).collect()
}
