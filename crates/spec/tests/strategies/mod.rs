//! Valid jobs of every kind.

use std::num::NonZeroU32;

use proptest::{
    option,
    prelude::*,
    sample::{select, subsequence},
};
use rrm_spec::{
    AdaptiveSpec, ApgdDialect, ApgdLoss, ApgdSpec, Arch, AttackSpec, Augmentation, AutoAttackPart, AutoAttackSpec,
    AutoAttackVersion, CarliniWagnerSpec, CustomAutoAttack, Dataset, DatasetName, DistillationForm, Epsilon,
    EvaluateSpec, FabSpec, Family, FgsmDialect, FgsmSpec, ImagesSource, JobId, JobRef, JobSpec, Method, Mode,
    ModelSource, Norm, OptimizerSpec, Perturbation, PgdDialect, PgdSelection, PgdSpec, PgdStart, PgdTarget, Precision,
    RepresentationLoss, Schedule, SquareLoss, SquareSchedule, SquareSpec, SynthesizeSpec, ThreatModel, Through,
    TrainSpec, Validation,
};

fn count(most: u32) -> impl Strategy<Value = NonZeroU32> {
    (1..=most).prop_map(|n| NonZeroU32::new(n).expect("the range begins at 1"))
}

fn threat() -> impl Strategy<Value = ThreatModel> {
    let norm = prop_oneof![Just(Norm::Linf), Just(Norm::L2), Just(Norm::L1)];
    let epsilon = prop_oneof![Just("8/255".to_owned()), (0.0..1.0f64).prop_map(|value| value.to_string())];
    (norm, epsilon).prop_map(|(norm, text)| ThreatModel { norm, epsilon: text.parse().expect("a number") })
}

/// Of methods whose own steps change every pixel.
fn dense_threat() -> impl Strategy<Value = ThreatModel> {
    threat().prop_filter("no l1", |threat| threat.norm != Norm::L1)
}

fn fgsm() -> impl Strategy<Value = AttackSpec> {
    let dialect = select(&[FgsmDialect::Goodfellow, FgsmDialect::Wong, FgsmDialect::Tramer][..]);
    (threat(), dialect, option::of(0.001..1.0f64)).prop_map(|(threat, dialect, step)| {
        AttackSpec::Fgsm(FgsmSpec { threat, dialect, step_size: step.map(Into::into) })
    })
}

fn pgd() -> impl Strategy<Value = AttackSpec> {
    let start = select(&[PgdStart::Natural, PgdStart::Uniform, PgdStart::Sphere][..]);
    let selection = select(&[PgdSelection::Last, PgdSelection::BestLoss, PgdSelection::StopWhenBroken][..]);
    let madry = (start, selection).prop_map(|(start, selection)| (PgdDialect::Madry, start, selection));
    let art = select(&[PgdStart::Natural, PgdStart::Uniform][..])
        .prop_map(|start| (PgdDialect::Art, start, PgdSelection::Last));
    let targets =
        [PgdTarget::Untargeted, PgdTarget::Random, PgdTarget::LeastLikely, PgdTarget::SecondBest, PgdTarget::Each];
    let rules = (prop_oneof![madry, art], select(targets.to_vec()));
    (threat(), count(100), 0.001..1.0f64, rules, count(10), count(3)).prop_map(
        |(threat, steps, step, ((dialect, start, selection), target), restarts, eot)| {
            let step_size = step.into();
            AttackSpec::Pgd(PgdSpec { threat, steps, step_size, start, selection, restarts, target, eot, dialect })
        },
    )
}

