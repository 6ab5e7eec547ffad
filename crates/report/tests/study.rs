//! Tables of the paper, against numbers computed by hand and with SciPy.

mod common;

use std::collections::HashSet;

use common::{
    evaluate, job,
    study::{complete, layout, outcomes, undo, waiting},
    train,
};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use rrm_report::{Outcomes, Study, StudyRow, study};
use rrm_spec::{AttackSpec, JobDetail, JobId, JobRef, JobSpec, JobState, Precision, SubmissionId};
use serde_json::Value;

fn of(jobs: &[JobDetail]) -> Study {
    study("cpu/demo", &layout(), jobs)
}

/// The text in one line, so that it does not matter where notes are wrapped.
fn text(study: &Study) -> String {
    study.to_text().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn row<'a>(study: &'a Study, label: &str) -> &'a StudyRow {
    study.rows.iter().find(|row| row.label == label).unwrap()
}

fn about(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9 * expected.abs()
}

#[test]
fn rows_stand_in_the_papers_order_over_all_their_seeds() {
    let study = of(&complete());
    let labels: Vec<_> = study.rows.iter().map(|row| (row.label.as_str(), row.ours.runs.len())).collect();
    assert_eq!(labels, [("SAT", 3), ("Free AT", 3), ("RRM (DNN)", 3), ("not run", 0)]);
    let seeds: Vec<_> = row(&study, "RRM (DNN)").ours.runs.iter().map(|run| run.seed).collect();
    assert_eq!(seeds, [0, 1, 2]);
}

#[test]
fn accuracies_are_means_over_seeds_with_students_interval() {
    // SciPy: mean of 0.76, 0.766, 0.772; t.ppf(0.975, 2)·0.006/√3 = 0.01490482627…
    let study = of(&complete());
    let natural = row(&study, "RRM (DNN)").ours.natural.unwrap();
    assert!(
        about(natural.mean.mean, 0.766) && (natural.mean.half_width.unwrap() - 0.014_904_826_270_501_981).abs() < 1e-9
    );
    assert_eq!((natural.mean.n, natural.pooled.correct, natural.pooled.total), (3, 22_980, 30_000));
}

#[test]
fn a_single_seed_has_wilsons_interval() {
    let mut jobs = complete();
    jobs.retain(|job| !job.summary.name.ends_with("[seed=1]") && !job.summary.name.ends_with("[seed=2]"));
    let study = of(&jobs);
    let natural = row(&study, "SAT").ours.natural.unwrap();
    assert_eq!((natural.mean.n, natural.mean.half_width), (1, None));
    assert_eq!(natural.interval(), natural.pooled.wilson95().unwrap());
    assert!(text(&study).contains("8000/10000"), "{}", study.to_text());
}

#[test]
fn epochs_and_epoch_time_of_free_adversarial_training_are_of_one_replay() {
    let mut jobs = complete();
    let study = of(&jobs);
    let free = &row(&study, "Free AT").ours;
    assert_eq!(free.epochs, Some(8));
    // Epochs of 40 and 36 s, 40 and 40, 40 and 44: means 38, 40, 42 s of 4 replays each.
    let time = free.epoch_time.unwrap();
    assert!(about(time.mean, 10e6) && about(time.std.unwrap(), 0.5e6), "{time:?}");
    // Of one seed over its epochs: 40 and 36 s, half-width 12.7062·2.8284/√2 = 25.41 s, divided by 4 as well.
    jobs.retain(|job| !job.summary.name.ends_with("[seed=1]") && !job.summary.name.ends_with("[seed=2]"));
    let study = of(&jobs);
    let time = row(&study, "Free AT").ours.epoch_time.unwrap();
    assert!(about(time.mean, 9.5e6) && (time.half_width.unwrap() - 6.3531e6).abs() < 1e3, "{time:?}");
    assert!(text(&study).contains("mean and interval are both divided by 4"), "{}", study.to_text());
}

