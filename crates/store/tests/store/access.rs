use rrm_spec::{
    AfterPreemption, Dependents, Grant, JobChange, JobId, JobState, Plan, RetryBegin, RetryWish, Role, TokenHash,
    UserName,
};
use rrm_store::{
    AddToken, By, Cancel, Change, OpenJobs, Preempt, Retry, Reuse, RevokeToken, StoreError, Strict, Submit,
    SubmitWithin, Submitted, Write,
};

use crate::bench::{Bench, CHAIN, plan, single};
use crate::view::column;

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

fn grant(byte: u8, name: &str, role: Role) -> Grant {
    Grant { sha256: TokenHash::new([byte; 32]), user: user(name), role, expires_at: Some(7) }
}

fn by<W>(name: &str, write: W) -> By<W> {
    By { user: user(name), role: Role::Submit, write }
}

fn submission(request: &str, plan: Plan) -> Submit {
    let (client_version, host) = ("0.1.0".into(), "bench".into());
    Submit {
        request: request.parse().unwrap(),
        plan,
        client_version,
        host,
        reuse: Reuse::No,
        owner: UserName::lab(),
        strict: Strict::No,
    }
}

impl Bench {
    async fn submit_within(&self, most: u64, name: &str, submit: Submit) -> Result<Submitted, StoreError> {
        let open_jobs = OpenJobs { most: 6, most_per_user: most };
        let submit = Submit { owner: user(name), ..submit };
        self.write(SubmitWithin { submit: by(name, submit), open_jobs }).await
    }

    /// Somebody has done something.
    pub(crate) async fn revoked_a_token(&self) {
        let grant = grant(1, "ada", Role::Read);
        let sha256 = grant.sha256;
        self.write(by("eve", AddToken { grant })).await.unwrap();
        self.write(by("eve", RevokeToken { sha256 })).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_is_kept_over_a_restart_until_it_is_revoked() {
    let bench = Bench::new().await;
    let (ada, node) = (grant(1, "ada", Role::Submit), grant(2, "node", Role::Work));
    for grant in [&ada, &ada, &node] {
        bench.write(AddToken { grant: grant.clone() }).await.unwrap();
    }
    let bench = bench.reopened().await;
    let listed: Vec<Grant> = bench.store.tokens().await.unwrap().into_iter().map(|view| view.grant).collect();
    assert_eq!(listed, [ada.clone(), node.clone()]);
    let other = Grant { role: Role::Admin, ..ada.clone() };
    let refused = bench.write(AddToken { grant: other }).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    bench.write(RevokeToken { sha256: ada.sha256 }).await.unwrap();
    let unknown = bench.write(RevokeToken { sha256: ada.sha256 }).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })), "{unknown:?}");
    assert_eq!(bench.store.tokens().await.unwrap().len(), 1);
    assert_eq!(bench.event_kinds().await, ["token.add", "token.add", "token.revoke"]);
}

#[tokio::test]
async fn every_event_of_a_call_names_who_called_and_those_of_the_daemon_nobody() {
    let bench = Bench::new().await;
    bench.write(submission("request-0", single("before"))).await.unwrap();
    let submitted = bench.write(by("ada", submission("request-1", plan(CHAIN)))).await.unwrap();
    let jobs = submitted.jobs.iter().map(|(id, _)| *id).collect();
    bench.write(By { role: Role::Admin, ..by("bob", Cancel { jobs }) }).await.unwrap();
    let query = "select kind || ' ' || user || ' ' || role from audit order by seq";
    let ada = ["submission ada submit"].into_iter().chain(["job.state ada submit"; 3]);
    assert_eq!(column::<String>(&bench, query), ada.chain(["job.state bob admin"; 3]).collect::<Vec<_>>());
    assert_eq!(column::<String>(&bench, "select kind from event where user is null"), ["submission", "job.state"]);
}

#[tokio::test]
async fn a_plan_beyond_the_limit_is_refused_whole_with_limit_and_use() {
    let bench = Bench::new().await;
    let first = bench.submit_within(4, "ada", submission("request-1", plan(CHAIN))).await.unwrap();
    let refused = bench.submit_within(4, "ada", submission("request-2", plan(CHAIN))).await;
    let Err(StoreError::Limit { what }) = refused else { panic!("{refused:?}") };
    assert_eq!(what, "open jobs of ada: 6 with this plan, at most 4");
    assert_eq!(column::<String>(&bench, "select cast(count(*) as text) from job"), ["3"]);
    // Another user has room, up to what all may have together.
    bench.submit_within(4, "bob", submission("request-3", plan(CHAIN))).await.unwrap();
    let refused = bench.submit_within(4, "eve", submission("request-4", single("one"))).await;
    assert!(
        matches!(&refused, Err(StoreError::Limit { what }) if what == "open jobs: 7 with this plan, at most 6"),
        "{refused:?}"
    );
    // What was accepted is answered again, and what has ended makes room.
    assert!(bench.submit_within(1, "ada", submission("request-1", plan(CHAIN))).await.unwrap().already);
    let ids: Vec<_> = first.jobs.iter().map(|(id, _)| *id).collect();
    bench.write(Cancel { jobs: ids.clone() }).await.unwrap();
    assert_eq!(bench.job(ids[0]).await.summary.state, JobState::Cancelled);
    bench.submit_within(4, "ada", submission("request-5", plan(CHAIN))).await.unwrap();
}

