//! Submissions.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rrm_spec::JobState;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::fake::Fake;
use crate::{spawn, text};

#[test]
fn a_submission_prints_ids_and_warnings_apart() {
    let fake = Fake::start();
    let output = fake.rrm(&["submit", &fake.plan_file()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = text(&output.stdout);
    assert!(table.contains("demo submitted as plan 1") && table.contains(" 2  attack control"), "{table}");
    assert_eq!(text(&output.stderr), "warning: no worker\n");
    assert_eq!(text(&fake.rrm(&["-q", "submit", &fake.plan_file()]).stdout), "4\n5\n6\n");
    let document = fake.json(&["submit", &fake.plan_file()]);
    assert_eq!((&document["submission"], &document["jobs"][2]["name"]), (&3.into(), &"third".into()));
}

#[test]
fn what_was_done_before_is_told_in_the_receipt() {
    let fake = Fake::start();
    let table = text(&fake.rrm(&["submit", &fake.plan_file(), "--reuse"]).stdout);
    assert!(table.contains(" 1  control         reused #1\n 2  attack control\n"), "{table}");
    let jobs = fake.json(&["submit", &fake.plan_file(), "--reuse"])["jobs"].clone();
    assert_eq!((&jobs[0]["reused"], &jobs[1]["reused"]), (&true.into(), &false.into()));
}

#[test]
fn a_lost_answer_does_not_submit_twice() {
    let fake = Fake::start();
    fake.memory.submissions_to_lose.store(1, Ordering::SeqCst);
    let document = fake.json(&["submit", &fake.plan_file()]);
    assert_eq!((&document["already"], &document["submission"]), (&true.into(), &1.into()));
    assert_eq!(fake.memory.submissions(), 1);
}

#[test]
fn the_same_request_id_finds_the_first_submission() {
    let fake = Fake::start();
    for _ in 0..2 {
        let output = fake.rrm(&["submit", &fake.plan_file(), "--request-id", "demo-0001"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(fake.memory.submissions(), 1);
    let again = fake.rrm(&["submit", &fake.plan_file(), "--request-id", "demo-0001"]);
    assert!(text(&again.stdout).contains("had been submitted before, as plan 1"), "{again:?}");
}

#[test]
fn a_submission_can_be_waited_for() {
    let fake = Fake::start();
    let mut child = spawn(&mut fake.command(&["submit", "--wait", &fake.plan_file()]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert_eq!(lines.next().as_deref(), Some("demo submitted as plan 1"));
    fake.end_all(JobState::Failed);
    assert!(lines.any(|line| line == "demo: 3 failed"));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_program_that_waits_for_its_submission_learns_the_ids_first() {
    let fake = Fake::start();
    let mut child = spawn(&mut fake.command(&["--json", "submit", "--wait", &fake.plan_file()]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let receipt: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!((&receipt["submission"], &receipt["jobs"][1]["id"]), (&1.into(), &2.into()));
    let next: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert!(next["event"].is_object() || next["progress"].is_object(), "{next}");
    fake.end_all(JobState::Succeeded);
    assert!(lines.all(|line| line.contains("\"schema\":1")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_submission_can_be_held_from_the_start() {
    let fake = Fake::start();
    fake.rrm(&["submit", &fake.plan_file(), "--hold"]);
    let jobs = fake.json(&["list", "--limit", "0"])["jobs"].clone();
    assert!(jobs.as_array().unwrap().iter().all(|job| job["held"] == true), "{jobs}");
}

/// What follows `--request-id` in a failure's next step.
fn request_id(failure: &str) -> String {
    assert!(failure.contains("it may have been stored: look with `rrm list`"), "{failure}");
    let (_, rest) = failure.split_once("--request-id ").unwrap_or_else(|| panic!("no request id in: {failure}"));
    rest.split_once(',').unwrap().0.to_owned()
}

#[test]
fn a_submission_that_is_given_up_too_early_can_be_repeated_without_a_second_one() {
    let fake = Fake::start();
    fake.memory.is_mute.store(true, Ordering::SeqCst);
    let given_up = fake.rrm(&["submit", &fake.plan_file(), "--timeout", "3"]);
    assert_eq!((given_up.status.code(), fake.memory.submissions()), (Some(5), 1), "{given_up:?}");
    let request = request_id(&text(&given_up.stderr));
    fake.memory.is_mute.store(false, Ordering::SeqCst);
    let again = fake.rrm(&["submit", &fake.plan_file(), "--request-id", &request]);
    assert!(text(&again.stdout).contains("had been submitted before, as plan 1"), "{again:?}");
    assert_eq!(fake.memory.submissions(), 1);
}

#[test]
fn an_interrupted_submission_says_how_to_repeat_it_to_people_and_programs() {
    for format in [&[][..], &["-q"], &["--json"]] {
        let fake = Fake::start();
        fake.memory.is_mute.store(true, Ordering::SeqCst);
        let child = spawn(&mut fake.command(&[format, &["submit", &fake.plan_file()]].concat()));
        while fake.memory.submissions() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        request_id(&text(&output.stderr));
    }
}

#[test]
fn retries_and_preemptions_that_are_given_up_too_early_can_be_repeated() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Running, None);
    fake.memory.set_state(3, JobState::Failed, None);
    fake.memory.is_mute.store(true, Ordering::SeqCst);
    for command in [["retry", "3"], ["preempt", "1"]] {
        let given_up = fake.rrm(&[&command[..], &["--timeout", "3"]].concat());
        assert_eq!(given_up.status.code(), Some(5), "{given_up:?}");
        let sent = fake.memory.steering().pop().unwrap();
        assert_eq!(request_id(&text(&given_up.stderr)), sent.as_str());
        let again = fake.rrm(&[&command[..], &["--request-id", sent.as_str(), "--timeout", "3"]].concat());
        assert_eq!(again.status.code(), Some(5), "{again:?}");
        assert_eq!(fake.memory.steering().pop().unwrap(), sent, "the name is the request's");
    }
}

#[test]
fn a_command_that_was_answered_leaves_no_doubt_when_its_time_is_over() {
    let fake = Fake::start();
    let output = fake.rrm(&["submit", "--wait", &fake.plan_file(), "--timeout", "3"]);
    assert_eq!((output.status.code(), fake.memory.submissions()), (Some(5), 1), "{output:?}");
    let told = text(&output.stderr);
    assert!(told.contains("nothing was cancelled") && !told.contains("--request-id"), "{told}");
}
