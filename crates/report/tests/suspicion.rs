//! What is suspicious about a network, and what is not.

mod common;

use common::{evaluate, job, waiting};
use proptest::prelude::*;
use rrm_report::{Level, Suspicion, suspicion};
use rrm_spec::{
    Accuracy, AttackSpec, Diagnostic, DiagnosticsRecord, EvaluationRecord, JobDetail, JobId, JobSpec, JobState, Norm,
    ThreatModel,
};

/// Of a hundred images of an ordinary network, not robust at all.
const ORDINARY: &[(&str, f64)] = &[
    ("images", 100.0),
    ("natural.correct", 90.0),
    ("outputs.probabilities.is", 0.0),
    ("gradient.zero", 0.0),
    ("gradient.denormal", 0.0),
    ("gradient.not-finite", 0.0),
    ("train-mode.correct", 88.0),
    ("normalization.differs.is", 0.0),
    ("normalization.other.correct", 71.0),
    ("restart.1.broken", 40.0),
    ("restart.2.broken", 2.0),
    ("restart.3.broken", 1.0),
    ("restart.4.broken", 0.0),
    ("restart.5.broken", 0.0),
    ("apgd-ce.robust", 47.0),
    ("apgd-dlr.robust", 46.0),
    ("square.robust", 70.0),
    ("square.only", 0.0),
    ("ladder.x0.001.robust", 51.0),
    ("ladder.x1.robust", 50.0),
    ("ladder.x1000.robust", 49.0),
    ("ladder.worst.robust", 46.0),
    ("radius.half.epsilon", 0.015),
    ("radius.half.robust", 70.0),
    ("radius.own.epsilon", 0.03),
    ("radius.own.robust", 50.0),
    ("radius.all.epsilon", 0.5),
    ("radius.all.robust", 0.0),
];

/// The same with some numbers changed.
fn measured(changes: &[(&str, f64)]) -> DiagnosticsRecord {
    let value = |name: &str, usual: f64| changes.iter().find(|(other, _)| *other == name).map_or(usual, |(_, v)| *v);
    DiagnosticsRecord {
        weights: "0".repeat(64).parse().unwrap(),
        threat: ThreatModel { norm: Norm::Linf, epsilon: "8/255".parse().unwrap() },
        elapsed_us: 1,
        numbers: ORDINARY.iter().map(|&(name, usual)| Diagnostic::new(name, value(name, usual), "")).collect(),
    }
}

fn judged(diagnostics: Option<DiagnosticsRecord>) -> Suspicion {
    let mut jobs = waiting();
    evaluate(&mut jobs, "attack student", 8530, 5210);
    job(&mut jobs, "attack student").diagnostics = diagnostics;
    let student = job(&mut jobs, "student").clone();
    suspicion(&student, &jobs).unwrap()
}

fn suspicious(suspicion: &Suspicion) -> Vec<&'static str> {
    suspicion.findings.iter().filter(|it| it.level == Level::Suspicious).map(|finding| finding.check).collect()
}

#[test]
fn nothing_is_suspicious_about_an_ordinary_network() {
    let suspicion = judged(Some(measured(&[])));
    assert_eq!(suspicious(&suspicion), [""; 0], "{}", suspicion.to_text());
    assert_eq!((suspicion.count(Level::Ok), suspicion.count(Level::NotMeasured)), (10, 4));
    assert_eq!((suspicion.network.as_str(), suspicion.jobs), ("student (job 2)", vec![JobId(6)]));
}

#[test]
fn what_was_measured_at_another_temperature_is_judged_by_itself() {
    let mut jobs = waiting();
    evaluate(&mut jobs, "attack student", 8530, 5210);
    let attack = job(&mut jobs, "attack student");
    attack.diagnostics = Some(measured(&[("gradient.zero", 3.0)]));
    let JobSpec::Evaluate(spec) = &mut attack.spec else { panic!("no evaluation") };
    spec.temperature = Some(0.01);
    let judged = |jobs: &mut [JobDetail], name| suspicion(&job(jobs, name).clone(), jobs).unwrap();
    let (own, other) = (judged(&mut jobs, "student"), judged(&mut jobs, "attack student"));
    assert!(own.jobs.is_empty() && suspicious(&own).is_empty(), "{}", own.to_text());
    assert_eq!(
        (other.network.as_str(), suspicious(&other)),
        ("student (job 2) at temperature 0.01", vec!["gradients"])
    );
}

