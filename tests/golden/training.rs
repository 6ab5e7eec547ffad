//! `train_*.json`: micro training runs, step by step, through the training crate's own steps.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use rrm_attacks::{Attack, AttackRng, Attacked, Ball, Form, Pgd, Victim};
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Arch, Mode, Norm, Normalization, OptimizerSpec, PgdSelection, PgdStart, RepresentationLoss, Schedule};
use rrm_train::{
    Step, Student, Timetable, TrainBatch,
    step::{AdversarialTraining, Natural, Rrm},
};
use serde_json::Value;

use crate::{
    compare::{Report, Tolerance, number_after, tolerance_after},
    flat,
    folder::Folder,
    generator::Generator,
    models::{Checksum, Meta, norm, normalization, normalization_in},
    pgd::Given,
};

/// Images of a batch; the last one of natural training has fewer.
const BATCH: usize = 8;
const LAST_NATURAL_BATCH: usize = 5;

/// Share by which a loss may be off in f32 where the batch is attacked: of eight images, one whose path parts from f64's at
/// a kink of the loss ends elsewhere, and moves every weight by another few per cent of its change.
const UNDER_ATTACK: f64 = 0.03;

/// Share of all that training changed by which a weight's checksum may be off in f32, and the share of weights that keep
/// to it where the batch is attacked.
const OF_CHANGE: f64 = 0.1;
const KEEP_TO_IT: f64 = 0.75;

type Told = serde_json::Map<String, Value>;

/// One run of a file, named like `rrm_cosine_dnn_to_vgg11.f64`.
struct Run<'a> {
    folder: &'a Folder,
    name: &'a str,
    told: &'a Value,
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

fn compare(folder: &Folder, file: &str, run: impl Fn(&Run<'_>, &mut Report) -> Result<()>) -> Result<Report> {
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

/// `train_natural.json`.
pub(crate) fn compare_natural(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let text = run.code_of("natural/rrm")?;
        let recipe = Recipe { weight_decay: number_after(text, "natural")?, ..Recipe::by_cosine(run, text)? };
        let mut student = recipe.student(run, run.net_after("natural_")?, None)?;
        let before = state(student.network())?;
        let steps = run.numbers("total")?.len();
        let sizes: Vec<usize> = (0..steps).map(|i| if i + 1 < steps { BATCH } else { LAST_NATURAL_BATCH }).collect();
        let losses = run.train(&mut student, &mut Natural, "nat", &sizes)?;
        run.compare_losses("total", &losses, 0.0, report)?;
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, &before, report)
    })
}

/// `train_rrm.json`.
pub(crate) fn compare_rrm(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let text = run.code_of("natural/rrm")?;
        let (teacher_net, student_net) = run.net_after("rrm_")?.split_once("_to_").context("no `_to_`")?;
        let cosine = teacher_net.strip_prefix("cosine_");
        let (loss, teacher_net, tag) = match cosine.or(teacher_net.strip_prefix("rel_l2_")) {
            Some(net) if cosine.is_some() => (RepresentationLoss::Cosine, net, "rrm"),
            Some(net) => (RepresentationLoss::RelativeL2, net, "rrml2"),
            None => anyhow::bail!("an unknown representation loss"),
        };
        let lambda = lambdas(text, loss)?;
        let recipe = Recipe::by_cosine(run, text)?;
        let teacher = run.network(run.folder.teacher_generator(), teacher_net, recipe.normalization)?;
        let teacher_before = state(&teacher)?;
        let mut student = recipe.student(run, student_net, Some(&teacher))?;
        let before = state(student.network())?;
        let mut step = Rrm::new(&teacher, loss, lambda, NonZeroU32::MIN);
        let totals = run.numbers("total")?;
        let losses = run.train(&mut student, &mut step, tag, &vec![BATCH; totals.len()])?;
        // The authors maximise the mean cosine; our loss is 1 minus it.
        let shift = if loss == RepresentationLoss::Cosine { 1.0 } else { 0.0 };
        let losses: Vec<f64> = losses.iter().map(|loss| loss - shift).collect();
        run.compare_losses("total", &losses, 0.0, report)?;
        run.compare_terms(loss, lambda, report)?;
        report.same(&format!("{}: the teacher is unchanged", run.name), &(state(&teacher)? == teacher_before), &true);
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, &before, report)
    })
}

