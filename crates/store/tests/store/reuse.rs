use rrm_spec::{
    Assignment, AttemptOutcome, CheckpointRole, Device, DeviceInfo, JobId, JobSpec, JobState, ModelSource, Plan,
    Record, Registration, WorkerId,
};
use rrm_store::{CollectArtifacts, Depart, Departure, JobFilter, LoseArtifacts, Register, Reuse};

use crate::bench::{Bench, CHAIN, plan, single, whole_run};
use crate::retry::PLAIN;
use crate::view::rows;

const CPU: Device = Device::Cpu;

/// The chain, done.
async fn done(bench: &Bench) -> Vec<JobId> {
    let worker = bench.worker("node", &[CPU]).await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    for _ in 0..3 {
        let lease = bench.start(worker).await;
        assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    }
    ids
}

fn ids(submitted: &rrm_store::Submitted) -> Vec<i64> {
    submitted.jobs.iter().map(|(id, _)| id.0).collect()
}

/// The chain with another student.
fn other_student() -> Plan {
    plan(&CHAIN.replace("lambda = 0.005", "lambda = 0.05"))
}

/// A worker that is known already is started anew with another version of the code.
async fn upgrade(bench: &Bench, node: &str, code: &str) -> WorkerId {
    let registration = Registration {
        node: node.into(),
        version: "0.1.0".into(),
        boot_id: format!("boot-only-of-{node}"),
        devices: vec![DeviceInfo { device: CPU, name: String::new(), memory_mib: None, share: 1 }],
        labels: Vec::new(),
        code_version: code.into(),
    };
    bench.write(Register { registration }).await.unwrap()
}

/// All records of an attempt that this code makes.
fn by_code(lease: &Assignment, code: &str) -> Vec<Record> {
    let mut records = whole_run(lease);
    let Record::Started(run) = &mut records[0] else { unreachable!("a run starts first") };
    run.code_version = code.into();
    records
}

/// Runs the next job to its end by that code, which finds those images.
async fn run(bench: &Bench, worker: WorkerId, code: &str, images: &str) {
    let lease = bench.start(worker).await;
    let mut records = by_code(&lease, code);
    let Record::Started(run) = &mut records[0] else { unreachable!("a run starts first") };
    run.data_sha256 = Some(crate::bench::hash(images));
    bench.end_with(&lease, &records, AttemptOutcome::Ok).await;
}

#[tokio::test]
async fn what_other_code_has_done_is_done_again() {
    let bench = Bench::new().await;
    done(&bench).await;
    let worker = upgrade(&bench, "node", "0.1.0+other").await;
    let again = bench.submit_new(&plan(CHAIN)).await;
    assert_eq!((ids(&again), again.outdated), (vec![4, 5, 6], 3));
    for _ in 0..3 {
        run(&bench, worker, "0.1.0+other", "images").await;
    }
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [4, 5, 6], "the new code's");
    upgrade(&bench, "node", "0.1.0").await;
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [1, 2, 3], "the old code is back");
    upgrade(&bench, "another", "0.1.0+other").await;
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [4, 5, 6], "both could run, and the newest counts");
}

#[tokio::test]
async fn a_student_is_reused_with_the_teacher_that_taught_it_or_not_at_all() {
    let bench = Bench::new().await;
    done(&bench).await;
    let worker = upgrade(&bench, "another", "0.1.0+other").await;
    bench.submit(&single("a newer teacher")).await.unwrap();
    run(&bench, worker, "0.1.0+other", "images").await;
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [4, 5, 6]);
    // One code teaches, the other one evaluates: found again as it was made.
    run(&bench, worker, "0.1.0", "images").await;
    run(&bench, worker, "0.1.0+other", "images").await;
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [4, 5, 6]);
}

#[tokio::test]
async fn without_a_worker_the_code_of_the_last_one_counts() {
    let bench = Bench::new().await;
    done(&bench).await;
    let workers = vec![upgrade(&bench, "node", "0.1.0").await];
    bench.write(Depart { workers, how: Departure::GoodBye }).await.unwrap();
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [1, 2, 3]);
}

#[tokio::test]
async fn what_was_made_of_other_images_is_made_again_and_all_that_needs_it() {
    let bench = Bench::new().await;
    done(&bench).await;
    let worker = bench.worker("node", &[CPU]).await;
    // Another job reads the same images, and finds others.
    bench.submit(&single("a run that finds them changed")).await.unwrap();
    run(&bench, worker, "0.1.0", "other images").await;
    let again = bench.submit_new(&plan(CHAIN)).await;
    assert_eq!((ids(&again), again.outdated), (vec![4, 5, 6], 2), "4 is the run that found them");
}

#[tokio::test]
async fn a_dataset_that_has_changed_in_one_split_is_not_trusted_in_the_other() {
    let bench = Bench::new().await;
    done(&bench).await;
    let worker = bench.worker("node", &[CPU]).await;
    // Its network is a file, whose content nobody knows; its images are known all the same.
    let file = CHAIN.replace("{ job = \"student\" }", "{ checkpoint = \"student.safetensors\" }");
    let mut attack = plan(&file);
    attack.jobs.drain(..2);
    bench.submit(&attack).await.unwrap();
    run(&bench, worker, "0.1.0", "other test images").await;
    let again = bench.submit_new(&plan(CHAIN)).await;
    assert_eq!((ids(&again), again.outdated), (vec![5, 6, 7], 3));
}