fn apgd() -> impl Strategy<Value = AttackSpec> {
    let spec = (threat(), count(100), count(10)).prop_map(|(threat, iterations, restarts)| ApgdSpec {
        threat,
        iterations,
        restarts,
        loss: ApgdLoss::Ce,
        targets: None,
        eot: NonZeroU32::MIN,
        dialect: ApgdDialect::Reference,
    });
    let forms = prop_oneof![
        count(3).prop_map(|eot| (ApgdLoss::Ce, None, eot, ApgdDialect::Reference)),
        count(3).prop_map(|eot| (ApgdLoss::Dlr, None, eot, ApgdDialect::Reference)),
        (option::of(count(9)), count(3)).prop_map(|(targets, eot)| (
            ApgdLoss::TargetedDlr,
            targets,
            eot,
            ApgdDialect::Reference
        )),
        count(500).prop_map(|batch| (ApgdLoss::Ce, None, NonZeroU32::MIN, ApgdDialect::Art { batch })),
    ];
    (spec, forms).prop_map(|(spec, (loss, targets, eot, dialect))| {
        AttackSpec::Apgd(ApgdSpec { loss, targets, eot, dialect, ..spec })
    })
}

fn autoattack() -> impl Strategy<Value = AttackSpec> {
    let parts = vec![AutoAttackPart::ApgdCe, AutoAttackPart::ApgdDlr, AutoAttackPart::Fab, AutoAttackPart::Square];
    let untargeted = subsequence(parts, 1..=4).prop_map(|attacks| (attacks, None));
    let targeted = subsequence(vec![AutoAttackPart::ApgdT, AutoAttackPart::FabT], 1..=2);
    let targeted = (targeted, option::of(count(9)));
    let custom = (prop_oneof![untargeted, targeted], count(100), count(5), count(3), count(5000)).prop_map(
        |((attacks, targets), iterations, restarts, eot, queries)| {
            AutoAttackVersion::Custom(CustomAutoAttack { attacks, iterations, restarts, targets, eot, queries })
        },
    );
    let named = select(vec![AutoAttackVersion::Standard, AutoAttackVersion::Plus, AutoAttackVersion::Rand]);
    (threat(), prop_oneof![named, custom])
        .prop_map(|(threat, version)| AttackSpec::AutoAttack(AutoAttackSpec { threat, version }))
}

/// Of an evaluation, which knows the teacher.
fn adaptive() -> impl Strategy<Value = AttackSpec> {
    let through = select(&[Through::All, Through::Transfer, Through::Representation, Through::Joint][..]);
    let distance = select(&[RepresentationLoss::Cosine, RepresentationLoss::RelativeL2, RepresentationLoss::L2][..]);
    (dense_threat(), through, count(100), count(10), distance, 0.01..=1000.0f64).prop_map(
        |(threat, through, iterations, restarts, distance, weight)| {
            AttackSpec::Adaptive(AdaptiveSpec { threat, through, iterations, restarts, distance, weight })
        },
    )
}

/// Boxed, as the methods are: nested where they lie, they would not fit a test's stack.
fn attack() -> BoxedStrategy<AttackSpec> {
    prop_oneof![fgsm(), pgd(), apgd(), square(), fab(), carlini_wagner(), autoattack()].boxed()
}

fn square() -> impl Strategy<Value = AttackSpec> {
    let loss = select(&[SquareLoss::Margin, SquareLoss::Ce][..]);
    let schedule = select(&[SquareSchedule::Fixed, SquareSchedule::Rescaled][..]);
    (threat(), count(5000), count(10), loss, 0.01..=1.0f64, schedule).prop_map(
        |(threat, queries, restarts, loss, initial_share, schedule)| {
            AttackSpec::Square(SquareSpec { threat, queries, restarts, loss, initial_share, schedule })
        },
    )
}

fn fab() -> impl Strategy<Value = AttackSpec> {
    (threat(), count(100), count(10), option::of(count(9))).prop_map(|(threat, iterations, restarts, targets)| {
        AttackSpec::Fab(FabSpec { threat, iterations, restarts, targets })
    })
}

