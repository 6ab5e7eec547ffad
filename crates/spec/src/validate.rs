//! Ranges of every field, checked at once.

mod attack;
mod search_attack;

use std::{fmt, num::NonZeroU32};

use crate::{
    Arch, AttackSpec, Dataset, DatasetName, Epsilon, EvaluateSpec, Family, JobSpec, Method, Norm, OptimizerSpec,
    Schedule, SynthesizeSpec, ThreatModel, TrainSpec,
};

/// One fault of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `job.student.method.lambda`.
    pub field: String,
    /// The value as it was given; empty where it is missing.
    pub value: String,
    /// What would have been allowed.
    pub allowed: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_str() {
            "" => write!(f, "{}: {}", self.field, self.allowed),
            value => write!(f, "{} = {value}: {}", self.field, self.allowed),
        }
    }
}

/// Every fault of an input; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// A single fault.
    pub fn one(field: impl Into<String>, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self(vec![Violation { field: field.into(), value: value.into(), allowed: allowed.into() }])
    }

    /// `Ok` where there are none.
    ///
    /// # Errors
    /// The faults, where there are some.
    pub fn check(violations: Vec<Violation>) -> Result<(), Self> {
        if violations.is_empty() { Ok(()) } else { Err(Self(violations)) }
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "{} {noun}", self.0.len())?;
        self.0.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}

/// Collects faults below one path.
pub(crate) struct Checker<'a> {
    path: String,
    found: &'a mut Vec<Violation>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(path: &str, found: &'a mut Vec<Violation>) -> Self {
        Self { path: path.to_owned(), found }
    }

    fn within(&mut self, field: &str) -> Checker<'_> {
        Checker { path: join(&self.path, field), found: self.found }
    }

    pub(crate) fn require(&mut self, holds: bool, field: &str, value: impl fmt::Display, allowed: impl Into<String>) {
        if !holds {
            let (value, allowed) = (value.to_string(), allowed.into());
            self.found.push(Violation { field: join(&self.path, field), value, allowed });
        }
    }

    /// Whether no fault of the field is known.
    fn is_sound(&self, field: &str) -> bool {
        let field = join(&self.path, field);
        self.found.iter().all(|fault| fault.field != field)
    }

    fn at_most(&mut self, field: &str, value: u32, most: u32) {
        self.require(value <= most, field, value, format!("must be 1 to {most}"));
    }
}

pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

impl JobSpec {
    /// Checks every field's range.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut found = Vec::new();
        self.collect(&mut Checker::new("", &mut found));
        Violations::check(found)
    }

    pub(crate) fn collect(&self, check: &mut Checker<'_>) {
        match self {
            Self::Train(spec) => train(spec, check),
            Self::Evaluate(spec) => evaluate(spec, check),
            Self::Synthesize(spec) => synthesize(spec, check),
        }
    }
}

fn train(spec: &TrainSpec, check: &mut Checker<'_>) {
    dataset(&spec.dataset, &mut check.within("dataset"));
    let channels = spec.dataset.name.channels();
    let normalization = spec.normalization();
    check.require(
        normalization.suits(channels),
        "normalization",
        normalization.to_string(),
        format!("must be for images of {channels} channels, as those of {} are", spec.dataset.name),
    );
    arch(spec.arch, &spec.dataset.name, check);
    representation_width(spec, check);
    temperature(spec.temperature, check);
    method(&spec.method, &mut check.within("method"));
    own_temperature(spec, check);
    check.at_most("epochs", spec.epochs.get(), 10_000);
    check.at_most("batch_size", spec.batch_size.get(), 4096);
    seed(spec.seed, check);
    optimizer(&spec.optimizer, spec.epochs.get(), &mut check.within("optimizer"));
    let mut validation = check.within("validation");
    test_images(spec.validation.images, &spec.dataset, &mut validation);
    if let Some(spec) = &spec.validation.attack {
        training_attack(spec, &mut validation.within("attack"));
    }
}

fn evaluate(spec: &EvaluateSpec, check: &mut Checker<'_>) {
    dataset(&spec.dataset, &mut check.within("dataset"));
    test_images(spec.images, &spec.dataset, check);
    attack(&spec.attack, &mut check.within("attack"));
    classes(&spec.attack, &spec.dataset, &mut check.within("attack"));
    attack::epsilons(&spec.epsilons, spec.attack.threat().norm, check);
    attack::teacher(spec.teacher.as_ref(), &spec.attack, check);
    if let Some(divisor) = spec.temperature {
        temperature(divisor, check);
    }
    if let Some(images) = spec.diagnostics {
        check.at_most("diagnostics", images.get(), 10_000);
    }
    check.at_most("batch_size", spec.batch_size.get(), 4096);
    seed(spec.seed, check);
}

