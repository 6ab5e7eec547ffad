use rrm_spec::{
    CheckpointRole, Device, EpochRecord, EvaluationRecord, ImageOutcome, JobSpec, JobState, Outcome, Record,
};
use rrm_store::StoreError;

use crate::bench::{
    Bench, CHAIN, checkpoint, checkpoint_record, epoch, epoch_record, evaluation, plan, single, started,
};

const CPU: Device = Device::Cpu;

#[tokio::test]
async fn epochs_read_back_as_they_were_reported() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let lease = bench.start(worker).await;
    assert_eq!(bench.report(lease.attempt, 1, &[started(1), epoch(1), epoch(2)]).await.unwrap(), 3);
    let detail = bench.job(job).await;
    assert_eq!(detail.epochs, [epoch_record(1), epoch_record(2)]);
    assert_eq!((detail.summary.epochs_done, detail.summary.epochs_total), (2, 3));
    let Record::Started(run) = started(1) else { unreachable!() };
    assert_eq!(detail.attempts[0].run, Some(run));
}

#[tokio::test]
async fn a_record_that_comes_twice_is_stored_once() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let attempt = bench.start(worker).await.attempt;
    let records = [started(1), epoch(1), epoch(2), epoch(3)];
    assert_eq!(bench.report(attempt, 1, &records[..2]).await.unwrap(), 2);
    assert_eq!(bench.report(attempt, 1, &records[..2]).await.unwrap(), 2);
    assert_eq!(bench.report(attempt, 2, &records[1..]).await.unwrap(), 4);
    assert_eq!(bench.job(job).await.epochs.len(), 3);
    assert_eq!(bench.event_kinds().await.iter().filter(|kind| *kind == "epoch").count(), 3);
}

#[tokio::test]
async fn records_beyond_a_gap_are_not_taken() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let attempt = bench.start(worker).await.attempt;
    assert_eq!(bench.report(attempt, 1, &[started(1)]).await.unwrap(), 1);
    assert_eq!(bench.report(attempt, 3, &[epoch(2)]).await.unwrap(), 1);
    assert!(matches!(bench.report(attempt, 0, &[]).await, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn a_stale_attempt_cannot_report() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let old = bench.start(worker).await.attempt;
    bench.report(old, 1, &[started(1), epoch(1)]).await.unwrap();
    assert_eq!(bench.expire(old).await, [old]);
    let new = bench.start(worker).await.attempt;
    assert!(matches!(bench.report(old, 3, &[epoch(2)]).await, Err(StoreError::LeaseLost { .. })));
    bench.report(new, 1, &[started(1), epoch(1)]).await.unwrap();
    assert_eq!(bench.job(job).await.epochs.len(), 1);
}

#[tokio::test]
async fn an_epoch_with_another_value_is_told_and_never_overwrites() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let attempt = bench.start(worker).await.attempt;
    bench.report(attempt, 1, &[started(1), epoch(1)]).await.unwrap();
    let other = EpochRecord { loss: 99.0, ..epoch_record(1) };
    assert_eq!(bench.report(attempt, 3, &[epoch(1), Record::Epoch(other)]).await.unwrap(), 4);
    assert_eq!(bench.job(job).await.epochs, [epoch_record(1)]);
    let errors: Vec<_> = bench.event_kinds().await.into_iter().filter(|kind| kind.starts_with("error.")).collect();
    assert_eq!(errors, ["error.epoch-differs"]);
}

