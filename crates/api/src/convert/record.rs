//! What a trainer tells.

use rrm_spec::{
    Accuracy, Audit, CheckpointRecord, ClassAccuracy, ClosestPoint, EpochRecord, EvaluationRecord, ImageOutcome,
    Outcome, Progress, Record, RunStarted,
};

use super::{OnWire, Reader, list, wire_enum};
use crate::wire;

wire_enum!(CheckpointRole { Resume => Resume, Final => Final });

impl OnWire for Progress {
    type Wire = wire::Progress;

    fn to_wire(self) -> Self::Wire {
        let Self { phase, done, total, images_per_second } = self;
        wire::Progress { phase, done, total, images_per_second }
    }

    fn from_wire(wire: Self::Wire, _: &mut Reader<'_>) -> Option<Self> {
        let wire::Progress { phase, done, total, images_per_second } = wire;
        Some(Self { phase, done, total, images_per_second })
    }
}

impl OnWire for Record {
    type Wire = wire::Record;

    fn to_wire(self) -> Self::Wire {
        use wire::record::Record as Kind;
        let record = match self {
            Self::Started(record) => Kind::Started(record.to_wire()),
            Self::Epoch(record) => Kind::Epoch(record.to_wire()),
            Self::Checkpoint(record) => Kind::Checkpoint(record.to_wire()),
            Self::Evaluation(record) => Kind::Evaluation(record.to_wire()),
            Self::Diagnostics(record) => Kind::Diagnostics(record.to_wire()),
        };
        wire::Record { record: Some(record) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::record::Record as Kind;
        let wire::Record { record } = wire;
        match record {
            Some(Kind::Started(record)) => reader.field("started", record).map(Self::Started),
            Some(Kind::Epoch(record)) => reader.field("epoch", record).map(Self::Epoch),
            Some(Kind::Checkpoint(record)) => reader.field("checkpoint", record).map(Self::Checkpoint),
            Some(Kind::Evaluation(record)) => reader.field("evaluation", record).map(Self::Evaluation),
            Some(Kind::Diagnostics(record)) => reader.field("diagnostics", record).map(Self::Diagnostics),
            None => reader.missing(),
        }
    }
}

impl OnWire for RunStarted {
    type Wire = wire::RunStarted;

    fn to_wire(self) -> Self::Wire {
        let Self { device, threads, code_version, parameters, first_epoch, data_sha256, spec_sha256 } = self;
        let (data_sha256, spec_sha256) = (data_sha256.map(OnWire::to_wire), spec_sha256.map(OnWire::to_wire));
        wire::RunStarted { device, threads, code_version, parameters, first_epoch, data_sha256, spec_sha256 }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::RunStarted { device, threads, code_version, parameters, first_epoch, data_sha256, spec_sha256 } =
            wire;
        let data_sha256 = reader.optional("data_sha256", data_sha256);
        let spec_sha256 = reader.optional("spec_sha256", spec_sha256);
        Some(Self {
            device,
            threads,
            code_version,
            parameters,
            first_epoch,
            data_sha256: data_sha256?,
            spec_sha256: spec_sha256?,
        })
    }
}

impl OnWire for Accuracy {
    type Wire = wire::Accuracy;

    fn to_wire(self) -> Self::Wire {
        let Self { correct, total } = self;
        wire::Accuracy { correct, total }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Accuracy { correct, total } = wire;
        match correct <= total {
            true => Some(Self { correct, total }),
            false => reader.at("correct").refuse(correct, &format!("must be at most the total of {total}")),
        }
    }
}

impl OnWire for EpochRecord {
    type Wire = wire::EpochRecord;

    fn to_wire(self) -> Self::Wire {
        let Self { epoch, train_us, validation_us, images, learning_rate, loss, train, natural, robust } = self;
        wire::EpochRecord {
            epoch,
            train_us,
            validation_us,
            images,
            learning_rate,
            loss,
            train: Some(train.to_wire()),
            natural: Some(natural.to_wire()),
            robust: robust.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::EpochRecord { epoch, train_us, validation_us, images, learning_rate, loss, train, natural, robust } =
            wire;
        let train = reader.required("train", train);
        let natural = reader.required("natural", natural);
        let robust = reader.optional("robust", robust);
        Some(Self {
            epoch,
            train_us,
            validation_us,
            images,
            learning_rate,
            loss,
            train: train?,
            natural: natural?,
            robust: robust?,
        })
    }
}

impl OnWire for CheckpointRecord {
    type Wire = wire::CheckpointRecord;

