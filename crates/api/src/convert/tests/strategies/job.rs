//! What jobs are to do.

use super::*;

pub(in crate::convert::tests) fn dataset() -> impl Strategy<Value = Dataset> {
    let folder = "[a-z][a-z .]{0,8}".prop_map(DatasetName::Folder);
    let fixed = [
        DatasetName::Cifar10,
        DatasetName::Cifar100,
        DatasetName::Svhn,
        DatasetName::FashionMnist,
        DatasetName::RestrictedImageNet,
    ];
    let name = prop_oneof![select(fixed.to_vec()), folder];
    (name, of(positive())).prop_map(|(name, train_images)| Dataset { name, train_images })
}

pub(in crate::convert::tests) fn model_source() -> impl Strategy<Value = ModelSource> {
    let name = "[a-z][a-z\\[\\]=,0-9.]{0,12}".prop_map(JobRef::Name);
    let job = prop_oneof![name, job_id().prop_map(JobRef::Id)];
    let path = "/[a-zä/ ]{1,12}".prop_map(|path| ModelSource::Checkpoint(path.into()));
    let artifact = artifact_ref().prop_map(ModelSource::Artifact);
    prop_oneof![job.prop_map(ModelSource::Job), path, artifact]
}

pub(in crate::convert::tests) fn artifact_ref() -> impl Strategy<Value = ArtifactRef> {
    prop_oneof![
        network_name().prop_map(ArtifactRef::Name),
        hash().prop_map(ArtifactRef::Hash),
        (network_name(), hash()).prop_map(|(name, sha256)| ArtifactRef::Pinned(name, sha256)),
    ]
}

pub(in crate::convert::tests) fn imported_network() -> impl Strategy<Value = ImportedNetwork> {
    let sizes = (1..5000usize, 1..5000usize);
    let network = (arch(), sizes, select(vec![Normalization::Identity, Normalization::FashionMnist]));
    let network = network.prop_map(|(arch, (classes, representation_width), normalization)| NetworkSpec {
        arch,
        channels: 1,
        classes,
        normalization,
        representation_width,
        temperature: 1.0,
    });
    (network_name(), hash(), any::<u64>(), network, ".{0,20}")
        .prop_map(|(name, sha256, bytes, network, origin)| ImportedNetwork { name, sha256, bytes, network, origin })
}

pub(in crate::convert::tests) fn method() -> BoxedStrategy<Method> {
    let adversarial = (attack(), select(vec![Mode::Train, Mode::Eval]))
        .prop_map(|(attack, attack_mode)| Method::AdversarialTraining { attack, attack_mode });
    let losses = select(vec![RepresentationLoss::Cosine, RepresentationLoss::RelativeL2, RepresentationLoss::L2]);
    let rrm =
        (model_source(), losses, number(), positive()).prop_map(|(teacher, representation_loss, lambda, replays)| {
            Method::Rrm { teacher, representation_loss, lambda, replays }
        });
    let free = (threat(), epsilon(), positive(), select(vec![Perturbation::Carried, Perturbation::Reset])).prop_map(
        |(threat, step_size, replays, perturbation)| Method::FreeAdversarialTraining {
            threat,
            step_size,
            replays,
            perturbation,
        },
    );
    let forms = || select(vec![DistillationForm::Textbook, DistillationForm::Released, DistillationForm::Paper]);
    let distilled = (model_source(), number(), number(), forms()).prop_map(|(teacher, temperature, alpha, form)| {
        Method::KnowledgeDistillation { teacher, temperature, alpha, form }
    });
    let modes = select(vec![Mode::Train, Mode::Eval]);
    let robust = (model_source(), attack(), modes, number(), number(), forms()).prop_map(
        |(teacher, attack, attack_mode, temperature, alpha, form)| Method::AdversariallyRobustDistillation {
            teacher,
            attack,
            attack_mode,
            temperature,
            alpha,
            form,
        },
    );
    let trades = (threat(), positive(), epsilon(), number())
        .prop_map(|(threat, steps, step_size, beta)| Method::Trades { threat, steps, step_size, beta });
    prop_oneof![Just(Method::Natural), adversarial, free, rrm, distilled, robust, trades].boxed()
}