/// `train_sat.json`: attacks in eval mode, best of trajectory.
pub(crate) fn compare_sat(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let number = |key: &str| run.told[key].as_f64().with_context(|| format!("no {key}"));
        let recipe = Recipe {
            schedule: Schedule::Constant,
            learning_rate: number("lr")?,
            momentum: 0.9,
            weight_decay: number("weight_decay")?,
            normalization: normalization(&run.told["normaliser"])?,
            steps: run.numbers("losses")?.len(),
        };
        let by_sign = run.told["constraint"].as_str() == Some("inf");
        let pgd = Pgd {
            ball: Ball { norm: if by_sign { Norm::Linf } else { Norm::L2 }, epsilon: number("eps")? },
            steps: 7,
            step_size: number("step")?,
            start: if by_sign { PgdStart::Uniform } else { PgdStart::Sphere },
            selection: PgdSelection::BestLoss,
            restarts: 1,
        };
        let net = run.net_after("sat_")?;
        let (net, _) = net.rsplit_once('_').context("no constraint in the name")?;
        let mut student = recipe.student(run, net, None)?;
        let before = state(student.network())?;
        let attacks = Log::default();
        let start = Starts { generator: run.folder.generator(), name: "train.sat.r", kind: StartKind::Random };
        let attack = Traced { pgd, start, log: Arc::clone(&attacks) };
        let mut step = AdversarialTraining::new(Box::new(attack), Mode::Eval, 0);
        let losses = run.train(&mut student, &mut step, "sat", &vec![BATCH; recipe.steps])?;
        run.compare_losses("losses", &losses, UNDER_ATTACK, report)?;
        run.compare_perturbations(&attacks, pgd.ball, report)?;
        run.compare_weights(&student, &before, report)
    })
}

/// `train_fast.json`: attacks in train mode, last iterate, triangular schedule with the momentum cycle.
pub(crate) fn compare_fast(folder: &Folder, file: &str) -> Result<Report> {
    compare(folder, file, |run, report| {
        let (rates, momenta) = (run.numbers("lr")?, run.numbers("momentum")?);
        let peak = |numbers: &[f64], better: fn(f64, f64) -> f64| numbers.iter().copied().reduce(better);
        let momentum = peak(&momenta, f64::max).context("no momentum")?;
        let recipe = Recipe {
            schedule: Schedule::Triangular { peak_momentum: peak(&momenta, f64::min) },
            learning_rate: peak(&rates, f64::max).context("no rates")?,
            momentum,
            weight_decay: 5e-4, // The authors' script's default (digest §2.2).
            normalization: normalization_in(run.code_of("free/fast")?)?,
            steps: rates.len(),
        };
        let expected = run.numbers("losses")?;
        let pgd = Pgd {
            ball: Ball { norm: Norm::Linf, epsilon: 8.0 / 255.0 },
            steps: (expected.len() / recipe.steps - 1) as u32,
            step_size: 2.0 / 255.0,
            start: PgdStart::Uniform,
            selection: PgdSelection::Last,
            restarts: 1,
        };
        let mut student = recipe.student(run, run.net_after("fast_at_")?, None)?;
        let before = state(student.network())?;
        let attacks = Log::default();
        let start = Starts { generator: run.folder.generator(), name: "train.fast.start", kind: StartKind::Change };
        let attack = Traced { pgd, start, log: Arc::clone(&attacks) };
        let mut step = AdversarialTraining::new(Box::new(attack), Mode::Train, 0);
        let trained = run.train(&mut student, &mut step, "fast", &vec![BATCH; recipe.steps])?;
        let log = attacks.lock().expect("no attack panics");
        let losses: Vec<f64> =
            log.iter().zip(&trained).flat_map(|(attack, &last)| attack.losses.iter().copied().chain([last])).collect();
        drop(log);
        run.compare_losses("losses", &losses, UNDER_ATTACK, report)?;
        run.compare_deltas(&attacks, report)?;
        run.compare_rates(&student, report)?;
        run.compare_weights(&student, &before, report)
    })
}

/// λ of each loss, from words such as `xent weight 5e-3 cosine, 1e-3 l2`.
fn lambdas(text: &str, loss: RepresentationLoss) -> Result<f64> {
    let (_, words) = text.split_once("xent weight").with_context(|| format!("`{text}` has no xent weight"))?;
    let (cosine, relative) =
        words.split_once("cosine,").with_context(|| format!("`{text}` has no weight for cosine"))?;
    number_after(if loss == RepresentationLoss::Cosine { cosine } else { relative }, "")
}

impl Checksum {
    fn numbers(&self) -> Vec<f64> {
        [self.l2, self.probe].into_iter().chain(self.first3.iter().copied()).collect()
    }

    /// The largest difference, by the length of `exact`.
    fn distance(&self, exact: &Self) -> f64 {
        let differences = self.numbers().into_iter().zip(exact.numbers()).map(|(own, exact)| (own - exact).abs());
        differences.fold(0.0, f64::max) / exact.l2
    }
}

/// How the student descends.
struct Recipe {
    schedule: Schedule,
    learning_rate: f64,
    momentum: f64,
    weight_decay: f64,
    normalization: Normalization,
    steps: usize,
}

