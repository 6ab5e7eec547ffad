//! Handing out jobs.

use rrm_spec::{
    Assignment, AttemptId, Booking, Device, InputArtifact, JobId, JobRef, JobSpec, ModelSource, RequestId, Round,
    Transition, Violations, WorkerId,
};
use serde_json::json;

use crate::attempt::{AttemptRow, Booked};
use crate::event::Of;
use crate::job::{JobRow, Step};
use crate::queue::Queue;
use crate::{StoreError, Tx, Write, attempt, checkpoint, drain, event, fleet, import, job, worker};

/// Gives a worker's free devices the next jobs that fit them, as many as there are, unless the worker is drained.
///
/// Attempts that the worker should have but never heard of, since a reply was lost, are handed out again.
pub struct Lease {
    /// Who asks.
    pub worker: WorkerId,
    /// Chosen by the worker and kept when it asks again: a repeated request gets nothing new.
    pub request: RequestId,
    /// Devices on which nothing runs.
    pub free: Vec<Device>,
    /// Attempts that the worker knows of.
    pub held: Vec<AttemptId>,
}

impl Write for Lease {
    type Output = Vec<Assignment>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<Assignment>, StoreError> {
        self.check_devices(tx)?;
        let open = attempt::open_of(tx, self.worker)?;
        let mut assignments = Vec::new();
        for attempt in open.iter().filter(|attempt| self.lacks(attempt)) {
            assignments.push(assignment(tx, attempt.id, attempt.job)?);
        }
        if attempt::was_leased(tx, self.worker, &self.request)? {
            return Ok(assignments);
        }
        if drain::withholds(tx.connection, self.worker)? {
            return Ok(assignments);
        }
        let Some(node) = fleet::one(tx.connection, self.worker)? else { return Ok(assignments) };
        let mut round = Round::new(tx.now, fleet::restricted(node, &self.free));
        if !round.has_room() {
            return Ok(assignments);
        }
        let mut queue = Queue::open(tx.connection, tx.now, &round)?;
        while let Some((job, bookings)) = queue.next(tx.connection, &mut round)? {
            let job = job::get(tx, job)?;
            let attempt = self.start(tx, &job, &bookings)?;
            assignments.push(assignment(tx, attempt, job.id)?);
        }
        let place = |assignment: &Assignment| self.free.iter().position(|device| *device == assignment.device);
        assignments.sort_by_key(place);
        Ok(assignments)
    }
}

impl Lease {
    fn check_devices(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let known = worker::devices(tx, self.worker)?;
        let twice = |i: usize| self.free[..i].contains(&self.free[i]);
        match (0..self.free.len()).find(|&i| twice(i) || !known.contains(&self.free[i])) {
            None => Ok(()),
            Some(i) => Err(Violations::one(
                "free",
                self.free[i].to_string(),
                "must be devices that the worker has registered, each once",
            )
            .into()),
        }
    }

    /// Whether the worker seems never to have heard of the attempt. One with records it has had: a second trainer would
    /// number its own from 1 again, so that is left to run out.
    fn lacks(&self, attempt: &AttemptRow) -> bool {
        self.free.contains(&attempt.device) && !self.held.contains(&attempt.id) && attempt.last_seq == 0
    }

    fn start(&self, tx: &mut Tx<'_>, job: &JobRow, bookings: &[Booking]) -> Result<AttemptId, StoreError> {
        let attempt = attempt::insert(tx, job.id, self.worker, bookings, &self.request)?;
        job::take(tx, job, Step { attempt: Some(attempt), ..Step::new(Transition::Lease) })?;
        let of = Of { worker: Some(self.worker), ..job.event_of(attempt) };
        let devices: Vec<_> = bookings.iter().map(|booking| booking.device).collect();
        let mut data = json!({ "worker": self.worker, "device": devices.first() });
        if devices.len() > 1 {
            data["devices"] = json!(devices);
        }
        event::add(tx, "attempt.start", of, data)?;
        Ok(attempt)
    }
}

fn assignment(tx: &mut Tx<'_>, attempt: AttemptId, job: JobId) -> Result<Assignment, StoreError> {
    let JobRow { name, time_limit, .. } = job::get(tx, job)?;
    let spec = job::spec_of(tx, job)?;
    let inputs = inputs(tx, &spec)?;
    let resume = checkpoint::resume_point(tx, job)?;
    let Booked { device, more_devices, parts } = attempt::booked(tx, attempt)?;
    Ok(Assignment { job, attempt, name, device, more_devices, parts, spec, inputs, resume, time_limit })
}

fn inputs(tx: &mut Tx<'_>, spec: &JobSpec) -> Result<Vec<InputArtifact>, StoreError> {
    let mut inputs = Vec::new();
    for need in spec.needs() {
        let JobRef::Id(parent) = *need.job else { continue };
        if inputs.iter().all(|input: &InputArtifact| input.job != Some(parent)) {
            inputs.extend(checkpoint::final_of(tx, parent)?);
        }
    }
    for (_, network) in spec.networks() {
        if let ModelSource::Artifact(artifact) = network
            && let Some(sha256) = artifact.sha256()
            && let Some(bytes) = import::bytes_of(tx, sha256)?
        {
            inputs.push(InputArtifact { job: None, sha256: sha256.clone(), bytes });
        }
    }
    Ok(inputs)
}