    fn to_wire(self) -> Self::Wire {
        let Self { epoch, role, path, sha256, bytes } = self;
        // For display only: the bytes are found by their hash.
        let path = path.to_string_lossy().into_owned();
        wire::CheckpointRecord { epoch, role: role.to_wire(), path, sha256: sha256.to_wire(), bytes }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::CheckpointRecord { epoch, role, path, sha256, bytes } = wire;
        let role = reader.field("role", role);
        let sha256 = reader.field("sha256", sha256);
        Some(Self { epoch, role: role?, path: path.into(), sha256: sha256?, bytes })
    }
}

impl OnWire for EvaluationRecord {
    type Wire = wire::EvaluationRecord;

    fn to_wire(self) -> Self::Wire {
        let Self { attack, natural, robust, elapsed_us, weights, images, classes, audit } = self;
        wire::EvaluationRecord {
            attack: Some(attack.to_wire()),
            natural: Some(natural.to_wire()),
            robust: Some(robust.to_wire()),
            elapsed_us,
            weights: weights.to_wire(),
            images: list(images),
            classes: list(classes),
            audit: audit.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::EvaluationRecord { attack, natural, robust, elapsed_us, weights, images, classes, audit } = wire;
        let attack = reader.required("attack", attack);
        let natural = reader.required("natural", natural);
        let robust = reader.required("robust", robust);
        let weights = reader.field("weights", weights);
        let images = reader.list("images", images);
        let classes = reader.list("classes", classes);
        let audit = reader.optional("audit", audit);
        Some(Self {
            attack: attack?,
            natural: natural?,
            robust: robust?,
            elapsed_us,
            weights: weights?,
            images: images?,
            classes: classes?,
            audit: audit?,
        })
    }
}

impl OnWire for Audit {
    type Wire = wire::Audit;

    fn to_wire(self) -> Self::Wire {
        let Self { largest_change, outside_box, not_finite, recounted, rounded } = self;
        let (recounted, rounded) = (Some(recounted.to_wire()), Some(rounded.to_wire()));
        wire::Audit { largest_change, outside_box, not_finite, recounted, rounded }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Audit { largest_change, outside_box, not_finite, recounted, rounded } = wire;
        let recounted = reader.required("recounted", recounted);
        let rounded = reader.required("rounded", rounded);
        Some(Self { largest_change, outside_box, not_finite, recounted: recounted?, rounded: rounded? })
    }
}

impl OnWire for ClassAccuracy {
    type Wire = wire::ClassAccuracy;

    fn to_wire(self) -> Self::Wire {
        let Self { label, natural, robust } = self;
        wire::ClassAccuracy { label, natural: Some(natural.to_wire()), robust: Some(robust.to_wire()) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ClassAccuracy { label, natural, robust } = wire;
        let natural = reader.required("natural", natural);
        let robust = reader.required("robust", robust);
        Some(Self { label, natural: natural?, robust: robust? })
    }
}

impl OnWire for ImageOutcome {
    type Wire = wire::ImageOutcome;

    fn to_wire(self) -> Self::Wire {
        use wire::image_outcome::Outcome as Kind;
        let Self { image, label, prediction, outcome, closest } = self;
        let outcome = match outcome {
            Outcome::Misclassified => Kind::Misclassified(wire::Misclassified {}),
            Outcome::Broken { restart } => Kind::BrokenByRestart(restart),
            Outcome::Robust => Kind::Robust(wire::Robust {}),
        };
        let closest = closest.map(OnWire::to_wire);
        wire::ImageOutcome { image, label, prediction, outcome: Some(outcome), closest }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::image_outcome::Outcome as Kind;
        let wire::ImageOutcome { image, label, prediction, outcome, closest } = wire;
        let closest = reader.optional("closest", closest);
        let outcome = match outcome {
            Some(Kind::Misclassified(wire::Misclassified {})) => Outcome::Misclassified,
            Some(Kind::BrokenByRestart(restart)) => Outcome::Broken { restart },
            Some(Kind::Robust(wire::Robust {})) => Outcome::Robust,
            None => return reader.at("outcome").missing(),
        };
        Some(Self { image, label, prediction, outcome, closest: closest? })
    }
}

impl OnWire for ClosestPoint {
    type Wire = wire::ClosestPoint;

    fn to_wire(self) -> Self::Wire {
        let Self { part, iteration, loss, margin } = self;
        wire::ClosestPoint { part, iteration, loss, margin }
    }

    fn from_wire(wire: Self::Wire, _: &mut Reader<'_>) -> Option<Self> {
        let wire::ClosestPoint { part, iteration, loss, margin } = wire;
        Some(Self { part, iteration, loss, margin })
    }
}