#[tokio::test]
async fn impossible_records_are_refused_whole() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&plan(CHAIN)).await[0];
    let attempt = bench.start(worker).await.attempt;
    let mut nan = epoch_record(1);
    nan.loss = f64::NAN;
    for records in [
        vec![epoch(1)],
        vec![started(2)],
        vec![started(1), started(1)],
        vec![started(1), epoch(2)],
        vec![started(1), epoch(1), epoch(2), epoch(3), epoch(4)],
        vec![started(1), Record::Epoch(nan)],
        vec![started(1), Record::Evaluation(evaluation(&plan(CHAIN).jobs[2].spec))],
    ] {
        let refused = bench.report(attempt, 1, &records).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{records:?}: {refused:?}");
    }
    assert_eq!(bench.job(job).await.epochs, []);
    assert_eq!(bench.report(attempt, 1, &[started(1)]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_resumed_attempts_epochs_replace_those_that_led_nowhere() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let first = bench.start(worker).await.attempt;
    let kept = checkpoint_record(first, 1, CheckpointRole::Resume);
    bench.keep(&kept.sha256).await;
    bench
        .report(first, 1, &[started(1), epoch(1), Record::Checkpoint(kept.clone()), epoch(2), epoch(3)])
        .await
        .unwrap();
    bench.expire(first).await;

    let second = bench.start(worker).await;
    assert_eq!(second.resume.as_ref().map(|it| (it.epoch, &it.sha256)), Some((1, &kept.sha256)));
    let slower = EpochRecord { train_us: 7, ..epoch_record(2) };
    bench.report(second.attempt, 1, &[started(2), Record::Epoch(slower.clone())]).await.unwrap();
    assert_eq!(bench.job(job).await.epochs, [epoch_record(1), slower]);
}

#[tokio::test]
async fn a_checkpoint_whose_file_never_came_is_not_resumed_from() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let job = bench.submitted(&single("a")).await[0];
    let first = bench.start(worker).await.attempt;
    let lost = checkpoint(first, 1, CheckpointRole::Resume);
    bench.report(first, 1, &[started(1), epoch(1), lost]).await.unwrap();
    assert_eq!(bench.job(job).await.checkpoints, []);
    bench.expire(first).await;
    assert_eq!(bench.start(worker).await.resume, None);
}

#[tokio::test]
async fn a_checkpoint_of_a_branch_that_was_given_up_is_not_resumed_from() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let first = bench.start(worker).await.attempt;
    let second_epoch = checkpoint_record(first, 2, CheckpointRole::Resume);
    bench.keep(&second_epoch.sha256).await;
    bench.report(first, 1, &[started(1), epoch(1), epoch(2), Record::Checkpoint(second_epoch)]).await.unwrap();
    bench.expire(first).await;
    // It could not read the checkpoint and began again.
    let second = bench.start(worker).await.attempt;
    bench.report(second, 1, &[started(1), epoch(1)]).await.unwrap();
    bench.expire(second).await;
    assert_eq!(bench.start(worker).await.resume, None);
}

#[tokio::test]
async fn an_evaluation_keeps_the_outcome_of_every_image() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        bench.finish(&lease).await;
    }
    let lease = bench.start(worker).await;
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    let told = evaluation(&lease.spec);
    let page = bench.store.images(ids[2], 0, None).await.unwrap().unwrap();
    assert_eq!((page.evaluation, &page.attack, &page.images), (0, &told.attack, &told.images));
    let rest = bench.store.images(ids[2], 0, Some(0)).await.unwrap().unwrap();
    assert_eq!(rest.images, told.images[1..]);
    assert_eq!(bench.store.images(ids[2], 0, Some(2)).await.unwrap(), None);
    let stored = bench.job(ids[2]).await.evaluations;
    assert_eq!(stored, [EvaluationRecord { images: Vec::new(), ..told }]);
    assert_eq!(bench.store.images(ids[0], 0, None).await.unwrap(), None);
}

#[tokio::test]
async fn images_of_several_radii_are_read_one_radius_after_the_other_and_page_by_page() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let radii = CHAIN.replace(
        "batch_size = 50\n    seed = 1",
        "batch_size = 50\n    seed = 1\n    epsilons = [\"4/255\", \"8/255\"]",
    );
    let ids = bench.submitted(&plan(&radii)).await;
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        bench.finish(&lease).await;
    }
    let lease = bench.start(worker).await;
    let JobSpec::Evaluate(spec) = &lease.spec else { panic!("the chain ends with an evaluation") };
    let image = |image| ImageOutcome { image, label: 0, prediction: 0, outcome: Outcome::Robust, closest: None };
    let of = |attack| EvaluationRecord { attack, images: (0..1500).map(image).collect(), ..evaluation(&lease.spec) };
    let records: Vec<Record> = spec.attacks().into_iter().map(|attack| Record::Evaluation(of(attack))).collect();
    bench.report(lease.attempt, 1, &[vec![started(1)], records].concat()).await.unwrap();
    let (mut found, mut from) = (Vec::new(), (0, None));
    while let Some(page) = bench.store.images(ids[2], from.0, from.1).await.unwrap() {
        from = (page.evaluation, page.images.last().map(|last| last.image));
        found.push((page.evaluation, page.attack.threat().epsilon.to_string(), page.images.len()));
    }
    let page = |evaluation, epsilon: &str, images| (evaluation, epsilon.to_owned(), images);
    assert_eq!(found, [page(0, "4/255", 1000), page(0, "4/255", 500), page(1, "8/255", 1000), page(1, "8/255", 500)]);
}

