//! What a daemon must be able to do, in domain types.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use rrm_spec::{
    AfterPreemption, ArtifactHash, Assignment, AttemptId, Device, DrainHow, DrainTarget, DrainView, Explanation, Grant,
    GrantView, HeartbeatReply, HeldAttempt, ImportedNetwork, JobChange, JobDetail, JobId, JobSummary, Plan, Record,
    Registration, RequestId, Retried, RetryWish, SubmissionId, TokenHash, WorkerId, WorkerView,
};

use crate::{
    About, ApiError, Artifact, AttemptEnd, Caller, Follow, ImagesFrom, ImagesPage, JobFilter, LastPlan, LogChunk,
    Registered, Replies, Source, Submitted, Upload, WatchItem, Wishes,
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
    /// A call was answered, or its stream began, after so long. `method` is such as `Jobs/Submit`, or `other` for whatever else was asked
    /// for.
    fn answered(&self, method: &'static str, took: Duration) {
        let _ = (method, took);
    }

    // Everyone.

    /// Whether calls can be answered now; asked without a token, so it tells no more.
    fn is_healthy(&self) -> impl Future<Output = bool> + Send;

    /// Whose this token is, if it was granted and is valid now. Takes as long whatever it is.
    fn caller(&self, token: TokenHash) -> Option<Caller>;

    /// Completes when a token for which [`caller`](Self::caller) has answered is no longer valid: streams end then. By default it is
    /// valid for ever.
    fn token_ended(&self, token: TokenHash) -> impl Future<Output = ()> + Send {
        let _ = token;
        std::future::pending()
    }

    /// What the daemon is, and what the caller is to it.
    fn about(&self, caller: Caller) -> answer!(About);

    // Administrators.

    /// Makes a token valid. The same grant may come again; [`ApiError::Conflict`] where the token stands for something else.
    fn add_token(&self, caller: Caller, grant: Grant) -> answer!(());

    /// What was granted and not revoked, oldest first.
    fn tokens(&self, caller: Caller) -> answer!(Vec<GrantView>);

    /// Takes a token back; [`ApiError::NotFound`] where there is none.
    fn revoke_token(&self, caller: Caller, token: TokenHash) -> answer!(());

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

    /// Holds, releases or re-prioritises jobs; the answer, in the order of the ids, is durable. [`ApiError::Precondition`] where one
    /// is in a state in which it cannot be changed, [`ApiError::NotFound`] where one does not exist; nothing is changed then.
    fn change(&self, caller: Caller, ids: Vec<JobId>, change: JobChange) -> answer!(Vec<JobSummary>);

    /// Tells running jobs to stop and be queued again, without blame; the answer, in the order of the ids, is durable. The same
    /// request is carried out once. [`ApiError::Precondition`] where one has ended or is being cancelled, [`ApiError::NotFound`]
    /// where one does not exist; nothing is changed then.
    fn preempt(
        &self,
        caller: Caller,
        request: RequestId,
        ids: Vec<JobId>,
        then: AfterPreemption,
    ) -> answer!(Vec<JobSummary>);

    /// Makes a new job for each that ended without success. The same request is carried out once. [`ApiError::Precondition`] where
    /// one did not end so, was retried already, or needs one that did, [`ApiError::NotFound`] where one does not exist; nothing is
    /// changed then.
    fn retry(&self, caller: Caller, request: RequestId, ids: Vec<JobId>, wish: RetryWish) -> answer!(Vec<Retried>);

    /// Gives somebody no new work until further notice, restarts included; answers with the jobs that were told to give way.
    /// [`ApiError::NotFound`] for a worker or a machine that never registered.
    fn drain(&self, caller: Caller, target: DrainTarget, how: DrainHow) -> answer!(Vec<JobId>);

    /// Gives somebody new work again. [`ApiError::Precondition`] for a worker whose machine is drained.
    fn undrain(&self, caller: Caller, target: DrainTarget) -> answer!(());

    /// Who gets no new work.
    fn drains(&self, caller: Caller) -> answer!(Vec<DrainView>);

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

    /// The newest plan that the caller's user has submitted; of a caller with the role [`Read`](crate::Role::Read) whose user has
    /// submitted none the newest of anybody. [`ApiError::NotFound`] where there is none.
    fn last_plan(&self, caller: Caller) -> answer!(LastPlan);

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
