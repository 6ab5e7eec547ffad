//! Copies of the state directory: of one moment, checked, and put back under numbers that nobody was given.

use std::fs;
use std::path::Path;

use rrm_api::{ApiError, Service};
use rrm_scheduler::{BackupError, Checked, Daemon, Inventory, StateDir, Terms, back_up, restore, verify};
use rrm_spec::{AttemptOutcome, CheckpointRole, JobState};
use std::time::Duration;

use crate::desk::{Desk, KEEP, TTL, USER, WORKER, chain, checkpoint, content, epoch, hash, single, started};

/// A desk on which one job has succeeded and another one runs with an epoch and its checkpoint.
async fn busy() -> (Desk, rrm_spec::AttemptId) {
    let desk = Desk::new().await;
    let worker = desk.worker("node").await;
    desk.submit(&single()).await;
    desk.finish(&desk.start(worker).await).await;
    desk.submit(&chain()).await;
    let attempt = desk.start(worker).await.attempt;
    desk.upload(attempt, &content(attempt, 1, CheckpointRole::Resume)).await.unwrap();
    let saved = checkpoint(attempt, 1, CheckpointRole::Resume);
    desk.report(attempt, 1, &[started(1), epoch(1), saved]).await.unwrap();
    (desk, attempt)
}

async fn daemon_on(root: &Path) -> Daemon {
    Daemon::open(&StateDir::open(root).unwrap(), Terms::new(TTL), Duration::ZERO, KEEP).await.unwrap()
}

#[tokio::test]
async fn a_backup_of_a_running_daemon_goes_on_where_it_was_made() {
    let (desk, attempt) = busy().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (copy, state) = (elsewhere.path().join("copy"), elsewhere.path().join("state"));
    let made = back_up(desk.path(), &copy).await.unwrap();
    assert_eq!((made.checked, made.submissions, made.jobs, made.lost.len()), (Checked::Bytes, 2, 4, 0));
    assert_eq!(verify(&copy).await.unwrap(), made);
    // What comes after it is not in it.
    desk.submit(&single()).await;
    let restored = restore(&copy, &state).await.unwrap();
    assert_eq!(restored, made);
    let of_state = Inventory { checked: Checked::Structure, ..made };
    assert_eq!(verify(&state).await.unwrap(), of_state, "a daemon will change it, so that it has no hash");

    let daemon = daemon_on(&state).await;
    let job = daemon.job(USER, rrm_spec::JobId(2)).await.unwrap();
    assert_eq!((job.summary.state, job.epochs.len()), (JobState::Running, 1));
    daemon.expire(std::time::Instant::now() + 2 * TTL).await.unwrap();
    let registered = daemon.register(WORKER, crate::desk::registration("other")).await.unwrap().worker;
    let request = "lease-after-restore".parse().unwrap();
    let next = daemon.lease(WORKER, registered, request, vec![rrm_spec::Device::Cpu], vec![]).await.unwrap().remove(0);
    assert!(next.attempt.0 > attempt.0 + 1000 && registered.0 > 1000, "{next:?} {registered:?}");
    assert_eq!(next.resume.map(|resume| resume.epoch), Some(1));
    let late = daemon.report(WORKER, attempt, 4, vec![epoch(2)]).await;
    assert_eq!(late, Err(ApiError::LeaseLost));
}

#[tokio::test]
async fn an_attempt_of_after_the_backup_is_refused_by_what_was_restored() {
    let (desk, _) = busy().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (copy, state) = (elsewhere.path().join("copy"), elsewhere.path().join("state"));
    back_up(desk.path(), &copy).await.unwrap();
    desk.let_terms_run_out().await;
    let worker = desk.worker("after").await;
    let newer = desk.start(worker).await.attempt;
    restore(&copy, &state).await.unwrap();
    let daemon = daemon_on(&state).await;
    let end = rrm_api::AttemptEnd { outcome: AttemptOutcome::Ok, message: None, exit_code: None, signal: None };
    assert_eq!(daemon.report(WORKER, newer, 1, vec![started(1)]).await, Err(ApiError::LeaseLost));
    assert_eq!(daemon.settle(WORKER, newer, 0, end).await, Err(ApiError::LeaseLost));
    assert_eq!(daemon.heartbeat(WORKER, worker, vec![]).await.unwrap().known, None);
}

