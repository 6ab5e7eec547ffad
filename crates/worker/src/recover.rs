//! What an earlier worker on this folder left: it is handed over before anything new begins.

use std::path::Path;

use rrm_api::Client;
use rrm_spec::AttemptOutcome;
use tokio::sync::watch;

use crate::{
    deliver::{Courier, Delivery, Outbox},
    logs::Extent,
    outcome::end_by,
    spool::{self, Folders, Found},
};

/// Hands over every attempt that was left behind, then removes all remains. Its trainers are dead: they do not outlive
/// their worker.
///
/// # Errors
/// Where the folder cannot be read or cleaned.
pub(crate) async fn recover(client: &Client, work_dir: &Path) -> std::io::Result<()> {
    for folders in Folders::left_behind(work_dir)? {
        match spool::read(&folders) {
            Ok(found) => hand_over(client, &folders, found).await,
            // Nothing can be made of it, and it must not keep the worker from working: the job is tried again.
            Err(error) => tracing::error!(attempt = %folders.attempt(), %error, "its spool cannot be read; dropped"),
        }
        folders.remove()?;
    }
    spool::sweep(work_dir)
}

async fn hand_over(client: &Client, folders: &Folders, found: Found) {
    let attempt = folders.attempt();
    let records = found.records.len();
    let end = found.end.unwrap_or_else(|| end_by(AttemptOutcome::Lost, "the worker ended while the trainer ran"));
    tracing::info!(%attempt, records, outcome = end.outcome.name(), "hands over what an earlier worker left");
    let bytes = std::fs::metadata(folders.log()).map_or(0, |log| log.len());
    let (_outbox, outgoing) = watch::channel(Outbox { records: found.records, end: Some(end) });
    let (_extent, log) = watch::channel(Extent { bytes, closed: true });
    let courier = Courier { client, folders };
    match courier.deliver(outgoing, log).await {
        Delivery::Settled => {}
        Delivery::LeaseLost => tracing::info!(%attempt, "is no longer this worker's; dropped"),
        Delivery::Refused(refusal) => courier.give_up(&refusal).await,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use rrm_api::ApiError;
    use rrm_spec::{AttemptId, CheckpointRecord, CheckpointRole, Record};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        spool::{Spool, pin, unpin},
        testing::{daemon::Daemon, epoch, hash},
    };

    /// A worker's folder after its sudden death: an epoch and its checkpoint are told, the next record is torn.
    fn remains() -> (TempDir, PathBuf, Folders) {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path(), AttemptId(7));
        folders.create().unwrap();
        fs::write(folders.training().join("checkpoint"), "weights").unwrap();
        let role = CheckpointRole::Resume;
        let checkpoint =
            CheckpointRecord { epoch: 1, role, path: "checkpoint".into(), sha256: hash(b"weights"), bytes: 7 };
        pin(&folders, &checkpoint).unwrap();
        let mut spool = Spool::create(&folders).unwrap();
        spool.append(&epoch(1)).unwrap();
        spool.append(&Record::Checkpoint(checkpoint)).unwrap();
        let path = folder.path().join("spool/attempt-7.jsonl");
        fs::write(&path, [fs::read(&path).unwrap().as_slice(), b"{\"record\":\"ep"].concat()).unwrap();
        fs::write(folders.log(), "a line\n").unwrap();
        (folder, path, folders)
    }

    #[tokio::test]
    async fn what_a_dead_worker_had_on_disk_is_handed_over_as_lost() {
        let (daemon, client) = Daemon::start().await;
        let (folder, path, _) = remains();
        recover(&client, folder.path()).await.unwrap();
        assert_eq!(daemon.end().outcome, AttemptOutcome::Lost);
        let told = daemon.told.lock().unwrap();
        assert_eq!((told.records.len(), told.log.as_slice()), (2, &b"a line\n"[..]));
        assert_eq!(told.artifacts[&hash(b"weights")], "weights");
        assert!(!path.exists() && !folder.path().join("attempts").exists());
    }

    #[tokio::test]
    async fn a_checkpoint_to_resume_from_that_the_disk_has_lost_is_passed_over() {
        let (daemon, client) = Daemon::start().await;
        let (folder, _, folders) = remains();
        unpin(&folders, &hash(b"weights")).unwrap();
        recover(&client, folder.path()).await.unwrap();
        assert_eq!(daemon.end().outcome, AttemptOutcome::Lost);
        let told = daemon.told.lock().unwrap();
        assert_eq!((told.records.len(), told.artifacts.len()), (2, 0));
    }

    #[tokio::test]
    async fn an_end_that_was_not_told_is_told() {
        let (daemon, client) = Daemon::start().await;
        let (folder, _, folders) = remains();
        let end = end_by(AttemptOutcome::Stopped, "drained");
        let spool = Spool::create(&folders).unwrap();
        spool.end(&end).unwrap();
        recover(&client, folder.path()).await.unwrap();
        assert_eq!(daemon.end(), end);
    }

    #[tokio::test]
    async fn a_spool_that_cannot_be_read_does_not_keep_a_worker_from_starting() {
        let (daemon, client) = Daemon::start().await;
        let (folder, path, _) = remains();
        fs::write(folder.path().join("spool/attempt-7.end.json"), "garbage").unwrap();
        recover(&client, folder.path()).await.unwrap();
        assert_eq!(daemon.told.lock().unwrap().end, None);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_anothers_by_now_is_dropped() {
        let (daemon, client) = Daemon::start().await;
        *daemon.refusal.lock().unwrap() = Some(ApiError::LeaseLost);
        let (folder, path, _) = remains();
        recover(&client, folder.path()).await.unwrap();
        assert_eq!(daemon.told.lock().unwrap().end, None);
        assert!(!path.exists());
    }
}