fn carlini_wagner() -> impl Strategy<Value = AttackSpec> {
    let rates = (0.001..1.0f64, 0.001..10.0f64, 0.0..50.0f64);
    (threat(), count(10_000), count(20), rates).prop_map(
        |(threat, iterations, search_steps, (learning_rate, initial_constant, confidence))| {
            let threat = ThreatModel { norm: Norm::L2, ..threat };
            AttackSpec::CarliniWagner(CarliniWagnerSpec {
                threat,
                iterations,
                search_steps,
                learning_rate,
                initial_constant,
                confidence,
            })
        },
    )
}

fn source() -> impl Strategy<Value = ModelSource> {
    prop_oneof![
        (1..1_000_000i64).prop_map(|id| ModelSource::Job(JobRef::Id(JobId(id)))),
        "[a-z][a-z0-9]{0,12}".prop_map(|name| ModelSource::Job(JobRef::Name(name))),
        "[a-z/]{1,20}".prop_map(|path| ModelSource::Checkpoint(path.into())),
        "([a-z][a-z0-9.]{0,9}@)?sha256:[0-9a-f]{64}|[a-z]{1,9}"
            .prop_map(|text| ModelSource::Artifact(text.parse().expect("a reference"))),
    ]
}

fn form() -> impl Strategy<Value = DistillationForm> {
    prop_oneof![Just(DistillationForm::Textbook), Just(DistillationForm::Released), Just(DistillationForm::Paper)]
}

/// What every network divides its logits by.
const TEMPERATURE: f64 = 30.0;

/// Forms, and temperatures with which they go.
fn softened() -> impl Strategy<Value = (f64, DistillationForm)> {
    (0.1..100.0f64, form()).prop_map(|(temperature, form)| match form {
        DistillationForm::Textbook | DistillationForm::Released => (temperature, form),
        DistillationForm::Paper => (TEMPERATURE, form),
    })
}

fn method() -> BoxedStrategy<Method> {
    let mode = prop_oneof![Just(Mode::Train), Just(Mode::Eval)];
    let loss = prop_oneof![
        Just(RepresentationLoss::Cosine),
        Just(RepresentationLoss::RelativeL2),
        Just(RepresentationLoss::L2)
    ];
    let perturbation = prop_oneof![Just(Perturbation::Carried), Just(Perturbation::Reset)];
    prop_oneof![
        Just(Method::Natural),
        (attack(), mode).prop_map(|(attack, attack_mode)| Method::AdversarialTraining { attack, attack_mode }),
        (dense_threat(), 0.001..1.0f64, count(64), perturbation).prop_map(|(threat, step, replays, perturbation)| {
            Method::FreeAdversarialTraining { threat, step_size: step.into(), replays, perturbation }
        }),
        (source(), loss, 0.0..1000.0f64, count(8)).prop_map(|(teacher, representation_loss, lambda, replays)| {
            Method::Rrm { teacher, representation_loss, lambda, replays }
        }),
        (source(), 0.0..1.0f64, softened()).prop_map(|(teacher, alpha, (temperature, form))| {
            Method::KnowledgeDistillation { teacher, temperature, alpha, form }
        }),
        (source(), attack(), 0.0..1.0f64, softened()).prop_map(|(teacher, attack, alpha, (temperature, form))| {
            let attack_mode = Mode::Train;
            Method::AdversariallyRobustDistillation { teacher, attack, attack_mode, temperature, alpha, form }
        }),
        (dense_threat(), count(100), 0.001..1.0f64, 0.0..100.0f64)
            .prop_map(|(threat, steps, step, beta)| Method::Trades { threat, steps, step_size: step.into(), beta }),
    ]
    .boxed()
}

fn schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        Just(Schedule::Constant),
        Just(Schedule::Cosine),
        (0.01..1.0f64).prop_map(|factor| Schedule::Step { milestones: vec![1, 3], factor }),
        option::of(0.0..0.99f64).prop_map(|peak_momentum| Schedule::Triangular { peak_momentum }),
    ]
}

