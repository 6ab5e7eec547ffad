//! Results.

use serde_json::{Value, json};

use crate::fake::Fake;
use crate::{masked, text, train_and_attack};

#[test]
fn a_report_has_every_format_and_a_figure() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    let figure = fake.folder.path().join("report.svg");
    let output = fake.rrm(&["report", "last", "--figure", figure.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("45.00") && text(&output.stdout).contains("4500/10000"), "{output:?}");
    assert!(std::fs::read_to_string(figure).unwrap().starts_with("<svg"));
    for (format, part) in [
        ("text", "network"),
        ("markdown", "| name | method |"),
        ("csv", "job,submission,name"),
        ("latex", "\\toprule"),
        ("json", "\"schema\":1"),
    ] {
        let report = text(&fake.rrm(&["report", "1", "--format", format]).stdout);
        assert!(report.contains(part), "{format}:\n{report}");
    }
    assert_eq!(fake.json(&["report"])["rows"][0]["robust"][0]["correct"], 4500);
    assert_eq!(fake.rrm(&["--json", "report", "--format", "csv"]).status.code(), Some(2));
    assert_eq!(fake.rrm(&["report", "77"]).status.code(), Some(3));
}

#[test]
fn a_network_of_hidden_gradients_is_suspicious_and_the_report_says_why() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    fake.memory.with_job(2, |job| job.diagnostics = Some(masked()));
    for job in ["1", "2"] {
        let output = fake.rrm(&["report", "suspicion", job]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told = text(&output.stdout);
        for part in
            ["evaluations: 2", "SUSPICIOUS    logit-scale", "×0.001 2", "why ", "DLR", "not measured  gradients"]
        {
            assert!(told.contains(part), "{part} is missing in:\n{told}");
        }
        let suspicion = &fake.json(&["report", "suspicion", job])["suspicion"];
        let findings = suspicion["findings"].as_array().unwrap();
        let suspicious: Vec<_> = findings.iter().filter(|finding| finding["level"] == "suspicious").collect();
        assert_eq!((suspicious.len(), &suspicious[0]["check"]), (1, &serde_json::json!("logit-scale")));
    }
    let shown = fake.rrm(&["show", "2"]);
    assert!(text(&shown.stdout).contains("ladder.x0.001.robust"), "{shown:?}");
    assert_eq!(fake.rrm(&["report", "suspicion", "99"]).status.code(), Some(3));
}

#[test]
fn outcomes_of_images_are_exported_as_rows() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    let csv = text(&fake.rrm(&["export", "images", "2"]).stdout);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("job,name,model,attack,norm,epsilon,image,label"), "{csv}");
    let of = "2,attack control,#1,APGD-CE 20x5,linf,8/255";
    let rows = [format!("{of},0,3,3,broken,2,0,APGD-CE 20x5,7,2.5,-1.25"), format!("{of},1,3,4,misclassified,,,,,,")];
    assert_eq!(lines[1..], rows);
    let path = fake.folder.path().join("images.jsonl");
    let file = path.to_str().unwrap();
    let written = fake.rrm(&["export", "images", "--plan", "last", "--format", "jsonl", "-o", file]);
    assert_eq!((written.status.code(), text(&written.stdout)), (Some(0), String::new()), "{written:?}");
    let rows: Vec<Value> =
        std::fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]["margin"], &rows[1]["margin"]), (2, &json!(-1.25), &Value::Null));
    assert_eq!(fake.json(&["export", "images", "2"])["images"], json!(rows));
}

#[test]
fn only_evaluations_have_outcomes_and_only_those_that_kept_them_adversarial_images() {
    let fake = Fake::with_plan();
    let refused = fake.rrm(&["export", "images", "1"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("job 1 is of kind train"), "{refused:?}");
    let refused = fake.rrm(&["export", "adversarial", "2", "-o", "nowhere.safetensors"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(text(&refused.stderr).contains("keep_images = true"), "{refused:?}");
}