#[test]
fn each_sign_of_hidden_gradients_is_found_by_its_check_and_by_no_other() {
    let signs: &[(&str, &[(&str, f64)])] = &[
        ("gradients", &[("gradient.zero", 3.0)]),
        ("gradients", &[("gradient.denormal", 1.0)]),
        ("logit-scale", &[("ladder.x0.001.robust", 40.0)]),
        ("logit-scale", &[("ladder.x1000.robust", 2.0)]),
        ("dlr-against-ce", &[("apgd-dlr.robust", 37.0)]),
        ("black-box", &[("square.only", 2.0)]),
        ("black-box", &[("square.robust", 44.0)]),
        ("radii", &[("radius.half.robust", 48.0)]),
        ("whole-box", &[("radius.all.robust", 2.0)]),
        ("restarts", &[("restart.5.broken", 2.0)]),
        ("train-mode", &[("train-mode.correct", 80.0)]),
        ("normalization", &[("normalization.other.correct", 92.0)]),
        ("probabilities", &[("outputs.probabilities.is", 1.0)]),
    ];
    for (check, changes) in signs {
        let suspicion = judged(Some(measured(changes)));
        assert_eq!(suspicious(&suspicion), [*check], "{changes:?}\n{}", suspicion.to_text());
    }
}

#[test]
fn losses_that_differ_as_they_do_on_adversarially_trained_networks_are_no_sign() {
    // Of a network that was trained by PGD on Fashion-MNIST.
    let changes = [
        ("apgd-ce.robust", 53.0),
        ("apgd-dlr.robust", 49.0),
        ("ladder.x1.robust", 53.0),
        ("ladder.x1000.robust", 58.0),
    ];
    let suspicion = judged(Some(measured(&changes)));
    assert_eq!(suspicious(&suspicion), [""; 0], "{}", suspicion.to_text());
}

fn finding(suspicion: &Suspicion, check: &str) -> (Level, String) {
    let finding = suspicion.findings.iter().find(|finding| finding.check == check).unwrap();
    (finding.level, finding.found.clone())
}

#[test]
fn losses_are_compared_on_the_images_that_are_classified_correctly() {
    // Of 200 images 40 are correct: DLR breaks 6 of the 12 that are left, which is little of 200 and much of 40.
    let few = [("images", 200.0), ("natural.correct", 40.0), ("apgd-ce.robust", 12.0), ("apgd-dlr.robust", 6.0)];
    let ladder = [("ladder.x0.001.robust", 12.0), ("ladder.x1.robust", 12.0), ("ladder.x1000.robust", 4.0)];
    let suspicion = judged(Some(measured(&[&few[..], &ladder].concat())));
    for check in ["logit-scale", "dlr-against-ce"] {
        let (level, found) = finding(&suspicion, check);
        assert_eq!(level, Level::Suspicious, "{check}: {found}");
        assert!(found.contains("of 40 correctly classified images"), "{found}");
    }
}

#[test]
fn where_too_few_images_are_left_to_fall_nothing_is_called_ok() {
    // Four robust ones cannot fall by five, whatever the loss.
    let few = [("natural.correct", 40.0), ("apgd-ce.robust", 4.0), ("apgd-dlr.robust", 0.0)];
    let ladder = [("ladder.x0.001.robust", 4.0), ("ladder.x1.robust", 4.0), ("ladder.x1000.robust", 0.0)];
    let suspicion = judged(Some(measured(&[&few[..], &ladder].concat())));
    for check in ["logit-scale", "dlr-against-ce"] {
        let (level, found) = finding(&suspicion, check);
        assert_eq!(level, Level::NotMeasured, "{check}: {found}");
        assert!(found.starts_with("not measured: only 4 images are left to judge by, and 5 or more"), "{found}");
    }
    let (level, found) = finding(&judged(Some(measured(&[("natural.correct", 0.0)]))), "gradients");
    assert_eq!(level, Level::NotMeasured, "{found}");
}

#[test]
fn a_network_that_nobody_has_evaluated_is_judged_by_nothing() {
    let mut jobs = waiting();
    let student = job(&mut jobs, "student").clone();
    let text = suspicion(&student, &[]).unwrap().to_text();
    assert!(text.contains("evaluations: none that has succeeded"), "{text}");
}

#[test]
fn what_was_not_measured_is_said_to_be_so_and_how_to_measure_it() {
    let suspicion = judged(None);
    assert_eq!(suspicion.count(Level::NotMeasured), suspicion.findings.len());
    assert!(suspicion.to_text().contains("diagnostics = 200"), "{}", suspicion.to_text());
    let few = DiagnosticsRecord { numbers: vec![Diagnostic::new("images", 100.0, "")], ..measured(&[]) };
    assert_eq!(judged(Some(few)).count(Level::NotMeasured), suspicion.findings.len());
}

#[test]
fn a_suspicious_finding_comes_first_with_its_reason_its_remedy_and_its_source() {
    let text = judged(Some(measured(&[("gradient.zero", 50.0)]))).to_text();
    let line = |wanted: &str| text.lines().position(|line| line.contains(wanted));
    let [suspicious, why, advice, source, ok] =
        ["SUSPICIOUS    gradients", "why", "do ", "source Athalye", "ok            logit-scale"].map(line);
    assert!(suspicious.is_some() && suspicious < why && why < advice && advice < source && source < ok, "{text}");
    assert!(text.contains("of 90 images that are classified correctly 50 have a gradient of zero"), "{text}");
}