#[tokio::test]
async fn a_student_of_a_teacher_that_is_named_by_its_id_counts_whatever_code_trained_that_teacher() {
    let bench = Bench::new().await;
    done(&bench).await;
    let worker = upgrade(&bench, "node", "0.1.0+other").await;
    let mut of_the_first = plan(&CHAIN.replace("{ job = \"teacher\" }", "{ job = \"#1\" }"));
    of_the_first.jobs.remove(0);
    assert_eq!(ids(&bench.submit_new(&of_the_first).await), [4, 5]);
    for _ in 0..2 {
        run(&bench, worker, "0.1.0+other", "images").await;
    }
    assert_eq!(ids(&bench.submit_new(&of_the_first).await), [4, 5]);
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [6, 7, 8], "whose teacher is the other code's, too");
}

#[tokio::test]
async fn what_two_versions_of_the_code_have_made_together_is_no_example() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let first = bench.start(worker).await;
    let end = bench.end_with(&first, &whole_run(&first)[..3], AttemptOutcome::Stopped).await;
    assert_eq!(end, JobState::Queued);
    upgrade(&bench, "node", "0.1.0+other").await;
    let second = bench.start(worker).await;
    bench.end_with(&second, &by_code(&second, "0.1.0+other"), AttemptOutcome::Ok).await;
    assert_eq!(ids(&bench.submit_new(&single("b")).await), [2]);
}

#[tokio::test]
async fn a_retry_that_goes_on_from_what_two_versions_of_the_code_have_made_is_no_example() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let first = bench.start(worker).await;
    bench.end_with(&first, &whole_run(&first)[..3], AttemptOutcome::Stopped).await;
    upgrade(&bench, "node", "0.1.0+other").await;
    // The newest checkpoint is the new code's, which a retry takes over.
    let second = bench.start(worker).await;
    let records = by_code(&second, "0.1.0+other");
    assert_eq!(bench.end_with(&second, &records[..3], AttemptOutcome::UserError).await, JobState::Failed);
    let retried = bench.retry(&[JobId(1)], PLAIN).await.unwrap();
    let third = bench.start(worker).await;
    bench.end_with(&third, &by_code(&third, "0.1.0+other"), AttemptOutcome::Ok).await;
    assert_eq!(bench.state(retried[0].job).await, JobState::Succeeded);
    assert_eq!(ids(&bench.submit_new(&single("b")).await), [3]);
}

#[tokio::test]
async fn a_plan_that_was_done_is_not_queued_again() {
    let bench = Bench::new().await;
    let before = done(&bench).await;
    let again = bench.submit_new(&plan(&CHAIN.replace("\"chain\"", "\"again\""))).await;
    assert_eq!((ids(&again), again.reused.as_slice()), (vec![1, 2, 3], before.as_slice()));
    let filter =
        |states| JobFilter { states, submission: Some(again.submission), needs: None, before: None, limit: 10 };
    let listed = |states| {
        let (store, filter) = (bench.store.clone(), filter(states));
        async move { store.jobs(&filter).await.unwrap().into_iter().map(|job| job.id.0).collect::<Vec<_>>() }
    };
    assert_eq!(listed(vec![]).await, [3, 2, 1], "the plan has its jobs, whoever did them");
    assert_eq!(listed(vec![JobState::Succeeded]).await, [3, 2, 1]);
    assert_eq!(listed(vec![JobState::Queued]).await, [] as [i64; 0]);
    assert_eq!(bench.store.jobs_of(again.submission).await.unwrap(), before);
    let rows: Vec<(String, String, i64, String)> =
        rows(&bench, "select plan, name, job_id, done_name from reuses order by job_id");
    assert_eq!(rows[0], ("again".into(), "teacher".into(), 1, "teacher".into()));
    assert_eq!(rows.len(), 3);
}

#[tokio::test]
async fn what_is_new_refers_to_what_was_done_and_is_queued_at_once() {
    let bench = Bench::new().await;
    done(&bench).await;
    let new = bench.submit_new(&other_student()).await;
    assert_eq!((ids(&new), new.reused), (vec![1, 4, 5], vec![JobId(1)]));
    let student = bench.job(JobId(4)).await;
    assert_eq!((student.summary.state, student.parents), (JobState::Queued, vec![JobId(1)]));
    let JobSpec::Train(spec) = student.spec else { panic!("the student is trained") };
    assert_eq!(spec.method.teacher(), Some(&ModelSource::Job("#1".parse().unwrap())));
    let attack = bench.job(JobId(5)).await;
    assert_eq!((attack.summary.state, attack.parents), (JobState::Waiting, vec![JobId(4)]));
    let worker = bench.worker("node", &[CPU]).await;
    for _ in 0..2 {
        let lease = bench.start(worker).await;
        assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    }
}

