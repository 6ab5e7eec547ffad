use rrm_spec::{AttemptOutcome, CheckpointRole, Device, JobState, Record};
use rrm_store::{CollectArtifacts, LoseArtifacts};

use crate::bench::{Bench, checkpoint_record, epoch, hash, single, started};

const CPU: Device = Device::Cpu;

impl Bench {
    async fn collect(&self) -> Vec<rrm_spec::ArtifactHash> {
        self.collect_ended(0).await
    }

    async fn collect_ended(&self, ended_before: i64) -> Vec<rrm_spec::ArtifactHash> {
        let now = self.now();
        self.write(CollectArtifacts { superseded_before: now, ended_before, unknown_before: now }).await.unwrap()
    }
}

#[tokio::test]
async fn a_superseded_checkpoint_is_let_go_once_its_successor_is_stored() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let attempt = bench.start(worker).await.attempt;
    let [first, second] = [1, 2].map(|epoch| checkpoint_record(attempt, epoch, CheckpointRole::Resume));
    bench.keep(&first.sha256).await;
    let records =
        [started(1), epoch(1), Record::Checkpoint(first.clone()), epoch(2), Record::Checkpoint(second.clone())];
    bench.report(attempt, 1, &records).await.unwrap();
    assert_eq!(bench.collect().await, [], "the second has not come yet");
    bench.keep(&second.sha256).await;
    assert_eq!(bench.collect().await, vec![first.sha256.clone()]);
    assert_eq!(bench.collect().await, []);
    assert_eq!(bench.store.artifact(&first.sha256).await.unwrap(), None);
    bench.expire(attempt).await;
    assert_eq!(bench.start(worker).await.resume.unwrap().sha256, second.sha256);
}

#[tokio::test]
async fn a_finished_job_keeps_its_final_weights_alone() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    assert_eq!(bench.collect().await.len(), 3);
    let left = bench.job(job).await.checkpoints;
    assert_eq!(left.iter().map(|it| it.role).collect::<Vec<_>>(), [CheckpointRole::Final]);
    assert_eq!(bench.store.artifacts().await.unwrap(), [(left[0].sha256.clone(), 10)].into());
}

#[tokio::test]
async fn a_failed_jobs_last_checkpoint_is_let_go_after_a_time() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let attempt = bench.start(worker).await.attempt;
    let saved = checkpoint_record(attempt, 1, CheckpointRole::Resume);
    bench.keep(&saved.sha256).await;
    bench.report(attempt, 1, &[started(1), epoch(1), Record::Checkpoint(saved.clone())]).await.unwrap();
    assert_eq!(bench.store.ended_before(bench.now(), &[attempt]).await.unwrap(), [], "it runs");
    bench.settle(attempt, 3, AttemptOutcome::UserError).await.unwrap();
    let ended_at = bench.job(job).await.summary.ended_at.unwrap();
    assert_eq!(bench.store.ended_before(ended_at, &[attempt]).await.unwrap(), []);
    assert_eq!(bench.store.ended_before(ended_at + 1, &[attempt]).await.unwrap(), [attempt]);
    assert_eq!(bench.collect_ended(ended_at).await, []);
    assert_eq!(bench.collect_ended(ended_at + 1).await, [saved.sha256]);
}

#[tokio::test]
async fn a_file_that_was_just_offered_is_spared() {
    let bench = Bench::new().await;
    let offered = hash("no record refers to it yet");
    let before = bench.now();
    bench.keep(&offered).await;
    let superseded_before = bench.now();
    let spared =
        bench.write(CollectArtifacts { superseded_before, ended_before: 0, unknown_before: before }).await.unwrap();
    assert_eq!((spared, bench.store.artifact(&offered).await.unwrap()), (vec![], Some(10)));
    assert_eq!(bench.collect().await, [offered]);
}

#[tokio::test]
async fn a_job_does_not_go_on_from_a_checkpoint_that_is_lost() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let attempt = bench.start(worker).await.attempt;
    let [first, second] = [1, 2].map(|epoch| checkpoint_record(attempt, epoch, CheckpointRole::Resume));
    for saved in [&first, &second] {
        bench.keep(&saved.sha256).await;
    }
    let records =
        [started(1), epoch(1), Record::Checkpoint(first.clone()), epoch(2), Record::Checkpoint(second.clone())];
    bench.report(attempt, 1, &records).await.unwrap();
    for _ in 0..2 {
        bench.write(LoseArtifacts { lost: vec![second.sha256.clone()] }).await.unwrap();
    }
    bench.expire(attempt).await;
    assert_eq!(bench.start(worker).await.resume.unwrap().sha256, first.sha256);
    assert_eq!(bench.event_kinds().await.iter().filter(|kind| *kind == "artifact.lost").count(), 1);
}