impl Recipe {
    /// Natural training and RRM: the cosine schedule from the first rate told.
    fn by_cosine(run: &Run<'_>, text: &str) -> Result<Self> {
        let rates = run.numbers("lr")?;
        Ok(Self {
            schedule: Schedule::Cosine,
            learning_rate: *rates.first().context("no rates")?,
            momentum: number_after(text, "momentum")?,
            weight_decay: number_after(text, "weight decay")?,
            normalization: normalization_in(text)?,
            steps: rates.len(),
        })
    }

    fn student(&self, run: &Run<'_>, net: &str, teacher: Option<&Network>) -> Result<Student> {
        let network = run.network(run.folder.generator(), net, self.normalization)?;
        if let Some(teacher) = teacher {
            let width = |network: &Network| NetworkSpec::clone(network.spec()).representation_width;
            ensure!(width(teacher) == width(&network), "the student needs an adapter");
        }
        let optimizer = OptimizerSpec {
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            schedule: self.schedule.clone(),
        };
        Ok(Student::new(network, Timetable::new(&optimizer, 1, self.steps as u64))?)
    }
}

impl Run<'_> {
    fn code_of(&self, method: &str) -> Result<&str> {
        self.code[method].as_str().with_context(|| format!("the index tells no code of {method}"))
    }

    fn net_after(&self, prefix: &str) -> Result<&str> {
        let (name, _) = self.name.rsplit_once('.').context("no number type in the name")?;
        name.strip_prefix(prefix).with_context(|| format!("{} does not begin with {prefix}", self.name))
    }

    fn numbers(&self, key: &str) -> Result<Vec<f64>> {
        serde_json::from_value(self.told[key].clone()).with_context(|| format!("{key} of {}", self.name))
    }

    /// Losses of all steps. In f32 the index allows what PyTorch's f32 errs by; `in_f32` is allowed besides.
    fn compare_losses(&self, key: &str, found: &[f64], in_f32: f64, report: &mut Report) -> Result<()> {
        let expected = self.numbers(key)?;
        let exact: Vec<f64> = serde_json::from_value(self.exact[key].clone())?;
        let allowed =
            if self.dtype == DType::F64 { self.tolerances.losses } else { in_f32.max(self.tolerances.losses) };
        let drift =
            expected.iter().zip(&exact).map(|(own, exact)| (own - exact).abs() / exact.abs()).fold(0.0, f64::max);
        let tolerance = Tolerance::Each(allowed.max(2.0 * drift));
        report.close(&format!("{}: {key}", self.name), found, &expected, tolerance);
        Ok(())
    }

    fn network(&self, generator: Generator, net: &str, normalization: Normalization) -> Result<Network> {
        ensure!(net.parse::<Arch>().is_ok(), "no network {net}");
        let meta = Meta::of(self.folder, net)?;
        meta.network(net, normalization, meta.weights(generator)?, self.dtype)
    }

    /// Trains on the batches of `tag`; gives each step's loss.
    fn train(&self, student: &mut Student, step: &mut dyn Step, tag: &str, sizes: &[usize]) -> Result<Vec<f64>> {
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
    fn compare_rates(&self, student: &Student, report: &mut Report) -> Result<()> {
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
    fn compare_terms(&self, loss: RepresentationLoss, lambda: f64, report: &mut Report) -> Result<()> {
        let (cross_entropy, distance) = (self.numbers("xent")?, self.numbers("feat")?);
        let weight = if loss == RepresentationLoss::Cosine { -1.0 } else { 1.0 };
        let totals: Vec<f64> = cross_entropy.iter().zip(&distance).map(|(c, d)| lambda * c + weight * d).collect();
        report.close(&format!("{}: terms", self.name), &totals, &self.numbers("total")?, Tolerance::Each(1e-6));
        Ok(())
    }

    /// All weights and running statistics in the end, which were `before` in the beginning.
    ///
    /// PyTorch's own f32 runs end farther from its f64 runs than the index allows. In f32 we are held to f64, and may be
    /// off by twice as much, or by a share of what training changed.
    fn compare_weights(&self, student: &Student, before: &State, report: &mut Report) -> Result<()> {
        let checksums = |told: &Value| serde_json::from_value::<BTreeMap<String, Checksum>>(told["params"].clone());
        let (expected, own) = (checksums(self.exact)?, checksums(self.told)?);
        let drift = own.iter().filter_map(|(name, own)| Some(own.distance(expected.get(name)?))).fold(0.0, f64::max);
        let allowed = self.tolerances.parameters.max(2.0 * drift);
        let found = state(student.network())?;
        report.same(&format!("{}: weights", self.name), &found.len(), &expected.len());
        let attacked = self.told.get("total").is_none();
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
            let allowed = (allowed * expected.l2).max(of_change);
            if attacked && self.dtype == DType::F32 {
                excesses.push(found.distance(expected) * expected.l2 / allowed);
                continue;
            }
            let tolerance = Tolerance::Absolute(allowed);
            report.close(&format!("{}: {name}", self.name), &found.numbers(), &expected.numbers(), tolerance);
        }
        let none = vec![0.0; excesses.len()];
        report.mostly(&format!("{}: weights", self.name), &excesses, &none, Tolerance::Absolute(1.0), KEEP_TO_IT);
        Ok(())
    }

    /// Distance and checksum of each adversarial image. In f32 a flipped sign moves a pixel by a whole step.
    fn compare_perturbations(&self, log: &Log, ball: Ball, report: &mut Report) -> Result<()> {
        let log = log.lock().expect("no attack panics");
        let probes: Vec<Vec<f64>> = serde_json::from_value(self.told["adv_probe"].clone())?;
        let distances: Vec<Vec<f64>> = serde_json::from_value(self.told["adv_dist"].clone())?;
        report.same(&format!("{}: attacks", self.name), &log.len(), &probes.len());
        for (i, attack) in log.iter().enumerate() {
            let found = ball.distances(&attack.images, &attack.natural)?;
            let what = format!("{}: distances {i}", self.name);
            if self.dtype == DType::F32 {
                report.mostly(&what, &found, &distances[i], Tolerance::Each(1e-2), KEEP_TO_IT);
            } else {
                report.close(&what, &found, &distances[i], Tolerance::Each(self.tolerances.parameters));
                let change = flat(&(&attack.images - &attack.natural)?)?;
                let image = change.len() / probes[i].len();
                let generator = self.folder.generator();
                let each = change.chunks(image).enumerate();
                let found: Vec<f64> = each.map(|(x, change)| generator.probe(&format!("x{x}"), change)).collect();
                let tolerance = Tolerance::Absolute(self.tolerances.parameters);
                report.close(&format!("{}: probes {i}", self.name), &found, &probes[i], tolerance);
            }
        }
        Ok(())
    }

    /// Size, checksum and signs of each batch's whole change.
    fn compare_deltas(&self, log: &Log, report: &mut Report) -> Result<()> {
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

type State = HashMap<String, Vec<f64>>;

/// Weights and running statistics.
fn state(network: &Network) -> Result<State> {
    let named = network.state().into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    named.map(|(name, tensor)| Ok((name, flat(&tensor)?))).collect()
}

/// What an attack did to a batch.
struct Perturbation {
    natural: Tensor,
    images: Tensor,
    /// Mean loss of each forward pass of the search.
    losses: Vec<f64>,
}

type Log = Arc<Mutex<Vec<Perturbation>>>;

/// The starting points of a run: the stream's name, followed by the batch's number.
struct Starts {
    generator: Generator,
    name: &'static str,
    kind: StartKind,
}

enum StartKind {
    /// MadryLab's random start with (f32 sym + 1)/2 in place of uniform numbers, f32 sym in place of normal ones.
    Random,
    /// A change of f32(eps*sym), clamped to the box.
    Change,
}

impl Starts {
    fn of(&self, pgd: &Pgd, batch: u64, natural: &Tensor) -> candle_core::Result<Tensor> {
        let numbers = self.generator.sym(&format!("{}{batch}", self.name), natural.elem_count());
        let epsilon = pgd.ball.epsilon;
        match self.kind {
            StartKind::Change => {
                let change: Vec<f32> = numbers.iter().map(|sym| (epsilon * sym) as f32).collect();
                let change = Tensor::from_vec(change, natural.shape(), natural.device())?;
                (natural + change.to_dtype(natural.dtype())?)?.clamp(0.0, 1.0)
            }
            StartKind::Random => {
                let image = numbers.len() / natural.dim(0)?;
                let uniform = pgd.start == PgdStart::Uniform;
                let number =
                    move |&sym: &f64| if uniform { f64::from((sym as f32 + 1.0) / 2.0) } else { f64::from(sym as f32) };
                let random = |row: usize| Given(numbers[row * image..][..image].iter().map(number));
                pgd.ball.random_start(Form::MadryLab, pgd.start, natural, random)
            }
        }
    }
}

/// Projected gradient descent from golden starts, taking notes.
struct Traced {
    pgd: Pgd,
    start: Starts,
    log: Log,
}

impl Attack for Traced {
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> candle_core::Result<Attacked> {
        let start = self.start.of(&self.pgd, rng.epoch, pixels)?;
        let victim = Victim::by_cross_entropy(victim, mode);
        let mut losses = Vec::new();
        let attacked = self.pgd.perturb_from(&victim, pixels, labels, &[start], &mut |pass| {
            losses.push(pass.losses.iter().sum::<f64>() / pass.losses.len() as f64);
        })?;
        let perturbation = Perturbation { natural: pixels.clone(), images: attacked.images.clone(), losses };
        self.log.lock().expect("no attack panics").push(perturbation);
        Ok(attacked)
    }
}
