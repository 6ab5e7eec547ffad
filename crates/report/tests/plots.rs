//! Figures of the paper: their points against numbers computed by hand, and their drawings.

mod common;

use common::{evaluate, planned, study as demo, train};
use rrm_recipes::{FigureKind, FigureLayout, Layout};
use rrm_report::{Plot, plot};
use rrm_spec::JobDetail;
use serde_json::Value;

/// RRM with six weights of the cross-entropy, and three students of one teacher.
const PLAN: &str = r#"
    name = "cpu/figures"
    [defaults.train]
    dataset = { name = "fashion-mnist", train_images = 10000 }
    batch_size = 128
    seed = 0
    epochs = 2
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }
    [defaults.evaluate]
    dataset = { name = "fashion-mnist" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = 0.1 }, iterations = 20, restarts = 5 }
    batch_size = 100
    seed = 0

    [[job]]
    name = "teacher"
    kind = "train"
    arch = "resnet18/4"
    [job.method]
    kind = "adversarial-training"
    attack_mode = "train"
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = 0.1 }, steps = 7, step_size = 0.025, start = "uniform", selection = "last" }

    [[job]]
    name = "student"
    kind = "train"
    arch = "resnet18/8"
    method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }
    [job.sweep]
    seed = [0, 1, 2]
    "method.lambda" = [0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0]

    [[job]]
    name = "simple"
    kind = "train"
    arch = "dnn/4"
    method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }
    [job.sweep]
    seed = [0, 1, 2]

    [[job]]
    name = "attack teacher"
    kind = "evaluate"
    model = { job = "teacher" }

    [[job]]
    name = "attack student"
    kind = "evaluate"
    model = { job = "student" }

    [[job]]
    name = "attack simple"
    kind = "evaluate"
    model = { job = "simple" }
"#;

const OVER_LAMBDA: &str = r#"
    [figure]
    title = "Accuracy over lambda (Figure 4)"
    kind = "accuracy-over-lambda"
    [[figure.series]]
    label = "ResNet18 teacher"
    jobs = ["student"]
    paper = [{ job = "student[lambda=0.001]", numbers = { natural = 80.32, robust = 48.67 } }]
"#;

const BY_NETWORK: &str = r#"
    [figure]
    title = "Robustness by architecture of the student (Figure 5)"
    kind = "accuracy-by-network"
    [[figure.series]]
    label = "teacher (SAT)"
    jobs = ["teacher"]
    paper = [{ job = "teacher", numbers = { robust = 48.65 } }]
    [[figure.series]]
    label = "students (RRM)"
    jobs = ["simple", "student[lambda=0.01]", "absent"]
    paper = [{ job = "simple", numbers = { robust = 23.74 } }, { job = "absent", numbers = { robust = 28.03 } }]
"#;

const OVER_TIME: &str = r#"
    [figure]
    title = "Accuracy over training time (Figure 2)"
    kind = "accuracy-over-time"
    [[figure.series]]
    label = "Free AT"
    jobs = ["free", "sat"]
    paper = [
        { job = "free", numbers = { training_min = 2.0, natural = 71.28, robust = 41.53 } },
        { job = "absent", numbers = { training_min = 58.44, natural = 77.74, robust = 45.20 } },
    ]
    [[figure.series]]
    label = "RRM"
    jobs = ["rrm"]
"#;

const TIMES: &str = r#"
    [figure]
    title = "Time to train a robust network (Figure 3)"
    kind = "training-time"
    [[figure.series]]
    label = "SAT"
    jobs = ["sat"]
    paper = [{ job = "sat", numbers = { training_min = 1807.58 } }]
    [[figure.series]]
    label = "Free AT"
    jobs = ["free"]
    paper = [{ job = "free", numbers = { training_min = 2.5 } }]
    [[figure.series]]
    label = "RRM (DNN)"
    jobs = ["rrm"]
    paper = [{ job = "rrm", numbers = { training_min = 0.5, with_teacher_min = 1.0 } }]
"#;

fn layout(text: &str) -> FigureLayout {
    match toml::from_str(text) {
        Ok(Layout::Figure(layout)) => layout,
        other => panic!("{other:?}"),
    }
}

/// The plan's jobs with results that rise to a plateau and fall again.
fn results() -> Vec<JobDetail> {
    let mut jobs = planned(PLAN);
    train(&mut jobs, "teacher", "node1", &[40, 40]);
    evaluate(&mut jobs, "attack teacher", 8000, 5000);
    for seed in 0..3 {
        let levels = [
            ("0.00001", 4200, 2400),
            ("0.0001", 7400, 4700),
            ("0.001", 7700, 4850),
            ("0.01", 7800, 4800),
            ("0.1", 8300, 3900),
            ("1.0", 8900, 900),
        ];
        for (lambda, natural, robust) in levels {
            let name = jobs.iter().map(|job| job.summary.name.clone()).find(|name| {
                name.starts_with(&format!("student[seed={seed},lambda="))
                    && lambda.parse::<f64>().unwrap() == swept(name)
            });
            let name = name.unwrap();
            train(&mut jobs, &name, "node1", &[10, 10 + seed]);
            evaluate(&mut jobs, &format!("attack {name}"), natural + 60 * seed, robust + 90 * seed);
        }
        train(&mut jobs, &format!("simple[seed={seed}]"), "node1", &[3, 3]);
        evaluate(&mut jobs, &format!("attack simple[seed={seed}]"), 6000 + 100 * seed, 2000 + 100 * seed);
    }
    jobs
}

