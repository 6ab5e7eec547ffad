//! Values of every type, with all their variants.

use std::num::NonZeroU32;

use proptest::{collection::vec, option::of, prelude::*, sample::select};
use rrm_spec::*;

use crate::{
    AttemptEnd, ImagesPage, JobFilter, LogChunk, Registered, Reuse, Source, Strict, Submitted, Upload, WatchItem,
    Wishes,
};

fn text() -> impl Strategy<Value = String> {
    "[a-zäß /:.\\[\\]=0-9-]{0,12}"
}

/// Also values that NaN-free plans cannot have: views are read without checking ranges.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()), 0.0..1.0f64]
}

fn positive() -> impl Strategy<Value = NonZeroU32> {
    any::<NonZeroU32>()
}

fn job_id() -> impl Strategy<Value = JobId> {
    (1..=i64::MAX).prop_map(JobId)
}

fn attempt_id() -> impl Strategy<Value = AttemptId> {
    (1..=i64::MAX).prop_map(AttemptId)
}

fn worker_id() -> impl Strategy<Value = WorkerId> {
    (1..=i64::MAX).prop_map(WorkerId)
}

fn submission_id() -> impl Strategy<Value = SubmissionId> {
    (1..=i64::MAX).prop_map(SubmissionId)
}

fn hash() -> impl Strategy<Value = ArtifactHash> {
    "[0-9a-f]{64}".prop_map(|text| text.parse().unwrap())
}

fn request_id() -> impl Strategy<Value = RequestId> {
    "[0-9a-zA-Z-]{8,64}".prop_map(|text| text.parse().unwrap())
}

fn epsilon() -> impl Strategy<Value = Epsilon> {
    let fraction = (0..256u32).prop_map(|k| format!("{k}/255").parse().unwrap());
    prop_oneof![fraction, (0.0..1.0f64).prop_map(Epsilon::from)]
}

fn threat() -> impl Strategy<Value = ThreatModel> {
    (select(vec![Norm::Linf, Norm::L2, Norm::L1]), epsilon()).prop_map(|(norm, epsilon)| ThreatModel { norm, epsilon })
}

fn fgsm() -> impl Strategy<Value = FgsmSpec> {
    let dialects = select(vec![FgsmDialect::Goodfellow, FgsmDialect::Wong, FgsmDialect::Tramer]);
    (threat(), dialects, of(epsilon())).prop_map(|(threat, dialect, step_size)| FgsmSpec { threat, dialect, step_size })
}

fn pgd() -> impl Strategy<Value = PgdSpec> {
    let starts = select(vec![PgdStart::Natural, PgdStart::Uniform, PgdStart::Sphere]);
    let selections = select(vec![PgdSelection::Last, PgdSelection::BestLoss, PgdSelection::StopWhenBroken]);
    let targets =
        vec![PgdTarget::Untargeted, PgdTarget::Random, PgdTarget::LeastLikely, PgdTarget::SecondBest, PgdTarget::Each];
    let rules = (starts, selections, select(targets));
    (threat(), positive(), epsilon(), rules, positive(), positive()).prop_map(
        |(threat, steps, step_size, (start, selection, target), restarts, eot)| PgdSpec {
            threat,
            steps,
            step_size,
            start,
            selection,
            restarts,
            target,
            eot,
        },
    )
}

fn apgd() -> impl Strategy<Value = ApgdSpec> {
    let losses = select(vec![ApgdLoss::Ce, ApgdLoss::Dlr, ApgdLoss::TargetedDlr]);
    let art = positive().prop_map(|batch| ApgdDialect::Art { batch });
    let dialects = prop_oneof![Just(ApgdDialect::Reference), art];
    (threat(), positive(), positive(), losses, of(positive()), positive(), dialects).prop_map(
        |(threat, iterations, restarts, loss, targets, eot, dialect)| ApgdSpec {
            threat,
            iterations,
            restarts,
            loss,
            targets,
            eot,
            dialect,
        },
    )
}

