//! Attacks that know the teacher.

use rrm_spec::{
    AttackSpec, EvaluateSpec, EvaluationRecord, FailureClass, JobSpec, Method, ModelSource, Outcome, Record,
    RepresentationLoss, TrainSpec,
};
use rrm_train::Completion;

use crate::{
    dataset::Recipe,
    support::{Bench, count, records, rrm},
};

/// A teacher, and a student that matches its representations.
fn taught() -> Bench {
    let bench = Bench::new(Recipe { images: (30, 10), ..Recipe::TEMPTING });
    let teacher = TrainSpec { epochs: count(5), ..bench.spec("vgg11/16", Method::Natural) };
    bench.train(&teacher, &bench.environment("teacher"));
    let method = rrm(1.0, 1, RepresentationLoss::Cosine);
    let student = TrainSpec { epochs: count(8), ..bench.spec("resnet18/16", method) };
    bench.train(&student, &bench.environment_with("student", "teacher"));
    bench
}

fn network(bench: &Bench, work: &str) -> ModelSource {
    ModelSource::Checkpoint(bench.path(work).join("final.safetensors"))
}

fn adaptive(through: &str) -> AttackSpec {
    let attack = serde_json::json!({
        "kind": "adaptive", "threat": {"norm": "linf", "epsilon": "40/255"}, "through": through, "iterations": 5, "restarts": 2,
    });
    serde_json::from_value(attack).unwrap()
}

/// The attack on the network of one job that knows that of another.
fn job(bench: &Bench, attack: AttackSpec, model: &str, teacher: Option<&str>, batch_size: u32) -> JobSpec {
    let JobSpec::Evaluate(spec) = bench.evaluation(attack, batch_size) else { unreachable!("it evaluates") };
    let teacher = teacher.map(|work| network(bench, work));
    JobSpec::Evaluate(EvaluateSpec { model: network(bench, model), teacher, ..spec })
}

fn evaluate(bench: &Bench, job: &JobSpec) -> EvaluationRecord {
    let (outcome, told) = records(job, &bench.environment("evaluation"), |_| false);
    assert_eq!(outcome.unwrap(), Completion::Finished);
    match told.into_iter().next_back() {
        Some(Record::Evaluation(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_ways_through_the_teacher_are_taken_whatever_the_batch() {
    let bench = taught();
    let outcomes: Vec<_> = [1, 7, 64]
        .map(|size| evaluate(&bench, &job(&bench, adaptive("all"), "student", Some("teacher"), size)).images)
        .into();
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
    assert!(outcomes[0].iter().any(|image| matches!(image.outcome, Outcome::Broken { .. })), "{outcomes:?}");
    // An image that withstood was attacked on every way, and none came closer than what is told.
    assert!(outcomes[0].iter().all(|image| image.closest.is_none_or(|closest| closest.part < 3)));
}

#[test]
fn all_ways_together_break_what_the_first_one_breaks() {
    let bench = taught();
    let of = |through| evaluate(&bench, &job(&bench, adaptive(through), "student", Some("teacher"), 20)).images;
    for (all, transfer) in of("all").iter().zip(of("transfer")) {
        assert!(transfer.outcome == Outcome::Robust || all.outcome == transfer.outcome, "{all:?} {transfer:?}");
    }
}

#[test]
fn transfer_from_the_evaluated_network_itself_is_autopgd_on_it() {
    let bench = taught();
    let apgd = serde_json::json!({
        "kind": "apgd", "threat": {"norm": "linf", "epsilon": "40/255"}, "iterations": 5, "restarts": 2,
    });
    let direct = job(&bench, serde_json::from_value(apgd).unwrap(), "student", None, 20);
    let transfer = job(&bench, adaptive("transfer"), "student", Some("student"), 20);
    assert_eq!(evaluate(&bench, &transfer).images, evaluate(&bench, &direct).images);
}

#[test]
fn a_teacher_whose_representations_are_of_another_width_teaches_by_transfer_alone() {
    let bench = taught();
    bench.train(&bench.spec("vgg11/8", Method::Natural), &bench.environment("wider"));
    let narrow = |through| job(&bench, adaptive(through), "student", Some("wider"), 20);
    for through in ["all", "representation", "joint"] {
        let (outcome, told) = records(&narrow(through), &bench.environment("evaluation"), |_| false);
        let error = outcome.unwrap_err();
        assert_eq!(error.class(), FailureClass::User);
        assert!(error.to_string().contains("have 32 numbers, the teacher's 64"), "{error}");
        assert!(told.is_empty(), "{told:?}");
    }
    assert_eq!(evaluate(&bench, &narrow("transfer")).robust.total, 20);
}
