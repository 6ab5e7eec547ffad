//! The calls of users and workers.

use std::time::Duration;

use bytes::Bytes;
use rrm_api::{
    About, ApiError, Artifact, AttemptEnd, Caller, Follow, ImagesFrom, ImagesPage, JobFilter, LastPlan, LogChunk,
    Registered, Replies, Reuse, Role, Service, Source, Strict, Submitted, Upload, VERSION, WatchItem, Wishes,
};
use rrm_spec::{
    AfterPreemption, ArtifactHash, Assignment, AttemptId, Demand, Device, DrainHow, DrainTarget, DrainView,
    Explanation, Grant, GrantView, HeartbeatReply, HeldAttempt, ImportedNetwork, JobChange, JobDetail, JobId, JobState,
    JobSummary, Plan, PlannedJob, Record, Registration, RequestId, Retried, RetryWish, SubmissionId, TokenHash,
    Violations, WorkerId, WorkerView, label_faults,
};
use rrm_store::{
    Backoff, Cancel, Change, Departure, Drain, End, GivingWay, KeepArtifact, KeepImport, Preempt, Register, Report,
    RestoreDevice, Retry, Settle, Standing, Submit, SubmitWithin, Undrain,
};

use crate::Daemon;
use crate::access::by;
use crate::error::{answer, disk};
use crate::hand_out::Question;

/// Most jobs in one answer: the next page begins after the last of them.
const PAGE: u32 = 1000;

/// A database that does not answer within this time counts as away.
const HEALTHY_WITHIN: Duration = Duration::from_secs(1);

impl Service for Daemon {
    fn answered(&self, method: &'static str, took: Duration) {
        self.meters.answered(method, took);
    }

    async fn is_healthy(&self) -> bool {
        let answers = tokio::time::timeout(HEALTHY_WITHIN, self.store.answers());
        !self.stopping.is_cancelled() && answers.await.unwrap_or(false)
    }

    fn caller(&self, token: TokenHash) -> Option<Caller> {
        self.caller_of(token)
    }

    async fn token_ended(&self, token: TokenHash) {
        self.end_of(token).await;
    }

    async fn about(&self, caller: Caller) -> Result<About, ApiError> {
        self.describe(caller)
    }

    async fn add_token(&self, caller: Caller, grant: Grant) -> Result<(), ApiError> {
        self.grant(caller, grant).await
    }

    async fn tokens(&self, _: Caller) -> Result<Vec<GrantView>, ApiError> {
        self.granted().await
    }

    async fn revoke_token(&self, caller: Caller, token: TokenHash) -> Result<(), ApiError> {
        self.revoke(caller, token).await
    }

    async fn submit(
        &self,
        caller: Caller,
        request: RequestId,
        plan: Plan,
        source: Source,
        wishes: Wishes,
    ) -> Result<Submitted, ApiError> {
        let demands = distinct(plan.jobs.iter().map(PlannedJob::demand));
        let Source { client_version, host } = source;
        let reuse = match wishes.reuse {
            Reuse::Yes => rrm_store::Reuse::Yes,
            Reuse::No => rrm_store::Reuse::No,
        };
        let strict = match wishes.strict {
            Strict::Yes => rrm_store::Strict::Yes,
            Strict::No => rrm_store::Strict::No,
        };
        let owner = caller.user.clone();
        let submit = Submit { request, plan, client_version, host, reuse, owner, strict };
        let submit = SubmitWithin { submit: by(caller, submit), open_jobs: self.open_jobs };
        let done = self.store.write(self.wall_us(), submit).await.map_err(answer)?;
        tracing::info!(submission = %done.submission, jobs = done.jobs.len(), already = done.already, "submitted");
        let rrm_store::Submitted { submission, jobs, reused, outdated, already } = done;
        let mut warnings = if jobs.len() == reused.len() { Vec::new() } else { self.warnings(&demands).await? };
        warnings.extend((outdated > 0).then(|| done_anew(outdated)));
        Ok(Submitted { submission, jobs, reused, already, warnings })
    }

    async fn list(&self, _: Caller, filter: JobFilter) -> Result<Vec<JobSummary>, ApiError> {
        let JobFilter { states, submission, needs, before, limit } = filter;
        let limit = if limit == 0 { PAGE } else { limit.min(PAGE) };
        let filter = rrm_store::JobFilter { states, submission, needs, before, limit };
        let jobs = self.store.jobs(&filter).await.map_err(answer)?;
        Ok(jobs.into_iter().map(|job| self.with_progress(job)).collect())
    }

    async fn job(&self, _: Caller, id: JobId) -> Result<JobDetail, ApiError> {
        let detail = self.store.job(id).await.map_err(answer)?;
        Ok(JobDetail { summary: self.with_progress(detail.summary), ..detail })
    }

