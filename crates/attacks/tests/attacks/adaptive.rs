//! Attacks that know the teacher.

use std::num::NonZeroU32;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rrm_attacks::{Attacked, Ball, build, build_knowing};
use rrm_data::{ImageRng, Stream};
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{
    AdaptiveSpec, ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, Mode, Norm, Normalization, RepresentationLoss,
    ThreatModel, Through,
};

use crate::victims::{Formula, keys, pixels};

const PIXELS: usize = 12;

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn adaptive() -> impl Strategy<Value = AdaptiveSpec> {
    let norm = prop_oneof![Just(Norm::Linf), Just(Norm::L2)];
    let through =
        prop_oneof![Just(Through::All), Just(Through::Transfer), Just(Through::Representation), Just(Through::Joint)];
    let distance = prop_oneof![
        Just(RepresentationLoss::Cosine),
        Just(RepresentationLoss::RelativeL2),
        Just(RepresentationLoss::L2)
    ];
    (norm, 1e-3..0.5f64, through, 1..8u32, 1..3u32, distance, 0.1..10.0f64).prop_map(
        |(norm, epsilon, through, iterations, restarts, distance, weight)| AdaptiveSpec {
            threat: ThreatModel { norm, epsilon: epsilon.into() },
            through,
            iterations: count(iterations),
            restarts: count(restarts),
            distance,
            weight,
        },
    )
}

/// A batch, a victim, and another network as its teacher.
struct Scene {
    images: Tensor,
    labels: Vec<u32>,
    keys: Vec<u32>,
    victim: Formula,
    teacher: Formula,
}

