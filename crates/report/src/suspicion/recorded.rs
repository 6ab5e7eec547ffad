//! Checks of the evaluations of a network among themselves.

use rrm_spec::{AttackSpec, AutoAttackPart, AutoAttackVersion, Epsilon, EvaluationRecord};

use super::{Check, Finding, Judged, share};

/// Judges all evaluations of a network; `None` where none of them can be compared.
type Judge = fn(&[&EvaluationRecord]) -> Option<Judged>;

const CHECKS: [(Check, Judge); 4] = [
    (
        Check {
            name: "evaluations-by-radius",
            why: "A larger ball holds the smaller one: of the same attack on the same images, robust accuracy cannot rise with the radius.",
            advice: "Take the evaluation of the smaller radius for an upper bound of the larger one's, and use more iterations.",
            source: "Carlini et al. 2019, accuracy against perturbation budget",
            needs: "not measured: evaluate by one attack at several radii, each in a job of its own",
        },
        by_radius,
    ),
    (
        Check {
            name: "one-step-against-many",
            why: "An attack of many steps can do what one of a single step does. Where the single step breaks more images, the others are \
                  stuck where the gradient leads nowhere.",
            advice: "Distrust the iterated attack: start at random, use more restarts, look at the step size.",
            source: "Athalye et al. 2018, §3.1: one-step attacks perform better than iterative ones",
            needs: "not measured: evaluate by fgsm and by pgd or apgd in the same ball on the same images",
        },
        one_step_against_many,
    ),
    (
        Check {
            name: "evaluations-without-gradients",
            why: "Whoever sees gradients knows more than whoever sees logits alone.",
            advice: "Evaluate by AutoAttack, and look for what hides the gradients.",
            source: "Athalye et al. 2018, §3.1; Carlini et al. 2019, gradient-free attacks",
            needs: "not measured: evaluate by square and by pgd or apgd in the same ball on the same images",
        },
        without_gradients,
    ),
    (
        Check {
            name: "through-the-teacher",
            why: "A student's robustness is its teacher's as far as representations agree. An attack that knows this and breaks more images \
                  says that the ordinary one measures too little.",
            advice: "Report the adaptive attack's robust accuracy, or the worst case of both.",
            source: "Tramèr et al. 2020 and Carlini et al. 2019, adaptive attacks; Croce et al. 2022, transfer from the network beneath a defence",
            needs: "not measured: evaluate by adaptive and by pgd, apgd or autoattack in the same ball on the same images",
        },
        through_the_teacher,
    ),
];

pub(super) fn findings(evaluations: &[&EvaluationRecord]) -> Vec<Finding> {
    CHECKS.iter().map(|(check, judge)| check.finding(judge(evaluations))).collect()
}

/// What an attack goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    OneStep,
    ManySteps,
    NoGradient,
    Teacher,
    /// Gradients and, for some images, none.
    Mixed,
}

fn means(attack: &AttackSpec) -> Means {
    match attack {
        AttackSpec::Fgsm(_) => Means::OneStep,
        AttackSpec::Pgd(_) | AttackSpec::Apgd(_) | AttackSpec::Fab(_) | AttackSpec::CarliniWagner(_) => {
            Means::ManySteps
        }
        AttackSpec::Square(_) => Means::NoGradient,
        AttackSpec::Adaptive(_) => Means::Teacher,
        AttackSpec::AutoAttack(spec) => match &spec.version {
            AutoAttackVersion::Standard | AutoAttackVersion::Plus => Means::Mixed,
            AutoAttackVersion::Rand => Means::ManySteps,
            AutoAttackVersion::Custom(custom) if custom.attacks == [AutoAttackPart::Square] => Means::NoGradient,
            AutoAttackVersion::Custom(custom) if custom.attacks.contains(&AutoAttackPart::Square) => Means::Mixed,
            AutoAttackVersion::Custom(_) => Means::ManySteps,
        },
    }
}

/// Two in a hundred, and two images: what a search from other random starts may lose.
fn chance(record: &EvaluationRecord) -> f64 {
    share(record.robust.total as f64, 0.02, 2.0)
}

