//! What is kept of an evaluation, and what is found again of work that was done.

use serde_json::Value;

use crate::lab::{Lab, MAIN_JOB, text};

/// The main job, whose evaluation keeps its adversarial images.
fn keeping() -> String {
    MAIN_JOB.replace("batch_size = 8", "batch_size = 8\n    keep_images = true")
}

#[track_caller]
fn done(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.rrm(arguments);
    assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stderr), lab.logs());
    text(&output.stdout)
}

#[test]
fn outcomes_and_adversarial_images_of_an_evaluation_can_be_had_as_files() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let jobs = lab.submit(&keeping());
    lab.success(jobs[2]);
    let csv = done(&lab, &["export", "images", "@evaluation"]);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 1 + 24, "{csv}");
    let column = |name: &str| rows[0].iter().position(|column| *column == name).expect("a known column");
    let (outcome, margin) = (column("outcome"), column("margin"));
    for row in &rows[1..] {
        let is_attacked = row[outcome] != "misclassified";
        assert_eq!(is_attacked, !row[margin].is_empty(), "{row:?}");
        assert_eq!(row[outcome] == "broken", row[margin].starts_with('-'), "{row:?}");
    }
    let counted = lab.column(
        "select cast(count(*) as text) from image_outcomes where outcome = 'broken' and part_attack = 'APGD-CE 5x2'",
    );
    let broken = rows[1..].iter().filter(|row| row[outcome] == "broken").count();
    assert_eq!(counted, [broken.to_string()]);

    let path = lab.path("adversarial.safetensors");
    let file = path.to_str().expect("temporary folders have plain names");
    done(&lab, &["export", "adversarial", "@evaluation", "-o", file]);
    let evaluation = lab.job(jobs[2]);
    let kept = &evaluation["checkpoints"][0];
    assert_eq!(kept["bytes"].as_u64(), Some(std::fs::metadata(&path).expect("it was written").len()), "{kept}");
    let audit = &evaluation["evaluations"][0]["audit"];
    assert_eq!((&audit["outside_box"], &audit["not_finite"]), (&0.into(), &0.into()), "{audit}");
    assert_eq!(audit["recounted"], evaluation["evaluations"][0]["robust"], "the images are what they are taken for");
    let run = &evaluation["attempts"][0]["run"];
    let is_hash = |value: &Value| value.as_str().is_some_and(|text| text.len() == 64);
    assert!(
        is_hash(&run["data_sha256"]) && is_hash(&run["spec_sha256"]) && is_hash(&evaluation["content_key"]),
        "{run}"
    );
}

#[test]
fn a_plan_that_is_submitted_again_does_only_what_is_new() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let jobs = lab.submit(MAIN_JOB);
    lab.success(jobs[2]);
    let again = done(&lab, &["submit", &lab.plan(MAIN_JOB), "--reuse", "--wait"]);
    for (id, name) in jobs.iter().zip(["teacher", "student", "evaluation"]) {
        assert!(again.contains(&format!("reused #{id}")) && again.contains(name), "{again}");
    }
    // Its rows name the networks, of which nothing else in a report speaks.
    let has_rows = |report: &str, networks: &[&str]| {
        networks.iter().all(|network| report.lines().any(|line| line.contains(&format!(",{network},"))))
    };
    let report = done(&lab, &["report", "2", "--format", "csv"]);
    assert!(has_rows(&report, &["dnn/16", "vgg11/16"]), "{report}");

    let other = MAIN_JOB.replace("lambda = 0.005", "lambda = 0.05");
    let submitted = lab.json(&["submit", &lab.plan(&other), "--reuse"]);
    let reused: Vec<bool> = submitted["jobs"]
        .as_array()
        .expect("the answer lists the jobs")
        .iter()
        .map(|job| job["reused"].as_bool().expect("said of each"))
        .collect();
    assert_eq!(reused, [true, false, false], "{submitted}");
    assert_eq!(submitted["jobs"][0]["id"], jobs[0]);
    let evaluation = submitted["jobs"][2]["id"].as_i64().expect("a job has an id");
    lab.success(evaluation);
    let trained = lab.column("select cast(count(*) as text) from runs where name = 'teacher'");
    assert_eq!(trained, ["1"]);
    let report = done(&lab, &["report", "last", "--format", "csv"]);
    assert!(has_rows(&report, &["dnn/16", "vgg11/16"]), "the report goes on to what was done before: {report}");
}
