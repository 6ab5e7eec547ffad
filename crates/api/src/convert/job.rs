//! Jobs.

use rrm_spec::{
    EvaluateSpec, ImagesSource, JobId, JobRef, JobSpec, ModelSource, SynthesizeSpec, TrainSpec, Validation,
};

use super::{OnWire, Reader, list, wire_enum};
use crate::wire;

wire_enum!(Precision { F32 => F32, Bf16 => Bf16 });

/// Reads the structure; ranges are checked by [`JobSpec::validate`] where the job is about to be run.
impl OnWire for JobSpec {
    type Wire = wire::JobSpec;

    fn to_wire(self) -> Self::Wire {
        let kind = match self {
            Self::Train(spec) => wire::job_spec::Kind::Train(spec.to_wire()),
            Self::Evaluate(spec) => wire::job_spec::Kind::Evaluate(spec.to_wire()),
            Self::Synthesize(spec) => wire::job_spec::Kind::Synthesize(spec.to_wire()),
        };
        wire::JobSpec { kind: Some(kind) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::JobSpec { kind } = wire;
        match kind {
            Some(wire::job_spec::Kind::Train(spec)) => TrainSpec::from_wire(spec, reader).map(Self::Train),
            Some(wire::job_spec::Kind::Evaluate(spec)) => EvaluateSpec::from_wire(spec, reader).map(Self::Evaluate),
            Some(wire::job_spec::Kind::Synthesize(spec)) => {
                SynthesizeSpec::from_wire(spec, reader).map(Self::Synthesize)
            }
            None => reader.at("kind").missing(),
        }
    }
}

impl OnWire for TrainSpec {
    type Wire = wire::TrainSpec;

    fn to_wire(self) -> Self::Wire {
        let Self {
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
        } = self;
        wire::TrainSpec {
            dataset: Some(dataset.to_wire()),
            augmentation: augmentation.to_wire(),
            normalization: normalization.map(OnWire::to_wire),
            arch: Some(arch.to_wire()),
            method: Some(method.to_wire()),
            optimizer: Some(optimizer.to_wire()),
            epochs: epochs.to_wire(),
            batch_size: batch_size.to_wire(),
            seed,
            validation: Some(validation.to_wire()),
            precision: Some(precision.to_wire()),
            temperature: Some(temperature),
            initial: initial.map(OnWire::to_wire),
            training_set: training_set.map(OnWire::to_wire),
            representation_width: representation_width.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::TrainSpec {
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
        } = wire;
        let dataset = reader.required("dataset", dataset);
        let training_set = reader.optional("training_set", training_set);
        let augmentation = reader.field("augmentation", augmentation);
        let normalization = reader.optional("normalization", normalization);
        let arch = reader.required("arch", arch);
        let representation_width = reader.optional("representation_width", representation_width);
        let initial = reader.optional("initial", initial);
        let method = reader.required("method", method);
        let optimizer = reader.required("optimizer", optimizer);
        let epochs = reader.field("epochs", epochs);
        let batch_size = reader.field("batch_size", batch_size);
        let precision = reader.optional("precision", precision);
        let validation = reader.required("validation", validation);
        Some(Self {
            dataset: dataset?,
            training_set: training_set?,
            augmentation: augmentation?,
            normalization: normalization?,
            arch: arch?,
            representation_width: representation_width?,
            initial: initial?,
            temperature: temperature.unwrap_or(1.0),
            method: method?,
            optimizer: optimizer?,
            epochs: epochs?,
            batch_size: batch_size?,
            precision: precision?.unwrap_or_default(),
            seed,
            validation: validation?,
        })
    }
}

impl OnWire for EvaluateSpec {
    type Wire = wire::EvaluateSpec;

    fn to_wire(self) -> Self::Wire {
        let Self {
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
        } = self;
        wire::EvaluateSpec {
            model: Some(model.to_wire()),
            dataset: Some(dataset.to_wire()),
            images: images.map(OnWire::to_wire),
            attack: Some(attack.to_wire()),
            batch_size: batch_size.to_wire(),
            seed,
            epsilons: list(epsilons),
            teacher: teacher.map(OnWire::to_wire),
            temperature,
            diagnostics: diagnostics.map(OnWire::to_wire),
            keep_images,
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::EvaluateSpec {
            model,
            dataset,
            images,
            attack,
            batch_size,
            seed,
            epsilons,
            teacher,
            temperature,
            diagnostics,
            keep_images,
        } = wire;
        let model = reader.required("model", model);
        let dataset = reader.required("dataset", dataset);
        let images = reader.optional("images", images);
        let attack = reader.required("attack", attack);
        let batch_size = reader.field("batch_size", batch_size);
        let epsilons = reader.list("epsilons", epsilons);
        let teacher = reader.optional("teacher", teacher);
        let diagnostics = reader.optional("diagnostics", diagnostics);
        Some(Self {
            model: model?,
            dataset: dataset?,
            images: images?,
            attack: attack?,
            epsilons: epsilons?,
            teacher: teacher?,
            temperature,
            diagnostics: diagnostics?,
            batch_size: batch_size?,
            seed,
            keep_images,
        })
    }
}

impl OnWire for SynthesizeSpec {
    type Wire = wire::SynthesizeSpec;

