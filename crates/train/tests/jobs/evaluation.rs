//! Measuring networks.

use rrm_spec::{AttackSpec, Method, Outcome, PgdSelection, PgdSpec, TrainSpec};
use rrm_train::Completion;
use sha2::{Digest, Sha256};

use crate::{
    dataset::Recipe,
    support::{Bench, bytes, count, pgd, records},
};

/// A network whose errors are worth attacking.
fn trained() -> Bench {
    let bench = Bench::new(Recipe { images: (30, 10), ..Recipe::TEMPTING });
    let spec = TrainSpec { epochs: count(5), ..bench.spec("vgg11/16", Method::Natural) };
    bench.train(&spec, &bench.environment("network"));
    bench
}

fn restarting(restarts: u32) -> AttackSpec {
    let AttackSpec::Pgd(spec) = pgd("6/255", "3/255", 2, PgdSelection::Last) else { unreachable!("pgd makes PGD") };
    AttackSpec::Pgd(PgdSpec { restarts: count(restarts), ..spec })
}

#[test]
fn outcomes_do_not_depend_on_the_batch_size() {
    let bench = trained();
    let outcomes: Vec<_> = [1, 7, 64].map(|size| bench.evaluate("network", restarting(2), size).images).into();
    assert_eq!(outcomes[0].len(), 20);
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[test]
fn accuracies_count_the_outcomes_of_the_images() {
    let bench = trained();
    let record = bench.evaluate("network", restarting(3), 8);
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
    let record = bench.evaluate("network", restarting(1), 20);
    let file = bytes(&bench.path("network/final.safetensors"));
    assert_eq!(record.weights.as_str(), hex::encode(Sha256::digest(&file)));
}

#[test]
fn an_evaluation_can_be_stopped() {
    let bench = trained();
    let environment = bench.environment_with("evaluation", "network");
    let (outcome, told) = records(&bench.evaluation(restarting(1), 4), &environment, |_| true);
    assert_eq!(outcome.unwrap(), Completion::Stopped);
    assert_eq!(told.len(), 1, "{told:?}");
}
