//! Calls of users.

use rrm_spec::{
    AttemptId, Device, Explanation, JobDetail, JobId, JobSummary, Plan, RequestId, SubmissionId, WorkerView,
};
use tonic::Streaming;

use super::{
    Client, ORDINARY,
    follow::{Resumable, follow},
    unreadable,
};
use crate::{
    ApiError, Follow, ImagesFrom, ImagesPage, JobFilter, LastPlan, LogChunk, Replies, Source, Submitted, WatchItem,
    Wishes,
    convert::{OnWire, list, read, read_with},
    wire,
};

impl Client {
    /// Submits a plan: all jobs or none. Repeated with the same request id it is submitted once.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] with every fault, [`ApiError::NotFound`] for unknown `#ID`s, [`ApiError::Conflict`] where
    /// the request id was used for another plan.
    pub async fn submit(
        &self,
        request: RequestId,
        plan: Plan,
        source: Source,
        wishes: Wishes,
    ) -> Result<Submitted, ApiError> {
        let message = (request, plan, source, wishes).to_wire();
        let reply = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().submit(request).await })
            .await?;
        read(reply).map_err(unreadable)
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn list(&self, filter: JobFilter) -> Result<Vec<JobSummary>, ApiError> {
        let message = filter.to_wire();
        let wire::ListReply { jobs } = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().list(request).await })
            .await?;
        read_with(|reader| reader.list("jobs", jobs)).map_err(unreadable)
    }

    /// One job with all that is recorded of it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where there is none with that id.
    pub async fn job(&self, id: JobId) -> Result<JobDetail, ApiError> {
        let message = wire::GetRequest { id: id.to_wire() };
        let wire::GetReply { job } = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().get(request).await })
            .await?;
        read_with(|reader| reader.required("job", job)).map_err(unreadable)
    }

    /// Cancels jobs and answers with where they stand then; those that had ended stay as they are.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where one does not exist; then none is cancelled.
    pub async fn cancel(&self, ids: Vec<JobId>) -> Result<Vec<JobSummary>, ApiError> {
        let message = wire::CancelRequest { ids: list(ids) };
        let wire::CancelReply { jobs } = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().cancel(request).await })
            .await?;
        read_with(|reader| reader.list("jobs", jobs)).map_err(unreadable)
    }

    /// Events after `after_seq` and the progress of running jobs, as they come; of one plan where named.
    ///
    /// The stream goes on over lost connections, without a gap in the events, until the client's patience ends.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn watch(
        &self,
        after_seq: i64,
        submission: Option<SubmissionId>,
    ) -> Result<Replies<WatchItem>, ApiError> {
        follow(self.clone(), Watch { after_seq, submission }).await
    }

    /// The log of a job's attempt from `offset`; without an attempt that of the newest.
    ///
    /// The stream goes on over lost connections, without a gap.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where there is no such job or attempt.
    pub async fn logs(
        &self,
        job: JobId,
        attempt: Option<AttemptId>,
        offset: u64,
        until: Follow,
    ) -> Result<Replies<LogChunk>, ApiError> {
        follow(self.clone(), Logs { job, attempt, offset, follow: until }).await
    }

    /// All workers that ever registered.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn workers(&self) -> Result<Vec<WorkerView>, ApiError> {
        let message = wire::ListWorkersRequest {};
        let wire::ListWorkersReply { workers } = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().list_workers(request).await })
            .await?;
        read_with(|reader| reader.list("workers", workers)).map_err(unreadable)
    }

    /// The newest plan that the caller's user has submitted; of a caller with the role [`Read`](crate::Role::Read) whose user has
    /// submitted none the newest of anybody.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where there is none.
    pub async fn last_plan(&self) -> Result<LastPlan, ApiError> {
        let message = wire::LastPlanRequest {};
        let reply = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().last_plan(request).await })
            .await?;
        read(reply).map_err(unreadable)
    }

    /// Why a job does not run.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where there is none with that id.
    pub async fn explain(&self, job: JobId) -> Result<Explanation, ApiError> {
        let message = wire::ExplainRequest { job: job.to_wire() };
        let wire::ExplainReply { explanation } = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().explain(request).await })
            .await?;
        read_with(|reader| reader.required("explanation", explanation)).map_err(unreadable)
    }

    /// Gives a device that was taken out of service jobs again; answers whether it was out.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where no worker has ever registered it.
    pub async fn restore_device(&self, node: String, device: Device) -> Result<bool, ApiError> {
        let message = wire::RestoreDeviceRequest { node, device: device.to_string() };
        let wire::RestoreDeviceReply { was_out } = self
            .call(ORDINARY, message, |client, request| async move { client.jobs_stub().restore_device(request).await })
            .await?;
        Ok(was_out)
    }

    /// The outcomes of single images of a job's evaluations, radius by radius and in the order of the test set.
    ///
    /// The stream goes on over lost connections, without a gap.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where the job has no evaluation.
    pub async fn images(&self, job: JobId) -> Result<Replies<ImagesPage>, ApiError> {
        follow(self.clone(), Images { job, from: ImagesFrom::default() }).await
    }
}

#[derive(Clone)]
struct Images {
    job: JobId,
    from: ImagesFrom,
}

impl Resumable for Images {
    type Item = ImagesPage;

    async fn open(&self, client: &Client) -> Result<Streaming<wire::ImagesReply>, ApiError> {
        let ImagesFrom { evaluation, after } = self.from;
        let message = wire::ImagesRequest { job: self.job.to_wire(), evaluation, after };
        client.call(ORDINARY, message, |client, request| async move { client.jobs_stub().images(request).await }).await
    }

    fn advance(&mut self, page: &ImagesPage) {
        self.from = ImagesFrom { evaluation: page.evaluation, after: page.images.last().map(|last| last.image) };
    }
}

#[derive(Clone)]
struct Watch {
    after_seq: i64,
    submission: Option<SubmissionId>,
}

impl Resumable for Watch {
    type Item = WatchItem;

    async fn open(&self, client: &Client) -> Result<Streaming<wire::WatchReply>, ApiError> {
        let submission = self.submission.map(OnWire::to_wire);
        let message = wire::WatchRequest { after_seq: self.after_seq, submission };
        client.call(ORDINARY, message, |client, request| async move { client.jobs_stub().watch(request).await }).await
    }

    fn advance(&mut self, item: &WatchItem) {
        match item {
            WatchItem::Event(event) => self.after_seq = event.seq,
            WatchItem::Progress(..) => {}
        }
    }
}

#[derive(Clone)]
struct Logs {
    job: JobId,
    attempt: Option<AttemptId>,
    offset: u64,
    follow: Follow,
}

impl Resumable for Logs {
    type Item = LogChunk;

    async fn open(&self, client: &Client) -> Result<Streaming<wire::LogsReply>, ApiError> {
        let Self { job, attempt, offset, follow } = self.clone();
        let attempt = attempt.map(OnWire::to_wire);
        let message = wire::LogsRequest { job: job.to_wire(), attempt, offset, follow: follow.to_wire() };
        client.call(ORDINARY, message, |client, request| async move { client.jobs_stub().logs(request).await }).await
    }

    fn advance(&mut self, item: &LogChunk) {
        // What was begun is followed to its end, even if a newer attempt begins meanwhile.
        self.attempt = Some(item.attempt);
        self.offset = item.offset + item.bytes.len() as u64;
    }
}