fn autoattack() -> impl Strategy<Value = AutoAttackSpec> {
    let parts = select(vec![
        AutoAttackPart::ApgdCe,
        AutoAttackPart::ApgdDlr,
        AutoAttackPart::ApgdT,
        AutoAttackPart::Fab,
        AutoAttackPart::FabT,
        AutoAttackPart::Square,
    ]);
    let custom = (vec(parts, 0..4), positive(), positive(), of(positive()), positive(), positive()).prop_map(
        |(attacks, iterations, restarts, targets, eot, queries)| {
            AutoAttackVersion::Custom(CustomAutoAttack { attacks, iterations, restarts, targets, eot, queries })
        },
    );
    let named = select(vec![AutoAttackVersion::Standard, AutoAttackVersion::Plus, AutoAttackVersion::Rand]);
    (threat(), prop_oneof![named, custom]).prop_map(|(threat, version)| AutoAttackSpec { threat, version })
}

/// Boxed, as methods and trainings are: nested where they lie, they would not fit a test's stack.
fn attack() -> BoxedStrategy<AttackSpec> {
    prop_oneof![
        fgsm().prop_map(AttackSpec::Fgsm),
        pgd().prop_map(AttackSpec::Pgd),
        apgd().prop_map(AttackSpec::Apgd),
        square().prop_map(AttackSpec::Square),
        fab().prop_map(AttackSpec::Fab),
        carlini_wagner().prop_map(AttackSpec::CarliniWagner),
        autoattack().prop_map(AttackSpec::AutoAttack),
        adaptive().prop_map(AttackSpec::Adaptive),
    ]
    .boxed()
}

fn adaptive() -> impl Strategy<Value = AdaptiveSpec> {
    let through = select(vec![Through::All, Through::Transfer, Through::Representation, Through::Joint]);
    let distance = select(vec![RepresentationLoss::Cosine, RepresentationLoss::RelativeL2]);
    (threat(), through, positive(), positive(), distance, number()).prop_map(
        |(threat, through, iterations, restarts, distance, weight)| AdaptiveSpec {
            threat,
            through,
            iterations,
            restarts,
            distance,
            weight,
        },
    )
}

fn square() -> impl Strategy<Value = SquareSpec> {
    let losses = select(vec![SquareLoss::Margin, SquareLoss::Ce]);
    let schedules = select(vec![SquareSchedule::Fixed, SquareSchedule::Rescaled]);
    (threat(), positive(), positive(), losses, number(), schedules).prop_map(
        |(threat, queries, restarts, loss, initial_share, schedule)| SquareSpec {
            threat,
            queries,
            restarts,
            loss,
            initial_share,
            schedule,
        },
    )
}

fn fab() -> impl Strategy<Value = FabSpec> {
    (threat(), positive(), positive(), of(positive())).prop_map(|(threat, iterations, restarts, targets)| FabSpec {
        threat,
        iterations,
        restarts,
        targets,
    })
}

fn carlini_wagner() -> impl Strategy<Value = CarliniWagnerSpec> {
    (threat(), positive(), positive(), number(), number(), number()).prop_map(
        |(threat, iterations, search_steps, learning_rate, initial_constant, confidence)| CarliniWagnerSpec {
            threat,
            iterations,
            search_steps,
            learning_rate,
            initial_constant,
            confidence,
        },
    )
}

