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

    async fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<Assignment>, StoreError> {
        self.check_devices(tx).await?;
        let open = attempt::open_of(tx, self.worker).await?;
        let mut assignments = Vec::new();
        for attempt in open.iter().filter(|attempt| self.lacks(attempt)) {
            assignments.push(assignment(tx, attempt.id, attempt.job).await?);
        }
        if attempt::was_leased(tx, self.worker, &self.request).await? {
            return Ok(assignments);
        }
        if drain::withholds(&mut *tx.connection, self.worker).await? {
            return Ok(assignments);
        }
        let Some(node) = fleet::one(&mut *tx.connection, self.worker).await? else { return Ok(assignments) };
        let mut round = Round::new(tx.now, fleet::restricted(node, &self.free));
        if !round.has_room() {
            return Ok(assignments);
        }
        let mut queue = Queue::open(&mut *tx.connection, tx.now, &round).await?;
        while let Some((job, bookings)) = queue.next(&mut *tx.connection, &mut round).await? {
            let job = job::get(tx, job).await?;
            let attempt = self.start(tx, &job, &bookings).await?;
            assignments.push(assignment(tx, attempt, job.id).await?);
        }
        let place = |assignment: &Assignment| self.free.iter().position(|device| *device == assignment.device);
        assignments.sort_by_key(place);
        Ok(assignments)
    }
}

impl Lease {
    async fn check_devices(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let known = worker::devices(tx, self.worker).await?;
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

    async fn start(&self, tx: &mut Tx<'_>, job: &JobRow, bookings: &[Booking]) -> Result<AttemptId, StoreError> {
        let attempt = attempt::insert(tx, job.id, self.worker, bookings, &self.request).await?;
        job::take(tx, job, Step { attempt: Some(attempt), ..Step::new(Transition::Lease) }).await?;
        let of = Of { worker: Some(self.worker), ..job.event_of(attempt) };
        let devices: Vec<_> = bookings.iter().map(|booking| booking.device).collect();
        let mut data = json!({ "worker": self.worker, "device": devices.first() });
        if devices.len() > 1 {
            data["devices"] = json!(devices);
        }
        event::add(tx, "attempt.start", of, data).await?;
        Ok(attempt)
    }
}

async fn assignment(tx: &mut Tx<'_>, attempt: AttemptId, job: JobId) -> Result<Assignment, StoreError> {
    let JobRow { name, time_limit, .. } = job::get(tx, job).await?;
    let spec = job::spec_of(tx, job).await?;
    let inputs = inputs(tx, &spec).await?;
    let resume = checkpoint::resume_point(tx, job).await?;
    let Booked { device, more_devices, parts } = attempt::booked(tx, attempt).await?;
    Ok(Assignment { job, attempt, name, device, more_devices, parts, spec, inputs, resume, time_limit })
}

async fn inputs(tx: &mut Tx<'_>, spec: &JobSpec) -> Result<Vec<InputArtifact>, StoreError> {
    let mut inputs = Vec::new();
    for need in spec.needs() {
        let JobRef::Id(parent) = *need.job else { continue };
        if inputs.iter().all(|input: &InputArtifact| input.job != Some(parent)) {
            inputs.extend(checkpoint::final_of(tx, parent).await?);
        }
    }
    for (_, network) in spec.networks() {
        if let ModelSource::Artifact(artifact) = network
            && let Some(sha256) = artifact.sha256()
            && let Some(bytes) = import::bytes_of(tx, sha256).await?
        {
            inputs.push(InputArtifact { job: None, sha256: sha256.clone(), bytes });
        }
    }
    Ok(inputs)
}
