//! Calls of workers.

use std::time::Duration;

use bytes::Bytes;
use rrm_spec::{Assignment, AttemptId, Device, HeartbeatReply, HeldAttempt, Record, Registration, RequestId, WorkerId};

use super::{Client, ORDINARY, unreadable};
use crate::{
    ApiError, AttemptEnd, Registered,
    convert::{OnWire, list, read, read_with},
    wire,
};

/// A lease's answer may take 30 s by design.
const LONG_POLL: Duration = Duration::from_secs(45);

/// A heartbeat that is not answered soon is better sent anew.
const HEARTBEAT: Duration = Duration::from_secs(5);

impl Client {
    /// Introduces a worker; the same `boot_id` gets the same id.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn register(&self, registration: Registration) -> Result<Registered, ApiError> {
        let message = registration.to_wire();
        let reply = self
            .call(ORDINARY, message, |client, request| async move { client.workers_stub().register(request).await })
            .await?;
        read(reply).map_err(unreadable)
    }

    /// Waits up to 30 s for jobs that fit the free devices; none = ask again, with another request id.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where the daemon does not know the worker: register again.
    pub async fn lease(
        &self,
        worker: WorkerId,
        request: RequestId,
        free: Vec<Device>,
        held: Vec<AttemptId>,
    ) -> Result<Vec<Assignment>, ApiError> {
        let (free, held) = (list(free), list(held));
        let message = wire::LeaseRequest { worker: worker.to_wire(), request_id: request.to_wire(), free, held };
        let wire::LeaseReply { assignments } = self
            .call(LONG_POLL, message, |client, request| async move { client.workers_stub().lease(request).await })
            .await?;
        read_with(|reader| reader.list("assignments", assignments)).map_err(unreadable)
    }

    /// Tells that the worker is alive and has these attempts; learns what to do with them.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn heartbeat(&self, worker: WorkerId, held: Vec<HeldAttempt>) -> Result<HeartbeatReply, ApiError> {
        let message = wire::HeartbeatRequest { worker: worker.to_wire(), held: list(held) };
        let reply = self
            .call(HEARTBEAT, message, |client, request| async move { client.workers_stub().heartbeat(request).await })
            .await?;
        read(reply).map_err(unreadable)
    }

    /// Hands over records `first_seq..` (counted from 1); answers with the highest number that is durable.
    ///
    /// # Errors
    /// [`ApiError::LeaseLost`] where the attempt is no longer this worker's, [`ApiError::TooLarge`] where the records do not
    /// fit into one message.
    pub async fn report(&self, attempt: AttemptId, first_seq: u64, records: Vec<Record>) -> Result<u64, ApiError> {
        let message = wire::ReportRequest { attempt: attempt.to_wire(), first_seq, records: list(records) };
        let wire::ReportReply { durable_seq } = self
            .call(ORDINARY, message, |client, request| async move { client.workers_stub().report(request).await })
            .await?;
        Ok(durable_seq)
    }

    /// Ends an attempt that has `records_seq` records.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] until all its records are durable, [`ApiError::LeaseLost`] where it is no longer this
    /// worker's.
    pub async fn settle(&self, attempt: AttemptId, records_seq: u64, end: AttemptEnd) -> Result<(), ApiError> {
        let message = (attempt, records_seq, end).to_wire();
        let wire::SettleReply {} = self
            .call(ORDINARY, message, |client, request| async move { client.workers_stub().settle(request).await })
            .await?;
        Ok(())
    }

    /// Appends to an attempt's log, also after its end; answers with the position from which to go on.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where there is no such attempt.
    pub async fn push_log(&self, attempt: AttemptId, offset: u64, bytes: Bytes) -> Result<u64, ApiError> {
        let message = wire::PushLogRequest { attempt: attempt.to_wire(), offset, content: bytes };
        let wire::PushLogReply { next_offset } = self
            .call(ORDINARY, message, |client, request| async move { client.workers_stub().push_log(request).await })
            .await?;
        Ok(next_offset)
    }

    /// Leaves; all attempts have been settled.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn deregister(&self, worker: WorkerId) -> Result<(), ApiError> {
        let message = wire::DeregisterRequest { worker: worker.to_wire() };
        let wire::DeregisterReply {} = self
            .call(ORDINARY, message, |client, request| async move { client.workers_stub().deregister(request).await })
            .await?;
        Ok(())
    }
}
