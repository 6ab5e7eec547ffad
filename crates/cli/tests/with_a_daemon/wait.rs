//! Waiting and watching.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rrm_spec::JobState;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::fake::Fake;
use crate::{epoch, spawn, text};

#[test]
fn waiting_ends_with_the_jobs_and_says_how() {
    for (state, code) in
        [(JobState::Succeeded, 0), (JobState::Failed, 1), (JobState::Cancelled, 4), (JobState::Skipped, 1)]
    {
        let fake = Fake::with_plan();
        let child = spawn(&mut fake.command(&["wait", "--plan", "last"]));
        fake.end_all(state);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code), "{state}");
    }
}

#[test]
fn ranges_and_names_are_waited_for() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Succeeded, None);
    fake.memory.set_state(3, JobState::Succeeded, None);
    let output = fake.rrm(&["wait", "1", "@third"]);
    assert_eq!(output.status.code(), Some(0), "job 2 is not waited for: {output:?}");
    fake.memory.set_state(2, JobState::Failed, None);
    assert_eq!(fake.rrm(&["wait", "1-3"]).status.code(), Some(1));
    assert_eq!(fake.json(&["wait", "1-3"])["jobs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_time_limit_ends_the_wait_and_nothing_else() {
    let fake = Fake::with_plan();
    let output = fake.rrm(&["wait", "1", "--timeout", "0.2"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["state"], "queued");
}

#[test]
fn interrupting_a_wait_cancels_nothing_and_says_so() {
    let fake = Fake::with_plan();
    let mut child = spawn(&mut fake.command(&["--json", "watch", "--plan", "last"]));
    // Its first line tells that it is at work, and so listens to signals.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["state"], "queued");
}

#[test]
fn a_watched_plan_is_told_line_by_line() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Running, None);
    fake.memory.tell("epoch", 1, &serde_json::to_value(epoch(1)).unwrap());
    fake.end_all(JobState::Succeeded);
    let output = fake.rrm(&["watch", "--plan", "last"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = text(&output.stdout);
    for part in
        ["control  queued", "control  running", "epoch 1/2: loss 1.500, natural 70.0 %, 12.0 s", "demo: 3 succeeded"]
    {
        assert!(lines.contains(part), "{part} is missing in:\n{lines}");
    }
}

#[test]
fn a_watcher_outlives_the_daemons_restart_and_misses_nothing() {
    let mut fake = Fake::with_plan();
    let mut child = spawn(&mut fake.command(&["--json", "watch", "--plan", "1"]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let first: Vec<Value> = lines.by_ref().take(4).map(|line| serde_json::from_str(&line).unwrap()).collect();
    fake.restart(Duration::from_millis(300));
    fake.end_all(JobState::Succeeded);
    let rest = lines.map(|line| serde_json::from_str(&line).unwrap());
    let documents: Vec<Value> = first.into_iter().chain(rest).collect();
    assert!(documents.iter().all(|document| document["schema"] == 1));
    let seqs: Vec<i64> = documents.iter().filter_map(|document| document["event"]["seq"].as_i64()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6], "each event once, in order");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
