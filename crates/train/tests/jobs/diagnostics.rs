//! What tells robustness from hidden gradients.

use std::collections::HashMap;

use candle_core::{DType, Device};
use rrm_models::{Network, NetworkSpec};
use rrm_report::{Level, Suspicion, suspicion};
use rrm_spec::{
    DiagnosticsRecord, EvaluateSpec, EvaluationRecord, JobDetail, JobSpec, Method, ModelSource, Record, TrainSpec,
};
use rrm_train::Completion;

use crate::{
    dataset::Recipe,
    support::{Bench, count, records},
};

const ATTACK: &str = r#"{"kind": "apgd", "threat": {"norm": "linf", "epsilon": "60/255"}, "iterations": 5}"#;

/// A network, and the same with logits that are a thousand times larger: the classes are the same, and in f32 the cross-entropy of
/// most images has no gradient.
fn networks() -> Bench {
    let bench = Bench::new(Recipe { images: (40, 20), ..Recipe::TEMPTING });
    let spec = TrainSpec { epochs: count(8), ..bench.spec("vgg11/16", Method::Natural) };
    bench.train(&spec, &bench.environment("plain"));
    let plain = Network::load(&file(&bench, "plain"), &Device::Cpu, DType::F32).unwrap();
    let masked = NetworkSpec { temperature: 1e-3, ..plain.spec().clone() };
    let weights: HashMap<_, _> = plain.state().into_iter().collect();
    std::fs::create_dir(bench.path("masked")).unwrap();
    let masked = Network::from_tensors(&masked, weights, &Device::Cpu, DType::F32).unwrap();
    masked.save(&file(&bench, "masked")).unwrap();
    bench
}

fn file(bench: &Bench, work: &str) -> std::path::PathBuf {
    bench.path(work).join("final.safetensors")
}

fn job(bench: &Bench, work: &str, batch_size: u32) -> JobSpec {
    let attack = serde_json::from_str(ATTACK).unwrap();
    let JobSpec::Evaluate(spec) = bench.evaluation(attack, batch_size) else { unreachable!("it evaluates") };
    let (model, diagnostics) = (ModelSource::Checkpoint(file(bench, work)), Some(count(40)));
    JobSpec::Evaluate(EvaluateSpec { model, diagnostics, ..spec })
}

fn measure(bench: &Bench, job: &JobSpec) -> (EvaluationRecord, DiagnosticsRecord) {
    let (outcome, mut told) = records(job, &bench.environment("evaluation"), |_| false);
    assert_eq!(outcome.unwrap(), Completion::Finished);
    match (told.pop(), told.pop()) {
        (Some(Record::Diagnostics(diagnostics)), Some(Record::Evaluation(evaluation))) => (evaluation, diagnostics),
        other => panic!("{other:?}"),
    }
}

/// What the report makes of it.
fn judged(spec: &JobSpec, (evaluation, diagnostics): (EvaluationRecord, DiagnosticsRecord)) -> Suspicion {
    let summary = serde_json::json!({
        "id": 1, "submission": 1, "plan": "p", "name": "n", "kind": "evaluate", "state": "succeeded", "stop": null, "priority": 0,
        "attempts": 1, "epochs_done": 0, "epochs_total": 0, "progress": null, "reason": null, "created_at": 0, "started_at": 0,
        "ended_at": 0,
    });
    let job = JobDetail {
        summary: serde_json::from_value(summary).unwrap(),
        spec: spec.clone(),
        parents: Vec::new(),
        attempts: Vec::new(),
        epochs: Vec::new(),
        evaluations: vec![evaluation],
        diagnostics: Some(diagnostics),
        checkpoints: Vec::new(),
        content_key: None,
    };
    suspicion(&job, &[]).expect("an evaluation is of a network")
}

fn level(suspicion: &Suspicion, check: &str) -> Level {
    let finding = suspicion.findings.iter().find(|finding| finding.check == check);
    finding.unwrap_or_else(|| panic!("no check is called {check}")).level
}

#[test]
fn a_network_whose_logits_hide_its_gradients_is_suspicious_and_the_same_without_them_is_not() {
    let bench = networks();
    let judge = |work| judged(&job(&bench, work, 16), measure(&bench, &job(&bench, work, 16)));
    let (plain, masked) = (judge("plain"), judge("masked"));
    for check in ["gradients", "black-box", "radii", "whole-box", "restarts", "probabilities"] {
        assert_eq!(level(&plain, check), Level::Ok, "{check}: {}", plain.to_text());
    }
    for check in ["gradients", "logit-scale"] {
        assert_eq!(level(&masked, check), Level::Suspicious, "{check}: {}", masked.to_text());
    }
    // Two classes have no DLR.
    assert_eq!(level(&plain, "dlr-against-ce"), Level::NotMeasured);
}

#[test]
fn no_diagnostic_depends_on_the_batch_size() {
    let bench = networks();
    let numbers = |size| measure(&bench, &job(&bench, "masked", size)).1.numbers;
    let whole = numbers(64);
    assert_eq!(numbers(7), whole);
    assert!(whole.iter().all(rrm_spec::Diagnostic::is_sound), "{whole:?}");
}

#[test]
fn diagnostics_agree_with_one_another() {
    let bench = networks();
    let (evaluation, d) = measure(&bench, &job(&bench, "plain", 16));
    let value = |name: &str| d.value(name).unwrap_or_else(|| panic!("{name} is missing in {d:?}"));
    assert_eq!((value("images"), value("natural.correct")), (40.0, evaluation.natural.correct as f64));
    assert_eq!(value("ladder.x1.robust"), value("radius.own.robust"));
    let broken: f64 = (1..=5).map(|restart| value(&format!("restart.{restart}.broken"))).sum();
    assert_eq!(value("natural.correct") - broken, value("apgd-ce.robust"));
    assert!(value("ladder.worst.robust") <= value("ladder.x1.robust"));
    assert!((value("radius.own.epsilon") - 60.0 / 255.0).abs() < 1e-12 && value("radius.all.epsilon") == 0.5);
    assert_eq!(d.weights, evaluation.weights);
}

#[test]
fn an_evaluation_that_is_not_asked_for_diagnostics_has_none() {
    let bench = networks();
    let JobSpec::Evaluate(spec) = job(&bench, "plain", 16) else { unreachable!("it evaluates") };
    let job = JobSpec::Evaluate(EvaluateSpec { diagnostics: None, ..spec });
    let (_, told) = records(&job, &bench.environment("evaluation"), |_| false);
    assert!(!told.iter().any(|record| matches!(record, Record::Diagnostics(_))), "{told:?}");
}
