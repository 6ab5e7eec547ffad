use std::path::PathBuf;

use bytes::Bytes;
use rrm_api::{ApiError, Service, Upload};
use rrm_spec::{ArtifactHash, CheckpointRole, JobId, Violations};

use crate::desk::{Desk, USER, WORKER, content, hash, single};

fn file(desk: &Desk, sha256: &ArtifactHash) -> PathBuf {
    desk.path().join("artifacts").join(&sha256.as_str()[..2]).join(sha256.as_str())
}

fn drafts(desk: &Desk) -> usize {
    std::fs::read_dir(desk.path().join("artifacts/tmp")).unwrap().count()
}

#[tokio::test]
async fn an_upload_lies_under_its_hash_and_comes_once() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    let sha256 = hash("weights");
    assert!(!desk.daemon.stored(WORKER, sha256.clone()).await.unwrap());
    for _ in 0..2 {
        desk.upload(attempt, "weights").await.unwrap();
    }
    assert!(desk.daemon.stored(WORKER, sha256.clone()).await.unwrap());
    assert_eq!(std::fs::read_to_string(file(&desk, &sha256)).unwrap(), "weights");
    assert_eq!(drafts(&desk), 0);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    let upload = Upload { attempt, sha256: hash("weights"), bytes: 7 };
    let broken = Violations::one("artifact.bytes", "3", "must be 7");
    let body = vec![Ok(Bytes::from_static(b"wei")), Err(ApiError::Invalid(broken))];
    let refused = desk.daemon.upload(WORKER, upload, Box::pin(tokio_stream::iter(body))).await;
    assert!(matches!(refused, Err(ApiError::Invalid(_))), "{refused:?}");
    assert_eq!(drafts(&desk), 0);
    assert!(!desk.daemon.stored(WORKER, hash("weights")).await.unwrap());
    let missing = desk.daemon.download(USER, hash("weights")).await;
    assert!(matches!(missing, Err(ApiError::NotFound { .. })));
}

#[tokio::test]
async fn superseded_checkpoints_are_deleted_and_final_weights_kept() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let lease = desk.start(worker).await;
    desk.finish(&lease).await;
    let of = |epoch, role| hash(&content(lease.attempt, epoch, role));
    let in_an_hour = desk.job(JobId(1)).await.summary.ended_at.unwrap() + 3_600_000_000;
    desk.daemon.collect(in_an_hour).await.unwrap();
    assert!(file(&desk, &of(2, CheckpointRole::Final)).exists());
    for epoch in [1, 2] {
        assert!(!file(&desk, &of(epoch, CheckpointRole::Resume)).exists());
        assert!(!desk.daemon.stored(WORKER, of(epoch, CheckpointRole::Resume)).await.unwrap());
    }
}

#[tokio::test]
async fn a_start_sweeps_away_what_a_crash_left_behind() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    desk.upload(attempt, "weights").await.unwrap();
    let orphan = file(&desk, &hash("no row"));
    std::fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    std::fs::write(&orphan, "no row").unwrap();
    std::fs::write(desk.path().join("artifacts/tmp/17"), "half a file").unwrap();
    let desk = desk.restarted().await;
    assert!(!orphan.exists());
    assert_eq!(drafts(&desk), 0);
    assert!(file(&desk, &hash("weights")).exists());
}

#[tokio::test]
async fn a_file_that_is_gone_or_cut_is_uploaded_anew() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    let sha256 = hash("weights");
    desk.upload(attempt, "weights").await.unwrap();
    for left in [None, Some("wei")] {
        std::fs::remove_file(file(&desk, &sha256)).unwrap();
        if let Some(left) = left {
            std::fs::write(file(&desk, &sha256), left).unwrap();
        }
        assert!(!desk.daemon.stored(WORKER, sha256.clone()).await.unwrap());
        desk.upload(attempt, "weights").await.unwrap();
        assert!(desk.daemon.stored(WORKER, sha256.clone()).await.unwrap());
        assert_eq!(std::fs::read_to_string(file(&desk, &sha256)).unwrap(), "weights");
    }
}

#[tokio::test]
async fn a_start_forgets_files_that_are_gone_or_cut() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    for content in ["gone", "cut", "whole"] {
        desk.upload(attempt, content).await.unwrap();
    }
    std::fs::remove_file(file(&desk, &hash("gone"))).unwrap();
    std::fs::write(file(&desk, &hash("cut")), "c").unwrap();
    let desk = desk.restarted().await;
    for (content, is_stored) in [("gone", false), ("cut", false), ("whole", true)] {
        assert_eq!(desk.daemon.stored(WORKER, hash(content)).await.unwrap(), is_stored, "{content}");
    }
}

#[tokio::test]
async fn a_cut_file_is_not_handed_out_and_a_damaged_one_only_once() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let worker = desk.worker("node").await;
    let attempt = desk.start(worker).await.attempt;
    for content in ["cut", "damaged"] {
        desk.upload(attempt, content).await.unwrap();
    }
    std::fs::write(file(&desk, &hash("cut")), "c").unwrap();
    // Over the wire the download itself notices, and says so.
    desk.daemon.damaged(hash("damaged")).await;
    for content in ["cut", "damaged"] {
        let missing = desk.daemon.download(USER, hash(content)).await;
        assert!(matches!(missing, Err(ApiError::NotFound { .. })), "{content}");
        assert!(!desk.daemon.stored(WORKER, hash(content)).await.unwrap());
    }
}