fn dataset() -> impl Strategy<Value = Dataset> {
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

fn model_source() -> impl Strategy<Value = ModelSource> {
    let name = "[a-z][a-z\\[\\]=,0-9.]{0,12}".prop_map(JobRef::Name);
    let job = prop_oneof![name, job_id().prop_map(JobRef::Id)];
    let path = "/[a-zä/ ]{1,12}".prop_map(|path| ModelSource::Checkpoint(path.into()));
    let artifact = artifact_ref().prop_map(ModelSource::Artifact);
    prop_oneof![job.prop_map(ModelSource::Job), path, artifact]
}

fn artifact_ref() -> impl Strategy<Value = ArtifactRef> {
    prop_oneof![
        network_name().prop_map(ArtifactRef::Name),
        hash().prop_map(ArtifactRef::Hash),
        (network_name(), hash()).prop_map(|(name, sha256)| ArtifactRef::Pinned(name, sha256)),
    ]
}

fn network_name() -> impl Strategy<Value = NetworkName> {
    "[a-zA-Z][a-zA-Z0-9._-]{0,9}".prop_map(|name| name.parse().expect("a name"))
}

pub(super) fn imported_network() -> impl Strategy<Value = ImportedNetwork> {
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

fn method() -> BoxedStrategy<Method> {
    let adversarial = (attack(), select(vec![Mode::Train, Mode::Eval]))
        .prop_map(|(attack, attack_mode)| Method::AdversarialTraining { attack, attack_mode });
    let losses = select(vec![RepresentationLoss::Cosine, RepresentationLoss::RelativeL2]);
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
    let forms = || select(vec![DistillationForm::Textbook, DistillationForm::Released]);
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

fn schedule() -> impl Strategy<Value = Schedule> {
    let step =
        (vec(any::<u32>(), 0..4), number()).prop_map(|(milestones, factor)| Schedule::Step { milestones, factor });
    let triangular = of(number()).prop_map(|peak_momentum| Schedule::Triangular { peak_momentum });
    prop_oneof![Just(Schedule::Constant), step, Just(Schedule::Cosine), triangular]
}

fn optimizer() -> impl Strategy<Value = OptimizerSpec> {
    (number(), number(), number(), schedule()).prop_map(|(learning_rate, momentum, weight_decay, schedule)| {
        OptimizerSpec { learning_rate, momentum, weight_decay, schedule }
    })
}

fn arch() -> impl Strategy<Value = Arch> {
    (select(Family::ALL.to_vec()), select(Arch::DIVISORS.to_vec()))
        .prop_map(|(family, divisor)| Arch::new(family, divisor).unwrap())
}

fn normalization() -> impl Strategy<Value = Normalization> {
    select(vec![
        Normalization::Cifar10Madry,
        Normalization::Cifar10Fast,
        Normalization::FashionMnist,
        Normalization::Identity,
        Normalization::Cifar100,
        Normalization::Svhn,
        Normalization::RestrictedImageNet,
    ])
}

fn validation() -> impl Strategy<Value = Validation> {
    (of(positive()), of(attack())).prop_map(|(images, attack)| Validation { images, attack })
}

fn train_spec() -> impl Strategy<Value = TrainSpec> {
    let augmentations = vec![Augmentation::None, Augmentation::Light, Augmentation::Heavy, Augmentation::ImageNet];
    let pixels = (dataset(), of(images_source()), select(augmentations), of(normalization()));
    let network = (arch(), of(model_source()), number(), method(), optimizer());
    let size = (positive(), positive(), select(Precision::ALL.to_vec()), any::<u64>(), validation());
    (pixels, network, size).prop_map(
        |(
            (dataset, training_set, augmentation, normalization),
            (arch, initial, temperature, method, optimizer),
            (epochs, batch_size, precision, seed, validation),
        )| {
            TrainSpec {
                dataset,
                training_set,
                augmentation,
                normalization,
                arch,
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

fn evaluate_spec() -> impl Strategy<Value = EvaluateSpec> {
    let more = (of(model_source()), of(positive()));
    let rest = (positive(), any::<u64>(), any::<bool>());
    (model_source(), dataset(), of(positive()), attack(), vec(epsilon(), 0..3), more, rest).prop_map(
        |(model, dataset, images, attack, epsilons, (teacher, diagnostics), (batch_size, seed, keep_images))| {
            EvaluateSpec {
                model,
                dataset,
                images,
                attack,
                epsilons,
                teacher,
                diagnostics,
                batch_size,
                seed,
                keep_images,
            }
        },
    )
}

fn images_source() -> impl Strategy<Value = ImagesSource> {
    let job = prop_oneof!["[a-z]{1,8}".prop_map(JobRef::Name), job_id().prop_map(JobRef::Id)];
    prop_oneof![job.prop_map(ImagesSource::Job), "/[a-zä/ ]{1,12}".prop_map(|path| ImagesSource::File(path.into()))]
}

fn synthesize_spec() -> impl Strategy<Value = SynthesizeSpec> {
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

pub(super) fn job_spec() -> BoxedStrategy<JobSpec> {
    prop_oneof![
        train_spec().prop_map(JobSpec::Train),
        evaluate_spec().prop_map(JobSpec::Evaluate),
        synthesize_spec().prop_map(JobSpec::Synthesize),
    ]
    .boxed()
}

fn accuracy() -> impl Strategy<Value = Accuracy> {
    any::<u64>().prop_flat_map(|total| (0..=total).prop_map(move |correct| Accuracy { correct, total }))
}

fn progress() -> impl Strategy<Value = Progress> {
    (text(), any::<u64>(), any::<u64>(), number()).prop_map(|(phase, done, total, images_per_second)| Progress {
        phase,
        done,
        total,
        images_per_second,
    })
}

fn run_started() -> impl Strategy<Value = RunStarted> {
    let hashes = (of(hash()), of(hash()));
    (text(), any::<u32>(), text(), any::<u64>(), any::<u32>(), hashes).prop_map(
        |(device, threads, code_version, parameters, first_epoch, (data_sha256, spec_sha256))| RunStarted {
            device,
            threads,
            code_version,
            parameters,
            first_epoch,
            data_sha256,
            spec_sha256,
        },
    )
}

fn epoch_record() -> impl Strategy<Value = EpochRecord> {
    let counts = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
    (counts, number(), number(), accuracy(), accuracy(), of(accuracy())).prop_map(
        |((epoch, train_us, validation_us, images), learning_rate, loss, train, natural, robust)| EpochRecord {
            epoch,
            train_us,
            validation_us,
            images,
            learning_rate,
            loss,
            train,
            natural,
            robust,
        },
    )
}

fn checkpoint_record() -> impl Strategy<Value = CheckpointRecord> {
    let roles = select(vec![CheckpointRole::Resume, CheckpointRole::Final]);
    (any::<u32>(), roles, text(), hash(), any::<u64>()).prop_map(|(epoch, role, path, sha256, bytes)| {
        CheckpointRecord { epoch, role, path: path.into(), sha256, bytes }
    })
}

pub(super) fn image_outcome() -> impl Strategy<Value = ImageOutcome> {
    let broken = any::<u32>().prop_map(|restart| Outcome::Broken { restart });
    let outcome = prop_oneof![Just(Outcome::Misclassified), broken, Just(Outcome::Robust)];
    let closest = (any::<u32>(), of(any::<u32>()), number(), number())
        .prop_map(|(part, iteration, loss, margin)| ClosestPoint { part, iteration, loss, margin });
    let parts = (any::<u32>(), any::<u32>(), any::<u32>(), outcome, of(closest));
    parts.prop_map(|(image, label, prediction, outcome, closest)| ImageOutcome {
        image,
        label,
        prediction,
        outcome,
        closest,
    })
}

fn evaluation_record() -> impl Strategy<Value = EvaluationRecord> {
    let class = (any::<u32>(), accuracy(), accuracy());
    let class = class.prop_map(|(label, natural, robust)| ClassAccuracy { label, natural, robust });
    let counts = (accuracy(), accuracy(), any::<u64>());
    (attack(), counts, hash(), vec(image_outcome(), 0..4), vec(class, 0..4), of(audit())).prop_map(
        |(attack, (natural, robust, elapsed_us), weights, images, classes, audit)| EvaluationRecord {
            attack,
            natural,
            robust,
            elapsed_us,
            weights,
            images,
            classes,
            audit,
        },
    )
}

fn diagnostics_record() -> impl Strategy<Value = DiagnosticsRecord> {
    let number = ("[a-z0-9.-]{1,20}", number(), text());
    let number = number.prop_map(|(name, value, detail)| Diagnostic { name, value, detail });
    (hash(), threat(), any::<u64>(), vec(number, 0..4))
        .prop_map(|(weights, threat, elapsed_us, numbers)| DiagnosticsRecord { weights, threat, elapsed_us, numbers })
}

fn audit() -> impl Strategy<Value = Audit> {
    (number(), any::<u64>(), any::<u64>(), accuracy(), accuracy()).prop_map(
        |(largest_change, outside_box, not_finite, recounted, rounded)| Audit {
            largest_change,
            outside_box,
            not_finite,
            recounted,
            rounded,
        },
    )
}

pub(super) fn images_page() -> impl Strategy<Value = ImagesPage> {
    (any::<u32>(), attack(), vec(image_outcome(), 0..4)).prop_map(|(evaluation, attack, images)| ImagesPage {
        evaluation,
        attack,
        images,
    })
}

pub(super) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        diagnostics_record().prop_map(Record::Diagnostics),
        run_started().prop_map(Record::Started),
        epoch_record().prop_map(Record::Epoch),
        checkpoint_record().prop_map(Record::Checkpoint),
        evaluation_record().prop_map(Record::Evaluation),
    ]
}

fn time_limit() -> impl Strategy<Value = TimeLimit> {
    (1..=31_536_000_u64).prop_map(|seconds| TimeLimit::from_seconds(seconds).unwrap())
}

pub(super) fn change() -> impl Strategy<Value = (Vec<JobId>, JobChange)> {
    let change =
        prop_oneof![Just(JobChange::Hold), Just(JobChange::Release), any::<i32>().prop_map(JobChange::Priority),];
    (vec(job_id(), 0..3), change)
}

pub(super) fn preemption() -> impl Strategy<Value = (RequestId, Vec<JobId>, AfterPreemption)> {
    (request_id(), vec(job_id(), 0..3), select(vec![AfterPreemption::Queue, AfterPreemption::Hold]))
}

pub(super) fn retry() -> impl Strategy<Value = (RequestId, Vec<JobId>, RetryWish)> {
    let begin = select(vec![RetryBegin::Checkpoint, RetryBegin::Scratch]);
    let dependents = select(vec![Dependents::Leave, Dependents::Retry]);
    let wish = (begin, dependents, of(time_limit())).prop_map(|(begin, dependents, time_limit)| RetryWish {
        begin,
        dependents,
        time_limit,
    });
    (request_id(), vec(job_id(), 0..3), wish)
}

pub(super) fn retried() -> impl Strategy<Value = Retried> {
    (job_id(), job_id(), text(), any::<u32>()).prop_map(|(job, retry_of, name, resumes_after)| Retried {
        job,
        retry_of,
        name,
        resumes_after,
    })
}

pub(super) fn drain_view() -> impl Strategy<Value = DrainView> {
    let target = prop_oneof![
        Just(DrainTarget::Daemon),
        "[a-z]{1,9}".prop_map(DrainTarget::Node),
        worker_id().prop_map(DrainTarget::Worker),
    ];
    (target, select(vec![DrainHow::Finish, DrainHow::Now]), any::<i64>()).prop_map(|(target, how, since)| DrainView {
        target,
        how,
        since,
    })
}

pub(super) fn job_summary() -> impl Strategy<Value = JobSummary> {
    let names = (job_id(), submission_id(), text(), user_name(), text());
    let kinds = (select(JobKind::ALL.to_vec()), select(JobState::ALL.to_vec()));
    let counts = (of(select(Stop::ALL.to_vec())), any::<i32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let rest = (of(progress()), of(text()), any::<i64>(), of(any::<i64>()), of(any::<i64>()));
    let control = (any::<bool>(), of(time_limit()), of(job_id()), of(job_id()));
    (names, kinds, counts, rest, control).prop_map(
        |(
            (id, submission, plan, owner, name),
            (kind, state),
            (stop, priority, attempts, epochs_done, epochs_total),
            (progress, reason, created_at, started_at, ended_at),
            (held, time_limit, retry_of, retried_as),
        )| JobSummary {
            id,
            submission,
            plan,
            owner,
            name,
            kind,
            state,
            stop,
            held,
            priority,
            time_limit,
            retry_of,
            retried_as,
            attempts,
            epochs_done,
            epochs_total,
            progress,
            reason,
            created_at,
            started_at,
            ended_at,
        },
    )
}

pub(super) fn attempt_view() -> impl Strategy<Value = AttemptView> {
    let place = (attempt_id(), worker_id(), text(), text());
    let end = (of(any::<i64>()), of(select(AttemptOutcome::ALL.to_vec())), of(text()));
    (place, any::<i64>(), end, of(run_started())).prop_map(
        |((id, worker, node, device), started_at, (ended_at, outcome, message), run)| AttemptView {
            id,
            worker,
            node,
            device,
            started_at,
            ended_at,
            outcome,
            message,
            run,
        },
    )
}

pub(super) fn job_detail() -> impl Strategy<Value = JobDetail> {
    let lists = (
        vec(job_id(), 0..3),
        vec(attempt_view(), 0..3),
        vec(epoch_record(), 0..3),
        vec(evaluation_record(), 0..3),
        of(diagnostics_record()),
        vec(checkpoint_record(), 0..3),
    );
    (job_summary(), job_spec(), lists, of(hash())).prop_map(
        |(summary, spec, (parents, attempts, epochs, evaluations, diagnostics, checkpoints), content_key)| JobDetail {
            summary,
            spec,
            parents,
            attempts,
            epochs,
            evaluations,
            diagnostics,
            checkpoints,
            content_key,
        },
    )
}

pub(super) fn worker_view() -> impl Strategy<Value = WorkerView> {
    let out = (any::<i64>(), text()).prop_map(|(since, reason)| OutOfService { since, reason });
    let jobs = (of(job_id()), vec(job_id(), 0..2));
    let device = (text(), jobs, text(), of(any::<u64>()), any::<u32>(), of(out)).prop_map(
        |(device, (job, more_jobs), name, memory_mib, share, out_of_service)| DeviceView {
            device,
            job,
            more_jobs,
            name,
            memory_mib,
            share,
            out_of_service,
        },
    );
    (worker_id(), text(), text(), any::<bool>(), any::<i64>(), vec(device, 0..3), labels()).prop_map(
        |(id, node, version, online, last_seen_at, devices, labels)| WorkerView {
            id,
            node,
            version,
            online,
            last_seen_at,
            devices,
            labels,
        },
    )
}

fn labels() -> impl Strategy<Value = Vec<Label>> {
    vec("[a-z][a-z0-9._-]{0,8}".prop_map(|text| text.parse().unwrap()), 0..3)
}

fn resource_request() -> impl Strategy<Value = ResourceRequest> {
    let devices =
        prop_oneof![1..=64_u32, Just(0)].prop_map(|n| DeviceShare::whole(n).unwrap_or(0.5.try_into().unwrap()));
    (devices, of(1..=10_000_u32), labels()).prop_map(|(devices, memory_gib, mut labels)| {
        labels.sort();
        labels.dedup();
        ResourceRequest { devices, memory_gib, labels }
    })
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Free),
        Just(Standing::OtherKind),
        (of(any::<u64>()), any::<u64>()).prop_map(|(has_mib, needs_mib)| Standing::TooSmall { has_mib, needs_mib }),
        (any::<i64>(), text()).prop_map(|(since, reason)| Standing::OutOfService { since, reason }),
        (job_id(), text(), any::<i64>(), of(any::<i64>()))
            .prop_map(|(job, name, since, expected_end)| Standing::Busy { job, name, since, expected_end }),
        job_id().prop_map(|job| Standing::Reserved { job }),
    ]
}

fn worker_standing() -> impl Strategy<Value = WorkerStanding> {
    let device = (text(), standing()).prop_map(|(device, standing)| DeviceStanding { device, standing });
    (worker_id(), text(), labels(), any::<u32>(), any::<u32>(), any::<bool>(), vec(device, 0..3)).prop_map(
        |(worker, node, lacks_labels, fitting, wanted, drained, devices)| WorkerStanding {
            worker,
            node,
            lacks_labels,
            fitting,
            wanted,
            drained,
            devices,
        },
    )
}

fn user_name() -> impl Strategy<Value = UserName> {
    "[a-z][a-z0-9._@-]{0,8}".prop_map(|text| text.parse().unwrap())
}

pub(super) fn explanation() -> impl Strategy<Value = Explanation> {
    let state = || select(JobState::ALL.to_vec());
    let parent = (job_id(), text(), state()).prop_map(|(id, name, state)| ParentView { id, name, state });
    let group = (user_name(), select(AheadReason::ALL.to_vec()), any::<u64>())
        .prop_map(|(owner, why, jobs)| AheadGroup { owner, why, jobs });
    let ahead = (any::<u64>(), any::<bool>(), vec(group, 0..3)).prop_map(|(jobs, is_more, groups)| Ahead {
        jobs,
        is_more,
        groups,
    });
    let device = select(vec![DeviceRequest::Any, DeviceRequest::Cpu, DeviceRequest::Cuda]);
    let who = (job_id(), text(), user_name(), state(), any::<i64>(), of(text()), any::<i32>());
    let what =
        (device, resource_request(), vec(parent, 0..3), of(any::<i64>()), of(ahead), vec(worker_standing(), 0..3));
    (who, what, any::<bool>(), any::<bool>()).prop_map(
        |(
            (job, name, owner, state, since, reason, priority),
            (device, resources, parents, not_before, ahead, workers),
            held,
            drained,
        )| Explanation {
            job,
            name,
            owner,
            state,
            since,
            reason,
            priority,
            device,
            resources,
            parents,
            not_before,
            held,
            drained,
            ahead,
            workers,
        },
    )
}

pub(super) fn event_view() -> impl Strategy<Value = EventView> {
    (any::<i64>(), any::<i64>(), of(job_id()), of(attempt_id()), text(), text())
        .prop_map(|(seq, at, job, attempt, kind, data)| EventView { seq, at, job, attempt, kind, data })
}

pub(super) fn device() -> impl Strategy<Value = Device> {
    prop_oneof![Just(Device::Cpu), any::<u32>().prop_map(Device::Cuda)]
}

pub(super) fn registration() -> impl Strategy<Value = Registration> {
    let info = (device(), text(), of(any::<u64>()), 1..=MAX_SHARE)
        .prop_map(|(device, name, memory_mib, share)| DeviceInfo { device, name, memory_mib, share });
    (text(), text(), "[a-z]{1,8}", vec(info, 1..3), labels())
        .prop_map(|(node, version, boot_id, devices, labels)| Registration { node, version, boot_id, devices, labels })
}

pub(super) fn registered() -> impl Strategy<Value = Registered> {
    (worker_id(), any::<u64>(), any::<u64>()).prop_map(|(worker, ttl_ms, heartbeat_ms)| Registered {
        worker,
        ttl_ms,
        heartbeat_ms,
    })
}

/// Worker's specs are checked for ranges, so these are of one valid job.
pub(super) fn assignment() -> impl Strategy<Value = Assignment> {
    let input =
        (of(job_id()), hash(), any::<u64>()).prop_map(|(job, sha256, bytes)| InputArtifact { job, sha256, bytes });
    let resume =
        (any::<u32>(), hash(), any::<u64>()).prop_map(|(epoch, sha256, bytes)| ResumePoint { epoch, sha256, bytes });
    let devices = (device(), vec(device(), 0..3), any::<u32>());
    (job_id(), attempt_id(), text(), devices, vec(input, 0..3), of(resume), of(time_limit())).prop_map(
        |(job, attempt, name, (device, more_devices, parts), inputs, resume, time_limit)| Assignment {
            job,
            attempt,
            name,
            device,
            more_devices,
            parts,
            spec: one_job_plan().jobs.remove(0).spec,
            inputs,
            resume,
            time_limit,
        },
    )
}

pub(super) fn held_attempt() -> impl Strategy<Value = HeldAttempt> {
    (attempt_id(), of(progress())).prop_map(|(attempt, progress)| HeldAttempt { attempt, progress })
}

pub(super) fn heartbeat_reply() -> impl Strategy<Value = HeartbeatReply> {
    let instruction = select(vec![Instruction::Continue, Instruction::Stop, Instruction::Abandon]);
    (vec((attempt_id(), instruction), 0..4), of(worker_id()))
        .prop_map(|(instructions, known)| HeartbeatReply { instructions, known })
}

pub(super) fn settlement() -> impl Strategy<Value = (AttemptId, u64, AttemptEnd)> {
    let end = (select(AttemptOutcome::ALL.to_vec()), of(text()), of(any::<i32>()), of(any::<i32>()))
        .prop_map(|(outcome, message, exit_code, signal)| AttemptEnd { outcome, message, exit_code, signal });
    (attempt_id(), any::<u64>(), end)
}

/// A small valid plan.
pub(super) fn one_job_plan() -> Plan {
    Plan::from_toml(
        r#"
        name = "small"
        [[job]]
        name = "teacher"
        kind = "train"
        dataset = { name = "fashion-mnist" }
        arch = "dnn/4"
        method = { kind = "natural" }
        optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
        epochs = 2
        batch_size = 64
        seed = 0
        "#,
    )
    .unwrap()
}

/// Valid plans: what may vary without becoming invalid does.
fn plan() -> impl Strategy<Value = Plan> {
    let requests = select(vec![DeviceRequest::Any, DeviceRequest::Cpu, DeviceRequest::Cuda]);
    let control = (any::<bool>(), of(time_limit()));
    let job = ("[a-z][a-z0-9]{0,12}", any::<i32>(), any::<u32>(), requests, resource_request(), control);
    vec(job, 1..4).prop_map(|rows| {
        let spec = one_job_plan().jobs.remove(0).spec;
        let job = |(i, (name, priority, max_retries, device, request, (hold, time_limit)))| PlannedJob {
            name: format!("{name}[{i}]"),
            spec: spec.clone(),
            priority,
            max_retries,
            device,
            hold,
            time_limit,
            request,
        };
        Plan { name: "varied".to_owned(), jobs: rows.into_iter().enumerate().map(job).collect() }
    })
}

pub(super) fn submission() -> impl Strategy<Value = (RequestId, Plan, Source, Wishes)> {
    let source = (text(), text()).prop_map(|(client_version, host)| Source { client_version, host });
    let wishes = (select(vec![Reuse::Yes, Reuse::No]), select(vec![Strict::Yes, Strict::No]))
        .prop_map(|(reuse, strict)| Wishes { reuse, strict });
    (request_id(), plan(), source, wishes)
}

pub(super) fn submitted() -> impl Strategy<Value = Submitted> {
    let jobs = (vec((job_id(), text()), 0..3), vec(job_id(), 0..3));
    (submission_id(), jobs, any::<bool>(), vec(text(), 0..3)).prop_map(
        |(submission, (jobs, reused), already, warnings)| Submitted { submission, jobs, reused, already, warnings },
    )
}

pub(super) fn job_filter() -> impl Strategy<Value = JobFilter> {
    (vec(select(JobState::ALL.to_vec()), 0..3), of(submission_id()), of(job_id()), any::<u32>())
        .prop_map(|(states, submission, before, limit)| JobFilter { states, submission, before, limit })
}

pub(super) fn watch_item() -> impl Strategy<Value = WatchItem> {
    let progress = (job_id(), progress()).prop_map(|(job, progress)| WatchItem::Progress(job, progress));
    prop_oneof![event_view().prop_map(WatchItem::Event), progress]
}

pub(super) fn log_chunk() -> impl Strategy<Value = LogChunk> {
    (attempt_id(), any::<u64>(), vec(any::<u8>(), 0..16)).prop_map(|(attempt, offset, bytes)| LogChunk {
        attempt,
        offset,
        bytes: bytes.into(),
    })
}

pub(super) fn upload() -> impl Strategy<Value = Upload> {
    (attempt_id(), hash(), any::<u64>()).prop_map(|(attempt, sha256, bytes)| Upload { attempt, sha256, bytes })
}
