//! One micro training run: its batches, and what is compared of it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use rrm_attacks::Ball;
use rrm_models::Network;
use rrm_spec::{Arch, Normalization, RepresentationLoss};
use rrm_train::{Step, Student, TrainBatch};
use serde_json::Value;

use crate::{
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::Folder,
    generator::Generator,
    models::{Checksum, Meta, norm},
    traced::{Log, Perturbation},
};

// In f32 a training run is not reproducible beyond its first loss. Where a ReLU's input is next to zero, or two inputs of a
// pool are next to equal, rounding decides which way the gradient goes: one such flip among the million of a batch of
// eight moves the gradients of the layers below by some thousandths, and steep losses make more of it in every step. An
// attacked image that takes another way ends elsewhere altogether. The f64 runs are held to everything, and f32 to this:

/// Share by which a loss may be off.
const AFTER_FLIPS: f64 = 0.03;
/// Share of all that training changed by which a weight's checksum may be off.
const OF_CHANGE: f64 = 0.25;
/// Share of losses, images and weights that keep to it.
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
    dtype: DType,
    tolerances: Tolerances,
}

#[derive(Clone, Copy)]
struct Tolerances {
    losses: f64,
    parameters: f64,
}

impl Tolerances {
    /// From words such as `f64: losses 1e-8 rel, params l2/probe 1e-7; f32: losses 1e-3 rel (...), params 1e-4`.
    fn read(text: &str, dtype: DType) -> Result<Self> {
        let part = if dtype == DType::F64 { "f64:" } else { "f32:" };
        let (_, words) = text.split_once(part).with_context(|| format!("`{text}` says nothing of {part}"))?;
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
        let dtype = if suffix == "f64" { DType::F64 } else { DType::F32 };
        let tolerances = Tolerances::read(&entry.tolerance, dtype)?;
        let one = Run { folder, name, told: one, exact, code: &entry.code, dtype, tolerances };
        run(&one, &mut report).with_context(|| name.clone())?;
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

    /// Losses of all steps. In f32 the first is held to the index, and most of the others to what a flip leaves of them.
    pub(crate) fn compare_losses(&self, key: &str, found: &[f64], report: &mut Report) -> Result<()> {
        let expected = self.numbers(key)?;
        let tolerance = Tolerance::Each(self.tolerances.losses);
        let what = format!("{}: {key}", self.name);
        if self.dtype == DType::F64 {
            report.close(&what, found, &expected, tolerance);
            return Ok(());
        }
        ensure!(!found.is_empty() && !expected.is_empty(), "{what}: no losses");
        report.close(&format!("{what}, first"), &found[..1], &expected[..1], tolerance);
        report.mostly(&what, found, &expected, Tolerance::Each(AFTER_FLIPS), KEEP_TO_IT);
        Ok(())
    }

    pub(crate) fn network(&self, generator: Generator, net: &str, normalization: Normalization) -> Result<Network> {
        ensure!(net.parse::<Arch>().is_ok(), "no network {net}");
        let meta = Meta::of(self.folder, net)?;
        meta.network(net, normalization, meta.weights(generator)?, self.dtype)
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
    fn batch(&self, tag: &str, i: usize, size: usize) -> Result<TrainBatch> {
        let generator = self.folder.generator();
        let pixels = generator.images(&format!("train.{tag}.x{i}"), &[size, 3, 32, 32], self.dtype)?;
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

    /// The total that was compared is made of the terms that are told, by the weights that we read.
    pub(crate) fn compare_terms(&self, loss: RepresentationLoss, lambda: f64, report: &mut Report) -> Result<()> {
        let (cross_entropy, distance) = (self.numbers("xent")?, self.numbers("feat")?);
        let weight = if loss == RepresentationLoss::Cosine { -1.0 } else { 1.0 };
        let totals: Vec<f64> = cross_entropy.iter().zip(&distance).map(|(c, d)| lambda * c + weight * d).collect();
        report.close(&format!("{}: terms", self.name), &totals, &self.numbers("total")?, Tolerance::Each(1e-6));
        Ok(())
    }

    /// All weights and running statistics in the end, which were `before` in the beginning.
    ///
    /// In f32 we are held to f64.
    pub(crate) fn compare_weights(&self, student: &Student, before: &State, report: &mut Report) -> Result<()> {
        let expected: BTreeMap<String, Checksum> = serde_json::from_value(self.exact["params"].clone())?;
        let found = state(student.network())?;
        report.same(&format!("{}: weights", self.name), &found.len(), &expected.len());
        let mut excesses = Vec::new();
        for (name, expected) in &expected {
            let numbers = found.get(name).with_context(|| format!("no {name}"))?;
            let change: Vec<f64> = numbers.iter().zip(&before[name]).map(|(after, before)| after - before).collect();
            let of_change = if self.dtype == DType::F64 { 0.0 } else { OF_CHANGE * norm(&change) };
            let found = Checksum {
                l2: norm(numbers),
                probe: self.folder.generator().probe(&format!("p.{name}"), numbers),
                first3: numbers.iter().take(expected.first3.len()).copied().collect(),
            };
            // Both may cancel; what they sum is as long as the weight.
            let allowed = (self.tolerances.parameters * expected.l2).max(of_change);
            let distance = found.distance(expected);
            if self.dtype == DType::F32 {
                excesses.push(distance / allowed);
            } else {
                let tolerance = Tolerance::Absolute(allowed);
                report.close(&format!("{}: {name}", self.name), &found.numbers(), &expected.numbers(), tolerance);
            }
        }
        let none = vec![0.0; excesses.len()];
        report.mostly(&format!("{}: weights", self.name), &excesses, &none, Tolerance::Absolute(1.0), KEEP_TO_IT);
        Ok(())
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
            if self.dtype == DType::F32 {
                report.mostly(&what, &found, &distances[i], Tolerance::Each(1e-2), KEEP_TO_IT);
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
        let told = self.told["delta"].as_array().context("no delta")?;
        // Told after every step of every attack; what the steps before the last did, their losses show.
        let steps = told.len() / log.len().max(1);
        report.same(&format!("{}: attacks", self.name), &(log.len() * steps), &told.len());
        for (i, (attack, told)) in log.iter().zip(told.chunks(steps)).enumerate() {
            let told = told.last().context("an attack without steps")?;
            let change = flat(&(attack.images.to_dtype(DType::F64)? - attack.natural.to_dtype(DType::F64)?)?)?;
            let largest = change.iter().fold(0f64, |largest, c| largest.max(c.abs()));
            let probe = self.folder.generator().probe("delta", &change);
            let found = [norm(&change), probe, largest, change.len() as f64];
            let number = |key: &str| told[key].as_f64().with_context(|| format!("no {key}"));
            let expected = ["l2", "probe", "linf", "n"].map(number);
            let expected: Vec<f64> = expected.into_iter().collect::<Result<_>>()?;
            let what = format!("{}: delta {i}", self.name);
            if self.dtype == DType::F32 {
                report.close(&what, &found[..1], &expected[..1], Tolerance::Each(1e-2));
                continue;
            }
            if (0..attack.lowest.len()).any(|image| self.is_saturated(attack, image, report)) {
                continue;
            }
            report.close(&what, &found, &expected, Tolerance::Each(self.tolerances.parameters));
            // Steps there and back leave changes of nothing but rounding, whose sign says nothing.
            let count = |holds: &dyn Fn(f64) -> bool| change.iter().filter(|&&c| holds(c)).count() as f64;
            let found = [count(&|c| c > 0.0), count(&|c| c < 0.0)];
            let expected = [number("positive")?, number("negative")?];
            let nothing = count(&|c| c.abs() < 1e-12);
            report.close(&format!("{what}, signs"), &found, &expected, Tolerance::Absolute(nothing));
        }
        Ok(())
    }
}

pub(crate) type State = HashMap<String, Vec<f64>>;

/// Weights and running statistics.
pub(crate) fn state(network: &Network) -> Result<State> {
    let named = network.state().into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    named.map(|(name, tensor)| Ok((name, flat(&tensor)?))).collect()
}