#[test]
fn the_first_epoch_can_be_left_out() {
    let time = row(&of(&complete()), "SAT").ours.epoch_time_without_first.unwrap();
    assert!(about(time.mean, 91e6) && time.n == 3, "{time:?}");
}

#[test]
fn speed_ups_are_over_sat_without_and_with_the_teacher() {
    // SAT: 370, 373, 376 s. RRM: 16, 17, 18 s, its teacher 22 s. Paper: 1807.58 min over 30.22 and 57.91 min.
    let study = of(&complete());
    let rrm = row(&study, "RRM (DNN)");
    let ours = rrm.speed_up.as_ref().unwrap();
    assert!(about(ours.without_teacher.unwrap(), 373.0 / 17.0) && about(ours.with_teacher.unwrap(), 373.0 / 39.0));
    assert!(ours.same_machine && ours.same_precision && ours.reference == "SAT");
    let papers = rrm.paper_speed_up.as_ref().unwrap();
    assert!(about(papers.without_teacher.unwrap(), 1807.58 / 30.22));
    assert!(about(papers.with_teacher.unwrap(), 1807.58 / 57.91));
    assert_eq!(row(&study, "SAT").speed_up.as_ref().unwrap().without_teacher, Some(1.0));
    assert_eq!(row(&study, "not run").speed_up, None);
}

#[test]
fn what_is_not_like_with_like_is_marked() {
    let mut jobs = complete();
    train(&mut jobs, "rrm[seed=1]", "node2", &[6, 5, 6]);
    for seed in 0..3 {
        let JobSpec::Train(spec) = &mut job(&mut jobs, &format!("free[seed={seed}]")).spec else { panic!("it trains") };
        spec.precision = Precision::Bf16;
    }
    let study = of(&jobs);
    assert!(!row(&study, "RRM (DNN)").speed_up.as_ref().unwrap().same_machine);
    assert!(!row(&study, "Free AT").speed_up.as_ref().unwrap().same_precision);
    let text = text(&study);
    assert!(text.contains("Not like with like") && text.contains("another precision"), "{text}");
}

#[test]
fn for_want_of_sat_a_training_from_fresh_weights_goes_before_a_fine_tuning() {
    let mut jobs = complete();
    let mut layout = layout();
    layout.rows[0].label = "tuned".into();
    let mut fresh = layout.rows[0].clone();
    (fresh.label, fresh.job) = ("fresh".into(), "sat[seed=1]".into());
    layout.rows.push(fresh);
    layout.rows[0].job = "sat[seed=0]".into();
    let JobSpec::Train(spec) = &mut job(&mut jobs, "sat[seed=0]").spec else { panic!("it trains") };
    spec.initial = Some(rrm_spec::ModelSource::Job(JobRef::Id(JobId(2))));
    let reference = |layout: &rrm_recipes::TableLayout| {
        let study = study("cpu/demo", layout, &jobs);
        let ratios = row(&study, "RRM (DNN)").speed_up.clone().unwrap();
        (ratios.reference, ratios.is_fine_tuning, text(&study).contains("began with another network's weights"))
    };
    assert_eq!(reference(&layout), ("fresh".to_owned(), false, false));
    layout.rows.pop();
    assert_eq!(reference(&layout), ("tuned".to_owned(), true, true));
}

#[test]
fn differences_are_paired_by_seed() {
    // Free − SAT: −0.1 for each seed; RRM − SAT: −0.04, −0.039, −0.038 natural and −0.01, −0.009, −0.008 robust.
    let study = of(&complete());
    let pairs: Vec<_> = study.comparisons.iter().map(|pair| (pair.first.as_str(), pair.second.as_str())).collect();
    assert_eq!(pairs, [("Free AT", "SAT"), ("RRM (DNN)", "SAT"), ("RRM (DNN)", "Free AT")]);
    let free = study.comparisons[0].natural.unwrap();
    assert!(about(free.mean, -0.1) && free.half_width.unwrap() < 1e-9, "{free:?}");
    let robust = study.comparisons[1].robust.unwrap();
    assert!(about(robust.mean, -0.009) && (robust.half_width.unwrap() - 4.302_652_7e-3 / 3f64.sqrt()).abs() < 1e-8);
    assert_eq!(study.comparisons[1].seeds, [0, 1, 2]);
}