    async fn cancel(&self, caller: Caller, ids: Vec<JobId>) -> Result<Vec<JobSummary>, ApiError> {
        let cancel = by(caller, Cancel { jobs: ids.clone() });
        let running = self.store.write(self.wall_us(), cancel).await.map_err(answer)?;
        self.leases().cancel(&running);
        self.summaries(&ids).await
    }

    async fn change(&self, caller: Caller, ids: Vec<JobId>, change: JobChange) -> Result<Vec<JobSummary>, ApiError> {
        let change = by(caller, Change { jobs: ids.clone(), change });
        self.store.write(self.wall_us(), change).await.map_err(answer)?;
        self.summaries(&ids).await
    }

    async fn preempt(
        &self,
        caller: Caller,
        request: RequestId,
        ids: Vec<JobId>,
        then: AfterPreemption,
    ) -> Result<Vec<JobSummary>, ApiError> {
        let preempt = by(caller, Preempt { request, jobs: ids.clone(), then });
        self.give_way(&self.store.write(self.wall_us(), preempt).await.map_err(answer)?);
        self.summaries(&ids).await
    }

    async fn retry(
        &self,
        caller: Caller,
        request: RequestId,
        ids: Vec<JobId>,
        wish: RetryWish,
    ) -> Result<Vec<Retried>, ApiError> {
        let retry = by(caller, Retry { request, jobs: ids, wish });
        let retried = self.store.write(self.wall_us(), retry).await.map_err(answer)?;
        tracing::info!(jobs = retried.len(), "retried");
        Ok(retried)
    }

    async fn drain(&self, caller: Caller, target: DrainTarget, how: DrainHow) -> Result<Vec<JobId>, ApiError> {
        let drain = by(caller, Drain { target: target.clone(), how });
        let running = self.store.write(self.wall_us(), drain).await.map_err(answer)?;
        tracing::info!(%target, how = how.name(), giving_way = running.len(), "gets no new work");
        self.give_way(&running);
        Ok(running.into_iter().map(|it| it.job).collect())
    }

    async fn undrain(&self, caller: Caller, target: DrainTarget) -> Result<(), ApiError> {
        let undrain = by(caller, Undrain { target: target.clone() });
        self.store.write(self.wall_us(), undrain).await.map_err(answer)?;
        tracing::info!(%target, "gets new work again");
        Ok(())
    }

    async fn drains(&self, _: Caller) -> Result<Vec<DrainView>, ApiError> {
        self.store.drains().await.map_err(answer)
    }

    async fn watch(
        &self,
        _: Caller,
        after_seq: i64,
        submission: Option<SubmissionId>,
    ) -> Result<Replies<WatchItem>, ApiError> {
        self.watched(after_seq, submission).await
    }

    async fn logs(
        &self,
        _: Caller,
        job: JobId,
        attempt: Option<AttemptId>,
        offset: u64,
        follow: Follow,
    ) -> Result<Replies<LogChunk>, ApiError> {
        self.log(job, attempt, offset, follow).await
    }

    async fn workers(&self, _: Caller) -> Result<Vec<WorkerView>, ApiError> {
        let mut workers = self.store.workers().await.map_err(answer)?;
        let leases = self.leases();
        for worker in &mut workers {
            worker.last_seen_at = leases.last_seen(worker.id).unwrap_or(worker.last_seen_at);
        }
        Ok(workers)
    }

    async fn last_plan(&self, caller: Caller) -> Result<LastPlan, ApiError> {
        let own = self.store.last_plan(Some(&caller.user)).await.map_err(answer)?;
        let (last, whose) = match (own, caller.role) {
            // Whoever only reads has come to look at what others do.
            (None, Role::Read) => (self.store.last_plan(None).await.map_err(answer)?, "anybody"),
            (own, _) => (own, caller.user.as_str()),
        };
        let last = last.ok_or_else(|| ApiError::NotFound { what: format!("no plan of {whose}") })?;
        let rrm_store::LastPlan { id: submission, name, owner } = last;
        Ok(LastPlan { submission, name, owner })
    }

    async fn explain(&self, _: Caller, job: JobId) -> Result<Explanation, ApiError> {
        self.store.explain(job, self.wall_us()).await.map_err(answer)
    }

    async fn restore_device(&self, caller: Caller, node: String, device: Device) -> Result<bool, ApiError> {
        let restore = by(caller, RestoreDevice { node: node.clone(), device });
        let was_out = self.store.write(self.wall_us(), restore).await.map_err(answer)?;
        tracing::info!(node, %device, was_out, "restored");
        Ok(was_out)
    }

    async fn images(&self, _: Caller, job: JobId, from: ImagesFrom) -> Result<Replies<ImagesPage>, ApiError> {
        self.outcomes(job, from).await
    }

