//! Silence of every part: frozen workers, a daemon that is away.

use nix::sys::signal::{Signal, kill};

use crate::{
    lab::{Lab, MAIN_JOB},
    process::eventually,
};

#[test]
fn a_zombie_workers_late_report_is_refused() {
    let lab = Lab::open();
    let zombie = lab.start_worker("zombie");
    let jobs = lab.submit(&MAIN_JOB.replace("epochs = 3", "epochs = 40"));
    eventually("the first epoch is recorded", || (!lab.job(jobs[0])["epochs"].as_array()?.is_empty()).then_some(()));
    let frozen: Vec<_> = zombie.children();
    zombie.signal(Signal::SIGSTOP);
    frozen.iter().for_each(|child| kill(*child, Signal::SIGSTOP).expect("the trainer runs"));
    eventually("the daemon gives the zombie up", || {
        (lab.job(jobs[0])["attempts"][0]["outcome"] == "lost").then_some(())
    });
    let _second = lab.start_worker("second");
    eventually("another worker takes over", || (lab.job(jobs[0])["attempts"].as_array()?.len() == 2).then_some(()));
    frozen.iter().for_each(|child| kill(*child, Signal::SIGCONT).expect("the trainer is only frozen"));
    zombie.signal(Signal::SIGCONT);
    eventually("the zombie is told that its lease is gone", || {
        frozen.iter().all(|child| !zombie.children().contains(child)).then_some(())
    });
    lab.success(jobs[0]);
    let job = lab.job(jobs[0]);
    assert_eq!(job["attempts"][0]["outcome"], "lost");
    assert_eq!(job["attempts"][1]["outcome"], "ok");
    let epochs: Vec<_> =
        job["epochs"].as_array().unwrap().iter().map(|epoch| epoch["epoch"].as_i64().unwrap()).collect();
    assert_eq!(epochs, (1..=40).collect::<Vec<_>>());
}

#[test]
fn training_goes_on_while_the_daemon_is_away_and_nothing_is_recorded_twice() {
    let mut lab = Lab::open();
    let worker = lab.start_worker("worker");
    let jobs = lab.submit(&MAIN_JOB.replace("epochs = 3", "epochs = 8"));
    eventually("the trainer runs", || (!worker.children().is_empty()).then_some(()));
    lab.daemon().kill_nine();
    let spool = lab.path("worker").join("spool");
    eventually("the trainer works on without a daemon", || {
        let spooled = std::fs::read_dir(&spool).ok()?.flatten();
        let lines: usize = spooled.map(|f| std::fs::read_to_string(f.path()).unwrap_or_default().lines().count()).sum();
        (lines >= 4).then_some(())
    });
    lab.start_daemon();
    lab.success(jobs[0]);
    let job = lab.job(jobs[0]);
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job:#}");
    assert_eq!(job["epochs"].as_array().unwrap().len(), 8, "{job:#}");
}
