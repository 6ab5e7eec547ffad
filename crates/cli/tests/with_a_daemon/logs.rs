//! Logs.

use rrm_spec::JobState;
use serde_json::Value;

use crate::fake::Fake;
use crate::text;

#[test]
fn logs_are_printed_byte_by_byte() {
    let fake = Fake::with_plan();
    fake.memory.append_log("training begins\nänderung\n");
    assert_eq!(text(&fake.rrm(&["logs", "1"]).stdout), "training begins\nänderung\n");
    let output = fake.rrm(&["--json", "logs", "1"]);
    let first: Value = serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
    assert_eq!((&first["schema"], &first["attempt"], &first["text"]), (&1.into(), &10.into(), &"train".into()));
}

#[test]
fn following_a_log_ends_with_the_job() {
    let fake = Fake::with_plan();
    fake.memory.append_log("all of it\n");
    fake.memory.set_state(1, JobState::Running, None);
    fake.memory.set_state(1, JobState::Failed, Some("no images"));
    let output = fake.rrm(&["logs", "@control", "-f"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "all of it\n".to_owned()));
    assert!(text(&output.stderr).contains("job 1 failed: no images"), "{output:?}");
}