const WITH_DEPENDENTS: RetryWish =
    RetryWish { begin: RetryBegin::Checkpoint, dependents: Dependents::Retry, time_limit: None };

/// Which change of two jobs a user without further rights is refused, and in which words.
async fn refusal<W: Write>(bench: &Bench, name: &str, write: W) -> String {
    match bench.write(by(name, write)).await {
        Err(StoreError::Forbidden { what }) => what,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{name} has changed what is somebody else's"),
    }
}

#[tokio::test]
async fn a_users_changes_of_others_jobs_are_refused_whole() {
    let bench = Bench::new().await;
    let own = bench.submitted_by("bob", &single("own")).await[0];
    let other = bench.submitted_by("ada", &single("other")).await[0];
    let events = bench.event_kinds().await;
    let (jobs, request) = (vec![own, other], || "bobs-request".parse().unwrap());
    let told = "job 2 `teacher` is ada's: only its owner or an administrator may change it";
    for change in [JobChange::Hold, JobChange::Release, JobChange::Priority(9)] {
        assert_eq!(refusal(&bench, "bob", Change { jobs: jobs.clone(), change }).await, told);
    }
    assert_eq!(refusal(&bench, "bob", Cancel { jobs: jobs.clone() }).await, told);
    let preempt = Preempt { request: request(), jobs: jobs.clone(), then: AfterPreemption::Hold };
    assert_eq!(refusal(&bench, "bob", preempt).await, told);
    let retry = Retry { request: request(), jobs: jobs.clone(), wish: WITH_DEPENDENTS };
    assert_eq!(refusal(&bench, "bob", retry).await, told);
    let told = refusal(&bench, "eve", Cancel { jobs }).await;
    assert_eq!(
        told,
        "job 1 `teacher` is bob's, job 2 `teacher` is ada's: only their owners or an administrator may change them"
    );
    assert_eq!(bench.event_kinds().await, events);
}

#[tokio::test]
async fn owners_administrators_and_the_daemon_may_change_a_job() {
    let bench = Bench::new().await;
    let job = bench.submitted_by("ada", &single("a")).await[0];
    let hold = || Change { jobs: vec![job], change: JobChange::Hold };
    let release = || Change { jobs: vec![job], change: JobChange::Release };
    bench.write(by("ada", hold())).await.unwrap();
    bench.write(release()).await.unwrap();
    bench.write(By { role: Role::Admin, ..by("eve", hold()) }).await.unwrap();
    assert!(bench.job(job).await.summary.held);
}

#[tokio::test]
async fn jobs_that_do_not_exist_are_told_before_whose_the_others_are() {
    let bench = Bench::new().await;
    let other = bench.submitted_by("ada", &single("a")).await[0];
    let refused = bench.write(by("bob", Cancel { jobs: vec![other, JobId(99)] })).await;
    assert!(matches!(&refused, Err(StoreError::NotFound { what }) if what == "job 99"), "{refused:?}");
}

#[tokio::test]
async fn a_users_retry_leaves_others_dependants_skipped() {
    let bench = Bench::new().await;
    let teacher = bench.submitted_by("ada", &single("teacher")).await[0];
    let of_teacher = |plan_of: &str| plan(&CHAIN.replace("{ job = \"teacher\" }", plan_of));
    let reference = format!("{{ job = \"#{teacher}\" }}");
    let others = bench.submitted_by("bob", &of_teacher(&reference)).await;
    let own = bench.submitted_by("ada", &of_teacher(&reference)).await;
    bench.write(by("ada", Cancel { jobs: vec![teacher] })).await.unwrap();
    assert_eq!(bench.state(others[1]).await, JobState::Skipped);
    let request = "adas-request".parse().unwrap();
    let retry = Retry { request, jobs: vec![teacher], wish: WITH_DEPENDENTS };
    let retried = bench.write(by("ada", retry)).await.unwrap();
    let again: Vec<_> = retried.iter().map(|it| it.retry_of).collect();
    assert_eq!(again, [teacher, own[1], own[2]]);
    assert_eq!(bench.job(others[1]).await.summary.retried_as, None);
}
