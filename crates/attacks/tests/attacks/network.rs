//! Attacks on real networks.

use std::num::NonZeroU32;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rrm_attacks::{Attacked, build};
use rrm_data::{ImageRng, Stream};
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{
    ApgdDialect, ApgdLoss, ApgdSpec, AttackSpec, AutoAttackPart, AutoAttackSpec, AutoAttackVersion, CarliniWagnerSpec,
    CustomAutoAttack, FabSpec, FgsmDialect, FgsmSpec, Mode, Norm, Normalization, PgdDialect, PgdSelection, PgdSpec,
    PgdStart, PgdTarget, SquareLoss, SquareSchedule, SquareSpec, ThreatModel,
};

use crate::{
    properties::attacks,
    victims::{keys, pixels},
};

fn network(dtype: DType) -> Network {
    let arch: rrm_spec::Arch = "resnet18/16".parse().unwrap();
    let spec = NetworkSpec {
        arch,
        channels: 3,
        classes: 10,
        normalization: Normalization::Cifar10Fast,
        representation_width: arch.representation_width(),
        temperature: 1.0,
    };
    Network::initialize(&spec, 5, &Device::Cpu, dtype).unwrap()
}

fn images(count: usize, dtype: DType) -> Tensor {
    let mut rng = ImageRng::new(3, Stream::Validation, &[]);
    let numbers: Vec<f64> = (0..count * 3072).map(|_| rng.uniform()).collect();
    Tensor::from_vec(numbers, (count, 3, 32, 32), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn specs() -> Vec<AttackSpec> {
    let linf = ThreatModel { norm: Norm::Linf, epsilon: (8.0 / 255.0).into() };
    let l2 = ThreatModel { norm: Norm::L2, epsilon: 0.5.into() };
    let l1 = ThreatModel { norm: Norm::L1, epsilon: 12.0.into() };
    let carlini_wagner = AttackSpec::CarliniWagner(CarliniWagnerSpec {
        threat: ThreatModel { epsilon: 2.0.into(), ..l2.clone() },
        iterations: count(5),
        search_steps: count(4),
        learning_rate: 0.01,
        initial_constant: 1.0,
        confidence: 0.0,
    });
    let pgd = |threat: &ThreatModel, start, selection| {
        let step_size = (threat.epsilon.value() / 4.0).into();
        let threat = threat.clone();
        let (target, eot) = (PgdTarget::Untargeted, count(1));
        AttackSpec::Pgd(PgdSpec {
            threat,
            steps: count(3),
            step_size,
            start,
            selection,
            restarts: count(2),
            target,
            eot,
            dialect: PgdDialect::Madry,
        })
    };
    let apgd = |threat: &ThreatModel, loss| {
        AttackSpec::Apgd(ApgdSpec {
            threat: threat.clone(),
            iterations: count(5),
            restarts: count(2),
            loss,
            targets: None,
            eot: count(1),
            dialect: ApgdDialect::Reference,
        })
    };
    let parts = vec![AutoAttackPart::ApgdDlr, AutoAttackPart::FabT, AutoAttackPart::Square];
    let custom = CustomAutoAttack { iterations: count(3), queries: count(6), ..CustomAutoAttack::of(parts) };
    let autoattack = AutoAttackSpec { threat: linf.clone(), version: AutoAttackVersion::Custom(custom) };
    let fgsm = FgsmSpec { threat: linf.clone(), dialect: FgsmDialect::Tramer, step_size: None };
    vec![
        pgd(&linf, PgdStart::Uniform, PgdSelection::Last),
        pgd(&l2, PgdStart::Sphere, PgdSelection::BestLoss),
        pgd(&linf, PgdStart::Uniform, PgdSelection::StopWhenBroken),
        apgd(&linf, ApgdLoss::Ce),
        apgd(&l2, ApgdLoss::Dlr),
        apgd(&linf, ApgdLoss::TargetedDlr),
        apgd(&l1, ApgdLoss::Ce),
        pgd(&l1, PgdStart::Sphere, PgdSelection::BestLoss),
        square(&ThreatModel { epsilon: 0.2.into(), ..linf.clone() }),
        square(&ThreatModel { epsilon: 5.0.into(), ..l2.clone() }),
        fab(&linf, None),
        fab(&l2, Some(count(2))),
        fab(&l1, None),
        carlini_wagner,
        AttackSpec::Fgsm(fgsm),
        AttackSpec::AutoAttack(autoattack),
    ]
}

fn square(threat: &ThreatModel) -> AttackSpec {
    AttackSpec::Square(SquareSpec {
        threat: threat.clone(),
        queries: count(60),
        restarts: count(2),
        loss: SquareLoss::Margin,
        initial_share: 0.8,
        schedule: SquareSchedule::Fixed,
    })
}

fn fab(threat: &ThreatModel, targets: Option<NonZeroU32>) -> AttackSpec {
    AttackSpec::Fab(FabSpec { threat: threat.clone(), iterations: count(4), restarts: count(2), targets })
}

/// Labels that the network itself gives, so that there is something to break.
fn labels(network: &Network, images: &Tensor) -> Vec<u32> {
    network.forward(images, Mode::Eval).unwrap().logits.argmax(1).unwrap().to_vec1().unwrap()
}

fn state(network: &Network) -> Vec<Vec<f64>> {
    network.state().iter().map(|(_, tensor)| pixels(tensor)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_attack_in_eval_mode_changes_nothing_of_the_network(spec in attacks(), seed: u64) {
        let network = network(DType::F32);
        let (before, passes) = (state(&network), rrm_kernels::weight_gradient_passes());
        let images = images(2, DType::F32);
        let labels = labels(&network, &images);
        build(&spec).perturb(&network.frozen(), Mode::Eval, &images, &labels, &keys(seed, &[0, 1])).unwrap();
        prop_assert_eq!(state(&network), before);
        prop_assert_eq!(rrm_kernels::weight_gradient_passes(), passes, "an attack needs no weight gradient");
    }
}

#[test]
fn attacks_break_images_of_a_network() {
    // Guards the property above against attacks that do nothing.
    let network = network(DType::F32).frozen();
    let images = images(4, DType::F32);
    let labels = labels(&network, &images);
    for spec in specs() {
        let attacked = build(&spec).perturb(&network, Mode::Eval, &images, &labels, &keys(1, &[0, 1, 2, 3])).unwrap();
        assert!(attacked.broken_by.iter().flatten().count() > 0, "{}", spec.label());
    }
}

#[test]
fn an_attack_in_train_mode_moves_the_running_statistics_and_no_weight() {
    let network = network(DType::F32);
    let images = images(4, DType::F32);
    let named = |network: &Network| network.state().into_iter().map(|(name, t)| (name, pixels(&t))).collect::<Vec<_>>();
    let before = named(&network);
    let labels = labels(&network, &images);
    build(&specs()[0]).perturb(&network.frozen(), Mode::Train, &images, &labels, &keys(1, &[0, 1, 2, 3])).unwrap();
    for ((name, before), (_, after)) in before.iter().zip(named(&network)) {
        let statistics = ["running_mean", "running_var", "num_batches_tracked"].iter().any(|s| name.ends_with(s));
        assert_eq!(*before != after, statistics, "{name}");
    }
}

#[test]
fn on_a_network_too_results_of_an_image_do_not_depend_on_its_batch() {
    let network = network(DType::F32).frozen();
    let images = images(5, DType::F32);
    let labels = labels(&network, &images);
    let attack = |spec: &AttackSpec, rows: &[u32]| -> Attacked {
        let of = Tensor::new(rows, &Device::Cpu).unwrap();
        let labels: Vec<u32> = rows.iter().map(|&row| labels[row as usize]).collect();
        build(spec)
            .perturb(&network, Mode::Eval, &images.index_select(&of, 0).unwrap(), &labels, &keys(1, rows))
            .unwrap()
    };
    for spec in specs() {
        let whole = attack(&spec, &[0, 1, 2, 3, 4]);
        let (all, part) = (pixels(&whole.images), attack(&spec, &[3, 1]));
        let expected = [&all[3 * 3072..4 * 3072], &all[3072..2 * 3072]].concat();
        assert!(pixels(&part.images) == expected, "{}", spec.label());
        assert_eq!(part.broken_by, [whole.broken_by[3], whole.broken_by[1]]);
        assert_eq!(part.seen, [whole.seen[3], whole.seen[1]]);
    }
}
