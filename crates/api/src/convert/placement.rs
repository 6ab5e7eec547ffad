//! What jobs ask of machines, and why a job does not run.

use rrm_spec::{
    Ahead, AheadGroup, DeviceShare, DeviceStanding, Explanation, JobId, ParentView, ResourceRequest, Standing,
    WorkerStanding,
};

use super::{OnWire, Reader, list, wire_enum};
use crate::wire;

wire_enum!(DeviceRequest { Any => Any, Cpu => Cpu, Cuda => Cuda });
wire_enum!(AheadReason { Priority => Priority, Usage => Usage, Age => Age });

/// Ranges are checked with the plan's.
impl OnWire for ResourceRequest {
    type Wire = wire::ResourceRequest;

    fn to_wire(self) -> Self::Wire {
        let Self { devices, memory_gib, labels } = self;
        wire::ResourceRequest { devices: devices.as_f64(), memory_gib, labels: list(labels) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ResourceRequest { devices, memory_gib, labels } = wire;
        let devices = match DeviceShare::try_from(devices) {
            Ok(devices) => Some(devices),
            Err(allowed) => reader.at("devices").refuse(devices, &allowed),
        };
        let labels = reader.list("labels", labels);
        Some(Self { devices: devices?, memory_gib, labels: labels? })
    }
}

impl OnWire for Explanation {
    type Wire = wire::Explanation;

    fn to_wire(self) -> Self::Wire {
        let Self {
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
        } = self;
        wire::Explanation {
            job: job.to_wire(),
            name,
            owner: owner.to_wire(),
            state: state.to_wire(),
            since,
            reason,
            priority,
            device: device.to_wire(),
            resources: Some(resources.to_wire()),
            parents: list(parents),
            not_before,
            ahead: ahead.map(OnWire::to_wire),
            workers: list(workers),
            held,
            drained,
        }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Explanation {
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
            ahead,
            workers,
            held,
            drained,
        } = wire;
        let job = reader.field("job", job);
        let owner = reader.field("owner", owner);
        let state = reader.field("state", state);
        let device = reader.field("device", device);
        let resources = reader.required("resources", resources);
        let parents = reader.list("parents", parents);
        let ahead = reader.optional("ahead", ahead);
        let workers = reader.list("workers", workers);
        Some(Self {
            job: job?,
            name,
            owner: owner?,
            state: state?,
            since,
            reason,
            priority,
            device: device?,
            resources: resources?,
            parents: parents?,
            not_before,
            held,
            drained,
            ahead: ahead?,
            workers: workers?,
        })
    }
}

impl OnWire for ParentView {
    type Wire = wire::ParentView;

    fn to_wire(self) -> Self::Wire {
        let Self { id, name, state } = self;
        wire::ParentView { id: id.to_wire(), name, state: state.to_wire() }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::ParentView { id, name, state } = wire;
        let id = reader.field("id", id);
        let state = reader.field("state", state);
        Some(Self { id: id?, name, state: state? })
    }
}

impl OnWire for Ahead {
    type Wire = wire::Ahead;

    fn to_wire(self) -> Self::Wire {
        let Self { jobs, is_more, groups } = self;
        wire::Ahead { jobs, is_more, groups: list(groups) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Ahead { jobs, is_more, groups } = wire;
        Some(Self { jobs, is_more, groups: reader.list("groups", groups)? })
    }
}

impl OnWire for AheadGroup {
    type Wire = wire::AheadGroup;

    fn to_wire(self) -> Self::Wire {
        let Self { owner, why, jobs } = self;
        wire::AheadGroup { owner: owner.to_wire(), why: why.to_wire(), jobs }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AheadGroup { owner, why, jobs } = wire;
        let owner = reader.field("owner", owner);
        let why = reader.field("why", why);
        Some(Self { owner: owner?, why: why?, jobs })
    }
}

impl OnWire for WorkerStanding {
    type Wire = wire::WorkerStanding;

    fn to_wire(self) -> Self::Wire {
        let Self { worker, node, lacks_labels, fitting, wanted, drained, devices } = self;
        let (lacks_labels, devices) = (list(lacks_labels), list(devices));
        wire::WorkerStanding { worker: worker.to_wire(), node, lacks_labels, fitting, wanted, devices, drained }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::WorkerStanding { worker, node, lacks_labels, fitting, wanted, devices, drained } = wire;
        let worker = reader.field("worker", worker);
        let lacks_labels = reader.list("lacks_labels", lacks_labels);
        let devices = reader.list("devices", devices);
        Some(Self { worker: worker?, node, lacks_labels: lacks_labels?, fitting, wanted, drained, devices: devices? })
    }
}

impl OnWire for DeviceStanding {
    type Wire = wire::DeviceStanding;

    fn to_wire(self) -> Self::Wire {
        use wire::device_standing::Standing as Wire;
        let Self { device, standing } = self;
        let standing = match standing {
            Standing::Free => Wire::Free(wire::FreeDevice {}),
            Standing::OtherKind => Wire::OtherKind(wire::OtherKind {}),
            Standing::TooSmall { has_mib, needs_mib } => Wire::TooSmall(wire::TooSmall { has_mib, needs_mib }),
            Standing::OutOfService { since, reason } => Wire::OutOfService(wire::OutOfService { since, reason }),
            Standing::Busy { job, name, since, expected_end } => {
                Wire::Busy(wire::BusyDevice { job: job.to_wire(), name, since, expected_end })
            }
            Standing::Reserved { job } => Wire::Reserved(job.to_wire()),
        };
        wire::DeviceStanding { device, standing: Some(standing) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        use wire::device_standing::Standing as Wire;
        let wire::DeviceStanding { device, standing } = wire;
        let standing = match standing {
            Some(Wire::Free(wire::FreeDevice {})) => Standing::Free,
            Some(Wire::OtherKind(wire::OtherKind {})) => Standing::OtherKind,
            Some(Wire::TooSmall(wire::TooSmall { has_mib, needs_mib })) => Standing::TooSmall { has_mib, needs_mib },
            Some(Wire::OutOfService(wire::OutOfService { since, reason })) => Standing::OutOfService { since, reason },
            Some(Wire::Busy(wire::BusyDevice { job, name, since, expected_end })) => {
                Standing::Busy { job: reader.field("job", job)?, name, since, expected_end }
            }
            Some(Wire::Reserved(job)) => Standing::Reserved { job: reader.field::<JobId>("reserved", job)? },
            None => return reader.missing(),
        };
        Some(Self { device, standing })
    }
}
