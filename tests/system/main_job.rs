//! From a plan to a report.

use crate::{
    lab::{Lab, MAIN_JOB, text},
    process::eventually,
};

#[test]
fn a_plan_runs_from_submit_to_report() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let jobs = lab.submit(MAIN_JOB);
    assert_eq!(jobs.len(), 3);
    let waited = lab.rrm(&["wait", &jobs[2].to_string()]);
    assert_eq!(waited.status.code(), Some(0), "{}\n{}", text(&waited.stderr), lab.logs());

    let student = lab.job(jobs[1]);
    let epochs: Vec<_> = student["epochs"].as_array().unwrap().iter().map(|epoch| epoch["epoch"].as_i64()).collect();
    assert_eq!(epochs, [Some(1), Some(2), Some(3)]);
    let evaluation = &lab.job(jobs[2])["evaluations"][0];
    assert_eq!(evaluation["natural"]["total"], 24);
    assert_eq!(evaluation["robust"]["total"], 24);

    let report = lab.rrm(&["report", "last", "--format", "markdown"]);
    let report = text(&report.stdout);
    assert!(report.contains("teacher") && report.contains("student") && report.contains("RRM"), "{report}");
}

#[test]
fn a_worker_without_the_teacher_fetches_it_through_the_daemon() {
    let lab = Lab::open();
    let first = lab.start_worker("node-a");
    let jobs = lab.submit(MAIN_JOB);
    lab.success(jobs[0]);
    assert_eq!(first.terminate(), Some(0), "a drained worker exits cleanly\n{}", lab.logs());
    let _second = lab.start_worker("node-b");
    lab.success(jobs[2]);
    let nodes = lab.job(jobs[2]);
    assert_eq!(nodes["attempts"].as_array().unwrap().len(), 1, "{nodes:#}");
}

#[test]
fn a_cancelled_job_ends_as_cancelled_and_its_child_is_gone() {
    let lab = Lab::open();
    let worker = lab.start_worker("worker");
    let jobs = lab.submit(&MAIN_JOB.replace("epochs = 3", "epochs = 2000"));
    lab.until(jobs[0], &["running"]);
    let cancelled = lab.rrm(&["cancel", &jobs[0].to_string()]);
    assert_eq!(cancelled.status.code(), Some(0), "{}", text(&cancelled.stderr));
    assert_eq!(lab.until(jobs[0], &["cancelled", "succeeded", "failed"]), "cancelled");
    assert_eq!(lab.until(jobs[2], &["skipped"]), "skipped");
    assert_eq!(lab.rrm(&["wait", &jobs[0].to_string()]).status.code(), Some(4));
    eventually("the trainer is gone", || worker.children().is_empty().then_some(()));
}
