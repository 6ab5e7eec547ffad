//! What users want of jobs and workers that are under way, with real trainers.

use rrm_api::{AttemptEnd, VERSION};
use rrm_spec::{AttemptOutcome, Device, DeviceInfo, Registration};
use serde_json::Value;

use crate::{
    lab::{Lab, MAIN_JOB, text},
    process::eventually,
};

/// The teacher alone, with so many epochs and these fields beside them.
fn teacher(epochs: u32, fields: &str) -> String {
    let end = MAIN_JOB.match_indices("[[job]]").nth(1).expect("there are three jobs").0;
    MAIN_JOB[..end]
        .replace("epochs = 3", &format!("epochs = {epochs}"))
        .replace("kind = \"train\"", &format!("kind = \"train\"\n{fields}"))
}

/// More epochs than any test waits for.
const ENDLESS: u32 = 10_000;

fn numbers(list: &Value, field: &str) -> Vec<i64> {
    list.as_array().expect("a list").iter().map(|item| item[field].as_i64().expect("a number")).collect()
}

/// Waits until a checkpoint of the job is stored.
fn until_saved(lab: &Lab, id: i64) {
    eventually("a checkpoint is stored", || (!lab.job(id)["checkpoints"].as_array()?.is_empty()).then_some(()));
}

/// The first epoch of the job's newest attempt, once its trainer has begun.
fn first_epoch(lab: &Lab, id: i64, attempts: usize) -> i64 {
    eventually("the trainer has begun", || {
        let job = lab.job(id);
        let all = job["attempts"].as_array()?;
        (all.len() == attempts).then(|| all[attempts - 1]["run"]["first_epoch"].as_i64())?
    })
}

#[test]
fn a_held_job_waits_for_its_release_while_others_run() {
    let lab = Lab::open();
    let held = lab.json(&["submit", "--hold", &lab.plan(&teacher(2, ""))])["jobs"][0]["id"].as_i64().unwrap();
    let free = lab.submit(&teacher(2, "priority = -1").replace("seed = 1", "seed = 2"));
    let _worker = lab.start_worker("worker");
    lab.success(free[0]);
    let summary = lab.job(held)["summary"].clone();
    assert_eq!((&summary["state"], &summary["held"]), (&"queued".into(), &true.into()));
    assert!(text(&lab.rrm(&["list"]).stdout).contains("queued, held"));
    let refused = lab.rrm(&["hold", &free[0].to_string()]);
    assert_eq!(refused.status.code(), Some(8), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("is succeeded"), "{}", text(&refused.stderr));
    assert!(lab.rrm(&["release", &held.to_string()]).status.success());
    lab.success(held);
}

#[test]
fn a_drained_daemon_hands_out_nothing_over_a_restart_and_then_the_highest_priority_first() {
    let mut lab = Lab::open();
    let _worker = lab.start_worker("worker");
    assert!(lab.rrm(&["drain"]).status.success());
    let jobs = [lab.submit(&teacher(2, ""))[0], lab.submit(&teacher(2, "").replace("seed = 1", "seed = 2"))[0]];
    assert!(lab.rrm(&["priority", "5", &jobs[1].to_string()]).status.success());
    lab.daemon().terminate();
    lab.start_daemon();
    eventually("the worker is back", || {
        let listed = lab.try_json(&["worker", "list"])?;
        (listed["workers"][0]["online"] == true && listed["drains"][0]["target"] == "daemon").then_some(())
    });
    assert_eq!(lab.json(&["list"])["drained"], true);
    assert!(text(&lab.rrm(&["list"]).stderr).contains("rrm undrain"));
    assert!(jobs.iter().all(|job| lab.is_in(*job, &["queued"])));
    assert!(lab.rrm(&["undrain"]).status.success());
    jobs.iter().for_each(|job| lab.success(*job));
    let order = lab.column("select cast(job_id as text) from attempt order by attempt_id");
    assert_eq!(order, ["2", "1"]);
}

#[test]
fn a_job_that_runs_out_of_time_fails_and_its_retry_goes_on_from_its_checkpoint() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let job = lab.submit(&teacher(ENDLESS, "time_limit = \"30s\""))[0];
    assert_eq!(lab.until(job, &["failed", "succeeded"]), "failed");
    let ended = lab.job(job);
    assert_eq!(
        (&ended["attempts"][0]["outcome"], &ended["summary"]["stop"]),
        (&"timeout".into(), &"timeout".into()),
        "{ended:#}"
    );
    assert!(!ended["checkpoints"].as_array().unwrap().is_empty(), "{ended:#}");
    let refused = lab.rrm(&["release", "1"]);
    assert_eq!(refused.status.code(), Some(8));

    let retried = lab.json(&["retry", "@teacher", "--time-limit", "10m"])["retried"].clone();
    assert_eq!((numbers(&retried, "retry_of"), numbers(&retried, "job")), (vec![1], vec![2]));
    let resumes_after = retried[0]["resumes_after"].as_i64().unwrap();
    assert!(resumes_after > 0);
    assert_eq!(first_epoch(&lab, 2, 2), resumes_after + 1);
    let again = eventually("it trains on", || {
        let again = lab.job(2);
        (again["epochs"].as_array()?.len() as i64 > resumes_after).then_some(again)
    });
    let epochs = numbers(&again["epochs"], "epoch");
    assert_eq!(epochs, (1..=epochs.len() as i64).collect::<Vec<_>>());
    assert_eq!(again["summary"]["time_limit"], "10m");
    assert_eq!(lab.job(job)["summary"]["retried_as"], 2);
    assert!(lab.rrm(&["cancel", "2"]).status.success());
    lab.until(2, &["cancelled"]);
}