impl Scene {
    fn new(seed: u64, dtype: DType) -> Self {
        let mut rng = ImageRng::new(seed, Stream::Validation, &[]);
        let numbers: Vec<f64> = (0..5 * PIXELS).map(|_| (rng.uniform() * 1.2 - 0.1).clamp(0.0, 1.0)).collect();
        let images = Tensor::from_vec(numbers, (5, 3, 2, 2), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        Self {
            images,
            labels: (0..5).map(|_| rng.below(4) as u32).collect(),
            keys: vec![3, 10, 17, 24, 31],
            victim: Formula::waves(dtype, PIXELS, &[0, 1, 2, 3]),
            teacher: Formula::waves(dtype, PIXELS, &[1, 0, 3, 2]),
        }
    }

    /// The attack on some of the images.
    fn attack(&self, spec: &AdaptiveSpec, rows: &[usize]) -> Attacked {
        let images = self.images.index_select(&index(rows), 0).unwrap();
        let of = |numbers: &[u32]| rows.iter().map(|&row| numbers[row]).collect::<Vec<_>>();
        let (labels, chosen) = (of(&self.labels), of(&self.keys));
        let attack = build_knowing(&AttackSpec::Adaptive(spec.clone()), Some(&self.teacher));
        attack.perturb(&self.victim, Mode::Eval, &images, &labels, &keys(9, &chosen)).unwrap()
    }
}

fn index(rows: &[usize]) -> Tensor {
    Tensor::new(rows.iter().map(|&row| row as u32).collect::<Vec<_>>(), &Device::Cpu).unwrap()
}

fn predictions(model: &dyn Model, images: &Tensor) -> Vec<u32> {
    model.forward(images, Mode::Eval).unwrap().logits.argmax(1).unwrap().to_vec1().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_adaptive_attack_finds_points_in_ball_and_box_which_the_victim_misclassifies(spec in adaptive(), seed: u64) {
        for dtype in [DType::F32, DType::F64] {
            let scene = Scene::new(seed, dtype);
            let attacked = scene.attack(&spec, &[0, 1, 2, 3, 4]);
            let ball = Ball::from(&spec.threat);
            for distance in ball.distances(&attacked.images, &scene.images).unwrap() {
                prop_assert!(distance <= ball.epsilon * (1.0 + 1e-6), "{distance} in {ball:?}");
            }
            prop_assert!(pixels(&attacked.images).iter().all(|z| (0.0..=1.0).contains(z)));
            let again = predictions(&scene.victim, &attacked.images);
            for (image, broken_by) in attacked.broken_by.iter().enumerate() {
                prop_assert_eq!(broken_by.is_some(), again[image] != scene.labels[image], "image {}", image);
                prop_assert_eq!(broken_by.is_some(), attacked.seen[image].margin < 0.0);
            }
        }
    }

    #[test]
    fn results_of_an_image_do_not_depend_on_the_batch_that_an_adaptive_attack_is_made_on(spec in adaptive(), seed: u64) {
        for dtype in [DType::F32, DType::F64] {
            let scene = Scene::new(seed, dtype);
            let whole = scene.attack(&spec, &[0, 1, 2, 3, 4]);
            let all = pixels(&whole.images);
            for rows in [&[4, 3, 2, 1, 0][..], &[2], &[3, 0]] {
                let part = scene.attack(&spec, rows);
                for (position, &row) in rows.iter().enumerate() {
                    let image = &pixels(&part.images)[position * PIXELS..][..PIXELS];
                    prop_assert_eq!(image, &all[row * PIXELS..][..PIXELS]);
                    prop_assert_eq!(part.broken_by[position], whole.broken_by[row]);
                    prop_assert_eq!(part.seen[position], whole.seen[row]);
                }
            }
        }
    }

    #[test]
    fn what_one_way_breaks_first_all_ways_together_break(spec in adaptive(), seed: u64) {
        let scene = Scene::new(seed, DType::F64);
        let way = |through| scene.attack(&AdaptiveSpec { through, ..spec.clone() }, &[0, 1, 2, 3, 4]).broken_by;
        let (all, first) = (way(Through::All), way(Through::Transfer));
        for (all, first) in all.iter().zip(&first) {
            prop_assert!(first.is_none() || all == first, "{:?} {:?}", all, first);
        }
    }
}

fn network(arch: &str, seed: u64, temperature: f64) -> Network {
    let spec = NetworkSpec {
        arch: arch.parse().unwrap(),
        channels: 3,
        classes: 10,
        normalization: Normalization::Cifar10Fast,
        representation_width: 32,
        temperature,
    };
    Network::initialize(&spec, seed, &Device::Cpu, DType::F32).unwrap().frozen()
}

fn noise(count: usize) -> Tensor {
    let mut rng = ImageRng::new(3, Stream::Validation, &[]);
    let numbers: Vec<f32> = (0..count * 3072).map(|_| rng.uniform() as f32).collect();
    Tensor::from_vec(numbers, (count, 3, 32, 32), &Device::Cpu).unwrap()
}

fn way(through: Through, threat: &ThreatModel) -> AdaptiveSpec {
    AdaptiveSpec {
        threat: threat.clone(),
        through,
        iterations: count(10),
        restarts: count(2),
        distance: RepresentationLoss::Cosine,
        weight: 1.0,
    }
}

#[test]
fn transfer_from_a_network_to_itself_is_an_attack_on_it() {
    let (network, images, rows) = (network("resnet18/16", 5, 1.0), noise(6), [0, 1, 2, 3, 4, 5]);
    let labels = predictions(&network, &images);
    for (norm, epsilon) in [(Norm::Linf, 4.0 / 255.0), (Norm::L2, 0.5)] {
        let threat = ThreatModel { norm, epsilon: epsilon.into() };
        let direct = AttackSpec::Apgd(ApgdSpec {
            threat: threat.clone(),
            iterations: count(10),
            restarts: count(2),
            loss: ApgdLoss::Ce,
            targets: None,
            eot: count(1),
            dialect: ApgdDialect::Reference,
        });
        let transfer = AttackSpec::Adaptive(way(Through::Transfer, &threat));
        let direct = build(&direct).perturb(&network, Mode::Eval, &images, &labels, &keys(1, &rows)).unwrap();
        let transfer = build_knowing(&transfer, Some(&network));
        let transfer = transfer.perturb(&network, Mode::Eval, &images, &labels, &keys(1, &rows)).unwrap();
        assert!(direct.broken_by.iter().any(Option::is_some), "nothing is broken in {norm}");
        assert_eq!(transfer.broken_by, direct.broken_by);
        assert_eq!(transfer.seen, direct.seen);
        assert!(pixels(&transfer.images) == pixels(&direct.images));
    }
}

#[test]
fn a_way_through_the_representation_breaks_a_network_whose_logits_have_no_gradient() {
    // Of logits times 10 000 the cross-entropy is flat in f32 wherever a class is not in doubt; their representations are as ever.
    let (student, teacher) = (network("resnet18/16", 5, 1e-4), network("vgg11/16", 6, 1.0));
    let (images, rows) = (noise(6), [0, 1, 2, 3, 4, 5]);
    let labels = predictions(&student, &images);
    let threat = ThreatModel { norm: Norm::Linf, epsilon: (16.0 / 255.0).into() };
    let attack = build_knowing(&AttackSpec::Adaptive(way(Through::Representation, &threat)), Some(&teacher))
        .perturb(&student, Mode::Eval, &images, &labels, &keys(1, &rows))
        .unwrap();
    assert!(attack.broken_by.iter().flatten().count() > 0, "{:?}", attack.broken_by);
}

#[test]
fn all_ways_break_some_images_of_a_network() {
    let (student, teacher) = (network("resnet18/16", 5, 1.0), network("vgg11/16", 6, 1.0));
    let (images, rows) = (noise(4), [0, 1, 2, 3]);
    let labels = predictions(&student, &images);
    for norm in [Norm::Linf, Norm::L2] {
        let epsilon = if norm == Norm::Linf { 16.0 / 255.0 } else { 2.0 };
        let threat = ThreatModel { norm, epsilon: epsilon.into() };
        for through in [Through::Representation, Through::Joint, Through::All] {
            let spec = AttackSpec::Adaptive(way(through, &threat));
            let attacked = build_knowing(&spec, Some(&teacher))
                .perturb(&student, Mode::Eval, &images, &labels, &keys(1, &rows))
                .unwrap();
            assert!(attacked.broken_by.iter().flatten().count() > 0, "{norm} {through:?}");
        }
    }
}
