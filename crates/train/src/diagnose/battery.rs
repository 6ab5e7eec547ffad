//! The attacks of the diagnostics.

use std::num::NonZeroU32;

use rrm_spec::{
    ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, Epsilon, EvaluateSpec, Norm, SquareLoss, SquareSchedule, SquareSpec,
    ThreatModel,
};

/// What logits are multiplied by, with its name: down to where a network that is trained or evaluated with logits times thirty (the
/// paper's distilled ones), or with such as saturate f32's exponential function, has gradients again, and up to where any has none.
pub(super) const SCALES: &[(&str, f64)] =
    &[("0.001", 1e-3), ("0.01", 1e-2), ("0.1", 0.1), ("1", 1.0), ("30", 30.0), ("1000", 1e3)];

/// Iterations of AutoPGD: enough that what it leaves is not left for want of steps, a fifth of what AutoAttack takes.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(20).expect("not zero");

/// Restarts of AutoPGD, to see whether the last ones still break images: as many as the paper's shorter evaluations make.
const RESTARTS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Queries of Square Attack: a twenty-fifth of AutoAttack's. An ordinary network loses fewer images to it than to gradients.
const QUERIES: NonZeroU32 = NonZeroU32::new(200).expect("not zero");

/// Each attack, in the ball of the evaluation unless it says otherwise.
pub(super) struct Battery {
    /// AutoPGD on the cross-entropy with all restarts.
    pub(super) white: AttackSpec,
    /// Its first restart alone.
    pub(super) single: AttackSpec,
    /// AutoPGD on DLR with all restarts; none for a network of two classes.
    pub(super) dlr: Option<AttackSpec>,
    /// Square Attack.
    pub(super) square: AttackSpec,
    /// The single restart in balls of other sizes, with their names, the smallest first.
    pub(super) radii: Vec<(&'static str, AttackSpec)>,
}

impl Battery {
    /// For images of `numbers` numbers, of the last of the evaluation's balls.
    pub(super) fn of(spec: &EvaluateSpec, classes: usize, numbers: usize) -> Self {
        let largest = spec.epsilons.last().unwrap_or(&spec.attack.threat().epsilon);
        let threat = ThreatModel { norm: spec.attack.threat().norm, epsilon: largest.clone() };
        let single = apgd(&threat, ApgdLoss::Ce, NonZeroU32::MIN);
        let radii = radii(&threat, numbers).into_iter().map(|(name, epsilon)| (name, single.with_epsilon(&epsilon)));
        Self {
            white: apgd(&threat, ApgdLoss::Ce, RESTARTS),
            dlr: (classes >= ApgdLoss::Dlr.fewest_classes() as usize).then(|| apgd(&threat, ApgdLoss::Dlr, RESTARTS)),
            square: square(&threat),
            radii: radii.collect(),
            single,
        }
    }

    pub(super) fn threat(&self) -> &ThreatModel {
        self.white.threat()
    }

    pub(super) fn restarts(&self) -> u32 {
        RESTARTS.get()
    }

    /// Every attack as often as it is made.
    pub(super) fn attacks(&self) -> Vec<AttackSpec> {
        let rungs = SCALES.iter().filter(|(_, scale)| *scale != 1.0).map(|_| self.single.clone());
        let radii = self.radii.iter().map(|(_, attack)| attack.clone());
        let others = radii.filter(|attack| attack.threat() != self.threat());
        let once = std::iter::once(self.white.clone());
        once.chain(self.dlr.clone()).chain([self.square.clone()]).chain(rungs).chain(others).collect()
    }
}

/// Half of, the same as, and twice the radius, and one so large that the ball around every image holds the grey one: half of a
/// pixel's range, for all pixels.
fn radii(threat: &ThreatModel, numbers: usize) -> Vec<(&'static str, Epsilon)> {
    let all = match threat.norm {
        Norm::Linf => 0.5,
        Norm::L2 => 0.5 * (numbers as f64).sqrt(),
        Norm::L1 => 0.5 * numbers as f64,
    };
    let epsilon = threat.epsilon.value();
    let mut radii = vec![("half", Epsilon::from(0.5 * epsilon)), ("own", threat.epsilon.clone())];
    if epsilon > 0.0 && 2.0 * epsilon < all {
        radii.push(("double", Epsilon::from(2.0 * epsilon)));
    }
    if epsilon < all {
        radii.push(("all", Epsilon::from(all)));
    }
    radii
}

fn apgd(threat: &ThreatModel, loss: ApgdLoss, restarts: NonZeroU32) -> AttackSpec {
    AttackSpec::Apgd(ApgdSpec {
        threat: threat.clone(),
        iterations: ITERATIONS,
        restarts,
        loss,
        targets: None,
        eot: NonZeroU32::MIN,
        dialect: ApgdDialect::Reference,
    })
}

fn square(threat: &ThreatModel) -> AttackSpec {
    AttackSpec::Square(SquareSpec {
        threat: threat.clone(),
        queries: QUERIES,
        restarts: NonZeroU32::MIN,
        loss: SquareLoss::Margin,
        initial_share: SquareSpec::default_initial_share(),
        // So few queries would never see a small square otherwise.
        schedule: SquareSchedule::Rescaled,
    })
}
