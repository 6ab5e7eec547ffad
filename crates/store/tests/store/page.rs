use rrm_spec::{AttemptOutcome, Device, JobChange, JobId, JobState, SubmissionId};
use rrm_store::{Edge, Outcomes, PlanFilter, Search};

use crate::bench::{Bench, CHAIN, plan, single, started};

const CPU: Device = Device::Cpu;

fn search(text: &str) -> Search {
    Search { text: text.to_owned(), states: Vec::new(), submission: None, before: None, limit: 100 }
}

#[tokio::test]
async fn plans_are_listed_newest_first_with_their_jobs_by_state() {
    let bench = Bench::new().await;
    bench.submit(&plan(CHAIN)).await.unwrap();
    bench.submit(&single("other")).await.unwrap();
    let plans = bench.store.plans(PlanFilter { before: None, limit: 10 }).await.unwrap();
    let told: Vec<_> = plans.iter().map(|plan| (plan.id.0, plan.name.as_str())).collect();
    assert_eq!(told, [(2, "other"), (1, "chain")]);
    assert_eq!(
        plans[1].jobs.iter().map(|(state, count)| (*state, *count)).collect::<Vec<_>>(),
        [("queued", 1), ("waiting", 2)]
    );
    let older = bench.store.plans(PlanFilter { before: Some(SubmissionId(2)), limit: 10 }).await.unwrap();
    assert_eq!(older, [bench.store.plan(SubmissionId(1)).await.unwrap()]);
    assert!(bench.store.plan(SubmissionId(3)).await.unwrap_err().to_string().contains("submission 3"));
}

#[tokio::test]
async fn edges_lead_from_a_job_to_what_it_needs_and_back() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let edge = |job: usize, parent: usize| Edge { job: ids[job], parent: ids[parent] };
    assert_eq!(bench.store.edges(&ids).await.unwrap(), [edge(1, 0), edge(2, 1)]);
    assert_eq!(bench.store.edges(&ids[2..]).await.unwrap(), [edge(2, 1)]);
    assert_eq!(bench.store.children(ids[0], 10).await.unwrap(), [ids[1]]);
    assert_eq!(bench.store.next_in_line(10).await.unwrap(), [ids[0]]);
}

#[tokio::test]
async fn held_jobs_are_not_next_in_line() {
    let bench = Bench::new().await;
    let jobs = [bench.submitted(&single("a")).await[0], bench.submitted(&single("b")).await[0]];
    assert_eq!(bench.store.next_in_line(10).await.unwrap(), jobs);
    bench.change(&jobs[..1], JobChange::Hold).await.unwrap();
    assert_eq!(bench.store.next_in_line(10).await.unwrap(), jobs[1..]);
}

#[tokio::test]
async fn the_last_plan_is_the_newest_of_its_owner_or_of_all() {
    let bench = Bench::new().await;
    assert_eq!(bench.store.last_plan(None).await.unwrap(), None);
    for (owner, name) in [("ada", "first"), ("ada", "second"), ("bob", "third")] {
        bench.submitted_by(owner, &single(name)).await;
    }
    let last = async |owner: Option<&str>| {
        let owner = owner.map(|name| name.parse().unwrap());
        let found = bench.store.last_plan(owner.as_ref()).await.unwrap();
        found.map(|plan| (plan.id.0, plan.name, plan.owner.to_string()))
    };
    assert_eq!(last(Some("ada")).await, Some((2, "second".into(), "ada".into())));
    assert_eq!(last(None).await, Some((3, "third".into(), "bob".into())));
    assert_eq!(last(Some("eve")).await, None);
}

