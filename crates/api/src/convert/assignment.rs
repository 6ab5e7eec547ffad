//! Jobs handed to workers.

use rrm_spec::{Assignment, InputArtifact, JobSpec, ResumePoint};

use super::{OnWire, Reader, list};
use crate::wire;

impl OnWire for Assignment {
    type Wire = wire::Assignment;

    fn to_wire(self) -> Self::Wire {
        let Self { job, attempt, name, device, more_devices, parts, spec, inputs, resume, time_limit } = self;
        wire::Assignment {
            job: job.to_wire(),
            attempt: attempt.to_wire(),
            name,
            device: Some(device.to_wire()),
            more_devices: list(more_devices),
            parts,
            spec: Some(spec.to_wire()),
            inputs: list(inputs),
            resume: resume.map(OnWire::to_wire),
            time_limit_s: time_limit.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Assignment { job, attempt, name, device, more_devices, parts, spec, inputs, resume, time_limit_s } =
            wire;
        let job = reader.field("job", job);
        let attempt = reader.field("attempt", attempt);
        let device = reader.required("device", device);
        let more_devices = reader.list("more_devices", more_devices);
        let spec: Option<JobSpec> = reader.required("spec", spec);
        if let Some(spec) = &spec {
            reader.at("spec").adopt(spec.validate());
        }
        let inputs = reader.list("inputs", inputs);
        let resume = reader.optional("resume", resume);
        let time_limit = reader.optional("time_limit_s", time_limit_s);
        Some(Self {
            job: job?,
            attempt: attempt?,
            name,
            device: device?,
            more_devices: more_devices?,
            parts,
            spec: spec?,
            inputs: inputs?,
            resume: resume?,
            time_limit: time_limit?,
        })
    }
}

impl OnWire for InputArtifact {
    type Wire = wire::InputArtifact;

    fn to_wire(self) -> Self::Wire {
        let Self { job, sha256, bytes } = self;
        wire::InputArtifact { job: job.map(OnWire::to_wire), sha256: sha256.to_wire(), bytes }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::InputArtifact { job, sha256, bytes } = wire;
        let job = reader.optional("job", job);
        let sha256 = reader.field("sha256", sha256);
        Some(Self { job: job?, sha256: sha256?, bytes })
    }
}

impl OnWire for ResumePoint {
    type Wire = wire::ResumePoint;

    fn to_wire(self) -> Self::Wire {
        let Self { epoch, sha256, bytes } = self;
        wire::ResumePoint { epoch, sha256: sha256.to_wire(), bytes }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ResumePoint { epoch, sha256, bytes } = wire;
        let sha256 = reader.field("sha256", sha256)?;
        Some(Self { epoch, sha256, bytes })
    }
}