#[tokio::test]
async fn an_artifact_that_is_damaged_or_missing_is_told_and_the_rest_is_copied() {
    let (desk, attempt) = busy().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    let sha256 = hash(&content(attempt, 1, CheckpointRole::Resume));
    let file = |root: &Path| root.join("artifacts").join(&sha256.as_str()[..2]).join(sha256.as_str());
    fs::write(file(desk.path()), "damaged").unwrap();
    let made = back_up(desk.path(), &copy).await.unwrap();
    assert_eq!(made.lost, std::slice::from_ref(&sha256));
    assert!(!file(&copy).exists(), "what is damaged is not copied");
    assert_eq!(verify(&copy).await.unwrap().lost, std::slice::from_ref(&sha256));
    fs::remove_file(file(desk.path())).unwrap();
    assert_eq!(verify(desk.path()).await.unwrap().lost, [sha256]);
}

#[tokio::test]
async fn a_backup_has_no_tokens_and_no_file_that_its_database_does_not_name() {
    let (desk, _) = busy().await;
    let stray = hash("stray");
    let folder = desk.path().join("artifacts").join(&stray.as_str()[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(stray.as_str()), "stray").unwrap();
    fs::write(desk.path().join("token-user"), "secret").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    back_up(desk.path(), &copy).await.unwrap();
    let mut names: Vec<_> = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["artifacts", "rrm.db", "rrm.db.sha256"]);
    assert!(!copy.join("artifacts").join(&stray.as_str()[..2]).join(stray.as_str()).exists());
}

#[tokio::test]
async fn nothing_is_written_where_something_is() {
    let (desk, _) = busy().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    back_up(desk.path(), &copy).await.unwrap();
    assert!(matches!(back_up(desk.path(), &copy).await, Err(BackupError::Occupied { .. })));
    assert!(matches!(restore(&copy, desk.path()).await, Err(BackupError::Running { .. })), "its daemon runs");
    let used = elsewhere.path().join("used");
    fs::create_dir(&used).unwrap();
    fs::write(used.join("notes"), "").unwrap();
    assert!(matches!(restore(&copy, &used).await, Err(BackupError::Occupied { .. })));
    assert!(matches!(verify(&used).await, Err(BackupError::Nothing { .. })));
    assert!(matches!(back_up(&used, &elsewhere.path().join("b")).await, Err(BackupError::Nothing { .. })));
    assert!(!elsewhere.path().join("b").exists());
}

/// Changes a text in a file in its place.
fn falsify(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(path).unwrap();
    let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is there");
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_value_that_was_changed_in_a_backup_is_noticed_although_the_structure_is_sound() {
    let (desk, _) = busy().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (copy, state) = (elsewhere.path().join("copy"), elsewhere.path().join("state"));
    back_up(desk.path(), &copy).await.unwrap();
    falsify(&copy.join("rrm.db"), "\"cosine\"", "\"cosinE\"");
    for refused in [verify(&copy).await, restore(&copy, &state).await] {
        let Err(BackupError::Changed { path, .. }) = refused else { panic!("it is not noticed: {refused:?}") };
        assert_eq!(path, copy.join("rrm.db"));
    }
    assert!(!state.exists());
    // As a backup of an earlier version.
    fs::remove_file(copy.join("rrm.db.sha256")).unwrap();
    assert_eq!(verify(&copy).await.unwrap().checked, Checked::Structure);
    assert_eq!(restore(&copy, &state).await.unwrap().checked, Checked::Structure);
    fs::write(copy.join("rrm.db.sha256"), "sound\n").unwrap();
    assert!(matches!(verify(&copy).await, Err(BackupError::NoSum { .. })));
}

#[tokio::test]
async fn a_backup_is_refused_where_its_disk_is_not_or_where_it_would_be_lost_with_the_state() {
    let (desk, _) = busy().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let missing = elsewhere.path().join("not-mounted");
    let refused = back_up(desk.path(), &missing.join("copy")).await;
    assert!(matches!(&refused, Err(BackupError::NoParent { path }) if *path == missing), "{refused:?}");
    assert!(!missing.exists());
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(desk.path(), &link).unwrap();
    for inside in [desk.path().join("copy"), desk.path().join("logs/copy"), link.join("copy")] {
        let refused = back_up(desk.path(), &inside).await;
        assert!(matches!(refused, Err(BackupError::Inside { .. })), "{refused:?}");
        assert!(!inside.exists());
    }
}

#[tokio::test]
async fn a_backup_whose_database_breaks_off_is_not_restored() {
    let (desk, _) = busy().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (copy, state) = (elsewhere.path().join("copy"), elsewhere.path().join("state"));
    back_up(desk.path(), &copy).await.unwrap();
    let database = fs::File::options().write(true).open(copy.join("rrm.db")).unwrap();
    database.set_len(database.metadata().unwrap().len() / 2 / 4096 * 4096).unwrap();
    assert!(verify(&copy).await.is_err());
    assert!(restore(&copy, &state).await.is_err());
    assert!(!state.exists() && !elsewhere.path().join(".state.partial").exists());
}