fn swept(name: &str) -> f64 {
    name.trim_end_matches(']').rsplit("lambda=").next().unwrap().parse().unwrap()
}

fn all() -> [(Plot, &'static str); 4] {
    let (figures, study) = (results(), demo::complete());
    [
        (plot("fig4", &layout(OVER_LAMBDA), &figures), "fig4"),
        (plot("fig5", &layout(BY_NETWORK), &figures), "fig5"),
        (plot("fig2", &layout(OVER_TIME), &study), "fig2"),
        (plot("fig3", &layout(TIMES), &study), "fig3"),
    ]
}

#[test]
fn a_swept_job_is_one_point_per_value_over_all_seeds() {
    let [(plot, _), ..] = all();
    assert_eq!(plot.kind, FigureKind::AccuracyOverLambda);
    let points = &plot.series[0].points;
    let lambdas: Vec<_> = points.iter().map(|point| (point.lambda.unwrap(), point.ours.runs.len())).collect();
    assert_eq!(lambdas, [(1e-5, 3), (1e-4, 3), (1e-3, 3), (1e-2, 3), (0.1, 3), (1.0, 3)]);
    let robust = points[2].ours.robust.unwrap().mean;
    assert!(
        (robust.mean - 0.494).abs() < 1e-12
            && (robust.half_width.unwrap() - 4.302_652_7 * 0.009 / 3f64.sqrt()).abs() < 1e-8
    );
    assert_eq!(plot.series[0].paper[0].point, Some(2));
}

#[test]
fn a_point_of_the_paper_belongs_to_the_job_of_its_name() {
    let [_, (plot, _), ..] = all();
    let places: Vec<_> = plot.series[1].paper.iter().map(|mark| mark.point).collect();
    assert_eq!(places, [Some(0), Some(2)]);
    let absent = &plot.series[1].points[2];
    assert!(absent.network.is_none() && absent.ours.robust.is_none());
}

#[test]
fn drawings_are_well_formed_and_say_what_their_axes_are() {
    let expected: [&[&str]; 4] = [
        &[
            "Accuracy, %",
            "λ, weight of the cross-entropy (logarithmic)",
            "1e-4",
            "natural images",
            "under attack",
            "hollow",
        ],
        &["Robust accuracy, %", "dnn/4", "resnet18/8", "absent", "not in this plan", "21.00"],
        &["Training time, min, without the teacher", "Left out", "58.4 min"],
        &["Training time, min", "teacher", "0.28 + 0.37; paper 1.00", "6.22; paper 1807.58", "have no mark"],
    ];
    for ((plot, name), parts) in all().into_iter().zip(expected) {
        let svg = plot.to_svg().unwrap();
        common::well_formed(&svg);
        for part in parts {
            assert!(svg.contains(part), "{name}: {part} is missing");
        }
        assert!(!svg.contains("NaN"), "{name}");
        if let Some(folder) = std::env::var_os("RRM_FIGURES") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.svg")), &svg).unwrap();
        }
    }
}

#[test]
fn nothing_measured_is_nothing_to_draw() {
    let jobs = planned(PLAN);
    let mut lambda = layout(OVER_LAMBDA);
    let drawn = plot("fig4", &lambda, &jobs).to_svg();
    assert!(drawn.is_ok(), "the paper's point can be drawn: {drawn:?}");
    lambda.series[0].paper.clear();
    assert!(plot("fig4", &lambda, &jobs).to_svg().unwrap_err().to_string().contains("no point"));
    assert!(plot("fig4", &lambda, &[]).to_svg().is_err());
    let mut times = layout(TIMES);
    assert!(plot("fig3", &times, &demo::waiting()).to_svg().unwrap().contains("3 waiting"));
    times.series.iter_mut().for_each(|series| series.paper.clear());
    assert!(plot("fig3", &times, &demo::waiting()).to_svg().is_err());
}

#[test]
fn points_are_a_table_in_every_format() {
    for (plot, name) in all() {
        let points: usize = plot.series.iter().map(|series| series.points.len()).sum();
        let csv = plot.to_csv();
        let lines: Vec<usize> = csv.split_terminator("\r\n").map(|line| line.split(',').count()).collect();
        assert_eq!(lines.len(), points + 1, "{csv}");
        assert!(lines.iter().all(|fields| *fields == lines[0]), "{csv}");
        let json = plot.to_json();
        assert_eq!(
            (&json["schema"], &json["kind"], json["series"].as_array().unwrap().len()),
            (&1.into(), &"figure".into(), plot.series.len())
        );
        assert_eq!(serde_json::from_str::<Value>(&json.to_string()).unwrap(), json);
        for report in [plot.to_text(), plot.to_markdown(), plot.to_latex()] {
            assert!(report.contains(name) && report.contains("Provenance"), "{report}");
        }
        assert!(plot.to_latex().is_ascii(), "{}", plot.to_latex());
    }
}

#[test]
fn the_text_of_points_has_the_papers_below_ours() {
    let [(plot, _), ..] = all();
    let text = plot.to_text();
    let lines: Vec<&str> = text.lines().collect();
    let paper = lines.iter().position(|line| line.starts_with("  paper")).unwrap();
    assert!(lines[paper].contains("80.32") && lines[paper].contains("48.67"), "{text}");
    assert!(lines[..paper].iter().any(|line| line.contains("49.40 ± 2.24")), "{text}");
}
