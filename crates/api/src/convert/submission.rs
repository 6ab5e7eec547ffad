//! Submissions, and how jobs are asked for.

use rrm_spec::{JobId, Plan, RequestId};

use super::{OnWire, Reader, list};
use crate::{JobFilter, LastPlan, Reuse, Source, Strict, Submitted, Wishes, wire};

impl OnWire for (RequestId, Plan, Source, Wishes) {
    type Wire = wire::SubmitRequest;

    fn to_wire(self) -> Self::Wire {
        let (request_id, plan, source, Wishes { reuse, strict }) = self;
        wire::SubmitRequest {
            request_id: request_id.to_wire(),
            plan: Some(plan.to_wire()),
            source: Some(source.to_wire()),
            reuse: reuse.to_wire(),
            strict: strict.to_wire(),
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::SubmitRequest { request_id, plan, source, reuse, strict } = wire;
        let request_id = reader.field("request_id", request_id);
        // The plan's own paths, without a prefix, are what its author knows.
        let plan = match plan {
            Some(plan) => Plan::from_wire(plan, reader),
            None => reader.at("plan").missing(),
        };
        let source = reader.required("source", source);
        let wishes = Wishes { reuse: Reuse::from_wire(reuse, reader)?, strict: Strict::from_wire(strict, reader)? };
        Some((request_id?, plan?, source?, wishes))
    }
}

impl OnWire for Source {
    type Wire = wire::Source;

    fn to_wire(self) -> Self::Wire {
        let Self { client_version, host } = self;
        wire::Source { client_version, host }
    }

    fn from_wire(wire: Self::Wire, _: &mut Reader<'_>) -> Option<Self> {
        let wire::Source { client_version, host } = wire;
        Some(Self { client_version, host })
    }
}

impl OnWire for Submitted {
    type Wire = wire::SubmitReply;

    fn to_wire(self) -> Self::Wire {
        let Self { submission, jobs, reused, already, warnings } = self;
        let (submission, jobs, reused) = (submission.to_wire(), list(jobs), list(reused));
        wire::SubmitReply { submission, jobs, reused, already, warnings }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::SubmitReply { submission, jobs, reused, already, warnings } = wire;
        let submission = reader.field("submission", submission);
        let jobs = reader.list("jobs", jobs);
        let reused = reader.list("reused", reused);
        Some(Self { submission: submission?, jobs: jobs?, reused: reused?, already, warnings })
    }
}

impl OnWire for LastPlan {
    type Wire = wire::LastPlanReply;

    fn to_wire(self) -> Self::Wire {
        let Self { submission, name, owner } = self;
        wire::LastPlanReply { submission: submission.to_wire(), name, owner: owner.to_wire() }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::LastPlanReply { submission, name, owner } = wire;
        let submission = reader.field("submission", submission);
        let owner = reader.field("owner", owner);
        Some(Self { submission: submission?, name, owner: owner? })
    }
}

impl OnWire for (JobId, String) {
    type Wire = wire::NamedJob;

    fn to_wire(self) -> Self::Wire {
        let (id, name) = self;
        wire::NamedJob { id: id.to_wire(), name }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::NamedJob { id, name } = wire;
        Some((reader.field("id", id)?, name))
    }
}

impl OnWire for JobFilter {
    type Wire = wire::ListRequest;

    fn to_wire(self) -> Self::Wire {
        let Self { states, submission, needs, before, limit } = self;
        wire::ListRequest {
            states: list(states),
            submission: submission.map(OnWire::to_wire),
            needs: needs.map(OnWire::to_wire),
            before: before.map(OnWire::to_wire),
            limit,
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ListRequest { states, submission, needs, before, limit } = wire;
        let states = reader.list("states", states);
        let submission = reader.optional("submission", submission);
        let needs = reader.optional("needs", needs);
        let before = reader.optional("before", before);
        Some(Self { states: states?, submission: submission?, needs: needs?, before: before?, limit })
    }
}
