//! Calls by which users steer jobs and workers.

use rrm_spec::{
    AfterPreemption, DrainHow, DrainTarget, DrainView, JobChange, JobId, JobSummary, RequestId, Retried, RetryWish,
};

use super::{Client, ORDINARY, unreadable};
use crate::{
    ApiError,
    convert::{OnWire, read_with},
    wire,
};

impl Client {
    /// Holds, releases or re-prioritises jobs, and answers with where they stand then.
    ///
    /// # Errors
    /// [`ApiError::Precondition`] where one is in a state in which it cannot be changed, [`ApiError::NotFound`] where one does not
    /// exist; then none is changed.
    pub async fn change(&self, ids: Vec<JobId>, change: JobChange) -> Result<Vec<JobSummary>, ApiError> {
        let message = (ids, change).to_wire();
        let wire::ChangeReply { jobs } = self
            .call(ORDINARY, message, |client, request| async move { client.control_stub().change(request).await })
            .await?;
        read_with(|reader| reader.list("jobs", jobs)).map_err(unreadable)
    }

    /// Tells running jobs to stop and be queued again, and answers with where they stand then. Repeated with the same request id
    /// it is done once.
    ///
    /// # Errors
    /// [`ApiError::Precondition`] where one has ended or is being cancelled, [`ApiError::NotFound`] where one does not exist; then
    /// none is told.
    pub async fn preempt(
        &self,
        request: RequestId,
        ids: Vec<JobId>,
        then: AfterPreemption,
    ) -> Result<Vec<JobSummary>, ApiError> {
        let message = (request, ids, then).to_wire();
        let wire::PreemptReply { jobs } = self
            .call(ORDINARY, message, |client, request| async move { client.control_stub().preempt(request).await })
            .await?;
        read_with(|reader| reader.list("jobs", jobs)).map_err(unreadable)
    }

    /// Makes a new job for each that ended without success. Repeated with the same request id it is done once.
    ///
    /// # Errors
    /// [`ApiError::Precondition`] where one did not end so, was retried already, or needs one that did; [`ApiError::NotFound`]
    /// where one does not exist; [`ApiError::Conflict`] where the request id was used for something else. Then none is made.
    pub async fn retry(&self, request: RequestId, ids: Vec<JobId>, wish: RetryWish) -> Result<Vec<Retried>, ApiError> {
        let message = (request, ids, wish).to_wire();
        let wire::RetryReply { jobs } = self
            .call(ORDINARY, message, |client, request| async move { client.control_stub().retry(request).await })
            .await?;
        read_with(|reader| reader.list("jobs", jobs)).map_err(unreadable)
    }

    /// Gives somebody no new work; answers with the jobs that give way.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for a worker or a machine that never registered.
    pub async fn drain(&self, target: DrainTarget, how: DrainHow) -> Result<Vec<JobId>, ApiError> {
        let message = wire::DrainRequest { target: Some(target.to_wire()), how: how.to_wire() };
        let wire::DrainReply { giving_way } = self
            .call(ORDINARY, message, |client, request| async move { client.control_stub().drain(request).await })
            .await?;
        read_with(|reader| reader.list("giving_way", giving_way)).map_err(unreadable)
    }

    /// Gives somebody new work again.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for a worker or a machine that never registered, [`ApiError::Precondition`] for a worker whose
    /// machine is drained.
    pub async fn undrain(&self, target: DrainTarget) -> Result<(), ApiError> {
        let message = wire::UndrainRequest { target: Some(target.to_wire()) };
        let wire::UndrainReply {} = self
            .call(ORDINARY, message, |client, request| async move { client.control_stub().undrain(request).await })
            .await?;
        Ok(())
    }

    /// Who gets no new work: the daemon first, then machines, then workers that are connected.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn drains(&self) -> Result<Vec<DrainView>, ApiError> {
        let message = wire::ListDrainsRequest {};
        let wire::ListDrainsReply { drains } = self
            .call(ORDINARY, message, |client, request| async move { client.control_stub().list_drains(request).await })
            .await?;
        read_with(|reader| reader.list("drains", drains)).map_err(unreadable)
    }
}