fn robust(record: &EvaluationRecord) -> f64 {
    record.robust.correct as f64
}

/// Whether two evaluations are of the same images; as many of the same test set are, since all take the first ones.
fn same_images(a: &EvaluationRecord, b: &EvaluationRecord) -> bool {
    a.robust.total == b.robust.total && a.natural == b.natural
}

fn same_ball(a: &EvaluationRecord, b: &EvaluationRecord) -> bool {
    let (a, b) = (a.attack.threat(), b.attack.threat());
    a.norm == b.norm && a.epsilon.value() == b.epsilon.value()
}

fn told(record: &EvaluationRecord) -> String {
    let threat = record.attack.threat();
    format!(
        "{} at {} {}: {} of {}",
        record.attack.label(),
        threat.norm,
        threat.epsilon,
        record.robust.correct,
        record.robust.total
    )
}

fn by_radius(all: &[&EvaluationRecord]) -> Option<Judged> {
    // The same attack but for the radius, and steps in proportion to it.
    let at_one = |record: &EvaluationRecord| record.attack.with_epsilon(&Epsilon::from(1.0));
    let pairs = pairs(all, |small, large| {
        small.attack.threat().norm == large.attack.threat().norm
            && small.attack.threat().epsilon.value() < large.attack.threat().epsilon.value()
            && at_one(small) == at_one(large)
            && same_images(small, large)
    });
    worst(pairs, |small, large| robust(large) - robust(small))
}

fn one_step_against_many(all: &[&EvaluationRecord]) -> Option<Judged> {
    let weak = |record: &EvaluationRecord| means(&record.attack) == Means::OneStep;
    let strong = |record: &EvaluationRecord| means(&record.attack) == Means::ManySteps;
    weaker_against_best(all, weak, strong)
}

fn without_gradients(all: &[&EvaluationRecord]) -> Option<Judged> {
    let weak = |record: &EvaluationRecord| means(&record.attack) == Means::NoGradient;
    let strong = |record: &EvaluationRecord| means(&record.attack) == Means::ManySteps;
    weaker_against_best(all, weak, strong)
}

fn through_the_teacher(all: &[&EvaluationRecord]) -> Option<Judged> {
    let adaptive = |record: &EvaluationRecord| means(&record.attack) == Means::Teacher;
    let direct = |record: &EvaluationRecord| matches!(means(&record.attack), Means::ManySteps | Means::Mixed);
    weaker_against_best(all, adaptive, direct)
}

/// Each attack of one kind beside that of the other kind which, in the same ball and on the same images, breaks most.
fn weaker_against_best(
    all: &[&EvaluationRecord],
    weak: impl Fn(&EvaluationRecord) -> bool,
    strong: impl Fn(&EvaluationRecord) -> bool,
) -> Option<Judged> {
    let best_beside = |weaker: &EvaluationRecord| {
        let beside = all.iter().copied().filter(|other| strong(other) && same_ball(weaker, other));
        beside.filter(|other| same_images(weaker, other)).min_by_key(|other| other.robust.correct)
    };
    let weaker = all.iter().copied().filter(|record| weak(record));
    let pairs = weaker.filter_map(|weaker| Some((weaker, best_beside(weaker)?))).collect();
    worst(pairs, |weaker, stronger| robust(stronger) - robust(weaker))
}

fn pairs<'a>(
    all: &[&'a EvaluationRecord],
    fit: impl Fn(&EvaluationRecord, &EvaluationRecord) -> bool,
) -> Vec<(&'a EvaluationRecord, &'a EvaluationRecord)> {
    let every = all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b)));
    every.filter(|(a, b)| fit(a, b)).collect()
}

/// The pair with the largest excess, and whether that is more than chance.
fn worst(
    pairs: Vec<(&EvaluationRecord, &EvaluationRecord)>,
    excess: impl Fn(&EvaluationRecord, &EvaluationRecord) -> f64,
) -> Option<Judged> {
    let (a, b) = pairs.into_iter().max_by(|(a, b), (c, d)| excess(a, b).total_cmp(&excess(c, d)))?;
    Some(Judged::by(excess(a, b) >= chance(b), format!("{}; {}", told(a), told(b))))
}