#[test]
fn of_two_measurements_the_more_suspicious_counts() {
    let mut jobs = waiting();
    for (name, zero) in [("attack student", 50.0), ("attack control", 0.0)] {
        evaluate(&mut jobs, name, 8530, 5210);
        job(&mut jobs, name).diagnostics = Some(measured(&[("gradient.zero", zero)]));
    }
    // The control's evaluation is of the same weights: all weights are zeros here.
    let evaluation = job(&mut jobs, "attack student").clone();
    let suspicion = suspicion(&evaluation, &jobs).unwrap();
    assert_eq!((suspicious(&suspicion), suspicion.jobs), (vec!["gradients"], vec![JobId(6), JobId(7)]));
}

/// Evaluations of the student on the same thousand images, by attack.
fn evaluated(attacks: &[(&str, u64)]) -> Suspicion {
    let mut jobs = waiting();
    let pattern = job(&mut jobs, "attack student").clone();
    for (number, (attack, robust)) in attacks.iter().enumerate() {
        jobs.push(evaluation(&pattern, 100 + number as i64, attack, *robust));
    }
    let student = job(&mut jobs, "student").clone();
    suspicion(&student, &jobs).unwrap()
}

fn evaluation(pattern: &JobDetail, id: i64, attack: &str, robust: u64) -> JobDetail {
    let mut found = pattern.clone();
    let attack: AttackSpec = serde_json::from_str(attack).unwrap_or_else(|e| panic!("{attack}: {e}"));
    (found.summary.id, found.summary.state) = (JobId(id), JobState::Succeeded);
    let JobSpec::Evaluate(spec) = &mut found.spec else { panic!("an evaluation") };
    spec.attack = attack.clone();
    found.evaluations = vec![EvaluationRecord {
        attack,
        natural: Accuracy { correct: 850, total: 1000 },
        robust: Accuracy { correct: robust, total: 1000 },
        elapsed_us: 1,
        weights: "1".repeat(64).parse().unwrap(),
        images: vec![],
        classes: vec![],
        audit: None,
    }];
    found
}

const APGD: &str = r#"{"kind": "apgd", "threat": {"norm": "linf", "epsilon": "8/255"}, "iterations": 20}"#;
const APGD_SMALLER: &str = r#"{"kind": "apgd", "threat": {"norm": "linf", "epsilon": "4/255"}, "iterations": 20}"#;
const FGSM: &str = r#"{"kind": "fgsm", "threat": {"norm": "linf", "epsilon": "8/255"}}"#;
const SQUARE: &str = r#"{"kind": "square", "threat": {"norm": "linf", "epsilon": "8/255"}, "queries": 1000}"#;
const ADAPTIVE: &str = r#"{"kind": "adaptive", "threat": {"norm": "linf", "epsilon": "8/255"}, "iterations": 20}"#;

#[test]
fn evaluations_are_judged_beside_one_another() {
    for (check, other, fine, odd) in [
        ("evaluations-by-radius", APGD_SMALLER, 600, 470),
        ("one-step-against-many", FGSM, 600, 470),
        ("evaluations-without-gradients", SQUARE, 600, 470),
        ("through-the-teacher", ADAPTIVE, 495, 470),
    ] {
        let level = |robust: u64| {
            let suspicion = evaluated(&[(APGD, 500), (other, robust)]);
            let finding = suspicion.findings.iter().find(|finding| finding.check == check).unwrap().clone();
            assert!(finding.found.contains(&format!("{robust} of 1000")), "{}", finding.found);
            finding.level
        };
        assert_eq!((level(fine), level(odd)), (Level::Ok, Level::Suspicious), "{check}");
    }
}

#[test]
fn evaluations_in_other_balls_or_of_other_images_say_nothing_of_one_another() {
    let far = FGSM.replace("8/255", "2/255");
    let suspicion = evaluated(&[(APGD, 500), (&far, 1)]);
    let finding = suspicion.findings.iter().find(|finding| finding.check == "one-step-against-many").unwrap();
    assert_eq!(finding.level, Level::NotMeasured);
}

proptest! {
    #[test]
    fn whatever_was_measured_every_check_has_one_finding(values in proptest::collection::vec(-10.0..200.0f64, 28)) {
        let changes: Vec<_> = ORDINARY.iter().zip(values).map(|((name, _), value)| (*name, value)).collect();
        let suspicion = judged(Some(measured(&changes)));
        prop_assert_eq!(suspicion.findings.len(), 14);
        prop_assert!(suspicion.findings.iter().all(|finding| !finding.found.is_empty()));
        prop_assert!(suspicion.to_text().lines().all(|line| line.chars().count() <= 110));
    }
}