pub(in crate::convert::tests) fn schedule() -> impl Strategy<Value = Schedule> {
    let step =
        (vec(any::<u32>(), 0..4), number()).prop_map(|(milestones, factor)| Schedule::Step { milestones, factor });
    let triangular = of(number()).prop_map(|peak_momentum| Schedule::Triangular { peak_momentum });
    prop_oneof![Just(Schedule::Constant), step, Just(Schedule::Cosine), triangular]
}

pub(in crate::convert::tests) fn optimizer() -> impl Strategy<Value = OptimizerSpec> {
    (number(), number(), number(), schedule()).prop_map(|(learning_rate, momentum, weight_decay, schedule)| {
        OptimizerSpec { learning_rate, momentum, weight_decay, schedule }
    })
}

pub(in crate::convert::tests) fn arch() -> impl Strategy<Value = Arch> {
    (select(Family::ALL.to_vec()), select(Arch::DIVISORS.to_vec()))
        .prop_map(|(family, divisor)| Arch::new(family, divisor).unwrap())
}

pub(in crate::convert::tests) fn normalization() -> impl Strategy<Value = Normalization> {
    select(vec![
        Normalization::Cifar10Madry,
        Normalization::Cifar10Fast,
        Normalization::FashionMnist,
        Normalization::Identity,
        Normalization::Cifar100,
        Normalization::Svhn,
        Normalization::RestrictedImageNet,
        Normalization::ImageNet,
    ])
}

pub(in crate::convert::tests) fn validation() -> impl Strategy<Value = Validation> {
    (of(positive()), of(attack())).prop_map(|(images, attack)| Validation { images, attack })
}

pub(in crate::convert::tests) fn train_spec() -> impl Strategy<Value = TrainSpec> {
    let augmentations = vec![Augmentation::None, Augmentation::Light, Augmentation::Heavy, Augmentation::ImageNet];
    let pixels = (dataset(), of(images_source()), select(augmentations), of(normalization()));
    let network = (arch(), of(positive()), of(model_source()), number(), method(), optimizer());
    let size = (positive(), positive(), select(Precision::ALL.to_vec()), any::<u64>(), validation());
    (pixels, network, size).prop_map(
        |(
            (dataset, training_set, augmentation, normalization),
            (arch, representation_width, initial, temperature, method, optimizer),
            (epochs, batch_size, precision, seed, validation),
        )| {
            TrainSpec {
                dataset,
                training_set,
                augmentation,
                normalization,
                arch,
                representation_width,
                initial,
                temperature,
                method,
                optimizer,
                epochs,
                batch_size,
                precision,
                seed,
                validation,
            }
        },
    )
}

pub(in crate::convert::tests) fn evaluate_spec() -> impl Strategy<Value = EvaluateSpec> {
    let more = (of(model_source()), of(number()), of(positive()));
    let rest = (positive(), any::<u64>(), any::<bool>());
    (model_source(), dataset(), of(positive()), attack(), vec(epsilon(), 0..3), more, rest).prop_map(
        |(
            model,
            dataset,
            images,
            attack,
            epsilons,
            (teacher, temperature, diagnostics),
            (batch_size, seed, keep_images),
        )| {
            EvaluateSpec {
                model,
                dataset,
                images,
                attack,
                epsilons,
                teacher,
                temperature,
                diagnostics,
                batch_size,
                seed,
                keep_images,
            }
        },
    )
}

pub(in crate::convert::tests) fn images_source() -> impl Strategy<Value = ImagesSource> {
    let job = prop_oneof!["[a-z]{1,8}".prop_map(JobRef::Name), job_id().prop_map(JobRef::Id)];
    prop_oneof![job.prop_map(ImagesSource::Job), "/[a-zä/ ]{1,12}".prop_map(|path| ImagesSource::File(path.into()))]
}

pub(in crate::convert::tests) fn synthesize_spec() -> impl Strategy<Value = SynthesizeSpec> {
    (model_source(), dataset(), positive(), epsilon(), positive(), positive(), any::<u64>()).prop_map(
        |(model, dataset, steps, step_size, parts, batch_size, seed)| SynthesizeSpec {
            model,
            dataset,
            steps,
            step_size,
            parts,
            batch_size,
            seed,
        },
    )
}

pub(in crate::convert::tests) fn job_spec() -> BoxedStrategy<JobSpec> {
    prop_oneof![
        train_spec().prop_map(JobSpec::Train),
        evaluate_spec().prop_map(JobSpec::Evaluate),
        synthesize_spec().prop_map(JobSpec::Synthesize),
    ]
    .boxed()
}