fn synthesize(spec: &SynthesizeSpec, check: &mut Checker<'_>) {
    dataset(&spec.dataset, &mut check.within("dataset"));
    check.at_most("steps", spec.steps.get(), 100_000);
    positive(&spec.step_size, "step_size", check);
    check.at_most("parts", spec.parts.get(), 1000);
    check.at_most("batch_size", spec.batch_size.get(), 4096);
    seed(spec.seed, check);
}

/// Some losses need a third class, and no image has more targets than there are other classes.
fn classes(attack: &AttackSpec, dataset: &Dataset, check: &mut Checker<'_>) {
    let known = dataset.name.classes().and_then(|classes| u32::try_from(classes).ok());
    for fault in known.into_iter().flat_map(|classes| attack.class_faults(classes)) {
        check.require(false, &fault.field, fault.value, fault.allowed);
    }
}

/// A network takes images of one size.
fn arch(arch: Arch, dataset: &DatasetName, check: &mut Checker<'_>) {
    let side = dataset.image_side();
    let fitting: Vec<&str> =
        Family::ALL.into_iter().filter(|family| family.image_side() == side).map(Family::name).collect();
    let fits = dataset.is_unread() || arch.family().image_side() == side;
    let allowed = format!("must be for {side}×{side} images, as those of {dataset} are: {}", fitting.join(", "));
    check.require(fits, "arch", arch, allowed);
}

/// Matching representations takes one as wide as the teacher's.
fn representation_width(spec: &TrainSpec, check: &mut Checker<'_>) {
    let Some(width) = spec.representation_width.map(NonZeroU32::get) else { return };
    let own = !spec.method.matches_representations();
    check.require(own, "representation_width", width, "must be absent under this method: it is the teacher's");
    check.at_most("representation_width", width, 65_536);
}

fn temperature(temperature: f64, check: &mut Checker<'_>) {
    let allowed = "must be above 0 and at most 1000";
    check.require(temperature > 0.0 && temperature <= 1000.0, "temperature", temperature, allowed);
}

/// A student that is to divide its logits by the method's temperature itself does so.
fn own_temperature(spec: &TrainSpec, check: &mut Checker<'_>) {
    let Some(wanted) = spec.method.temperature_of_networks() else { return };
    // What stands in for a temperature that could not be read is not the user's.
    if check.is_sound("temperature") && check.is_sound("method.temperature") {
        let allowed =
            format!("must be {wanted}, as `method.temperature`: in the form `paper` the network itself divides");
        check.require(spec.temperature == wanted, "temperature", spec.temperature, allowed);
    }
}

fn seed(seed: u64, check: &mut Checker<'_>) {
    // TOML and SQLite have signed 64-bit integers only.
    check.require(i64::try_from(seed).is_ok(), "seed", seed, "must be below 2^63");
}

fn dataset(dataset: &Dataset, check: &mut Checker<'_>) {
    let most = match dataset.name {
        DatasetName::Cifar10 | DatasetName::Cifar100 => 50_000,
        DatasetName::Svhn => 73_257,
        DatasetName::FashionMnist => 60_000,
        DatasetName::RestrictedImageNet | DatasetName::Folder(_) => u32::MAX,
    };
    if let Some(images) = dataset.train_images {
        check.at_most("train_images", images.get(), most);
    }
}

fn test_images(images: Option<NonZeroU32>, dataset: &Dataset, check: &mut Checker<'_>) {
    let most = match dataset.name {
        DatasetName::Cifar10 | DatasetName::Cifar100 | DatasetName::FashionMnist => 10_000,
        DatasetName::Svhn => 26_032,
        DatasetName::RestrictedImageNet | DatasetName::Folder(_) => u32::MAX,
    };
    if let Some(images) = images {
        check.at_most("images", images.get(), most);
    }
}

fn method(method: &Method, check: &mut Checker<'_>) {
    match method {
        Method::Natural => {}
        Method::AdversarialTraining { attack: spec, attack_mode: _ } => {
            training_attack(spec, &mut check.within("attack"));
        }
        Method::FreeAdversarialTraining { threat: ball, step_size, replays, perturbation: _ } => {
            dense_threat(ball, &mut check.within("threat"));
            positive(step_size, "step_size", check);
            check.at_most("replays", replays.get(), 64);
        }
        Method::Rrm { teacher: _, representation_loss: _, lambda, replays } => {
            check.require((0.0..=1000.0).contains(lambda), "lambda", lambda, "must be 0 to 1000");
            check.at_most("replays", replays.get(), 64);
        }
        Method::KnowledgeDistillation { teacher: _, temperature: softness, alpha, form: _ } => {
            soft_targets(*softness, *alpha, check);
        }
        Method::AdversariallyRobustDistillation {
            teacher: _,
            attack: spec,
            attack_mode: _,
            temperature: softness,
            alpha,
            form: _,
        } => {
            training_attack(spec, &mut check.within("attack"));
            soft_targets(*softness, *alpha, check);
        }
        Method::Trades { threat: ball, steps, step_size, beta } => {
            dense_threat(ball, &mut check.within("threat"));
            check.at_most("steps", steps.get(), 10_000);
            positive(step_size, "step_size", check);
            check.require((0.0..=1000.0).contains(beta), "beta", beta, "must be 0 to 1000");
        }
    }
}

