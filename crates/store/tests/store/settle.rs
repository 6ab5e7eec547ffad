use rrm_spec::{
    AttackSpec, AttemptOutcome, CheckpointRole, Device, Diagnostic, DiagnosticsRecord, EvaluationRecord, JobSpec,
    JobState, Record,
};
use rrm_store::StoreError;

use crate::bench::{Bench, CHAIN, checkpoint, diagnostics, epoch, evaluation, plan, single, started};
use crate::view::{column, rows};

const CPU: Device = Device::Cpu;

#[tokio::test]
async fn a_success_releases_the_jobs_that_waited_for_it() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    for &id in &ids {
        let lease = bench.start(worker).await;
        assert_eq!(lease.job, id);
        assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    }
    assert_eq!(bench.lease(worker, &[CPU]).await, []);
    assert!(bench.job(ids[2]).await.summary.ended_at.is_some());
}

#[tokio::test]
async fn a_failure_skips_everything_that_hangs_on_it() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let lease = bench.start(worker).await;
    assert_eq!(bench.settle(lease.attempt, 0, AttemptOutcome::UserError).await.unwrap(), JobState::Failed);
    assert_eq!([bench.state(ids[1]).await, bench.state(ids[2]).await], [JobState::Skipped; 2]);
    let reason = bench.job(ids[2]).await.summary.reason.unwrap();
    assert!(reason.contains("student") && reason.contains("skipped"), "{reason}");
}

#[tokio::test]
async fn settling_twice_changes_nothing_and_otherwise_is_refused() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let before = bench.event_kinds().await.len();
    assert_eq!(bench.settle(lease.attempt, 9, AttemptOutcome::Ok).await.unwrap(), JobState::Succeeded);
    let other = bench.settle(lease.attempt, 9, AttemptOutcome::Crashed).await;
    assert!(matches!(other, Err(StoreError::LeaseLost { .. })), "{other:?}");
    assert_eq!(bench.event_kinds().await.len(), before);
}

#[tokio::test]
async fn settling_waits_for_the_records() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let attempt = bench.start(worker).await.attempt;
    bench.report(attempt, 1, &[started(1)]).await.unwrap();
    let early = bench.settle(attempt, 2, AttemptOutcome::Stopped).await;
    assert!(matches!(early, Err(StoreError::Conflict { .. })), "{early:?}");
    bench.report(attempt, 2, &[epoch(1)]).await.unwrap();
    assert_eq!(bench.settle(attempt, 2, AttemptOutcome::Stopped).await.unwrap(), JobState::Queued);
}

#[tokio::test]
async fn a_success_waits_for_its_weights() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let attempt = bench.start(worker).await.attempt;
    let last = checkpoint(attempt, 3, CheckpointRole::Final);
    bench.report(attempt, 1, &[started(1), epoch(1), epoch(2), epoch(3), last]).await.unwrap();
    let early = bench.settle(attempt, 5, AttemptOutcome::Ok).await;
    assert!(matches!(&early, Err(StoreError::Conflict { what }) if what.contains("uploaded")), "{early:?}");
}

#[tokio::test]
async fn a_success_without_results_is_none() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let attempt = bench.start(worker).await.attempt;
    bench.report(attempt, 1, &[started(1), epoch(1), epoch(2), epoch(3)]).await.unwrap();
    assert_eq!(bench.settle(attempt, 4, AttemptOutcome::Ok).await.unwrap(), JobState::Queued);
    let ended = bench.job(job).await.attempts.remove(0);
    assert_eq!(ended.outcome, Some(AttemptOutcome::WorkerError));
    assert!(ended.message.unwrap().contains("final checkpoint"));
}

#[tokio::test]
async fn an_evaluation_at_several_radii_needs_them_all_and_is_one_run() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let radii = CHAIN.replace(
        "iterations = 5, restarts = 2 }",
        "iterations = 5, restarts = 2 }\n    epsilons = [\"4/255\", \"8/255\"]",
    );
    let jobs = bench.submitted(&plan(&radii)).await;
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    }
    let lease = bench.start(worker).await;
    let JobSpec::Evaluate(spec) = &lease.spec else { panic!("{lease:?}") };
    let at = |attack: &AttackSpec| {
        Record::Evaluation(EvaluationRecord { attack: attack.clone(), ..evaluation(&lease.spec) })
    };
    let told: Vec<Record> = spec.attacks().iter().map(at).collect();
    bench.report(lease.attempt, 1, &[started(1), told[0].clone()]).await.unwrap();
    assert_ne!(bench.settle(lease.attempt, 2, AttemptOutcome::Ok).await.unwrap(), JobState::Succeeded);
    assert!(bench.job(jobs[2]).await.attempts.remove(0).message.unwrap().contains("each of its radii"));

    bench.skip_time(100_000_000);
    let lease = bench.start(worker).await;
    bench.report(lease.attempt, 1, &[started(1), told[0].clone(), told[1].clone()]).await.unwrap();
    assert_eq!(bench.settle(lease.attempt, 3, AttemptOutcome::Ok).await.unwrap(), JobState::Succeeded);
    let rows: Vec<(String, Option<String>)> = rows(&bench, "select name, epsilon from runs order by job_id");
    let last = Some("8/255".to_owned());
    assert_eq!(rows, [("teacher".into(), None), ("student".into(), last.clone()), ("attack".into(), last)]);
    let radii: i64 = column(&bench, "select count(*) from evaluations").remove(0);
    assert_eq!(radii, 2);
}

