//! Plans.

use rrm_spec::{Plan, PlannedJob, Violations};

use super::{OnWire, Reader, list};
use crate::wire;

/// Faults are named by the paths that the plan's author knows, such as `job.student.method.lambda`.
impl OnWire for Plan {
    type Wire = wire::Plan;

    fn to_wire(self) -> Self::Wire {
        let Self { name, jobs } = self;
        wire::Plan { name, jobs: list(jobs) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Plan { name, jobs } = wire;
        let count = jobs.len();
        let jobs: Vec<PlannedJob> =
            jobs.into_iter().filter_map(|job| reader.field(&format!("job.{}", job.name), job)).collect();
        let complete = jobs.len() == count;
        let plan = Self { name, jobs };
        // Where a job could not be read, references to it would be false alarms.
        reader.adopt(if complete { plan.validate() } else { each_valid(&plan.jobs) });
        complete.then_some(plan)
    }
}

fn each_valid(jobs: &[PlannedJob]) -> Result<(), Violations> {
    let mut found = Vec::new();
    for job in jobs {
        Reader::new(&mut found).at(&format!("job.{}", job.name)).adopt(job.spec.validate());
    }
    Violations::check(found)
}

impl OnWire for PlannedJob {
    type Wire = wire::PlannedJob;

    fn to_wire(self) -> Self::Wire {
        let Self { name, spec, priority, max_retries, device, hold, time_limit, request } = self;
        let (spec, request) = (Some(spec.to_wire()), Some(request.to_wire()));
        let (device, time_limit_s) = (device.to_wire(), time_limit.map(OnWire::to_wire));
        wire::PlannedJob { name, spec, priority, max_retries, device, hold, time_limit_s, request }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::PlannedJob { name, spec, priority, max_retries, device, hold, time_limit_s, request } = wire;
        // The spec's fields stand beside the name in a plan, not below one of their own.
        let spec = reader.required("", spec);
        let device = reader.field("device", device);
        let time_limit = reader.optional("time_limit", time_limit_s);
        let request = reader.optional("request", request);
        let (spec, device, time_limit, request) = (spec?, device?, time_limit?, request?.unwrap_or_default());
        Some(Self { name, spec, priority, max_retries, device, hold, time_limit, request })
    }
}
