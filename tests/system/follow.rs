//! Watching a job from outside while it runs.

use crate::{
    lab::{Lab, MAIN_JOB, text},
    process::eventually,
};

#[test]
fn a_running_job_is_followed_to_its_end_in_log_and_list() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let jobs = lab.submit(&MAIN_JOB.replace("epochs = 3", "epochs = 8"));
    lab.until(jobs[0], &["running"]);
    let log = lab.start_rrm("follow", &["logs", &jobs[0].to_string(), "-f"]);
    let watch = lab.start_rrm("watch", &["watch", "--plan", "last"]);
    eventually("the log is followed while it grows", || (!lab.read("follow.out").is_empty()).then_some(()));

    assert_eq!(log.wait(), Some(0), "{}", lab.logs());
    let followed = lab.read("follow.out");
    assert_eq!(followed, text(&lab.rrm(&["logs", &jobs[0].to_string()]).stdout), "every byte comes, and comes once");
    assert_eq!(followed.matches("epoch trained").count(), 8, "{followed}");
    assert!(lab.read("follow.log").contains("succeeded"), "{}", lab.read("follow.log"));

    assert_eq!(watch.wait(), Some(0), "{}", lab.logs());
    let watched = lab.read("watch.out");
    for epoch in (1..=8).map(|epoch| format!("epoch {epoch}/8")) {
        assert_eq!(watched.matches(&epoch).count(), 2, "teacher and student train {epoch}:\n{watched}");
    }
    assert!(watched.contains("bars: 3 succeeded"), "{watched}");
}