#[tokio::test]
async fn an_evaluation_that_was_to_be_diagnosed_needs_its_diagnostics_once() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let text = CHAIN.replace("iterations = 5, restarts = 2 }", "iterations = 5, restarts = 2 }\n    diagnostics = 3");
    let jobs = bench.submitted(&plan(&text)).await;
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    }
    let lease = bench.start(worker).await;
    bench.report(lease.attempt, 1, &[started(1), Record::Evaluation(evaluation(&lease.spec))]).await.unwrap();
    assert_ne!(bench.settle(lease.attempt, 2, AttemptOutcome::Ok).await.unwrap(), JobState::Succeeded);
    assert!(bench.job(jobs[2]).await.attempts.remove(0).message.unwrap().contains("without its diagnostics"));

    bench.skip_time(100_000_000);
    let lease = bench.start(worker).await;
    let told = diagnostics();
    let again = DiagnosticsRecord { elapsed_us: 8, ..told.clone() };
    let twice = DiagnosticsRecord { numbers: [told.numbers.clone(), told.numbers.clone()].concat(), ..told.clone() };
    let unsound = DiagnosticsRecord { numbers: vec![Diagnostic::new("images", f64::INFINITY, "")], ..told.clone() };
    for refused in [twice, unsound] {
        let refused = bench.report(lease.attempt, 1, &[started(1), Record::Diagnostics(refused)]).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    }
    let records = [
        started(1),
        Record::Evaluation(evaluation(&lease.spec)),
        Record::Diagnostics(told.clone()),
        Record::Diagnostics(again),
    ];
    bench.report(lease.attempt, 1, &records).await.unwrap();
    assert_eq!(bench.settle(lease.attempt, 4, AttemptOutcome::Ok).await.unwrap(), JobState::Succeeded);
    assert_eq!(bench.job(jobs[2]).await.diagnostics, Some(told));
    assert!(bench.event_kinds().await.contains(&"error.diagnostics-differ".to_owned()));
    let rows: Vec<(String, String, String, f64)> =
        rows(&bench, "select model, epsilon, number, value from diagnostics order by position");
    let row = |number: &str, value| ("student".to_owned(), "8/255".to_owned(), number.to_owned(), value);
    assert_eq!(rows, [row("images", 3.0), row("ladder.x0.001.robust", 0.5)]);
}

#[tokio::test]
async fn an_evaluation_that_needs_a_teacher_waits_for_it_and_is_one_row_of_its_network_alone() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let text = CHAIN.replace("kind = \"apgd\"", "kind = \"adaptive\"");
    let jobs = bench.submitted(&plan(&text)).await;
    assert_eq!(bench.job(jobs[2]).await.parents, jobs[..2]);
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    }
    let lease = bench.start(worker).await;
    let mut inputs: Vec<_> = lease.inputs.iter().filter_map(|input| input.job).collect();
    inputs.sort_unstable();
    assert_eq!(inputs, jobs[..2]);
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    let runs: Vec<(String, Option<i64>)> = rows(&bench, "select name, evaluation_job_id from runs order by job_id");
    let evaluated = Some(jobs[2].0);
    assert_eq!(runs, [("teacher".into(), None), ("student".into(), evaluated), ("attack".into(), evaluated)]);
    let models: Vec<(i64, String)> = rows(&bench, "select model_job_id, model from evaluations");
    assert_eq!(models, [(jobs[1].0, "student".to_owned())]);
}

#[tokio::test]
async fn an_error_of_the_machine_is_tried_again_after_a_pause() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let attempt = bench.start(worker).await.attempt;
    assert_eq!(bench.settle(attempt, 0, AttemptOutcome::Oom).await.unwrap(), JobState::Queued);
    assert_eq!(bench.lease(worker, &[CPU]).await, []);
    bench.skip_time(10_000_000);
    let attempt = bench.start(worker).await.attempt;
    assert_eq!(bench.settle(attempt, 0, AttemptOutcome::WorkerError).await.unwrap(), JobState::Failed);
    let reason = bench.job(job).await.summary.reason.unwrap();
    assert!(reason.contains("worker-error"), "{reason}");
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_holds_no_job_back() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    bench.skip_time(86_400_000_000);
    let attempt = bench.start(worker).await.attempt;
    assert_eq!(bench.settle(attempt, 0, AttemptOutcome::Oom).await.unwrap(), JobState::Queued);
    bench.skip_time(-86_400_000_000);
    assert_eq!(bench.start(worker).await.job, job);
}

#[tokio::test]
async fn losses_are_counted_and_the_fifth_is_the_last() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    for _ in 0..5 {
        assert_eq!(bench.state(job).await, JobState::Queued);
        let attempt = bench.start(worker).await.attempt;
        assert_eq!(bench.expire(attempt).await, [attempt]);
        assert_eq!(bench.expire(attempt).await, []);
    }
    assert_eq!(bench.state(job).await, JobState::Failed);
}

#[tokio::test]
async fn a_stopped_trainer_is_nobodys_fault() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    for _ in 0..10 {
        let attempt = bench.start(worker).await.attempt;
        assert_eq!(bench.settle(attempt, 0, AttemptOutcome::Stopped).await.unwrap(), JobState::Queued);
    }
    assert_eq!(bench.job(job).await.summary.attempts, 10);
}

#[tokio::test]
async fn state_survives_closing_and_opening() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let lease = bench.start(worker).await;
    bench.report(lease.attempt, 1, &[started(1), epoch(1)]).await.unwrap();
    let bench = bench.reopened().await;
    assert_eq!(bench.state(ids[0]).await, JobState::Running);
    assert_eq!(bench.store.running().await.unwrap()[0].attempt, lease.attempt);
    assert_eq!(bench.report(lease.attempt, 3, &[epoch(2)]).await.unwrap(), 3);
}
