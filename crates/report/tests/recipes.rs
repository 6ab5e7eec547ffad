//! Every recipe's report, on results that are made up: what users get.

mod common;

use common::{jobs_of, well_formed};
use rrm_recipes::{Layout, Recipe, Switches};
use rrm_report::{plot, study};
use rrm_spec::{Accuracy, EvaluationRecord, JobDetail, JobSpec, JobState, Method, Plan};

/// The recipe's jobs, all of them done.
fn done(plan: &Plan) -> Vec<JobDetail> {
    let mut jobs = jobs_of(plan);
    let names: Vec<String> = jobs.iter().map(|job| job.summary.name.clone()).collect();
    for name in names {
        let job = jobs.iter_mut().find(|job| job.summary.name == name).unwrap();
        match &job.spec {
            JobSpec::Evaluate(spec) => {
                job.evaluations = spec.attacks().into_iter().map(|attack| record(attack, job.summary.id.0)).collect();
                job.summary.state = JobState::Succeeded;
            }
            JobSpec::Train(spec) => {
                let seconds = seconds(&spec.method) + spec.seed;
                common::train(&mut jobs, &name, "node1", &vec![seconds; epochs(plan, &name)]);
            }
            JobSpec::Synthesize(_) => {
                common::train(&mut jobs, &name, "node1", &vec![5; epochs(plan, &name)]);
            }
        }
    }
    jobs
}

fn epochs(plan: &Plan, name: &str) -> usize {
    plan.jobs.iter().find(|job| job.name == name).unwrap().spec.epochs() as usize
}

/// What an epoch takes: the attacked ones more.
fn seconds(method: &Method) -> u64 {
    match method {
        Method::AdversarialTraining { .. } | Method::AdversariallyRobustDistillation { .. } | Method::Trades { .. } => {
            70
        }
        Method::FreeAdversarialTraining { .. } => 80,
        Method::Natural | Method::Rrm { .. } | Method::KnowledgeDistillation { .. } => 10,
    }
}

/// Numbers that differ from job to job.
fn record(attack: rrm_spec::AttackSpec, id: i64) -> EvaluationRecord {
    let id = id as u64 * 37 % 500;
    EvaluationRecord {
        attack,
        natural: Accuracy { correct: 7500 + 2 * id, total: 10_000 },
        robust: Accuracy { correct: 4200 + id, total: 10_000 },
        elapsed_us: 1,
        weights: "0".repeat(64).parse().unwrap(),
        images: vec![],
        classes: vec![],
        audit: None,
    }
}

#[test]
fn every_recipe_is_reported_in_every_format_with_a_number_in_every_row() {
    for recipe in Recipe::all() {
        let (name, plan) = (recipe.name(), recipe.plan(&Switches::default()).unwrap());
        let jobs = done(&plan);
        let reports = match recipe.layout() {
            Layout::Table(layout) => {
                let study = study(name, layout, &jobs);
                assert_eq!(study.to_json()["rows"].as_array().unwrap().len(), layout.rows.len(), "{name}");
                [study.to_text(), study.to_markdown(), study.to_latex(), study.to_csv()]
            }
            Layout::Figure(layout) => {
                let plot = plot(name, layout, &jobs);
                let svg = plot.to_svg().unwrap_or_else(|error| panic!("{name}: {error}"));
                well_formed(&svg);
                keep(&format!("{}.svg", name.replace('/', "-")), &svg);
                [plot.to_text(), plot.to_markdown(), plot.to_latex(), plot.to_csv()]
            }
        };
        assert!(
            !reports[0].contains("not in this plan") && reports[0].contains("Provenance"),
            "{name}:\n{}",
            reports[0]
        );
        keep(&format!("{}.txt", name.replace('/', "-")), &reports[0]);
        for report in reports {
            assert!(!report.contains("NaN"), "{name}:\n{report}");
        }
    }
}

#[test]
fn every_recipes_points_of_the_paper_find_their_jobs() {
    for recipe in Recipe::all() {
        let Layout::Figure(layout) = recipe.layout() else { continue };
        let jobs = done(&recipe.plan(&Switches::default()).unwrap());
        for series in plot(recipe.name(), layout, &jobs).series {
            let lost: Vec<_> = series.paper.iter().filter(|mark| mark.point.is_none()).collect();
            assert!(lost.is_empty(), "{}, {}: {lost:?}", recipe.name(), series.label);
        }
    }
}

/// Writes a report into the folder that `RRM_FIGURES` names, for looking at it.
fn keep(name: &str, report: &str) {
    if let Some(folder) = std::env::var_os("RRM_FIGURES") {
        std::fs::write(std::path::Path::new(&folder).join(name), report).unwrap();
    }
}
