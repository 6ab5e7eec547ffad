//! What is read back of jobs and workers.

use rrm_spec::{AttemptView, DeviceView, EventView, JobDetail, JobSummary, OutOfService, UserName, WorkerView};

use super::{OnWire, Reader, list, wire_enum};
use crate::wire;

wire_enum!(JobState {
    Waiting => Waiting,
    Queued => Queued,
    Running => Running,
    Succeeded => Succeeded,
    Failed => Failed,
    Cancelled => Cancelled,
    Skipped => Skipped,
});
wire_enum!(JobKind { Train => Train, Evaluate => Evaluate, Synthesize => Synthesize });
wire_enum!(Stop { Cancel => Cancel, Preempt => Preempt, Timeout => Timeout });
wire_enum!(AttemptOutcome {
    Ok => Ok,
    UserError => UserError,
    Oom => Oom,
    Stopped => Stopped,
    Crashed => Crashed,
    Lost => Lost,
    WorkerError => WorkerError,
    Timeout => Timeout,
});

impl OnWire for JobSummary {
    type Wire = wire::JobSummary;

    fn to_wire(self) -> Self::Wire {
        let Self {
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
        } = self;
        wire::JobSummary {
            id: id.to_wire(),
            submission: submission.to_wire(),
            plan,
            owner: Some(owner.to_wire()),
            name,
            kind: kind.to_wire(),
            state: state.to_wire(),
            stop: stop.map(OnWire::to_wire),
            held,
            priority,
            time_limit_s: time_limit.map(OnWire::to_wire),
            retry_of: retry_of.map(OnWire::to_wire),
            retried_as: retried_as.map(OnWire::to_wire),
            attempts,
            epochs_done,
            epochs_total,
            progress: progress.map(OnWire::to_wire),
            reason,
            created_at,
            started_at,
            ended_at,
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::JobSummary {
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
            time_limit_s,
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
        } = wire;
        let id = reader.field("id", id);
        let submission = reader.field("submission", submission);
        let owner = reader.optional("owner", owner);
        let kind = reader.field("kind", kind);
        let state = reader.field("state", state);
        let stop = reader.optional("stop", stop);
        let time_limit = reader.optional("time_limit_s", time_limit_s);
        let retry_of = reader.optional("retry_of", retry_of);
        let retried_as = reader.optional("retried_as", retried_as);
        let progress = reader.optional("progress", progress);
        Some(Self {
            id: id?,
            submission: submission?,
            plan,
            owner: owner?.unwrap_or_else(UserName::lab),
            name,
            kind: kind?,
            state: state?,
            stop: stop?,
            held,
            priority,
            time_limit: time_limit?,
            retry_of: retry_of?,
            retried_as: retried_as?,
            attempts,
            epochs_done,
            epochs_total,
            progress: progress?,
            reason,
            created_at,
            started_at,
            ended_at,
        })
    }
}

/// Ranges of the spec are not checked: what was run once must stay readable after they change.
impl OnWire for JobDetail {
    type Wire = wire::JobDetail;

    fn to_wire(self) -> Self::Wire {
        let Self { summary, spec, parents, attempts, epochs, evaluations, diagnostics, checkpoints, content_key } =
            self;
        wire::JobDetail {
            summary: Some(summary.to_wire()),
            spec: Some(spec.to_wire()),
            parents: list(parents),
            attempts: list(attempts),
            epochs: list(epochs),
            evaluations: list(evaluations),
            checkpoints: list(checkpoints),
            diagnostics: diagnostics.map(OnWire::to_wire),
            content_key: content_key.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::JobDetail {
            summary,
            spec,
            parents,
            attempts,
            epochs,
            evaluations,
            checkpoints,
            diagnostics,
            content_key,
        } = wire;
        let summary = reader.required("summary", summary);
        let spec = reader.required("spec", spec);
        let parents = reader.list("parents", parents);
        let attempts = reader.list("attempts", attempts);
        let epochs = reader.list("epochs", epochs);
        let evaluations = reader.list("evaluations", evaluations);
        let checkpoints = reader.list("checkpoints", checkpoints);
        let diagnostics = reader.optional("diagnostics", diagnostics);
        let content_key = reader.optional("content_key", content_key);
        Some(Self {
            summary: summary?,
            spec: spec?,
            parents: parents?,
            attempts: attempts?,
            epochs: epochs?,
            evaluations: evaluations?,
            diagnostics: diagnostics?,
            checkpoints: checkpoints?,
            content_key: content_key?,
        })
    }
}

impl OnWire for AttemptView {
    type Wire = wire::AttemptView;

