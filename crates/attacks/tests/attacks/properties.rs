//! What must hold of every attack.

use std::num::NonZeroU32;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rrm_attacks::{AttackRng, Attacked, Ball, build};
use rrm_data::{ImageRng, Stream};
use rrm_models::Model;
use rrm_spec::{
    AdaptiveSpec, ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, AutoAttackPart, AutoAttackSpec, AutoAttackVersion,
    CarliniWagnerSpec, CustomAutoAttack, Epsilon, FabSpec, FgsmDialect, FgsmSpec, Mode, Norm, PgdDialect, PgdSelection,
    PgdSpec, PgdStart, PgdTarget, SquareLoss, SquareSchedule, SquareSpec, ThreatModel,
};

use crate::victims::{Formula, keys, pixels};

const PIXELS: usize = 12;

fn threat() -> impl Strategy<Value = ThreatModel> {
    let norm = prop_oneof![Just(Norm::Linf), Just(Norm::L2), Just(Norm::L1)];
    let epsilon = prop_oneof![1e-3..0.05f64, 0.05..0.7f64];
    (norm, epsilon).prop_map(|(norm, epsilon)| ThreatModel { norm, epsilon: epsilon.into() })
}

fn fgsm() -> impl Strategy<Value = AttackSpec> {
    let dialect = prop_oneof![Just(FgsmDialect::Goodfellow), Just(FgsmDialect::Wong), Just(FgsmDialect::Tramer)];
    (threat(), dialect, proptest::option::of(0.05..1.5f64)).prop_map(|(threat, dialect, share)| {
        let step_size = share.map(|share| Epsilon::from(threat.epsilon.value() * share));
        AttackSpec::Fgsm(FgsmSpec { threat, dialect, step_size })
    })
}

fn pgd() -> impl Strategy<Value = AttackSpec> {
    let start = prop_oneof![Just(PgdStart::Natural), Just(PgdStart::Uniform), Just(PgdStart::Sphere)];
    let selection =
        prop_oneof![Just(PgdSelection::Last), Just(PgdSelection::BestLoss), Just(PgdSelection::StopWhenBroken)];
    let target = prop_oneof![
        4 => Just(PgdTarget::Untargeted),
        1 => Just(PgdTarget::Random),
        1 => Just(PgdTarget::LeastLikely),
        1 => Just(PgdTarget::SecondBest),
        1 => Just(PgdTarget::Each),
    ];
    let madry = (start, selection).prop_map(|(start, selection)| (PgdDialect::Madry, start, selection));
    let art = prop_oneof![Just(PgdStart::Natural), Just(PgdStart::Uniform)]
        .prop_map(|start| (PgdDialect::Art, start, PgdSelection::Last));
    (threat(), prop_oneof![3 => madry, 1 => art], target, 1..6u32, 0.05..1.5f64).prop_map(
        |(threat, (dialect, start, selection), target, steps, share)| {
            let step_size = Epsilon::from(threat.epsilon.value() * share);
            let (steps, restarts, eot) = (count(steps), count(1), count(1));
            AttackSpec::Pgd(PgdSpec { threat, steps, step_size, start, selection, restarts, target, eot, dialect })
        },
    )
}

fn apgd(dialect: ApgdDialect, losses: impl Strategy<Value = ApgdLoss>) -> impl Strategy<Value = AttackSpec> {
    (threat(), 1..12u32, losses).prop_map(move |(threat, iterations, loss)| {
        let (iterations, restarts, eot) = (count(iterations), count(1), count(1));
        AttackSpec::Apgd(ApgdSpec { threat, iterations, restarts, loss, targets: None, eot, dialect })
    })
}

fn reference() -> impl Strategy<Value = AttackSpec> {
    apgd(ApgdDialect::Reference, prop_oneof![Just(ApgdLoss::Ce), Just(ApgdLoss::Dlr), Just(ApgdLoss::TargetedDlr)])
}

/// The one attack whose results depend on batches.
fn art() -> impl Strategy<Value = AttackSpec> {
    apgd(ApgdDialect::Art { batch: count(2) }, Just(ApgdLoss::Ce))
}

fn fab() -> impl Strategy<Value = AttackSpec> {
    (threat(), 1..8u32, proptest::option::of(1..4u32)).prop_map(|(threat, iterations, targets)| {
        let targets = targets.map(count);
        AttackSpec::Fab(FabSpec { threat, iterations: count(iterations), restarts: count(1), targets })
    })
}