#[test]
fn networks_are_compared_on_the_same_images_where_their_outcomes_are_known() {
    let study = of(&complete());
    let wanted: HashSet<_> = study.evaluations().into_iter().collect();
    assert_eq!(wanted.len(), 9, "every evaluation of the table, once");
    assert!(study.comparisons.iter().all(|pair| pair.tests.is_empty()));
    let evaluation = |label: &str| {
        let provenance = &row(&study, label).ours.runs[1].provenance;
        provenance.evaluations[0].job
    };
    let known = Outcomes::from([(evaluation("SAT"), outcomes(50)), (evaluation("RRM (DNN)"), outcomes(40))]);
    let study = study.clone().with_outcomes(&known);
    let [test] = study.comparisons[1].tests.as_slice() else { panic!("{:?}", study.comparisons) };
    assert_eq!((test.seed, test.images), (1, 100));
    // The first ten of SAT's fifty are robust there alone: p = 2·2⁻¹⁰. Of natural images, 60 against 50.
    assert_eq!((test.robust.only_first, test.robust.only_second), (0, 10));
    assert!(about(test.robust.p, 2.0 / 1024.0) && about(test.natural.p, 2.0 / 1024.0), "{test:?}");
    assert!(text(&study).contains("seed 1: 0 : 10, p = 0.0020"), "{}", study.to_text());
}

#[test]
fn accuracies_under_different_attacks_are_not_compared() {
    let mut jobs = complete();
    for seed in 0..3 {
        let JobSpec::Evaluate(spec) = &mut job(&mut jobs, &format!("attack rrm[seed={seed}]")).spec else {
            panic!("an evaluation")
        };
        spec.attack = spec.attack.with_epsilon(&"0.2".parse().unwrap());
        evaluate(&mut jobs, &format!("attack rrm[seed={seed}]"), 7600, 2000);
    }
    let study = of(&jobs);
    assert_eq!(study.attacks().len(), 2);
    assert!(
        study.comparisons[1].natural.is_some() && study.comparisons[1].robust.is_none(),
        "{:?}",
        study.comparisons[1]
    );
    let text = text(&study);
    assert!(
        text.contains("Under APGD-CE 50x10, linf 0.1.") && text.contains("Under APGD-CE 50x10, linf 0.2."),
        "{text}"
    );
}

