//! Measuring networks.

use std::sync::atomic::Ordering;

use rrm_spec::{
    AttackSpec, CheckpointRole, EvaluateSpec, EvaluationRecord, Event, FailureClass, JobSpec, Method, Outcome,
    PgdSelection, PgdSpec, Record, TrainSpec,
};
use rrm_train::{Completion, Environment, run};
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

fn attack(json: &str) -> AttackSpec {
    serde_json::from_str(json).unwrap()
}

#[test]
fn outcomes_of_several_attacks_in_turn_do_not_depend_on_the_batch_size_either() {
    let bench = trained();
    let ensemble = attack(
        r#"{"kind": "autoattack", "threat": {"norm": "linf", "epsilon": "6/255"}, "version":
            {"kind": "custom", "attacks": ["apgd-ce"], "iterations": 3}}"#,
    );
    let art = attack(
        r#"{"kind": "apgd", "threat": {"norm": "linf", "epsilon": "6/255"}, "iterations": 3, "restarts": 2,
            "dialect": {"kind": "art", "batch": 3}}"#,
    );
    for attack in [ensemble, art] {
        let outcomes: Vec<_> = [1, 7, 64].map(|size| bench.evaluate("network", attack.clone(), size).images).into();
        assert_eq!(outcomes[0], outcomes[1], "{}", attack.label());
        assert_eq!(outcomes[0], outcomes[2], "{}", attack.label());
        let broken = |outcome: Outcome| matches!(outcome, Outcome::Broken { .. });
        assert!(outcomes[0].iter().any(|image| broken(image.outcome)), "{}", attack.label());
    }
}

#[test]
fn of_each_attacked_image_it_is_told_how_close_the_attack_came() {
    let bench = trained();
    let apgd = attack(r#"{"kind": "apgd", "threat": {"norm": "linf", "epsilon": "6/255"}, "iterations": 5}"#);
    for image in bench.evaluate("network", apgd, 8).images {
        let closest = image.closest.map(|closest| (closest.margin < 0.0, closest.iteration.is_some(), closest.part));
        let expected = match image.outcome {
            Outcome::Misclassified => None,
            Outcome::Broken { .. } => Some((true, true, 0)),
            Outcome::Robust => Some((false, false, 0)),
        };
        assert_eq!(closest, expected, "{image:?}");
    }
}

#[test]
fn what_a_smaller_radius_broke_stays_broken_at_a_larger_one() {
    let bench = trained();
    let JobSpec::Evaluate(spec) = bench.evaluation(restarting(1), 8) else { unreachable!("it evaluates") };
    let radii = ["0", "2/255", "6/255", "20/255"];
    let epsilons = radii.map(|text| text.parse().unwrap()).to_vec();
    let job = JobSpec::Evaluate(EvaluateSpec { epsilons, ..spec });
    let (_, told) = records(&job, &bench.environment_with("evaluation", "network"), |_| false);
    let evaluations: Vec<EvaluationRecord> = told.into_iter().filter_map(evaluation).collect();
    let found: Vec<String> = evaluations.iter().map(|record| record.attack.threat().epsilon.to_string()).collect();
    assert_eq!(found, radii);
    assert_eq!(evaluations[0].robust, evaluations[0].natural, "nothing lies in a ball of radius 0");
    for pair in evaluations.windows(2) {
        for (small, large) in pair[0].images.iter().zip(&pair[1].images) {
            assert!(small.outcome == Outcome::Robust || small == large, "{small:?} {large:?}");
        }
    }
    assert!(evaluations[3].robust.correct < evaluations[0].robust.correct, "the largest radius broke nothing");
}

#[test]
fn a_radius_alone_is_evaluated_as_by_an_attack_of_that_radius() {
    let bench = trained();
    let JobSpec::Evaluate(spec) = bench.evaluation(restarting(2), 8) else { unreachable!("it evaluates") };
    let epsilons = vec!["3/255".parse().unwrap()];
    let job = JobSpec::Evaluate(EvaluateSpec { epsilons, ..spec });
    let (_, told) = records(&job, &bench.environment_with("evaluation", "network"), |_| false);
    let one = told.into_iter().find_map(evaluation).unwrap();
    let alone = bench.evaluate("network", restarting(2).with_epsilon(&"3/255".parse().unwrap()), 8);
    assert_eq!((one.attack, one.images), (alone.attack, alone.images));
}

#[test]
fn an_attack_that_needs_more_classes_is_refused_before_anything_is_attacked() {
    let bench = trained();
    let dlr = attack(
        r#"{"kind": "apgd", "threat": {"norm": "linf", "epsilon": "6/255"}, "iterations": 3, "loss": "targeted-dlr"}"#,
    );
    let environment = bench.environment_with("evaluation", "network");
    let (outcome, told) = records(&bench.evaluation(dlr, 8), &environment, |_| false);
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), FailureClass::User);
    assert!(error.to_string().contains("at least 4 classes, not 2"), "{error}");
    assert!(told.is_empty(), "{told:?}");
}

fn evaluation(record: Record) -> Option<EvaluationRecord> {
    match record {
        Record::Evaluation(record) => Some(record),
        Record::Started(_) | Record::Epoch(_) | Record::Checkpoint(_) | Record::Diagnostics(_) => None,
    }
}

#[test]
fn an_evaluation_names_the_file_it_measured() {
    let bench = trained();
    let record = bench.evaluate("network", restarting(1), 20);
    let file = bytes(&bench.path("network/final.safetensors"));
    assert_eq!(record.weights.as_str(), hex::encode(Sha256::digest(&file)));
}

#[test]
fn an_evaluation_that_is_told_to_stop_leaves_what_it_found_and_goes_on_from_there() {
    let bench = trained();
    let long =
        attack(r#"{"kind": "apgd", "threat": {"norm": "linf", "epsilon": "1/255"}, "iterations": 60, "restarts": 2}"#);
    let expected = bench.evaluate("network", long.clone(), 1);
    let job = bench.evaluation(long.clone(), 1);
    let environment = bench.environment_with("stopped", "network");
    let (mut told, mut batches) = (Vec::new(), 0);
    let ended = run(&job, &environment, &mut |event| match event {
        Event::Record(record) => told.push(record),
        // Told behind a batch.
        Event::Progress(progress) if progress.phase == long.label() && progress.images_per_second > 0.0 => {
            batches += 1;
            environment.stop.store(true, Ordering::Relaxed);
        }
        Event::Progress(_) | Event::Finished | Event::Stopped | Event::Failed { .. } => {}
    });
    assert_eq!((ended.unwrap(), batches), (Completion::Stopped, 1));
    let [Record::Started(_), .., Record::Checkpoint(checkpoint)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(checkpoint.role, CheckpointRole::Resume);
    let resume = Some(checkpoint.path.clone());
    let environment = Environment { resume, ..bench.environment_with("resumed", "network") };
    let (ended, told) = records(&job, &environment, |_| false);
    assert_eq!(ended.unwrap(), Completion::Finished);
    let resumed = told.into_iter().find_map(evaluation).unwrap();
    assert_eq!(EvaluationRecord { elapsed_us: 0, ..resumed }, EvaluationRecord { elapsed_us: 0, ..expected });
}

#[test]
fn an_evaluation_can_be_stopped() {
    let bench = trained();
    let environment = bench.environment_with("evaluation", "network");
    let (outcome, told) = records(&bench.evaluation(restarting(1), 4), &environment, |_| true);
    assert_eq!(outcome.unwrap(), Completion::Stopped);
    assert_eq!(told.len(), 1, "{told:?}");
}