    fn to_wire(self) -> Self::Wire {
        let Self { id, worker, node, device, started_at, ended_at, outcome, message, run } = self;
        wire::AttemptView {
            id: id.to_wire(),
            worker: worker.to_wire(),
            node,
            device,
            started_at,
            ended_at,
            outcome: outcome.map(OnWire::to_wire),
            message,
            run: run.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AttemptView { id, worker, node, device, started_at, ended_at, outcome, message, run } = wire;
        let id = reader.field("id", id);
        let worker = reader.field("worker", worker);
        let outcome = reader.optional("outcome", outcome);
        let run = reader.optional("run", run);
        Some(Self {
            id: id?,
            worker: worker?,
            node,
            device,
            started_at,
            ended_at,
            outcome: outcome?,
            message,
            run: run?,
        })
    }
}

impl OnWire for WorkerView {
    type Wire = wire::WorkerView;

    fn to_wire(self) -> Self::Wire {
        let Self { id, node, version, online, last_seen_at, devices, labels } = self;
        let (devices, labels) = (list(devices), list(labels));
        wire::WorkerView { id: id.to_wire(), node, version, online, last_seen_at, devices, labels }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::WorkerView { id, node, version, online, last_seen_at, devices, labels } = wire;
        let id = reader.field("id", id);
        let devices = reader.list("devices", devices);
        let labels = reader.list("labels", labels);
        Some(Self { id: id?, node, version, online, last_seen_at, devices: devices?, labels: labels? })
    }
}

impl OnWire for DeviceView {
    type Wire = wire::DeviceView;

    fn to_wire(self) -> Self::Wire {
        let Self { device, job, more_jobs, name, memory_mib, share, out_of_service } = self;
        wire::DeviceView {
            device,
            job: job.map(OnWire::to_wire),
            more_jobs: list(more_jobs),
            name,
            memory_mib,
            share,
            out_of_service: out_of_service.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::DeviceView { device, job, more_jobs, name, memory_mib, share, out_of_service } = wire;
        let job = reader.optional("job", job);
        let more_jobs = reader.list("more_jobs", more_jobs);
        let out_of_service = reader.optional("out_of_service", out_of_service);
        Some(Self {
            device,
            job: job?,
            more_jobs: more_jobs?,
            name,
            memory_mib,
            share,
            out_of_service: out_of_service?,
        })
    }
}

impl OnWire for OutOfService {
    type Wire = wire::OutOfService;

    fn to_wire(self) -> Self::Wire {
        let Self { since, reason } = self;
        wire::OutOfService { since, reason }
    }

    fn from_wire(wire: Self::Wire, _: &mut Reader<'_>) -> Option<Self> {
        let wire::OutOfService { since, reason } = wire;
        Some(Self { since, reason })
    }
}

impl OnWire for EventView {
    type Wire = wire::EventView;

    fn to_wire(self) -> Self::Wire {
        let Self { seq, at, job, attempt, kind, data } = self;
        wire::EventView { seq, at, job: job.map(OnWire::to_wire), attempt: attempt.map(OnWire::to_wire), kind, data }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::EventView { seq, at, job, attempt, kind, data } = wire;
        let job = reader.optional("job", job);
        let attempt = reader.optional("attempt", attempt);
        Some(Self { seq, at, job: job?, attempt: attempt?, kind, data })
    }
}