#[tokio::test]
async fn a_search_takes_its_text_as_it_is_and_goes_on_where_it_stopped() {
    let bench = Bench::new().await;
    bench.submit(&plan(CHAIN)).await.unwrap();
    bench.submit(&single("100%")).await.unwrap();
    let found = |search: Search| {
        let store = bench.store.clone();
        async move { store.search(&search).await.unwrap() }
    };
    let ids = |jobs: &[JobId]| jobs.iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!(ids(&found(search("%")).await.jobs), [4], "no wild card");
    assert_eq!(ids(&found(search("TEACH")).await.jobs), [4, 1]);
    assert_eq!(ids(&found(search("fashion")).await.jobs), [4, 3, 2, 1]);
    let waiting = Search { states: vec![JobState::Waiting], ..search("chain") };
    assert_eq!(ids(&found(waiting).await.jobs), [3, 2]);
    let of_plan = Search { submission: Some(SubmissionId(2)), ..search("teacher") };
    assert_eq!(ids(&found(of_plan).await.jobs), [4]);
    let first = found(Search { limit: 2, ..search("fashion") }).await;
    assert_eq!((ids(&first.jobs), first.next), (vec![4, 3], Some(JobId(3))));
    let rest = found(Search { before: first.next, limit: 2, ..search("fashion") }).await;
    assert_eq!((ids(&rest.jobs), rest.next), (vec![2, 1], None));
}

#[tokio::test]
async fn ends_are_counted_once_however_often_they_are_asked_for() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&plan(CHAIN)).await.unwrap();
    let first = bench.start(worker).await.attempt;
    bench.report(first, 1, &[started(1)]).await.unwrap();
    let running = bench.store.count_outcomes(Outcomes::default()).await.unwrap();
    assert_eq!(running.counts(), []);
    bench.settle(first, 1, AttemptOutcome::Stopped).await.unwrap();
    let second = bench.start(worker).await;
    let stopped = bench.store.count_outcomes(running).await.unwrap();
    assert_eq!(stopped.counts(), [(AttemptOutcome::Stopped, 1)]);
    bench.finish(&second).await;
    let after = bench.store.count_outcomes(stopped).await.unwrap();
    let again = bench.store.count_outcomes(after.clone()).await.unwrap();
    for counts in [&after, &again, &bench.store.count_outcomes(Outcomes::default()).await.unwrap()] {
        let mut counts = counts.counts();
        counts.sort_by_key(|(outcome, _)| outcome.name());
        assert_eq!(counts, [(AttemptOutcome::Ok, 1), (AttemptOutcome::Stopped, 1)]);
    }
}

#[tokio::test]
async fn jobs_are_counted_by_state_and_files_by_bytes() {
    let bench = Bench::new().await;
    bench.submit(&plan(CHAIN)).await.unwrap();
    let counts = bench.store.jobs_by_state().await.unwrap();
    let some: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).copied().collect();
    assert_eq!(some, [(JobState::Waiting, 2), (JobState::Queued, 1)]);
    assert_eq!(counts.len(), JobState::ALL.len());
    let sizes = bench.store.file_sizes().unwrap();
    assert!(sizes.database + sizes.log > 50_000, "{sizes:?}");
}

#[tokio::test]
async fn a_jobs_events_are_told_from_the_others() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let worker = bench.worker("node", &[CPU]).await;
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let all = bench.store.events(0, None, 1000).await.unwrap();
    let of_job: Vec<_> = all.iter().filter(|event| event.job == Some(ids[0])).cloned().collect();
    assert_eq!(bench.store.job_events(ids[0], 0, 1000).await.unwrap(), of_job);
    assert_eq!(bench.store.newest_job_events(ids[0], 2).await.unwrap(), of_job[of_job.len() - 2..]);
    assert_eq!(bench.store.newest_events(3).await.unwrap(), all[all.len() - 3..]);
    assert_eq!(bench.store.newest_event().await.unwrap(), all.last().unwrap().seq);
    let states = bench.store.state_events(ids[0]).await.unwrap();
    assert_eq!(states, of_job.into_iter().filter(|event| event.kind == "job.state").collect::<Vec<_>>());
    assert_eq!(states.len(), 3, "queued, running, succeeded");
}