fn square() -> impl Strategy<Value = AttackSpec> {
    let loss = prop_oneof![Just(SquareLoss::Margin), Just(SquareLoss::Ce)];
    let schedule = prop_oneof![Just(SquareSchedule::Fixed), Just(SquareSchedule::Rescaled)];
    (threat(), 1..30u32, loss, 0.1..=1.0f64, schedule).prop_map(|(threat, queries, loss, initial_share, schedule)| {
        let (queries, restarts) = (count(queries), count(1));
        AttackSpec::Square(SquareSpec { threat, queries, restarts, loss, initial_share, schedule })
    })
}

fn carlini_wagner() -> impl Strategy<Value = AttackSpec> {
    (threat(), 1..15u32, 1..12u32, 0.0..0.2f64).prop_map(|(threat, iterations, search_steps, confidence)| {
        AttackSpec::CarliniWagner(CarliniWagnerSpec {
            threat: ThreatModel { norm: Norm::L2, ..threat },
            iterations: count(iterations),
            search_steps: count(search_steps),
            learning_rate: 0.05,
            initial_constant: 0.1,
            confidence,
        })
    })
}

fn autoattack() -> impl Strategy<Value = AttackSpec> {
    let parts = vec![
        AutoAttackPart::ApgdCe,
        AutoAttackPart::ApgdDlr,
        AutoAttackPart::ApgdT,
        AutoAttackPart::Fab,
        AutoAttackPart::FabT,
        AutoAttackPart::Square,
    ];
    let attacks = proptest::sample::subsequence(parts, 1..=4).prop_shuffle();
    (threat(), attacks, 1..8u32, 1..20u32).prop_map(|(threat, attacks, iterations, queries)| {
        let (iterations, queries) = (count(iterations), count(queries));
        let custom = CustomAutoAttack { iterations, queries, ..CustomAutoAttack::of(attacks) };
        AttackSpec::AutoAttack(AutoAttackSpec { threat, version: AutoAttackVersion::Custom(custom) })
    })
}

/// With a confidence, misclassified points are let go that are not clearly so.
fn unconfident(spec: AttackSpec) -> AttackSpec {
    match spec {
        AttackSpec::CarliniWagner(spec) => AttackSpec::CarliniWagner(CarliniWagnerSpec { confidence: 0.0, ..spec }),
        other => other,
    }
}

/// Every attack whose results do not depend on batches, of one restart.
pub(crate) fn attacks() -> impl Strategy<Value = AttackSpec> {
    prop_oneof![3 => pgd(), 2 => reference(), 1 => fgsm(), 2 => square(), 2 => fab(), 1 => carlini_wagner(), 2 => autoattack()]
}

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn with_restarts(spec: &AttackSpec, restarts: u32) -> AttackSpec {
    let restarts = count(restarts);
    match spec.clone() {
        AttackSpec::Fgsm(spec) => AttackSpec::Fgsm(spec),
        AttackSpec::Pgd(spec) => AttackSpec::Pgd(PgdSpec { restarts, ..spec }),
        AttackSpec::Apgd(spec) => AttackSpec::Apgd(ApgdSpec { restarts, ..spec }),
        AttackSpec::Square(spec) => AttackSpec::Square(SquareSpec { restarts, ..spec }),
        AttackSpec::Fab(spec) => AttackSpec::Fab(FabSpec { restarts, ..spec }),
        // Nothing of it is random.
        AttackSpec::CarliniWagner(spec) => AttackSpec::CarliniWagner(spec),
        AttackSpec::AutoAttack(spec) => {
            let version = match spec.version {
                AutoAttackVersion::Custom(custom) => AutoAttackVersion::Custom(CustomAutoAttack { restarts, ..custom }),
                version @ (AutoAttackVersion::Standard | AutoAttackVersion::Plus | AutoAttackVersion::Rand) => version,
            };
            AttackSpec::AutoAttack(AutoAttackSpec { version, ..spec })
        }
        AttackSpec::Adaptive(spec) => AttackSpec::Adaptive(AdaptiveSpec { restarts, ..spec }),
    }
}

/// A batch with some pixels at the ends of the box, and labels of four classes.
#[derive(Debug)]
struct Scene {
    images: Tensor,
    labels: Vec<u32>,
    keys: Vec<u32>,
    seed: u64,
}

impl Scene {
    fn new(count: u32, seed: u64, dtype: DType) -> Self {
        let mut rng = ImageRng::new(seed, Stream::Validation, &[]);
        let mut pixel = || (rng.uniform() * 1.2 - 0.1).clamp(0.0, 1.0);
        let numbers: Vec<f64> = (0..count as usize * PIXELS).map(|_| pixel()).collect();
        let images = Tensor::from_vec(numbers, (count as usize, 3, 2, 2), &Device::Cpu).unwrap();
        let labels = (0..count).map(|_| rng.below(4) as u32).collect();
        Self { images: images.to_dtype(dtype).unwrap(), labels, keys: (0..count).map(|i| 7 * i + 3).collect(), seed }
    }