#[test]
fn a_preempted_job_is_queued_without_blame_and_goes_on_from_its_checkpoint() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let job = lab.submit(&teacher(ENDLESS, ""))[0];
    until_saved(&lab, job);
    assert!(lab.rrm(&["preempt", "1", "--hold"]).status.success());
    lab.until(job, &["queued"]);
    let stopped = lab.job(job);
    assert_eq!((&stopped["attempts"][0]["outcome"], &stopped["summary"]["held"]), (&"stopped".into(), &true.into()));
    assert_eq!(lab.column("select retries || ' ' || crashes || ' ' || coalesce(stop, 'none') from job"), ["0 0 none"]);
    // Another one takes its place.
    let other = lab.submit(&teacher(2, "").replace("seed = 1", "seed = 2"))[0];
    lab.success(other);
    assert!(lab.rrm(&["release", "1"]).status.success());
    assert!(first_epoch(&lab, job, 2) > 1);
    assert!(lab.rrm(&["cancel", "1"]).status.success());
    lab.until(job, &["cancelled"]);
}

#[test]
fn a_worker_that_is_drained_now_hands_its_job_to_another_one() {
    let lab = Lab::open();
    let _first = lab.start_worker("first");
    let job = lab.submit(&teacher(ENDLESS, ""))[0];
    until_saved(&lab, job);
    let drained = lab.json(&["worker", "drain", "1", "--now"]);
    assert_eq!(drained["stopped"], serde_json::json!([1]));
    lab.until(job, &["queued"]);
    let listed = text(&lab.rrm(&["worker", "list"]).stdout);
    assert!(listed.contains("drained"), "{listed}");
    let _second = lab.start_worker("second");
    assert!(first_epoch(&lab, job, 2) > 1);
    let attempts = lab.job(job)["attempts"].clone();
    assert_eq!(numbers(&attempts, "worker"), [1, 2]);
    assert!(lab.rrm(&["worker", "undrain", "1"]).status.success());
    let other = lab.submit(&teacher(2, "").replace("seed = 1", "seed = 2"))[0];
    lab.success(other);
    assert_eq!(numbers(&lab.job(other)["attempts"], "worker"), [1]);
}

#[test]
fn a_plan_that_was_cancelled_is_retried_with_all_that_depends_on_it_and_reported_as_one() {
    let lab = Lab::open();
    lab.submit(MAIN_JOB);
    assert!(lab.rrm(&["cancel", "@teacher"]).status.success());
    assert!(lab.is_in(3, &["skipped"]));
    let retried = lab.json(&["retry", "@teacher", "--with-dependents"])["retried"].clone();
    assert_eq!(numbers(&retried, "job"), [4, 5, 6]);
    let _worker = lab.start_worker("worker");
    let waited = lab.rrm(&["wait", "--plan", "last"]);
    assert_eq!(waited.status.code(), Some(0), "{}{}", text(&waited.stderr), lab.logs());
    assert_eq!(lab.json(&["show", "@student"])["job"]["summary"]["id"], 5);
    let report = lab.json(&["report", "last"]);
    assert_eq!(numbers(&report["rows"], "job"), [4, 5], "{report:#}");
    let shown = lab.column("select name || ' ' || state from runs where retried_as is null order by job_id");
    assert_eq!(shown, ["teacher succeeded", "student succeeded", "evaluation succeeded"]);
}

#[test]
fn a_success_that_is_told_after_an_acknowledged_cancellation_does_not_count() {
    let lab = Lab::open();
    let job = lab.submit(&teacher(2, ""))[0];
    let attempt = lab.as_worker(async |client| {
        let devices = vec![DeviceInfo { device: Device::Cpu, name: String::new(), memory_mib: None, share: 1 }];
        let (node, version, boot_id) = ("node".into(), VERSION.into(), "boot-of-a-test".into());
        let code_version = VERSION.into();
        let registration = Registration { node, version, boot_id, devices, labels: vec![], code_version };
        let worker = client.register(registration).await.unwrap().worker;
        let request = "a-lease-of-a-test".parse().unwrap();
        client.lease(worker, request, vec![Device::Cpu], Vec::new()).await.unwrap()[0].attempt
    });
    assert!(lab.rrm(&["cancel", "1"]).status.success());
    lab.as_worker(async |client| {
        let end = AttemptEnd { outcome: AttemptOutcome::Ok, exit_code: Some(0), signal: None, message: None };
        client.settle(attempt, 0, end).await.unwrap();
    });
    assert_eq!(lab.until(job, &["succeeded", "failed", "cancelled"]), "cancelled");
}
