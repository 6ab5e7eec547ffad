//! Measuring networks.

use rrm_spec::{
    AttackSpec, EvaluateSpec, EvaluationRecord, JobRef, JobSpec, Method, ModelSource, Outcome, PgdSelection, PgdSpec,
    Record,
};
use rrm_train::Completion;
use sha2::{Digest, Sha256};

use crate::{
    dataset::Recipe,
    support::{Bench, TEACHER, bytes, count, pgd, records},
};

fn spec(bench: &Bench, attack: AttackSpec, batch_size: u32) -> JobSpec {
    JobSpec::Evaluate(EvaluateSpec {
        model: ModelSource::Job(JobRef::Id(TEACHER)),
        dataset: bench.dataset.clone(),
        images: None,
        attack,
        batch_size: count(batch_size),
        seed: 5,
    })
}

/// A network whose errors are worth attacking.
fn trained() -> Bench {
    let bench = Bench::new(Recipe { images: (30, 10), ..Recipe::TEMPTING });
    let mut spec = bench.spec("resnet18/16", Method::Natural);
    spec.epochs = count(2);
    bench.train(&spec, &bench.environment("network"));
    bench
}

fn restarting(restarts: u32) -> AttackSpec {
    let AttackSpec::Pgd(spec) = pgd("6/255", "3/255", 2, PgdSelection::Last) else { unreachable!("pgd makes PGD") };
    AttackSpec::Pgd(PgdSpec { restarts: count(restarts), ..spec })
}

fn evaluate(bench: &Bench, attack: AttackSpec, batch_size: u32) -> EvaluationRecord {
    let environment = bench.environment_with("evaluation", "network");
    let (outcome, mut told) = records(&spec(bench, attack, batch_size), &environment, |_| false);
    assert_eq!(outcome.unwrap(), Completion::Finished);
    assert!(matches!(told.as_slice(), [Record::Started(_), Record::Evaluation(_)]), "{told:?}");
    match told.pop() {
        Some(Record::Evaluation(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn outcomes_do_not_depend_on_the_batch_size() {
    let bench = trained();
    let outcomes: Vec<_> = [1, 7, 64].map(|size| evaluate(&bench, restarting(2), size).images).into();
    assert_eq!(outcomes[0].len(), 20);
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[test]
fn accuracies_count_the_outcomes_of_the_images() {
    let bench = trained();
    let record = evaluate(&bench, restarting(3), 8);
    let count = |wanted: fn(Outcome) -> bool| record.images.iter().filter(|image| wanted(image.outcome)).count() as u64;
    assert_eq!(record.natural.correct, 20 - count(|outcome| outcome == Outcome::Misclassified));
    assert_eq!(record.robust.correct, count(|outcome| outcome == Outcome::Robust));
    assert_eq!((record.natural.total, record.robust.total), (20, 20));
    assert!(record.images.iter().enumerate().all(|(i, image)| image.image as usize == i));
    assert!(
        record
            .images
            .iter()
            .all(|image| (image.prediction != image.label) == (image.outcome == Outcome::Misclassified))
    );
    assert!(count(|outcome| matches!(outcome, Outcome::Broken { .. })) > 0, "the attack broke nothing: {record:?}");
}

#[test]
fn an_evaluation_names_the_file_it_measured() {
    let bench = trained();
    let record = evaluate(&bench, restarting(1), 20);
    let file = bytes(&bench.path("network/final.safetensors"));
    assert_eq!(record.weights.as_str(), hex::encode(Sha256::digest(&file)));
}

#[test]
fn an_evaluation_can_be_stopped() {
    let bench = trained();
    let environment = bench.environment_with("evaluation", "network");
    let (outcome, told) = records(&spec(&bench, restarting(1), 4), &environment, |_| true);
    assert_eq!(outcome.unwrap(), Completion::Stopped);
    assert_eq!(told.len(), 1, "{told:?}");
}