#[test]
fn attacks_of_one_name_are_told_apart() {
    let mut jobs = complete();
    for seed in 0..3 {
        let JobSpec::Evaluate(spec) = &mut job(&mut jobs, &format!("attack rrm[seed={seed}]")).spec else {
            panic!("an evaluation")
        };
        let AttackSpec::Apgd(attack) = &mut spec.attack else { panic!("AutoPGD") };
        attack.targets = std::num::NonZeroU32::new(3);
        evaluate(&mut jobs, &format!("attack rrm[seed={seed}]"), 7600, 2000);
    }
    let text = text(&of(&jobs));
    for part in [
        "Under APGD-CE 50x10, linf 0.1.",
        "Under APGD-CE 50x10 (2), linf 0.1.",
        "APGD-CE 50x10 (2), linf 0.1: targets 3; APGD-CE 50x10, linf 0.1: targets as usual.",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn what_is_missing_shows_its_state_and_no_number() {
    let nothing = text(&of(&waiting()));
    assert!(
        nothing.contains("0/4") && nothing.contains("3 waiting") && nothing.contains("not in this plan"),
        "{nothing}"
    );
    let mut jobs = complete();
    undo(&mut jobs, "rrm[seed=2]");
    train(&mut jobs, "rrm[seed=2]", "node1", &[6]);
    let study = of(&jobs);
    let rrm = &row(&study, "RRM (DNN)").ours;
    assert_eq!((rrm.training.unwrap().n, rrm.robust.unwrap().mean.n, rrm.runs.len()), (2, 2, 3));
    let text = text(&study);
    assert!(text.contains("2 of 3 seeds") && text.contains("1/3"), "{text}");
}

#[test]
fn a_failed_seed_is_told_with_its_reason() {
    let mut jobs = complete();
    undo(&mut jobs, "sat[seed=0]");
    let failed = &mut job(&mut jobs, "sat[seed=0]").summary;
    (failed.state, failed.reason) = (JobState::Failed, Some("the loss is not finite".into()));
    let text = text(&of(&jobs));
    assert!(text.contains("(sat[seed=0]) failed: the loss is not finite."), "{text}");
}

#[test]
fn every_number_has_its_provenance() {
    let study = of(&complete());
    let run = &row(&study, "RRM (DNN)").ours.runs[2];
    let provenance = &run.provenance;
    let made = &provenance.made;
    assert_eq!(made.name, "rrm[seed=2]");
    assert_eq!(made.weights.as_ref().unwrap().as_str(), "0".repeat(64));
    assert_eq!((made.places[0].node.as_str(), made.places[0].threads), ("node1", 2));
    assert_eq!(made.data_sha256.as_ref().unwrap().as_str(), "d".repeat(64));
    assert_eq!(made.spec_sha256.len(), 64);
    let [teacher] = provenance.built_on.as_slice() else { panic!("{:?}", provenance.built_on) };
    assert_eq!((teacher.name.as_str(), teacher.places[0].threads), ("teacher[seed=2]", 2));
    assert_eq!((provenance.ancestors.as_slice(), made.parents.as_slice()), (&[teacher.job][..], &[teacher.job][..]));
    let json = study.to_json();
    let last = json["provenance"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["row"], &last["of"]["name"]), (&"RRM (DNN)".into(), &"rrm[seed=2]".into()));
    assert_eq!(last["of"]["spec"]["method"]["kind"], "rrm");
    assert_eq!(last["of"]["built_on"][0]["spec"]["arch"], "dnn/2");
    assert_eq!(last["of"]["evaluations"][0]["data_sha256"], "e".repeat(64));
    for report in [study.to_text(), study.to_markdown(), study.to_latex()] {
        assert!(report.contains("teacher") && report.contains("dddddddddddd"), "{report}");
        assert!(
            report.contains("Provenance") && report.contains("000000000000") && report.contains("node1/cuda:1"),
            "{report}"
        );
    }
}

#[test]
fn the_text_is_the_one_that_was_looked_at() {
    let known = Outcomes::from_iter(
        of(&complete()).evaluations().into_iter().zip([50, 51, 52, 45, 45, 45, 50, 46, 49].map(outcomes)),
    );
    let study = of(&complete()).with_outcomes(&known);
    // A spec's hash changes with every field that specs get.
    let mut text = study.to_text();
    for provenance in study.rows.iter().flat_map(|row| &row.ours.runs).map(|run| &run.provenance) {
        for made in provenance.built_on.iter().chain([&provenance.made]) {
            text = text.replace(&made.spec_sha256[..12], "f00f00f00f00");
        }
    }
    if let Some(path) = std::env::var_os("RRM_STUDY") {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, include_str!("golden/study.txt"));
}

#[test]
fn a_job_that_an_earlier_plan_did_counts_and_one_that_was_done_again_counts_once() {
    let mut jobs = complete();
    // The first seed of SAT and its evaluation are an earlier plan's, and the second was trained by both plans.
    for job in &mut jobs {
        let is_earlier = job.summary.name.ends_with("sat[seed=0]");
        job.summary.submission = SubmissionId(if is_earlier { 1 } else { 2 });
    }
    let mut earlier = job(&mut jobs, "sat[seed=1]").clone();
    earlier.summary.id = JobId(1000);
    earlier.summary.submission = SubmissionId(1);
    for job in &mut jobs {
        job.summary.id.0 += 2000;
        job.parents.iter_mut().for_each(|parent| parent.0 += 2000);
        job.spec.needs_mut().into_iter().for_each(|need| {
            if let JobRef::Id(id) = need {
                id.0 += 2000;
            }
        });
    }
    jobs.push(earlier);
    let runs: Vec<i64> = row(&of(&jobs), "SAT").ours.runs.iter().map(|run| run.row.job.0).collect();
    assert_eq!(runs, [2001, 2002, 2003]);
}

#[test]
fn csv_has_a_field_for_every_header() {
    let csv = of(&complete()).to_csv();
    let mut lines = csv.split_terminator("\r\n").map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.len() == header.len()), "{csv}");
    let field = |row: usize, name: &str| rows[row][header.iter().position(|header| *header == name).unwrap()];
    assert_eq!((field(2, "method"), field(2, "jobs"), field(2, "seeds")), ("RRM (DNN)", "10;11;12", "0;1;2"));
    assert_eq!((field(2, "training_mean_us"), field(2, "training_with_teacher_mean_us")), ("17000000", "39000000"));
    assert_eq!(
        (field(1, "epoch_time_mean_us"), field(0, "epoch_time_without_first_mean_us")),
        ("10000000", "91000000")
    );
    assert_eq!((field(2, "robust_correct"), field(2, "robust_total")), ("14760", "30000"));
    assert_eq!((field(0, "paper_training_min"), field(3, "natural_mean")), ("1807.58", ""));
}

