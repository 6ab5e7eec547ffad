//! What a daemon must be able to do, in domain types.

use std::future::Future;

use bytes::Bytes;
use rrm_spec::{
    ArtifactHash, Assignment, AttemptId, Device, Explanation, HeartbeatReply, HeldAttempt, ImportedNetwork, JobDetail,
    JobId, JobSummary, Plan, Record, Registration, RequestId, SubmissionId, WorkerId, WorkerView,
};

use crate::{
    ApiError, Artifact, AttemptEnd, Caller, Follow, ImagesFrom, ImagesPage, JobFilter, LogChunk, Registered, Replies,
    Source, Submitted, Upload, WatchItem, Wishes,
};

/// The answer to a call, later.
macro_rules! answer {
    ($answer:ty) => { impl Future<Output = Result<$answer, ApiError>> + Send };
}

/// The daemon's side of every call.
///
/// Before a method is called the token, the version and the token's role have been checked and the arguments are valid
/// values; implementors write plain `async fn`s. Every call may come twice, since clients repeat what was not answered.
pub trait Service: Send + Sync + 'static {
    // Users.

    /// Stores a plan: all jobs or none. The same request with the same plan is answered the same, with `already` set.
    fn submit(
        &self,
        caller: Caller,
        request: RequestId,
        plan: Plan,
        source: Source,
        wishes: Wishes,
    ) -> answer!(Submitted);

    /// Jobs, newest first.
    fn list(&self, caller: Caller, filter: JobFilter) -> answer!(Vec<JobSummary>);

    /// One job with all that is recorded of it.
    fn job(&self, caller: Caller, id: JobId) -> answer!(JobDetail);

    /// Cancels jobs; those that have ended stay as they are. The answer, in the order of the ids, is durable: none that had
    /// not succeeded will. [`ApiError::Precondition`] where all have succeeded or failed, [`ApiError::NotFound`] where one
    /// does not exist; nothing is cancelled then.
    fn cancel(&self, caller: Caller, ids: Vec<JobId>) -> answer!(Vec<JobSummary>);

    /// Events after `after_seq`, those to come included, and the progress of running jobs; of one plan where named.
    fn watch(&self, caller: Caller, after_seq: i64, submission: Option<SubmissionId>) -> answer!(Replies<WatchItem>);

    /// The log of a job's attempt, from `offset`; without an attempt that of the newest.
    fn logs(
        &self,
        caller: Caller,
        job: JobId,
        attempt: Option<AttemptId>,
        offset: u64,
        follow: Follow,
    ) -> answer!(Replies<LogChunk>);

    /// Workers, newest first: all that are connected, then of the others the newest of each node that has none connected.
    fn workers(&self, caller: Caller) -> answer!(Vec<WorkerView>);

    /// The outcomes of single images of a job's newest attempt that has any, radius by radius and in the order of the test set.
    /// [`ApiError::NotFound`] where there are none.
    fn images(&self, caller: Caller, job: JobId, from: ImagesFrom) -> answer!(Replies<ImagesPage>);

    /// Why a job does not run.
    fn explain(&self, caller: Caller, job: JobId) -> answer!(Explanation);

    /// Gives a device that was taken out of service jobs again; whether it was out. [`ApiError::NotFound`] where no worker has ever
    /// registered it.
    fn restore_device(&self, caller: Caller, node: String, device: Device) -> answer!(bool);

    /// Takes a network in that no job made. `body` ends as that of [`Self::upload`]. The same network under the same name may come
    /// again; [`ApiError::Conflict`] where another one has the name.
    fn import(&self, caller: Caller, import: ImportedNetwork, body: Replies<Bytes>) -> answer!(());

    /// The networks that were imported, by name.
    fn imports(&self, caller: Caller) -> answer!(Vec<ImportedNetwork>);

    // Users and workers.

    /// An artifact's bytes.
    fn download(&self, caller: Caller, sha256: ArtifactHash) -> answer!(Artifact);

    /// A download has shown that what is stored under this hash is something else: it is to be had anew. By default nothing
    /// is done.
    fn damaged(&self, sha256: ArtifactHash) -> impl Future<Output = ()> + Send {
        drop(sha256);
        std::future::ready(())
    }

    // Workers.

    /// A worker introduces itself; the same `boot_id` gets the same id.
    fn register(&self, caller: Caller, registration: Registration) -> answer!(Registered);

    /// Waits up to 30 s for jobs that fit the free devices; none = ask again. `held` are the attempts that the worker
    /// knows of: others that the daemon believes it to have are handed out again.
    fn lease(
        &self,
        caller: Caller,
        worker: WorkerId,
        request: RequestId,
        free: Vec<Device>,
        held: Vec<AttemptId>,
    ) -> answer!(Vec<Assignment>);

    /// A worker is alive and has these attempts.
    fn heartbeat(&self, caller: Caller, worker: WorkerId, held: Vec<HeldAttempt>) -> answer!(HeartbeatReply);

    /// Stores an attempt's records `first_seq..` (counted from 1) that are not stored yet and answers with the highest
    /// durable number; records beyond a gap are not stored.
    fn report(&self, caller: Caller, attempt: AttemptId, first_seq: u64, records: Vec<Record>) -> answer!(u64);

    /// Ends an attempt. [`ApiError::Conflict`] until its records up to `records_seq` (0 = it has none) are durable.
    fn settle(&self, caller: Caller, attempt: AttemptId, records_seq: u64, end: AttemptEnd) -> answer!(());

    /// Appends to an attempt's log and answers with its length; bytes before it are dropped, a gap is refused by the
    /// answer being less than `offset`.
    fn push_log(&self, caller: Caller, attempt: AttemptId, offset: u64, bytes: Bytes) -> answer!(u64);

    /// Whether the artifact store has it already.
    fn stored(&self, caller: Caller, sha256: ArtifactHash) -> answer!(bool);

    /// Takes an artifact in. `body` ends with an error unless exactly the announced bytes with the announced hash came:
    /// what came before is then to be thrown away.
    fn upload(&self, caller: Caller, upload: Upload, body: Replies<Bytes>) -> answer!(());

    /// A worker leaves; its attempts have been settled.
    fn deregister(&self, caller: Caller, worker: WorkerId) -> answer!(());
}