#[tokio::test]
async fn an_evaluation_whose_closest_point_is_no_number_is_refused() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        bench.finish(&lease).await;
    }
    let lease = bench.start(worker).await;
    let mut told = evaluation(&lease.spec);
    told.images[0].closest.as_mut().unwrap().margin = f64::NAN;
    let refused = bench.report(lease.attempt, 1, &[started(1), Record::Evaluation(told)]).await;
    assert!(
        matches!(&refused, Err(StoreError::Invalid(faults)) if faults.to_string().contains("image 0")),
        "{refused:?}"
    );
    assert_eq!(bench.store.images(ids[2], 0, None).await.unwrap(), None);
}

/// The chain's evaluation, whose networks are trained.
async fn attacking(bench: &Bench, toml: &str) -> (rrm_spec::WorkerId, rrm_spec::Assignment) {
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&plan(toml)).await.unwrap();
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        bench.finish(&lease).await;
    }
    let lease = bench.start(worker).await;
    (worker, lease)
}

#[tokio::test]
async fn an_evaluation_goes_on_from_its_newest_checkpoint_and_tells_all_of_its_result_again() {
    let bench = Bench::new().await;
    let (worker, first) = attacking(&bench, CHAIN).await;
    let refused = bench.report(first.attempt, 1, &[started(3)]).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "no checkpoint 2 is known: {refused:?}");
    let [one, two] = [1, 2].map(|number| checkpoint_record(first.attempt, number, CheckpointRole::Resume));
    let records = [started(1), Record::Checkpoint(one.clone()), Record::Checkpoint(two.clone())];
    bench.keep(&one.sha256).await;
    bench.keep(&two.sha256).await;
    bench.report(first.attempt, 1, &records).await.unwrap();
    bench.expire(first.attempt).await;
    let second = bench.start(worker).await;
    assert_eq!(second.resume.as_ref().map(|it| (it.epoch, &it.sha256)), Some((2, &two.sha256)));
    let three = checkpoint_record(second.attempt, 3, CheckpointRole::Resume);
    bench.report(second.attempt, 1, &[started(3), Record::Checkpoint(three)]).await.unwrap();
    bench.expire(second.attempt).await;
    // The third checkpoint's file never came.
    let third = bench.start(worker).await;
    assert_eq!(third.resume.as_ref().map(|it| it.epoch), Some(2));
    let told = Record::Evaluation(evaluation(&third.spec));
    bench.report(third.attempt, 1, &[started(3), told]).await.unwrap();
    assert_eq!(bench.settle(third.attempt, 2, rrm_spec::AttemptOutcome::Ok).await.unwrap(), JobState::Succeeded);
}

#[tokio::test]
async fn an_evaluation_that_keeps_its_images_is_no_success_before_they_are_stored() {
    let bench = Bench::new().await;
    let keeping = CHAIN.replace("restarts = 2 }", "restarts = 2 }\n    keep_images = true");
    let (_, lease) = attacking(&bench, &keeping).await;
    let kept = checkpoint_record(lease.attempt, 1, CheckpointRole::Final);
    let records = [started(1), Record::Evaluation(evaluation(&lease.spec)), Record::Checkpoint(kept.clone())];
    bench.report(lease.attempt, 1, &records).await.unwrap();
    let early = bench.settle(lease.attempt, 3, rrm_spec::AttemptOutcome::Ok).await;
    assert!(matches!(&early, Err(StoreError::Conflict { what }) if what.contains("uploaded")), "{early:?}");
    bench.keep(&kept.sha256).await;
    assert_eq!(bench.settle(lease.attempt, 3, rrm_spec::AttemptOutcome::Ok).await.unwrap(), JobState::Succeeded);
    assert_eq!(bench.job(lease.job).await.checkpoints, [kept]);
}

#[tokio::test]
async fn every_norm_is_one_that_the_database_takes() {
    for norm in ["linf", "l2", "l1"] {
        let bench = Bench::new().await;
        let worker = bench.worker("node", &[CPU]).await;
        let ids = bench.submitted(&plan(&CHAIN.replace("linf", norm))).await;
        for _ in 0..3 {
            let lease = bench.start(worker).await;
            assert_eq!(bench.finish(&lease).await, JobState::Succeeded, "{norm}");
        }
        assert_eq!(bench.job(ids[2]).await.evaluations[0].attack.threat().norm.to_string(), norm);
    }
}
