//! What users want of jobs and workers.

use rrm_spec::{
    AfterPreemption, Dependents, DrainTarget, DrainView, JobChange, JobId, RequestId, Retried, RetryBegin, RetryWish,
};

use super::{OnWire, Reader, list, wire_enum};
use crate::wire::{self, change_request::Change, drain_target::Target};

wire_enum!(DrainHow { Finish => Finish, Now => Now });

/// A change that may be missing.
impl OnWire for JobChange {
    type Wire = Option<Change>;

    fn to_wire(self) -> Self::Wire {
        Some(match self {
            Self::Hold => Change::Hold(wire::Hold {}),
            Self::Release => Change::Release(wire::Release {}),
            Self::Priority(priority) => Change::Priority(priority),
        })
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        match wire {
            Some(Change::Hold(wire::Hold {})) => Some(Self::Hold),
            Some(Change::Release(wire::Release {})) => Some(Self::Release),
            Some(Change::Priority(priority)) => Some(Self::Priority(priority)),
            None => reader.missing(),
        }
    }
}

impl OnWire for (Vec<JobId>, JobChange) {
    type Wire = wire::ChangeRequest;

    fn to_wire(self) -> Self::Wire {
        let (ids, change) = self;
        wire::ChangeRequest { ids: list(ids), change: change.to_wire() }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ChangeRequest { ids, change } = wire;
        let ids = reader.list("ids", ids);
        let change = reader.field("change", change);
        Some((ids?, change?))
    }
}

/// Whether they are held, too.
impl OnWire for AfterPreemption {
    type Wire = bool;

    fn to_wire(self) -> bool {
        match self {
            Self::Queue => false,
            Self::Hold => true,
        }
    }

    fn from_wire(wire: bool, _: &mut Reader<'_>) -> Option<Self> {
        Some(if wire { Self::Hold } else { Self::Queue })
    }
}

impl OnWire for (RequestId, Vec<JobId>, AfterPreemption) {
    type Wire = wire::PreemptRequest;

    fn to_wire(self) -> Self::Wire {
        let (request, ids, then) = self;
        wire::PreemptRequest { request_id: request.to_wire(), ids: list(ids), hold: then.to_wire() }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::PreemptRequest { request_id, ids, hold } = wire;
        let request = reader.field("request_id", request_id);
        let ids = reader.list("ids", ids);
        Some((request?, ids?, reader.field("hold", hold)?))
    }
}

/// Whether they begin at the beginning.
impl OnWire for RetryBegin {
    type Wire = bool;

    fn to_wire(self) -> bool {
        match self {
            Self::Checkpoint => false,
            Self::Scratch => true,
        }
    }

    fn from_wire(wire: bool, _: &mut Reader<'_>) -> Option<Self> {
        Some(if wire { Self::Scratch } else { Self::Checkpoint })
    }
}

/// Whether they are done again.
impl OnWire for Dependents {
    type Wire = bool;

    fn to_wire(self) -> bool {
        match self {
            Self::Leave => false,
            Self::Retry => true,
        }
    }

    fn from_wire(wire: bool, _: &mut Reader<'_>) -> Option<Self> {
        Some(if wire { Self::Retry } else { Self::Leave })
    }
}

impl OnWire for (RequestId, Vec<JobId>, RetryWish) {
    type Wire = wire::RetryRequest;

    fn to_wire(self) -> Self::Wire {
        let (request, ids, RetryWish { begin, dependents, time_limit }) = self;
        wire::RetryRequest {
            request_id: request.to_wire(),
            ids: list(ids),
            from_scratch: begin.to_wire(),
            with_dependents: dependents.to_wire(),
            time_limit_s: time_limit.map(OnWire::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::RetryRequest { request_id, ids, from_scratch, with_dependents, time_limit_s } = wire;
        let request = reader.field("request_id", request_id);
        let ids = reader.list("ids", ids);
        let begin = reader.field("from_scratch", from_scratch);
        let dependents = reader.field("with_dependents", with_dependents);
        let time_limit = reader.optional("time_limit_s", time_limit_s);
        let wish = RetryWish { begin: begin?, dependents: dependents?, time_limit: time_limit? };
        Some((request?, ids?, wish))
    }
}

impl OnWire for Retried {
    type Wire = wire::RetriedJob;

    fn to_wire(self) -> Self::Wire {
        let Self { job, retry_of, name, resumes_after } = self;
        wire::RetriedJob { job: job.to_wire(), retry_of: retry_of.to_wire(), name, resumes_after }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::RetriedJob { job, retry_of, name, resumes_after } = wire;
        let job = reader.field("job", job);
        let retry_of = reader.field("retry_of", retry_of);
        Some(Self { job: job?, retry_of: retry_of?, name, resumes_after })
    }
}

impl OnWire for DrainTarget {
    type Wire = wire::DrainTarget;

    fn to_wire(self) -> Self::Wire {
        let target = match self {
            Self::Daemon => Target::Daemon(wire::WholeDaemon {}),
            Self::Node(node) => Target::Node(node),
            Self::Worker(id) => Target::Worker(id.to_wire()),
        };
        wire::DrainTarget { target: Some(target) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::DrainTarget { target } = wire;
        match target {
            Some(Target::Daemon(wire::WholeDaemon {})) => Some(Self::Daemon),
            Some(Target::Node(node)) if node.is_empty() => reader.at("node").missing(),
            Some(Target::Node(node)) => Some(Self::Node(node)),
            Some(Target::Worker(id)) => reader.field("worker", id).map(Self::Worker),
            None => reader.missing(),
        }
    }
}

impl OnWire for DrainView {
    type Wire = wire::DrainView;

    fn to_wire(self) -> Self::Wire {
        let Self { target, how, since } = self;
        wire::DrainView { target: Some(target.to_wire()), how: how.to_wire(), since }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::DrainView { target, how, since } = wire;
        let target = reader.required("target", target);
        let how = reader.field("how", how);
        Some(Self { target: target?, how: how?, since })
    }
}
