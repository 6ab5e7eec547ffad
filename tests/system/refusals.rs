//! What must be refused, and how it is said.

use crate::{
    lab::{Lab, MAIN_JOB, text},
    process::binary,
};

#[test]
fn a_bad_plan_is_refused_with_every_fault_named() {
    let lab = Lab::open();
    let bad = MAIN_JOB
        .replace("dnn/16", "dnn/3")
        .replace("steps = 2", "steps = 0")
        .replace("lambda = 0.005", "lambda = -1.0")
        .replace("iterations = 5", "iterations = 5, iteration = 6");
    let output = lab.rrm(&["submit", &lab.plan(&bad)]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    for part in ["dnn/3", "steps", "lambda", "iteration"] {
        assert!(error.contains(part), "{part} is missing in:\n{error}");
    }
    assert_eq!(lab.json(&["list"])["jobs"].as_array().unwrap().len(), 0, "nothing is kept of a refused plan");
}

#[test]
fn a_wrong_token_is_refused_and_never_repeated() {
    let lab = Lab::open();
    let token = lab.path("wrong-token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n").unwrap();
    let output = lab.rrm_as(&token, &["list"]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("0123456789abcdef"));
    assert!(!lab.logs().contains("0123456789abcdef"));
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let lab = Lab::open();
    let output = std::process::Command::new(binary("rrmd"))
        .args(["serve", "--listen", "127.0.0.1:0", "--state-dir"])
        .arg(lab.path("state"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("another"), "{}", text(&output.stderr));
}

#[test]
fn secrets_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::open();
    for name in ["token-user", "token-worker"] {
        let mode = std::fs::metadata(lab.path("state").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn asking_for_a_device_that_is_not_there_is_a_clear_error() {
    let lab = Lab::open();
    let output = std::process::Command::new(binary("rrm-worker"))
        .args(["serve", "--device", "cuda:0", "--server", "http://127.0.0.1:1", "--token-file"])
        .arg(lab.path("state/token-worker"))
        .arg("--work-dir")
        .arg(lab.path("worker"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("cuda"), "{}", text(&output.stderr));
}