    async fn import(&self, caller: Caller, import: ImportedNetwork, body: Replies<Bytes>) -> Result<(), ApiError> {
        self.store.name_is_free_for(&import).await.map_err(answer)?;
        let file = KeepArtifact { sha256: import.sha256.clone(), bytes: import.bytes };
        self.artifacts.receive(&self.store, self.wall_us(), file, body).await?;
        tracing::info!(name = %import.name, sha256 = %import.sha256, arch = %import.network.arch, "imported");
        self.store.write(self.wall_us(), by(caller, KeepImport { import })).await.map_err(answer)
    }

    async fn imports(&self, _: Caller) -> Result<Vec<ImportedNetwork>, ApiError> {
        self.store.imports().await.map_err(answer)
    }

    async fn download(&self, _: Caller, sha256: ArtifactHash) -> Result<Artifact, ApiError> {
        let (file, bytes) = self.artifacts.open_file(&self.store, self.wall_us(), &sha256).await?;
        Ok(Artifact { bytes, content: Box::pin(file) })
    }

    async fn damaged(&self, sha256: ArtifactHash) {
        if let Err(error) = self.artifacts.lose(&self.store, self.wall_us(), vec![sha256]).await {
            tracing::error!(%error, "a damaged artifact is not forgotten");
        }
    }

    async fn register(&self, caller: Caller, registration: Registration) -> Result<Registered, ApiError> {
        check(&registration)?;
        let node = registration.node.clone();
        let worker = self.store.write(self.wall_us(), by(caller, Register { registration })).await.map_err(answer)?;
        self.leases().greet(self.now(), self.wall_us(), worker);
        tracing::info!(%worker, node, "the worker is there");
        let ms = |duration: Duration| duration.as_millis() as u64; // A TTL is at most an hour.
        Ok(Registered { worker, ttl_ms: ms(self.terms.ttl()), heartbeat_ms: ms(self.terms.heartbeat()) })
    }

    async fn lease(
        &self,
        caller: Caller,
        worker: WorkerId,
        request: RequestId,
        free: Vec<Device>,
        held: Vec<AttemptId>,
    ) -> Result<Vec<Assignment>, ApiError> {
        self.hand_out(Question { caller, worker, request, free, held }).await
    }

    async fn heartbeat(&self, _: Caller, worker: WorkerId, held: Vec<HeldAttempt>) -> Result<HeartbeatReply, ApiError> {
        self.meters.heartbeats.inc();
        // Memory alone: trainings outlive a full disk.
        let mut leases = self.leases();
        let reply = leases.beat(self.now(), self.wall_us(), worker, &held);
        for held in held {
            if let (Some(job), Some(progress)) = (leases.job_of(held.attempt), held.progress) {
                // Nobody may be watching.
                let _ = self.progress.send((job, progress));
            }
        }
        Ok(reply)
    }

    async fn report(
        &self,
        caller: Caller,
        attempt: AttemptId,
        first_seq: u64,
        records: Vec<Record>,
    ) -> Result<u64, ApiError> {
        self.store.write(self.wall_us(), by(caller, Report { attempt, first_seq, records })).await.map_err(answer)
    }

    async fn settle(
        &self,
        caller: Caller,
        attempt: AttemptId,
        records_seq: u64,
        end: AttemptEnd,
    ) -> Result<(), ApiError> {
        let AttemptEnd { outcome, message, exit_code, signal } = end;
        let end = End { outcome, message, exit_code, signal };
        // At most ten minutes.
        let backoff = Backoff { base_us: self.retry_backoff.as_micros() as i64, jitter: self.jitter() };
        let settle = Settle { attempt, records_seq, end, backoff };
        let state: JobState = self.store.write(self.wall_us(), by(caller, settle)).await.map_err(answer)?;
        tracing::info!(%attempt, outcome = outcome.name(), job_is = %state, "settled");
        self.leases().release(attempt);
        Ok(())
    }

    async fn push_log(&self, _: Caller, attempt: AttemptId, offset: u64, bytes: Bytes) -> Result<u64, ApiError> {
        // A late word of an attempt that has ended harms nobody: its log is its own.
        if self.leases().job_of(attempt).is_none() && self.standing(attempt).await? == Standing::Unknown {
            return Err(ApiError::NotFound { what: format!("attempt {attempt}") });
        }
        self.logs.push(attempt, offset, &bytes).await.map_err(|e| disk("the log cannot be written", &e))
    }

    async fn stored(&self, _: Caller, sha256: ArtifactHash) -> Result<bool, ApiError> {
        self.artifacts.offer(&self.store, self.wall_us(), &sha256).await
    }