    fn to_wire(self) -> Self::Wire {
        let Self { model, dataset, steps, step_size, parts, batch_size, seed } = self;
        wire::SynthesizeSpec {
            model: Some(model.to_wire()),
            dataset: Some(dataset.to_wire()),
            steps: steps.to_wire(),
            step_size: step_size.to_wire(),
            parts: parts.to_wire(),
            batch_size: batch_size.to_wire(),
            seed,
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::SynthesizeSpec { model, dataset, steps, step_size, parts, batch_size, seed } = wire;
        let model = reader.required("model", model);
        let dataset = reader.required("dataset", dataset);
        let steps = reader.field("steps", steps);
        let step_size = reader.field("step_size", step_size);
        let parts = reader.field("parts", parts);
        let batch_size = reader.field("batch_size", batch_size);
        Some(Self {
            model: model?,
            dataset: dataset?,
            steps: steps?,
            step_size: step_size?,
            parts: parts?,
            batch_size: batch_size?,
            seed,
        })
    }
}

impl OnWire for ImagesSource {
    type Wire = wire::ImagesSource;

    fn to_wire(self) -> Self::Wire {
        use wire::images_source::Source;
        let source = match self {
            Self::Job(job) => Source::Job(job.to_wire()),
            // Plans are UTF-8 texts, so their paths are.
            Self::File(path) => Source::File(path.to_string_lossy().into_owned()),
        };
        wire::ImagesSource { source: Some(source) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::images_source::Source;
        let wire::ImagesSource { source } = wire;
        match source {
            Some(Source::Job(job)) => reader.field("job", job).map(Self::Job),
            Some(Source::File(path)) if path.is_empty() => reader.at("file").missing(),
            Some(Source::File(path)) => Some(Self::File(path.into())),
            None => reader.missing(),
        }
    }
}

impl OnWire for Validation {
    type Wire = wire::Validation;

    fn to_wire(self) -> Self::Wire {
        let Self { images, attack } = self;
        wire::Validation { images: images.map(OnWire::to_wire), attack: attack.map(OnWire::to_wire) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Validation { images, attack } = wire;
        let images = reader.optional("images", images);
        let attack = reader.optional("attack", attack);
        Some(Self { images: images?, attack: attack? })
    }
}

impl OnWire for ModelSource {
    type Wire = wire::ModelSource;

    fn to_wire(self) -> Self::Wire {
        use wire::model_source::Source;
        let source = match self {
            Self::Job(job) => Source::Job(job.to_wire()),
            // Plans are UTF-8 texts, so their paths are.
            Self::Checkpoint(path) => Source::Checkpoint(path.to_string_lossy().into_owned()),
            Self::Artifact(artifact) => Source::Artifact(artifact.to_wire()),
        };
        wire::ModelSource { source: Some(source) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::model_source::Source;
        let wire::ModelSource { source } = wire;
        match source {
            Some(Source::Job(job)) => reader.field("job", job).map(Self::Job),
            Some(Source::Checkpoint(path)) if path.is_empty() => reader.at("checkpoint").missing(),
            Some(Source::Checkpoint(path)) => Some(Self::Checkpoint(path.into())),
            Some(Source::Artifact(artifact)) => reader.field("artifact", artifact).map(Self::Artifact),
            None => reader.missing(),
        }
    }
}

impl OnWire for JobRef {
    type Wire = wire::JobRef;

    fn to_wire(self) -> Self::Wire {
        let job = match self {
            Self::Name(name) => wire::job_ref::Job::Name(name),
            Self::Id(id) => wire::job_ref::Job::Id(id.to_wire()),
        };
        wire::JobRef { job: Some(job) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::JobRef { job } = wire;
        match job {
            Some(wire::job_ref::Job::Name(name)) if name.is_empty() || name.starts_with('#') => {
                reader.refuse(name, "must be a job's name")
            }
            Some(wire::job_ref::Job::Name(name)) => Some(Self::Name(name)),
            Some(wire::job_ref::Job::Id(id)) => JobId::from_wire(id, reader).map(Self::Id),
            None => reader.missing(),
        }
    }
}