fn soft_targets(softness: f64, alpha: f64, check: &mut Checker<'_>) {
    temperature(softness, check);
    check.require((0.0..=1.0).contains(&alpha), "alpha", alpha, "must be 0 to 1");
}

/// An attack that is a part of a training.
fn training_attack(spec: &AttackSpec, check: &mut Checker<'_>) {
    attack::without_teacher(spec, check);
    attack(spec, check);
}

fn attack(spec: &AttackSpec, check: &mut Checker<'_>) {
    threat(spec.threat(), &mut check.within("threat"));
    match spec {
        AttackSpec::Fgsm(spec) => attack::fgsm(spec, check),
        AttackSpec::Pgd(spec) => {
            check.at_most("steps", spec.steps.get(), 10_000);
            check.at_most("restarts", spec.restarts.get(), 1000);
            positive(&spec.step_size, "step_size", check);
            attack::pgd(spec, check);
        }
        AttackSpec::Apgd(spec) => {
            check.at_most("iterations", spec.iterations.get(), 10_000);
            check.at_most("restarts", spec.restarts.get(), 1000);
            attack::apgd(spec, check);
        }
        AttackSpec::Square(spec) => search_attack::square(spec, check),
        AttackSpec::Fab(spec) => search_attack::fab(spec, check),
        AttackSpec::CarliniWagner(spec) => search_attack::carlini_wagner(spec, check),
        AttackSpec::AutoAttack(spec) => attack::autoattack(spec, check),
        AttackSpec::Adaptive(spec) => attack::adaptive(spec, check),
    }
}

fn threat(threat: &ThreatModel, check: &mut Checker<'_>) {
    let (most, why) = radii(threat.norm);
    check.require((0.0..=most).contains(&threat.epsilon.value()), "epsilon", &threat.epsilon, why);
}

/// The largest radius, and the range in words.
fn radii(norm: Norm) -> (f64, &'static str) {
    match norm {
        Norm::Linf => (1.0, "must be 0 to 1: pixels lie in [0, 1]"),
        Norm::L2 => (1000.0, "must be 0 to 1000"),
        Norm::L1 => (200_000.0, "must be 0 to 200000"),
    }
}

/// A threat model of a method whose own steps change every pixel.
fn dense_threat(ball: &ThreatModel, check: &mut Checker<'_>) {
    check.require(ball.norm != Norm::L1, "norm", ball.norm, "must be linf or l2");
    threat(ball, check);
}

fn positive(distance: &Epsilon, field: &str, check: &mut Checker<'_>) {
    let value = distance.value();
    check.require(value > 0.0 && value <= 1000.0, field, distance, "must be above 0 and at most 1000");
}

fn optimizer(spec: &OptimizerSpec, epochs: u32, check: &mut Checker<'_>) {
    let rate = spec.learning_rate;
    check.require(rate > 0.0 && rate <= 10.0, "learning_rate", rate, "must be above 0 and at most 10");
    check.require((0.0..1.0).contains(&spec.momentum), "momentum", spec.momentum, "must be 0 or more and below 1");
    check.require((0.0..=1.0).contains(&spec.weight_decay), "weight_decay", spec.weight_decay, "must be 0 to 1");
    schedule(&spec.schedule, epochs, &mut check.within("schedule"));
}

fn schedule(schedule: &Schedule, epochs: u32, check: &mut Checker<'_>) {
    match schedule {
        Schedule::Constant | Schedule::Cosine => {}
        Schedule::Step { milestones, factor } => {
            let rising = milestones.windows(2).all(|pair| pair[0] < pair[1]);
            let inside = milestones.iter().all(|&epoch| (1..epochs).contains(&epoch));
            let allowed = format!("must be strictly increasing epochs between 1 and {}", epochs.saturating_sub(1));
            check.require(rising && inside, "milestones", format!("{milestones:?}"), allowed);
            check.require(*factor > 0.0 && *factor <= 1.0, "factor", factor, "must be above 0 and at most 1");
        }
        Schedule::Triangular { peak_momentum } => {
            let momentum = peak_momentum.unwrap_or(0.0);
            let allowed = "must be 0 or more and below 1";
            check.require((0.0..1.0).contains(&momentum), "peak_momentum", momentum, allowed);
        }
    }
}