#[test]
fn json_has_a_schema_every_seed_and_the_papers_numbers() {
    let json = of(&complete()).to_json();
    assert_eq!((&json["schema"], &json["kind"]), (&1.into(), &"table".into()));
    let rrm = &json["rows"][2];
    assert_eq!(rrm["training"]["mean_us"], 17e6);
    assert_eq!(rrm["robust"]["correct"], 14_760);
    assert_eq!(rrm["runs"].as_array().unwrap().len(), 3);
    assert_eq!((&rrm["runs"][1]["repetition"], &rrm["runs"][1]["robust"]["correct"]), (&1.into(), &4920.into()));
    assert_eq!(rrm["paper"]["with_teacher_min"], 57.91);
    assert_eq!(json["rows"][3]["natural"], Value::Null);
    let text = json.to_string();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json, "it survives being written");
}

#[test]
fn markdown_and_latex_have_a_cell_for_every_column() {
    let study = of(&complete());
    let markdown = study.to_markdown();
    let table: Vec<&str> =
        markdown.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).collect();
    // Head, rule, three rows with the paper's below, and one that was not run with the paper's below.
    assert_eq!(table.len(), 10, "{markdown}");
    assert!(table.iter().all(|line| line.matches('|').count() == 10), "{markdown}");
    let latex = study.to_latex();
    assert!(latex.is_ascii(), "{latex}");
    let body = latex.split("\\midrule\n").nth(1).and_then(|rest| rest.split("\\bottomrule").next()).unwrap();
    let lines: Vec<&str> = body.lines().filter(|line| line.ends_with("\\\\")).collect();
    assert_eq!(lines.len(), 8, "{latex}");
    assert!(lines.iter().all(|line| line.matches(" & ").count() == 8), "{latex}");
    assert_eq!(latex.matches("\\begin{tabular}").count(), latex.matches("\\end{tabular}").count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Labels are users' texts, where they wrote their own layout: no format breaks.
    #[test]
    fn no_label_breaks_any_format(label in any::<String>()) {
        let mut layout = layout();
        layout.rows[2].label = label.clone();
        let study = study("cpu/demo", &layout, &complete());
        let markdown = study.to_markdown();
        let rows = markdown.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let unescaped = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        prop_assert_eq!(rows.map(unescaped).collect::<Vec<_>>(), vec![10; 10], "{}", markdown);
        let json = study.to_json();
        prop_assert_eq!(json["rows"][2]["label"].as_str(), Some(label.as_str()));
        let tabulars = study.to_latex().matches("\\end{tabular}").count();
        prop_assert!(tabulars >= 2, "{}", study.to_latex());
    }
}