#[tokio::test]
async fn without_the_wish_everything_is_done_again_and_the_newest_counts() {
    let bench = Bench::new().await;
    done(&bench).await;
    assert_eq!(ids(&bench.submit(&plan(CHAIN)).await.unwrap()), [4, 5, 6]);
    let waits = bench.submit_new(&plan(CHAIN)).await;
    assert_eq!(ids(&waits), [1, 2, 3], "what is only queued has done nothing");
    let worker = bench.worker("node", &[CPU]).await;
    let lease = bench.start(worker).await;
    assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [4, 2, 3]);
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_the_first_was() {
    let bench = Bench::new().await;
    done(&bench).await;
    let plan = other_student();
    let submit = || bench.submit_with("the-same-request", &plan, Reuse::Yes);
    let (first, again) = (submit().await.unwrap(), submit().await.unwrap());
    assert!(!first.already && again.already);
    assert_eq!((again.jobs, again.reused, again.submission), (first.jobs, first.reused, first.submission));
}

#[tokio::test]
async fn a_network_whose_file_is_gone_is_trained_again_but_its_evaluation_stands() {
    let bench = Bench::new().await;
    let before = done(&bench).await;
    let weights = bench.job(before[1]).await.checkpoints.into_iter().find(|it| it.role == CheckpointRole::Final);
    bench.write(LoseArtifacts { lost: vec![weights.unwrap().sha256] }).await.unwrap();
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [1, 4, 3]);
}

#[tokio::test]
async fn a_collection_leaves_what_may_be_reused() {
    let bench = Bench::new().await;
    done(&bench).await;
    let now = bench.now();
    bench.write(CollectArtifacts { superseded_before: now, ended_before: now, unknown_before: now }).await.unwrap();
    assert_eq!(ids(&bench.submit_new(&plan(CHAIN)).await), [1, 2, 3]);
}

#[tokio::test]
async fn a_job_for_another_device_is_done_there() {
    let bench = Bench::new().await;
    done(&bench).await;
    let on = |device: &str| {
        plan(&CHAIN.replace("name = \"teacher\"", &format!("name = \"teacher\"\n    device = \"{device}\"")))
    };
    assert_eq!(ids(&bench.submit_new(&on("cpu")).await), [1, 2, 3]);
    assert_eq!(ids(&bench.submit_new(&on("cuda")).await), [4, 2, 3]);
}

#[tokio::test]
async fn a_job_that_failed_is_no_example() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&single("a")).await.unwrap();
    let attempt = bench.start(worker).await.attempt;
    bench.settle(attempt, 0, AttemptOutcome::UserError).await.unwrap();
    assert_eq!(ids(&bench.submit_new(&single("b")).await), [2]);
}

#[tokio::test]
async fn an_evaluation_that_is_to_keep_images_needs_one_that_did() {
    let bench = Bench::new().await;
    done(&bench).await;
    let keeping = plan(&CHAIN.replace("restarts = 2 }", "restarts = 2 }\n    keep_images = true"));
    let new = bench.submit_new(&keeping).await;
    assert_eq!(ids(&new), [1, 2, 4]);
}

#[tokio::test]
async fn the_key_of_a_job_is_shown_and_what_starts_from_a_file_has_none() {
    let bench = Bench::new().await;
    let ids = bench.submitted(&plan(CHAIN)).await;
    let twice = bench.submitted(&plan(CHAIN)).await;
    let (key, other) = (bench.job(ids[2]).await.content_key, bench.job(twice[2]).await.content_key);
    assert!(key.is_some() && key == other);
    let file = bench.submitted(&plan(&CHAIN.replace("{ job = \"student\" }", "{ checkpoint = \"x\" }"))).await;
    assert_eq!(bench.job(file[2]).await.content_key, None);
}

#[tokio::test]
async fn every_number_is_traced_to_weights_data_spec_code_and_device() {
    let bench = Bench::new().await;
    let ids = done(&bench).await;
    type Row = (i64, String, Option<String>, String, String, String, String, String, String);
    let rows: Vec<Row> = rows(
        &bench,
        "select job_id, kind, attack, weights_sha256, data_sha256, spec_sha256, content_key, device, node \
         from provenance order by job_id",
    );
    assert_eq!(rows.len(), 3);
    let hash = |text| crate::bench::hash(text).to_string();
    let (job, kind, attack, weights, data, spec, key, device, node) = rows[2].clone();
    assert_eq!((job, kind.as_str(), attack.as_deref()), (ids[2].0, "evaluate", Some("APGD-CE 5x2")));
    assert_eq!([weights, data, spec], [hash("weights"), hash("images"), hash("spec")]);
    assert_eq!(Some(key), bench.job(ids[2]).await.content_key.map(|key| key.to_string()));
    assert_eq!((device.as_str(), node.as_str()), ("cpu", "node"));
    let made = bench.job(ids[0]).await.checkpoints.into_iter().find(|it| it.role == CheckpointRole::Final);
    assert_eq!(rows[0].3, made.unwrap().sha256.to_string(), "of a training, the weights that it made");
}