    /// Some of the images, in the order of `rows`.
    fn gather(&self, rows: &[u32]) -> Self {
        let of = |numbers: &[u32]| rows.iter().map(|&row| numbers[row as usize]).collect();
        let images = self.images.index_select(&Tensor::new(rows, &Device::Cpu).unwrap(), 0).unwrap();
        Self { images, labels: of(&self.labels), keys: of(&self.keys), seed: self.seed }
    }

    fn attack(&self, spec: &AttackSpec) -> Attacked {
        self.attack_on(spec, &[0, 1, 2, 3], &self.labels)
    }

    fn predictions(&self, images: &Tensor) -> Vec<u32> {
        let victim = Formula::waves(images.dtype(), PIXELS, &[0, 1, 2, 3]);
        victim.forward(images, Mode::Eval).unwrap().logits.argmax(1).unwrap().to_vec1().unwrap()
    }

    fn attack_on(&self, spec: &AttackSpec, classes: &'static [usize], labels: &[u32]) -> Attacked {
        let victim = Formula::waves(self.images.dtype(), PIXELS, classes);
        let rng: AttackRng<'_> = keys(self.seed, &self.keys);
        build(spec).perturb(&victim, Mode::Eval, &self.images, labels, &rng).unwrap()
    }
}

fn broken(attacked: &Attacked) -> usize {
    attacked.broken_by.iter().flatten().count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_attack_stays_in_ball_and_box(
        spec in prop_oneof![4 => attacks(), 1 => art()],
        seed: u64,
        restarts in 1..3u32,
        dtype in prop_oneof![Just(DType::F32), Just(DType::F64)],
    ) {
        let scene = Scene::new(4, seed, dtype);
        let attacked = scene.attack(&with_restarts(&spec, restarts));
        let ball = Ball::from(spec.threat());
        for distance in ball.distances(&attacked.images, &scene.images).unwrap() {
            prop_assert!(distance <= ball.epsilon * (1.0 + 1e-6), "{distance} in {ball:?}");
        }
        prop_assert!(pixels(&attacked.images).iter().all(|z| (0.0..=1.0).contains(z)));
    }

    #[test]
    fn an_image_that_an_attack_broke_and_hands_back_is_misclassified(spec in attacks(), seed: u64) {
        // PGD hands images back by other rules, and has tests of its own; so does FGSM, which is a step of it.
        if !matches!(spec, AttackSpec::Pgd(_) | AttackSpec::Fgsm(_)) {
            let scene = Scene::new(6, seed, DType::F64);
            let attacked = scene.attack(&with_restarts(&spec, 2));
            let again = scene.predictions(&attacked.images);
            for (image, broken_by) in attacked.broken_by.iter().enumerate() {
                prop_assert_eq!(broken_by.is_some(), again[image] != scene.labels[image], "image {}", image);
            }
        }
    }

    #[test]
    fn every_attack_with_epsilon_zero_is_the_identity(spec in prop_oneof![4 => attacks(), 1 => art()], seed: u64) {
        for dtype in [DType::F32, DType::F64] {
            let scene = Scene::new(3, seed, dtype);
            let attacked = scene.attack(&spec.with_epsilon(&0.0.into()));
            prop_assert_eq!(pixels(&attacked.images), pixels(&scene.images));
        }
    }

    #[test]
    fn more_restarts_never_raise_accuracy(spec in prop_oneof![pgd(), reference(), square(), fab()], seed: u64) {
        let scene = Scene::new(6, seed, DType::F64);
        let mut fewer = scene.attack(&spec);
        for restarts in 2..5 {
            let more = scene.attack(&with_restarts(&spec, restarts));
            for (before, after) in fewer.broken_by.iter().zip(&more.broken_by) {
                prop_assert!(before.is_none() || before == after, "{:?} {:?}", fewer.broken_by, more.broken_by);
            }
            fewer = more;
        }
    }

    #[test]
    fn results_of_an_image_do_not_depend_on_its_batch(spec in attacks(), seed: u64) {
        let spec = with_restarts(&spec, 3);
        for dtype in [DType::F32, DType::F64] {
            let scene = Scene::new(5, seed, dtype);
            let whole = scene.attack(&spec);
            let all = pixels(&whole.images);
            for rows in [&[4, 3, 2, 1, 0][..], &[2], &[3, 0]] {
                let part = scene.gather(rows).attack(&spec);
                for (image, &row) in pixels(&part.images).chunks(PIXELS).zip(rows) {
                    prop_assert_eq!(image, &all[row as usize * PIXELS..][..PIXELS]);
                }
                let broken_by: Vec<_> = rows.iter().map(|&row| whole.broken_by[row as usize]).collect();
                prop_assert_eq!(&part.broken_by, &broken_by);
                let seen: Vec<_> = rows.iter().map(|&row| whole.seen[row as usize]).collect();
                prop_assert_eq!(&part.seen, &seen);
            }
        }
    }

    #[test]
    fn the_first_part_of_an_ensemble_finds_what_it_finds_alone(spec in autoattack(), seed: u64) {
        let scene = Scene::new(5, seed, DType::F64);
        let (all, first) = (scene.attack(&spec), scene.attack(&spec.parts()[0]));
        for row in 0..5 {
            if first.broken_by[row].is_some() {
                prop_assert_eq!((all.broken_by[row], all.seen[row]), (first.broken_by[row], first.seen[row]));
            }
        }
    }

    #[test]
    fn a_broken_image_was_seen_misclassified_and_a_robust_one_was_not(
        spec in prop_oneof![reference(), square(), fab(), carlini_wagner().prop_map(unconfident), autoattack()],
        seed: u64,
    ) {
        let attacked = Scene::new(5, seed, DType::F64).attack(&spec);
        for (broken_by, seen) in attacked.broken_by.iter().zip(&attacked.seen) {
            prop_assert_eq!(broken_by.is_some(), seen.iteration.is_some());
            prop_assert_eq!(broken_by.is_some(), seen.margin < 0.0, "{:?} {:?}", broken_by, seen);
        }
    }

    #[test]
    fn renaming_the_classes_changes_nothing(spec in attacks(), seed: u64) {
        // A random target is drawn among numbers.
        prop_assume!(!matches!(&spec, AttackSpec::Pgd(PgdSpec { target: PgdTarget::Random, .. })));
        // The DLR loss of an image whose class is third is 1 whatever its pixels: its gradient is rounding alone.
        prop_assume!(spec.parts().iter().all(|part| !matches!(part, AttackSpec::Apgd(ApgdSpec { loss: ApgdLoss::Dlr, .. }))));
        let scene = Scene::new(4, seed, DType::F64);
        let renamed: Vec<u32> = scene.labels.iter().map(|&label| [2, 0, 3, 1][label as usize]).collect();
        let (found, expected) = (scene.attack_on(&spec, &[1, 3, 0, 2], &renamed), scene.attack(&spec));
        prop_assert_eq!(&found.broken_by, &expected.broken_by);
        // Sums over classes run in another order.
        let close = pixels(&found.images).iter().zip(pixels(&expected.images)).all(|(a, b)| (a - b).abs() < 1e-6);
        prop_assert!(close);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_gradient_that_is_no_number_moves_no_image_out_of_ball_and_box(spec in attacks(), seed: u64) {
        let scene = Scene::new(3, seed, DType::F32);
        // √(x − x) is 0, and its derivative ∞ − ∞.
        let victim = Formula::new(DType::F32, |x| {
            let broken = (x - x)?.sqrt()?.narrow(1, 0, 1)?;
            Tensor::cat(&[&(&broken + 1.0)?, &broken, &broken, &broken], 1)
        });
        let labels = [0; 3];
        let attacked = build(&spec).perturb(&victim, Mode::Eval, &scene.images, &labels, &keys(seed, &scene.keys)).unwrap();
        let ball = Ball::from(spec.threat());
        for distance in ball.distances(&attacked.images, &scene.images).unwrap() {
            prop_assert!(distance <= ball.epsilon * (1.0 + 1e-6), "{distance} in {ball:?}");
        }
        prop_assert!(pixels(&attacked.images).iter().all(|z| (0.0..=1.0).contains(z)));
        prop_assert_eq!(broken(&attacked), 0);
    }
}

#[test]
fn attacks_break_images_and_a_larger_ball_breaks_more() {
    // Guards the properties above against attacks that do nothing.
    let scene = Scene::new(40, 1, DType::F64);
    let threat = ThreatModel { norm: Norm::Linf, epsilon: 0.0.into() };
    let (iterations, loss, dialect) = (count(10), ApgdLoss::Ce, ApgdDialect::Reference);
    let apgd = ApgdSpec { threat, iterations, restarts: count(1), loss, targets: None, eot: count(1), dialect };
    let counts: Vec<usize> = [0.0, 0.01, 0.2]
        .map(|epsilon| broken(&scene.attack(&AttackSpec::Apgd(apgd.clone()).with_epsilon(&epsilon.into()))))
        .into();
    assert!(counts[0] < 40 && counts[0] < counts[1] && counts[1] < counts[2], "{counts:?}");
}