fn dataset() -> impl Strategy<Value = Dataset> {
    let name = prop_oneof![
        Just(DatasetName::Cifar10),
        Just(DatasetName::Cifar100),
        Just(DatasetName::Svhn),
        Just(DatasetName::FashionMnist),
        "[a-z]{1,9}".prop_map(DatasetName::Folder)
    ];
    (name, option::of(count(50_000))).prop_map(|(name, train_images)| Dataset { name, train_images })
}

/// Networks for the images of every dataset.
fn arch() -> impl Strategy<Value = Arch> {
    let families: Vec<Family> = Family::ALL.into_iter().filter(|family| family.image_side() == 32).collect();
    (select(families), select(&Arch::DIVISORS[..]))
        .prop_map(|(family, divisor)| Arch::new(family, divisor).expect("a listed divisor"))
}

pub(crate) fn train() -> impl Strategy<Value = JobSpec> {
    let optimizer = (0.001..10.0f64, 0.0..0.99f64, 0.0..1.0f64, schedule()).prop_map(
        |(learning_rate, momentum, weight_decay, schedule)| OptimizerSpec {
            learning_rate,
            momentum,
            weight_decay,
            schedule,
        },
    );
    let validation =
        (option::of(count(10_000)), option::of(attack())).prop_map(|(images, attack)| Validation { images, attack });
    let precision = select(&Precision::ALL[..]);
    let seed = 0..=i64::MAX as u64;
    let beginnings = (option::of(images_source()), option::of(source()));
    (dataset(), arch(), beginnings, method(), optimizer, 5..1000u32, count(4096), precision, seed, validation).prop_map(
        |(
            dataset,
            arch,
            (training_set, initial),
            method,
            optimizer,
            epochs,
            batch_size,
            precision,
            seed,
            validation,
        )| {
            JobSpec::Train(TrainSpec {
                dataset,
                training_set,
                augmentation: Augmentation::Light,
                normalization: None,
                arch,
                representation_width: None,
                initial,
                temperature: TEMPERATURE,
                method,
                optimizer,
                epochs: NonZeroU32::new(epochs).expect("the range begins at 5"),
                batch_size,
                precision,
                seed,
                validation,
            })
        },
    )
}

pub(crate) fn synthesize() -> impl Strategy<Value = JobSpec> {
    (source(), dataset(), count(1000), 0.001..1.0f64, count(100), count(4096)).prop_map(
        |(model, dataset, steps, step, parts, batch_size)| {
            let step_size = step.into();
            JobSpec::Synthesize(SynthesizeSpec { model, dataset, steps, step_size, parts, batch_size, seed: 7 })
        },
    )
}

fn images_source() -> impl Strategy<Value = ImagesSource> {
    prop_oneof![
        (1..1_000_000i64).prop_map(|id| ImagesSource::Job(JobRef::Id(JobId(id)))),
        "[a-z/]{1,20}".prop_map(|path| ImagesSource::File(path.into())),
    ]
}

pub(crate) fn evaluate() -> impl Strategy<Value = JobSpec> {
    let epsilons = select(vec![vec![], vec!["1/255"], vec!["0", "4/255", "0.1"]])
        .prop_map(|texts| texts.iter().map(|text| text.parse().expect("a distance")).collect::<Vec<Epsilon>>());
    let attack =
        prop_oneof![4 => attack().prop_map(|attack| (attack, None)), 1 => (adaptive(), source().prop_map(Some))];
    let rest = (option::of(0.1..100.0f64), option::of(count(500)), count(4096), any::<bool>());
    (source(), dataset(), option::of(count(10_000)), attack, epsilons, rest).prop_map(
        |(model, dataset, images, (attack, teacher), epsilons, (temperature, diagnostics, batch_size, keep_images))| {
            JobSpec::Evaluate(EvaluateSpec {
                model,
                dataset,
                images,
                attack,
                epsilons,
                teacher,
                temperature,
                diagnostics,
                batch_size,
                seed: 7,
                keep_images,
            })
        },
    )
}
