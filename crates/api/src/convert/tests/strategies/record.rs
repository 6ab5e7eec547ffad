//! What trainers tell.

use super::*;

pub(in crate::convert::tests) fn progress() -> impl Strategy<Value = Progress> {
    (text(), any::<u64>(), any::<u64>(), number()).prop_map(|(phase, done, total, images_per_second)| Progress {
        phase,
        done,
        total,
        images_per_second,
    })
}

pub(in crate::convert::tests) fn run_started() -> impl Strategy<Value = RunStarted> {
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

pub(in crate::convert::tests) fn epoch_record() -> impl Strategy<Value = EpochRecord> {
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

pub(in crate::convert::tests) fn checkpoint_record() -> impl Strategy<Value = CheckpointRecord> {
    let roles = select(vec![CheckpointRole::Resume, CheckpointRole::Final]);
    (any::<u32>(), roles, text(), hash(), any::<u64>()).prop_map(|(epoch, role, path, sha256, bytes)| {
        CheckpointRecord { epoch, role, path: path.into(), sha256, bytes }
    })
}

pub(in crate::convert::tests) fn image_outcome() -> impl Strategy<Value = ImageOutcome> {
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

pub(in crate::convert::tests) fn evaluation_record() -> impl Strategy<Value = EvaluationRecord> {
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

pub(in crate::convert::tests) fn diagnostics_record() -> impl Strategy<Value = DiagnosticsRecord> {
    let number = ("[a-z0-9.-]{1,20}", number(), text());
    let number = number.prop_map(|(name, value, detail)| Diagnostic { name, value, detail });
    (hash(), threat(), any::<u64>(), vec(number, 0..4))
        .prop_map(|(weights, threat, elapsed_us, numbers)| DiagnosticsRecord { weights, threat, elapsed_us, numbers })
}

pub(in crate::convert::tests) fn audit() -> impl Strategy<Value = Audit> {
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

pub(in crate::convert::tests) fn images_page() -> impl Strategy<Value = ImagesPage> {
    (any::<u32>(), attack(), vec(image_outcome(), 0..4)).prop_map(|(evaluation, attack, images)| ImagesPage {
        evaluation,
        attack,
        images,
    })
}

pub(in crate::convert::tests) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        diagnostics_record().prop_map(Record::Diagnostics),
        run_started().prop_map(Record::Started),
        epoch_record().prop_map(Record::Epoch),
        checkpoint_record().prop_map(Record::Checkpoint),
        evaluation_record().prop_map(Record::Evaluation),
    ]
}
