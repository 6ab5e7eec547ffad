use rrm_spec::{JobRef, JobState, ModelSource};
use rrm_store::StoreError;

use crate::bench::{Bench, CHAIN, plan, single};

#[tokio::test]
async fn a_plan_is_stored_whole_and_its_names_become_ids() {
    let bench = Bench::new().await;
    let submitted = bench.submit(&plan(CHAIN)).await.unwrap();
    let names: Vec<_> = submitted.jobs.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!((names, submitted.already), (vec!["teacher", "student", "attack"], false));
    let ids: Vec<_> = submitted.jobs.iter().map(|(id, _)| *id).collect();
    let student = bench.job(ids[1]).await;
    assert_eq!(student.spec.source(), Some(&ModelSource::Job(JobRef::Id(ids[0]))));
    assert_eq!(student.parents, [ids[0]]);
    assert_eq!(student.summary.reason.as_deref(), Some("waits for job 1"));
    let states = [bench.state(ids[0]).await, student.summary.state, bench.state(ids[2]).await];
    assert_eq!(states, [JobState::Queued, JobState::Waiting, JobState::Waiting]);
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer_and_one_effect() {
    let bench = Bench::new().await;
    let first = bench.submit_as("the-request", &plan(CHAIN)).await.unwrap();
    let again = bench.submit_as("the-request", &plan(CHAIN)).await.unwrap();
    assert!(again.already);
    assert_eq!((again.submission, again.jobs), (first.submission, first.jobs));
    assert_eq!(bench.event_kinds().await.iter().filter(|kind| *kind == "submission").count(), 1);
}

#[tokio::test]
async fn the_same_request_with_another_plan_is_a_conflict() {
    let bench = Bench::new().await;
    bench.submit_as("the-request", &plan(CHAIN)).await.unwrap();
    let refused = bench.submit_as("the-request", &single("other")).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_plan_with_one_bad_reference_leaves_nothing_behind() {
    let bench = Bench::new().await;
    let broken = CHAIN.replace("{ job = \"student\" }", "{ job = \"#77\" }");
    let refused = bench.submit(&plan(&broken)).await;
    assert!(matches!(&refused, Err(StoreError::NotFound { what }) if what.contains("77")), "{refused:?}");
    assert_eq!(bench.event_kinds().await, Vec::<String>::new());
    // The ids were not told to anybody, so they may be given out now.
    assert_eq!(bench.submitted(&single("next")).await[0].0, 1);
}

#[tokio::test]
async fn all_that_does_not_exist_is_listed_with_the_jobs_that_name_it() {
    let bench = Bench::new().await;
    let broken = CHAIN.replace("{ job = \"student\" }", "{ job = \"#77\" }");
    let jobs = broken.replace("{ job = \"teacher\" }", "{ job = \"#78\" }");
    let told = bench.submit(&plan(&jobs)).await.unwrap_err().to_string();
    assert_eq!(told, "job 78 (named by `student`), job 77 (named by `attack`) does not exist");
    let artifact = "{ artifact = \"nobody\" }";
    let networks = CHAIN.replace("{ job = \"student\" }", artifact).replace("{ job = \"teacher\" }", artifact);
    let told = bench.submit(&plan(&networks)).await.unwrap_err().to_string();
    let expected = "the network nobody (named by `student`), the network nobody (named by `attack`) does not exist";
    assert_eq!(told, expected);
}

#[tokio::test]
async fn every_unsuitable_parent_is_named_at_once() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let other = CHAIN
        .replace("{ job = \"teacher\" }", &format!("{{ job = \"#{}\" }}", ids[2]))
        .replace("{ job = \"student\" }", &format!("{{ job = \"#{}\" }}", ids[0]))
        .replace("dataset = { name = \"fashion-mnist\" }", "dataset = { name = \"cifar10\" }");
    let refused = bench.submit(&plan(&other)).await.unwrap_err().to_string();
    for part in ["job.student.method.teacher.job", "a train job", "job.attack.model.job", "same dataset"] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
}

#[tokio::test]
async fn a_parent_that_has_ended_without_success_is_refused() {
    let bench = Bench::new().await;
    let teacher = bench.submitted(&single("first")).await[0];
    bench.cancel(&[teacher]).await.unwrap();
    let later = CHAIN.replace("{ job = \"teacher\" }", &format!("{{ job = \"#{teacher}\" }}"));
    let refused = bench.submit(&plan(&later)).await;
    assert!(matches!(&refused, Err(StoreError::Precondition { what }) if what.contains("cancelled")), "{refused:?}");
}

#[tokio::test]
async fn a_job_whose_outer_parent_has_succeeded_is_queued_at_once() {
    let bench = Bench::new().await;
    let teacher = bench.submitted(&single("first")).await[0];
    let worker = bench.worker("node", &[rrm_spec::Device::Cpu]).await;
    let lease = bench.start(worker).await;
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    let mut later = plan(&CHAIN.replace("{ job = \"teacher\" }", &format!("{{ job = \"#{teacher}\" }}")));
    later.jobs.remove(0);
    let ids = bench.submitted(&later).await;
    assert_eq!([bench.state(ids[0]).await, bench.state(ids[1]).await], [JobState::Queued, JobState::Waiting]);
}

#[tokio::test]
async fn the_largest_plan_is_stored_in_one_go() {
    let bench = Bench::new().await;
    let mut large = single("large");
    let one = large.jobs[0].clone();
    large.jobs = (0..rrm_spec::MAX_JOBS_PER_PLAN)
        .map(|i| rrm_spec::PlannedJob { name: format!("job {i}"), ..one.clone() })
        .collect();
    assert_eq!(bench.submit(&large).await.unwrap().jobs.len(), rrm_spec::MAX_JOBS_PER_PLAN);
}