    async fn upload(&self, _: Caller, upload: Upload, body: Replies<Bytes>) -> Result<(), ApiError> {
        match self.standing(upload.attempt).await? {
            Standing::Current => {
                let file = KeepArtifact { sha256: upload.sha256, bytes: upload.bytes };
                self.artifacts.receive(&self.store, self.wall_us(), file, body).await
            }
            Standing::Ended | Standing::Unknown => Err(ApiError::LeaseLost),
        }
    }

    async fn deregister(&self, caller: Caller, worker: WorkerId) -> Result<(), ApiError> {
        self.dismiss(vec![worker], Departure::GoodBye, Some(caller)).await
    }
}

impl Daemon {
    async fn summaries(&self, ids: &[JobId]) -> Result<Vec<JobSummary>, ApiError> {
        let jobs = self.store.jobs_by_id(ids).await.map_err(answer)?;
        Ok(jobs.into_iter().map(|job| self.with_progress(job)).collect())
    }

    /// Their workers hear of it with their next heartbeat.
    fn give_way(&self, jobs: &[GivingWay]) {
        self.leases().preempt(jobs.iter().map(|it| it.attempt));
    }

    fn with_progress(&self, job: JobSummary) -> JobSummary {
        let progress = if job.state == JobState::Running { self.leases().progress(job.id) } else { None };
        JobSummary { progress, ..job }
    }

    async fn standing(&self, attempt: AttemptId) -> Result<Standing, ApiError> {
        self.store.standing(attempt).await.map_err(answer)
    }

    /// What may keep a plan waiting although it was accepted.
    async fn warnings(&self, demands: &[Demand]) -> Result<Vec<String>, ApiError> {
        if self.store.devices_online().await.map_err(answer)?.is_empty() {
            return Ok(vec!["no worker is connected: the jobs wait for one".to_owned()]);
        }
        let now = self.store.unmet_now(demands).await.map_err(answer)?;
        let ever = self.store.unmet(demands).await.map_err(answer)?;
        Ok(warnings(&now, &ever))
    }
}

/// Says why jobs are queued that seem to have been done.
fn done_anew(outdated: usize) -> String {
    let jobs = if outdated == 1 { "1 job is".to_owned() } else { format!("{outdated} jobs are") };
    format!(
        "{jobs} done anew that were done before, but by other code than the workers run now, of other images, on another device, \
         or what was made is gone"
    )
}

fn check(registration: &Registration) -> Result<(), ApiError> {
    if registration.version != VERSION {
        return Err(ApiError::Version { server: VERSION.to_owned(), client: registration.version.clone() });
    }
    Violations::check(label_faults("labels", &registration.labels))?;
    let devices: Vec<String> = registration.devices.iter().map(|info| info.device.to_string()).collect();
    let distinct: std::collections::HashSet<&String> = devices.iter().collect();
    match !devices.is_empty() && distinct.len() == devices.len() {
        true => Ok(()),
        false => Err(Violations::one("devices", devices.join(", "), "must be one or more, each once").into()),
    }
}

/// Each different demand once, in the order of their first.
fn distinct(demands: impl Iterator<Item = Demand>) -> Vec<Demand> {
    demands.fold(Vec::new(), |mut distinct, demand| {
        if !distinct.contains(&demand) {
            distinct.push(demand);
        }
        distinct
    })
}

/// Warnings of what no worker can meet that is connected, or that has ever been.
fn warnings(now: &[Demand], ever: &[Demand]) -> Vec<String> {
    let warning = |demand: &Demand| match ever.contains(demand) {
        true => format!("no registered worker could ever run jobs that ask for {demand}: they wait for another one"),
        false => format!("no connected worker could run jobs that ask for {demand}: they wait for one"),
    };
    now.iter().map(warning).collect()
}

#[cfg(test)]
mod tests {
    use rrm_spec::{DeviceRequest, ResourceRequest};

    use super::*;

    fn demand(device: DeviceRequest) -> Demand {
        Demand { device, resources: ResourceRequest::default() }
    }

    #[test]
    fn a_plan_that_nobody_can_run_now_is_warned_of() {
        let (any, cuda) = (demand(DeviceRequest::Any), demand(DeviceRequest::Cuda));
        assert_eq!(warnings(&[], &[]), Vec::<String>::new());
        let lacking = warnings(&[any.clone(), cuda.clone()], std::slice::from_ref(&cuda));
        assert!(lacking[0].starts_with("no connected worker") && lacking[0].contains("any device"), "{lacking:?}");
        assert!(lacking[1].starts_with("no registered worker") && lacking[1].contains("CUDA"), "{lacking:?}");
    }

    #[test]
    fn equal_demands_are_looked_at_once() {
        let (any, cuda) = (demand(DeviceRequest::Any), demand(DeviceRequest::Cuda));
        assert_eq!(distinct([any.clone(), cuda.clone(), any.clone()].into_iter()), [any, cuda]);
    }
}
