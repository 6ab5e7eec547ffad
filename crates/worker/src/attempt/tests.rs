//! Attempts whose trainer is a shell script.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rrm_api::AttemptEnd;
use rrm_spec::{
    AttemptOutcome, CheckpointRole, Device, Event, FailureClass, InputArtifact, Instruction, JobId, Progress, Record,
    ResumePoint, TimeLimit, Violations,
};

use crate::{
    attempt::run,
    roster::{Order, Place, Roster},
    spool::Folders,
    testing::{
        assignment,
        daemon::Daemon,
        epoch, hash,
        script::{save, tell, workshop},
    },
    workshop::Workshop,
};

fn place(roster: &Roster) -> Place {
    roster.enter(assignment().attempt, &[Device::Cpu], 1).unwrap()
}

fn told(number: u32) -> String {
    tell(&Event::Record(epoch(number)))
}

/// Nothing of an attempt is left in the work folder.
fn assert_clean(work_dir: &Path) {
    for name in ["spool", "attempts", "logs"] {
        let left: Vec<_> = fs::read_dir(work_dir.join(name)).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Runs a script to its end with a willing daemon.
async fn end_of(script: &str) -> (AttemptEnd, Arc<Daemon>) {
    let (daemon, client) = Daemon::start().await;
    let (_folder, shop) = workshop(client, script);
    run(&shop, assignment(), place(&Roster::new(1))).await;
    assert_clean(&shop.config.work_dir);
    (daemon.end(), daemon)
}

#[tokio::test]
async fn everything_that_a_trainer_tells_reaches_the_daemon_and_nothing_stays() {
    let script = [
        "echo loading >&2\n".to_owned(),
        told(1),
        save(CheckpointRole::Resume, "first"),
        told(2),
        save(CheckpointRole::Final, "last"),
        tell(&Event::Finished),
    ];
    let (end, daemon) = end_of(&script.concat()).await;
    assert_eq!((end.outcome, end.exit_code), (AttemptOutcome::Ok, Some(0)));
    let told = daemon.told.lock().unwrap();
    assert_eq!([&told.records[0], &told.records[2]], [&epoch(1), &epoch(2)]);
    assert_eq!((told.records.len(), told.log.as_slice()), (4, &b"loading\n"[..]));
    assert_eq!(told.artifacts[&hash(b"last")], "last");
    assert_eq!(told.artifacts[&hash(b"first")], "first");
}

#[tokio::test]
async fn a_trainer_gets_its_job_its_flags_and_its_inputs() {
    let (daemon, client) = Daemon::start().await;
    let artifacts = [&b"teacher"[..], b"resume"];
    for content in artifacts {
        daemon.told.lock().unwrap().artifacts.insert(hash(content), content.into());
    }
    let script =
        r#"echo "$*" >&2; echo "$job" >&2; cat "$work/input-3.safetensors" "$work/resume-from.safetensors" >&2"#;
    let (_folder, shop) = workshop(client, script);
    let inputs = vec![InputArtifact { job: Some(JobId(3)), sha256: hash(b"teacher"), bytes: 7 }];
    let resume = Some(ResumePoint { epoch: 1, sha256: hash(b"resume"), bytes: 6 });
    run(&shop, rrm_spec::Assignment { inputs, resume, ..assignment() }, place(&Roster::new(1))).await;
    let log = String::from_utf8(daemon.told.lock().unwrap().log.clone()).unwrap();
    for part in ["exec --supervised --device cpu --threads 3 --data-dir /nowhere", "--input 3=/", "--resume /"] {
        assert!(log.contains(part), "{part} is missing in {log}");
    }
    assert!(log.contains(r#""arch":"dnn/16""#) && log.ends_with("teacherresume"), "{log}");
}

#[tokio::test]
async fn a_teacher_that_does_not_exist_ends_the_attempt_with_a_reason() {
    let (daemon, client) = Daemon::start().await;
    let (_folder, shop) = workshop(client, "");
    let inputs = vec![InputArtifact { job: Some(JobId(3)), sha256: hash(b"teacher"), bytes: 7 }];
    run(&shop, rrm_spec::Assignment { inputs, ..assignment() }, place(&Roster::new(1))).await;
    assert_eq!(daemon.end().outcome, AttemptOutcome::WorkerError);
    assert!(daemon.end().message.unwrap().contains(hash(b"teacher").as_str()));
}

#[tokio::test]
async fn a_failure_is_told_in_the_trainers_words() {
    let failed = Event::Failed { class: FailureClass::OutOfMemory, message: "use a smaller batch".into() };
    let (end, _) = end_of(&(tell(&failed) + "exit 1")).await;
    assert_eq!((end.outcome, end.exit_code), (AttemptOutcome::Oom, Some(1)));
    assert_eq!(end.message.as_deref(), Some("use a smaller batch"));
}

#[tokio::test]
async fn a_crash_keeps_its_records_and_tells_the_logs_end() {
    let (end, daemon) = end_of(&(told(1) + "echo 'segment nine fell off' >&2; kill -9 $$")).await;
    assert_eq!((end.outcome, end.signal), (AttemptOutcome::Crashed, Some(9)));
    assert!(end.message.unwrap().contains("segment nine fell off"));
    assert_eq!(daemon.told.lock().unwrap().records, [epoch(1)]);
}

#[tokio::test]
async fn a_final_checkpoint_that_is_not_what_was_announced_is_a_fault() {
    let script = save(CheckpointRole::Final, "last").replacen("last", "other", 1) + &tell(&Event::Finished);
    let (end, daemon) = end_of(&script).await;
    assert_eq!(end.outcome, AttemptOutcome::WorkerError);
    assert!(daemon.told.lock().unwrap().records.is_empty());
}

#[tokio::test]
async fn a_resume_checkpoint_that_was_replaced_meanwhile_is_skipped() {
    let script = save(CheckpointRole::Resume, "first").replacen("first", "second", 1) + &told(1);
    let (_, daemon) = end_of(&(script + &tell(&Event::Finished))).await;
    assert_eq!(daemon.told.lock().unwrap().records, [epoch(1)]);
}

#[tokio::test]
async fn while_the_daemon_is_away_only_the_newest_checkpoint_to_resume_from_is_kept() {
    let (daemon, client) = Daemon::start().await;
    daemon.away_for.store(u32::MAX, Ordering::SeqCst);
    let saved = |content: &str| {
        let pinned = format!("until [ -e \"$work/pinned/{}\" ]; do sleep 0.01; done\n", hash(content.as_bytes()));
        save(CheckpointRole::Resume, content) + &pinned
    };
    // The last one may be sent and gone before the script looks.
    let saves = saved("first") + &saved("second") + &save(CheckpointRole::Resume, "third");
    let script = saves + "until [ -e \"${0%/*}/go\" ]; do sleep 0.01; done\n" + &tell(&Event::Finished);
    let (folder, shop) = workshop(client, &script);
    let pinned = Folders::new(&shop.config.work_dir, assignment().attempt).pinned(&hash(b"third"));
    let running = tokio::spawn(async move { run(&shop, assignment(), place(&Roster::new(1))).await });
    until(|| pinned.exists() && fs::read_dir(pinned.parent().unwrap()).unwrap().count() == 1).await;
    daemon.away_for.store(0, Ordering::SeqCst);
    fs::write(folder.path().join("go"), "").unwrap();
    running.await.unwrap();
    let told = daemon.told.lock().unwrap();
    assert_eq!((told.records.len(), told.artifacts.keys().collect::<Vec<_>>()), (3, vec![&hash(b"third")]));
    assert_eq!(told.settled, [(assignment().attempt, AttemptOutcome::Ok)]);
}

/// Looks again and again: files tell nobody that they have changed.
async fn until(wanted: impl Fn() -> bool) {
    let looking = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("it comes within 20 s");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_ends_the_attempt_and_nothing_is_kept_after_it() {
    for line in [r#"echo '{"event":"record","record":"epoch"}'"#, r"printf '\377\376\n'"] {
        let script = told(1) + line + "\n" + &told(2) + "exec sleep 1000";
        let (end, daemon) = end_of(&script).await;
        assert_eq!(end.outcome, AttemptOutcome::WorkerError);
        assert!(end.message.unwrap().contains("cannot be understood"));
        assert_eq!(daemon.told.lock().unwrap().records, [epoch(1)], "{line}");
    }
}

#[tokio::test]
async fn a_librarys_chatter_and_a_line_that_death_cut_short_are_no_faults() {
    let script = told(1) + "echo loading the driver\nprintf '{\"event\":\"rec'; kill -9 $$";
    let (end, daemon) = end_of(&script).await;
    assert_eq!((end.outcome, end.signal), (AttemptOutcome::Crashed, Some(9)));
    assert_eq!(daemon.told.lock().unwrap().records, [epoch(1)]);
}

/// Runs a script, gives an order once its first record has arrived, and waits for the end.
async fn ordered(shop: Arc<Workshop>, daemon: &Daemon, order: impl FnOnce(&Roster)) {
    let roster = Roster::new(1);
    let place = place(&roster);
    let running = tokio::spawn(async move { run(&shop, assignment(), place).await });
    daemon.until(|told| !told.records.is_empty()).await;
    order(&roster);
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("the order is carried out").unwrap();
    assert!(roster.held().is_empty());
}

#[tokio::test]
async fn a_trainer_that_is_told_to_stop_says_so_itself() {
    let (daemon, client) = Daemon::start().await;
    let stopped = tell(&Event::Stopped);
    let script = format!(
        "trap \"{}; exit 3\" TERM\n{}while :; do sleep 0.01; done",
        stopped.trim().replace('"', "\\\""),
        told(1)
    );
    let (_folder, shop) = workshop(client, &script);
    ordered(Arc::clone(&shop), &daemon, |roster| roster.instruct(assignment().attempt, Instruction::Stop)).await;
    assert_eq!((daemon.end().outcome, daemon.end().exit_code), (AttemptOutcome::Stopped, Some(3)));
}

#[tokio::test]
async fn a_trainer_that_does_not_stop_in_time_is_killed_with_all_that_it_started() {
    let (daemon, client) = Daemon::start().await;
    // Its output stays open as long as the process that it started lives.
    let script = format!("trap '' TERM\n{}sleep 1000 & wait; sleep 1000", told(1));
    let (_folder, mut shop) = workshop(client, &script);
    Arc::get_mut(&mut shop).unwrap().config.grace = Duration::from_millis(50);
    ordered(shop, &daemon, |roster| roster.order_all(Order::Stop)).await;
    assert_eq!((daemon.end().outcome, daemon.end().signal), (AttemptOutcome::Stopped, Some(9)));
}

#[tokio::test]
async fn an_abandoned_attempt_is_killed_and_says_nothing_more() {
    let (daemon, client) = Daemon::start().await;
    let (_folder, shop) = workshop(client, &(told(1) + "sleep 1000"));
    ordered(Arc::clone(&shop), &daemon, |roster| roster.instruct(assignment().attempt, Instruction::Abandon)).await;
    assert_eq!(daemon.told.lock().unwrap().end, None);
    assert_clean(&shop.config.work_dir);
}

#[tokio::test]
async fn an_attempt_whose_lease_is_lost_is_killed() {
    let (daemon, client) = Daemon::start().await;
    *daemon.refusal.lock().unwrap() = Some(rrm_api::ApiError::LeaseLost);
    let (_folder, shop) = workshop(client, &(told(1) + "sleep 1000"));
    run(&shop, assignment(), place(&Roster::new(1))).await;
    assert_eq!(daemon.told.lock().unwrap().end, None);
    assert_clean(&shop.config.work_dir);
}

#[tokio::test]
async fn a_record_that_the_daemon_refuses_ends_the_attempt_with_the_refusal() {
    let (daemon, client) = Daemon::start().await;
    let refusal = Violations::one("epoch", "1", "must be another");
    *daemon.refusal.lock().unwrap() = Some(refusal.into());
    let (_folder, shop) = workshop(client, &(told(1) + "sleep 1000"));
    run(&shop, assignment(), place(&Roster::new(1))).await;
    assert_eq!(daemon.end().outcome, AttemptOutcome::WorkerError);
    assert!(daemon.end().message.unwrap().contains("must be another"));
}

#[tokio::test]
async fn records_that_are_too_large_together_are_reported_one_by_one() {
    let (daemon, client) = Daemon::start().await;
    daemon.most_records.store(1, Ordering::SeqCst);
    daemon.away_for.store(5, Ordering::SeqCst);
    let script = (1..=5).map(told).collect::<String>() + &tell(&Event::Finished);
    let (_folder, shop) = workshop(client, &script);
    run(&shop, assignment(), place(&Roster::new(1))).await;
    assert_eq!((daemon.end().outcome, daemon.told.lock().unwrap().records.len()), (AttemptOutcome::Ok, 5));
}

#[tokio::test]
async fn a_record_that_is_too_large_alone_ends_the_attempt() {
    let (daemon, client) = Daemon::start().await;
    *daemon.refusal.lock().unwrap() = Some(rrm_api::ApiError::TooLarge { what: "17 MiB".into() });
    let (_folder, shop) = workshop(client, &(told(1) + "sleep 1000"));
    run(&shop, assignment(), place(&Roster::new(1))).await;
    assert_eq!(daemon.end().outcome, AttemptOutcome::WorkerError);
    assert!(daemon.end().message.unwrap().contains("too large: 17 MiB"));
}

#[tokio::test]
async fn a_daemon_that_is_away_gets_everything_when_it_returns() {
    let (daemon, client) = Daemon::start().await;
    daemon.away_for.store(50, Ordering::SeqCst);
    let script = told(1) + &save(CheckpointRole::Final, "last") + &tell(&Event::Finished);
    let (_folder, shop) = workshop(client, &script);
    run(&shop, assignment(), place(&Roster::new(1))).await;
    assert_eq!(daemon.end().outcome, AttemptOutcome::Ok);
    let told = daemon.told.lock().unwrap();
    assert!(matches!(told.records[..], [Record::Epoch(_), Record::Checkpoint(_)]) && told.artifacts.len() == 1);
}

#[tokio::test]
async fn progress_is_for_the_heartbeat() {
    let (daemon, client) = Daemon::start().await;
    let progress = Progress { phase: "epoch 1/2".into(), done: 1, total: 2, images_per_second: 3.0 };
    let script = tell(&Event::Progress(progress.clone())) + &told(1) + "sleep 1000";
    let (_folder, shop) = workshop(client, &script);
    ordered(shop, &daemon, |roster| {
        assert_eq!(roster.held()[0].progress, Some(progress));
        roster.order_all(Order::Kill);
    })
    .await;
    assert_eq!(daemon.end().outcome, AttemptOutcome::Stopped);
}

#[tokio::test]
async fn a_trainer_that_cannot_be_started_is_the_machines_fault() {
    let (daemon, client) = Daemon::start().await;
    let (_folder, mut shop) = workshop(client, "");
    Arc::get_mut(&mut shop).unwrap().program = "/nowhere/trainer".into();
    run(&shop, assignment(), place(&Roster::new(1))).await;
    assert_eq!(daemon.end().outcome, AttemptOutcome::WorkerError);
    assert!(daemon.end().message.unwrap().contains("/nowhere/trainer"));
}

/// Runs a script that may take a second.
async fn end_within_a_second(script: &str, grace: Duration) -> (AttemptEnd, Arc<Daemon>) {
    let (daemon, client) = Daemon::start().await;
    let (_folder, mut shop) = workshop(client, script);
    Arc::get_mut(&mut shop).expect("it is new").config.grace = grace;
    let time_limit = Some(TimeLimit::from_seconds(1).unwrap());
    run(&shop, rrm_spec::Assignment { time_limit, ..assignment() }, place(&Roster::new(1))).await;
    assert_clean(&shop.config.work_dir);
    (daemon.end(), daemon)
}

#[tokio::test]
async fn a_trainer_whose_time_is_up_is_asked_to_stop_and_what_it_made_is_kept() {
    let script = [
        format!("stop() {{\n{}exit 3\n}}\ntrap stop TERM\n", tell(&Event::Stopped)),
        told(1),
        save(CheckpointRole::Resume, "first"),
        "while :; do sleep 0.01; done".to_owned(),
    ];
    let (end, daemon) = end_within_a_second(&script.concat(), Duration::from_secs(20)).await;
    assert_eq!((end.outcome, end.exit_code), (AttemptOutcome::Timeout, Some(3)), "{end:?}");
    assert!(end.message.unwrap().contains("time limit of 1s; its checkpoint of epoch 1 holds"));
    let told = daemon.told.lock().unwrap();
    assert_eq!((told.records.len(), &told.artifacts[&hash(b"first")]), (2, &"first".into()));
}

#[tokio::test]
async fn a_trainer_whose_time_is_up_and_that_does_not_listen_is_killed() {
    let script = "trap '' TERM\nwhile :; do sleep 0.01; done";
    let (end, _) = end_within_a_second(script, Duration::from_millis(100)).await;
    assert_eq!((end.outcome, end.signal), (AttemptOutcome::Timeout, Some(9)), "{end:?}");
    assert!(end.message.unwrap().ends_with("; no checkpoint was made"));
}

#[tokio::test]
async fn a_trainer_that_is_done_in_time_has_succeeded() {
    let (end, _) = end_within_a_second(&tell(&Event::Finished), Duration::from_secs(20)).await;
    assert_eq!(end.outcome, AttemptOutcome::Ok);
}
