//! Changing what is queued or runs.

use rrm_spec::JobState;
use serde_json::json;

use crate::fake::Fake;
use crate::text;

#[test]
fn cancelling_names_what_it_cancelled() {
    let fake = Fake::with_plan();
    let output = fake.rrm(&["cancel", "1", "@third"]);
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 2), "{output:?}");
    assert_eq!(fake.json(&["cancel", "2-2"])["jobs"][0]["state"], "cancelled");
    assert_eq!(fake.rrm(&["cancel", "90-99"]).status.code(), Some(3));
}

#[test]
fn cancelling_a_plan_leaves_what_has_ended_and_says_so() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Succeeded, None);
    let output = fake.rrm(&["cancel", "--plan", "last"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = text(&output.stdout);
    assert!(lines.contains("1  control  had ended already: succeeded"), "{lines}");
    assert!(lines.contains("3  third  cancelled"), "{lines}");
    let again = fake.json(&["cancel", "1-3"]);
    assert_eq!((&again["cancelled"], &again["had_ended"]), (&json!([]), &json!([1, 2, 3])));
    assert_eq!(fake.rrm(&["cancel", "1"]).status.code(), Some(8), "nothing could be cancelled");
    assert_eq!(fake.rrm(&["cancel"]).status.code(), Some(2));
}

#[test]
fn jobs_are_held_released_and_given_another_priority() {
    let fake = Fake::with_plan();
    assert_eq!(
        text(&fake.rrm(&["hold", "2", "@control"]).stdout),
        "1  control  queued, held\n2  attack control  queued, held\n"
    );
    assert_eq!(text(&fake.rrm(&["release", "2"]).stdout), "2  attack control  queued\n");
    assert_eq!(text(&fake.rrm(&["priority", "-5", "3"]).stdout), "3  third  priority -5\n");
    assert_eq!(fake.json(&["show", "1"])["job"]["summary"]["held"], true);
    assert!(text(&fake.rrm(&["list"]).stdout).contains("queued, held"));
}

#[test]
fn of_a_whole_plan_only_those_jobs_are_changed_that_can_be() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Succeeded, None);
    assert_eq!(text(&fake.rrm(&["-q", "hold", "--plan", "last"]).stdout), "2\n3\n");
    assert_eq!(text(&fake.rrm(&["-q", "release", "plan:last"]).stdout), "2\n3\n");
    fake.end_all(JobState::Succeeded);
    let output = fake.rrm(&["hold", "--plan", "last"]);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(text(&output.stderr).contains("3 succeeded"), "{output:?}");
}

#[test]
fn a_preempted_job_is_queued_and_held_where_that_was_wished() {
    let fake = Fake::with_plan();
    fake.memory.set_state(1, JobState::Running, None);
    assert_eq!(text(&fake.rrm(&["preempt", "--plan", "last", "--hold"]).stdout), "1  control  queued, held\n");
}

#[test]
fn after_a_retry_its_name_and_its_plan_mean_the_new_job() {
    let fake = Fake::with_plan();
    fake.end_all(JobState::Succeeded);
    fake.memory.set_state(3, JobState::Failed, Some("out of luck"));
    let receipt = text(&fake.rrm(&["retry", "--plan", "last"]).stdout);
    assert!(receipt.contains(" 4  third         3  at the beginning"), "{receipt}");
    assert_eq!(fake.json(&["show", "@third"])["job"]["summary"]["id"], 4);
    let listed = text(&fake.rrm(&["list", "--limit", "0"]).stdout);
    assert!(listed.contains("retried as 4; out of luck") && listed.contains("retry of 3"), "{listed}");
    fake.memory.set_state(4, JobState::Succeeded, None);
    let waited = fake.rrm(&["-q", "wait", "--plan", "last"]);
    assert_eq!(waited.status.code(), Some(0), "the failed try does not count: {waited:?}");
}

#[test]
fn drains_are_told_where_people_look() {
    let fake = Fake::with_plan();
    assert_eq!(
        text(&fake.rrm(&["worker", "drain", "node1"]).stdout),
        "node node1 gets no new jobs; what runs goes on to its end\n"
    );
    let table = text(&fake.rrm(&["worker", "list"]).stdout);
    assert!(table.contains("node1  draining"), "{table}");
    assert_eq!(text(&fake.rrm(&["drain", "--now"]).stdout), "no jobs are handed out; nothing runs\n");
    let listed = fake.rrm(&["list"]);
    assert!(text(&listed.stderr).contains("rrm undrain"), "{listed:?}");
    assert_eq!(fake.json(&["list"])["drained"], true);
    let drains = fake.json(&["worker", "list"])["drains"].clone();
    assert_eq!(drains[0]["target"], json!({"node": "node1"}), "{drains}");
    assert!(fake.rrm(&["undrain"]).status.success() && fake.rrm(&["worker", "undrain", "node1"]).status.success());
    assert_eq!(fake.json(&["list"])["drained"], false);
    assert!(text(&fake.rrm(&["worker", "list"]).stdout).contains("node1  online"));
}

#[test]
fn whoever_changes_jobs_of_the_last_plan_is_told_which_one_it_is() {
    let fake = Fake::with_plan();
    fake.rrm(&["submit", &fake.plan_file()]);
    let told = |arguments: &[&str]| {
        let output = fake.rrm(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stderr)
    };
    for arguments in [
        &["hold", "--plan", "last"][..],
        &["release", "plan:last"],
        &["priority", "3", "1", "@third"],
        &["preempt", "@control"],
        &["cancel", "--plan", "last"],
        &["retry", "--plan", "last"],
    ] {
        assert!(told(arguments).contains("the last plan is 2 (demo)\n"), "{arguments:?}");
    }
    for arguments in [&["hold", "1"][..], &["release", "--plan", "1"], &["priority", "3", "@third", "--plan", "1"]] {
        assert_eq!(told(arguments), "", "{arguments:?}");
    }
    assert_eq!(told(&["-q", "hold", "@control"]), "", "programs asked for ids");
}
