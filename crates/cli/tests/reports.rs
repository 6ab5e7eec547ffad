//! Reports in the form of the paper's tables and figures, against a daemon that answers what we tell it to.

#[allow(dead_code, reason = "each test target uses its own part")]
mod fake;

use std::process::{Command, Output};

use fake::Fake;
use rrm_recipes::{Layout, Recipe};
use rrm_spec::{Accuracy, EpochRecord, EvaluationRecord, ImageOutcome, JobKind, JobSpec, JobState, Outcome};
use serde_json::Value;

const LAYOUT: &str = r#"
    [table]
    title = "Two ways"
    columns = ["epochs", "epoch-time", "training-time", "natural", "robust"]
    [[table.rows]]
    label = "first"
    job = "first"
    paper = { training_min = 30.22, natural = 85.50 }
    [[table.rows]]
    label = "second"
    job = "second"
"#;

const FIGURE: &str = r#"
    [figure]
    title = "Robustness by architecture"
    kind = "accuracy-by-network"
    [[figure.series]]
    label = "ours"
    jobs = ["first", "second"]
"#;

impl Fake {
    fn rrm(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rrm"));
        command.args(arguments).env_clear().env("RRM_STATE_DIR", self.folder.path());
        command.output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.rrm(&[&["--json"], arguments].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert_eq!(document["schema"], 1, "{document}");
        document
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Submits a plan of that name that trains these networks and evaluates each, and has all of it done.
    fn with_results(&self, plan: &str, networks: &[&str]) {
        let plan = self.file("plan.toml", &plan_of(plan, networks));
        let output = self.rrm(&["-q", "submit", &plan]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        for id in text(&output.stdout).split_whitespace() {
            self.finish(id.parse().unwrap());
        }
    }

    fn finish(&self, id: i64) {
        self.memory.with_job(id, |job| match &job.spec {
            JobSpec::Train(spec) => {
                job.epochs = (1..=spec.epochs.get()).map(|number| epoch(number, id as u64)).collect()
            }
            JobSpec::Evaluate(spec) => job.evaluations = vec![evaluation(spec.attack.clone(), id as u64)],
            JobSpec::Synthesize(_) => {}
        });
        self.memory.set_state(id, JobState::Succeeded, None);
    }
}

fn plan_of(name: &str, networks: &[&str]) -> String {
    let mut plan = format!("name = \"{name}\"\n");
    for network in networks {
        plan += &format!(
            r#"
            [[job]]
            name = "{network}"
            kind = "train"
            dataset = {{ name = "cifar10" }}
            arch = "resnet18/4"
            epochs = 2
            batch_size = 64
            seed = 0
            optimizer = {{ learning_rate = 0.1, schedule = {{ kind = "cosine" }} }}
            method = {{ kind = "natural" }}

            [[job]]
            name = "attack {network}"
            kind = "evaluate"
            model = {{ job = "{network}" }}
            dataset = {{ name = "cifar10" }}
            attack = {{ kind = "apgd", threat = {{ norm = "linf", epsilon = "8/255" }}, iterations = 20, restarts = 5 }}
            batch_size = 100
            seed = 0
            "#
        );
    }
    plan
}

fn epoch(epoch: u32, id: u64) -> EpochRecord {
    EpochRecord {
        epoch,
        train_us: 60_000_000 * id,
        validation_us: 1,
        images: 10,
        learning_rate: 0.1,
        loss: 1.0,
        train: Accuracy { correct: 5, total: 10 },
        natural: Accuracy { correct: 5, total: 10 },
        robust: None,
    }
}

fn evaluation(attack: rrm_spec::AttackSpec, id: u64) -> EvaluationRecord {
    EvaluationRecord {
        attack,
        natural: Accuracy { correct: 8000 + id, total: 10_000 },
        robust: Accuracy { correct: 4500 + id, total: 10_000 },
        elapsed_us: 1,
        weights: "0".repeat(64).parse().unwrap(),
        images: Vec::new(),
        classes: Vec::new(),
        audit: None,
    }
}

/// Ten images, of which so many are robust and the others misclassified.
fn images(robust: u32) -> Vec<ImageOutcome> {
    let outcome = |image| if image < robust { Outcome::Robust } else { Outcome::Misclassified };
    (0..10)
        .map(|image| ImageOutcome { image, label: 0, prediction: 0, outcome: outcome(image), closest: None })
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Train jobs that a recipe's report names.
fn jobs_of(recipe: &str) -> Vec<String> {
    match Recipe::find(recipe).unwrap().layout() {
        Layout::Table(layout) => layout.rows.iter().map(|row| row.job.clone()).collect(),
        Layout::Figure(layout) => layout.series.iter().flat_map(|series| series.jobs.clone()).collect(),
    }
}

#[test]
fn a_table_of_the_paper_is_looked_up_in_the_newest_plan_of_its_name() {
    let fake = Fake::start();
    let jobs = jobs_of("cpu/table1");
    let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    fake.with_results("cpu/table1", &jobs);
    fake.with_results("another", &["first"]);
    for name in ["table1", "cpu/table1"] {
        let output = fake.rrm(&["report", name]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report = text(&output.stdout);
        assert!(
            report.starts_with("cpu/table1: ") && report.contains("80.02") && report.contains("Provenance"),
            "{report}"
        );
    }
    let document = fake.json(&["report", "table1"]);
    assert_eq!(
        (&document["kind"], &document["recipe"], &document["submission"]),
        (&"table".into(), &"cpu/table1".into(), &1.into())
    );
    assert_eq!(document["rows"].as_array().unwrap().len(), jobs.len());
    // The other plan has none of its jobs.
    let other = text(&fake.rrm(&["report", "cpu/table1", "--plan", "2"]).stdout);
    assert!(other.contains("not in this plan") && !other.contains("80.02"), "{other}");
}

#[test]
fn a_report_that_does_not_exist_is_refused_with_what_to_do() {
    let fake = Fake::start();
    let output = fake.rrm(&["report", "cpu/table1"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("no plan named cpu/table1"), "{output:?}");
    let unknown = fake.rrm(&["report", "table99"]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
    assert!(text(&unknown.stderr).contains("paper/table99"), "{unknown:?}");
    fake.with_results("demo", &["first"]);
    for arguments in [
        &["report", "1", "--plan", "1"][..],
        &["report", "-o", "report.pdf"],
        &["report", "-o", "report.csv", "--format", "csv"],
        &["report", "@first"],
        &["report", "cpu/table1", "--layout", "layout.toml"],
    ] {
        let output = fake.rrm(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
    let layout = fake.file("layout.toml", "[table]\ntitle = 1");
    let output = fake.rrm(&["report", "--layout", &layout]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("layout.toml"), "{output:?}");
    assert_eq!(fake.rrm(&["report", "--layout", "absent.toml"]).status.code(), Some(3));
}

#[test]
fn a_report_is_written_in_the_format_of_the_files_ending() {
    let fake = Fake::start();
    fake.with_results("demo", &["first", "second"]);
    let layout = fake.file("layout.toml", LAYOUT);
    for (name, part) in [
        ("a.txt", "layout: Two ways"),
        ("a.md", "### layout: Two ways"),
        ("a.csv", "method,job,jobs,seeds"),
        ("a.tex", "\\toprule"),
        ("a.json", "\"schema\": 1"),
    ] {
        let output = fake.rrm(&["report", "--layout", &layout, "-o", &fake.path(name)]);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""), "{output:?}");
        assert!(text(&output.stderr).contains(name), "{output:?}");
        let written = std::fs::read_to_string(fake.path(name)).unwrap();
        assert!(written.contains(part), "{name}:\n{written}");
    }
    for (format, part) in [("markdown", "| first |"), ("latex", "\\midrule"), ("csv", "paper_training_min")] {
        let report = text(&fake.rrm(&["report", "--layout", &layout, "--format", format]).stdout);
        assert!(report.contains(part), "{format}:\n{report}");
    }
    let table = fake.rrm(&["report", "--layout", &layout, "-o", &fake.path("a.svg")]);
    assert_eq!(table.status.code(), Some(2), "{table:?}");
    assert!(text(&table.stderr).contains("is a table"), "{table:?}");
}

#[test]
fn a_figure_is_drawn_as_svg_or_png_and_printed_as_a_table() {
    let fake = Fake::start();
    fake.with_results("demo", &["first", "second"]);
    let layout = fake.file("figure.toml", FIGURE);
    let report = text(&fake.rrm(&["report", "--layout", &layout]).stdout);
    assert!(report.contains("45.02") && report.contains("Provenance"), "{report}");
    let svg = fake.path("a.svg");
    assert_eq!(fake.rrm(&["report", "--layout", &layout, "-o", &svg]).status.code(), Some(0));
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    let png = fake.path("a.png");
    let output = fake.rrm(&["report", "--layout", &layout, "-o", &png]);
    // Whoever builds on a machine without fonts sees what a user would.
    match output.status.code() {
        Some(0) => {
            let image = image::open(&png).unwrap().into_rgb8();
            assert_eq!(image.width(), 1840);
            let dark = image.pixels().filter(|pixel| pixel.0.iter().all(|&level| level < 120)).count();
            assert!(dark > 1000, "{dark} pixels of text");
            // For looking at it.
            if let Some(folder) = std::env::var_os("RRM_FIGURES") {
                std::fs::copy(&png, std::path::Path::new(&folder).join("report.png")).unwrap();
            }
        }
        _ => assert!(text(&output.stderr).contains("no font"), "{output:?}"),
    }
    // The figure of a plan without a layout, too.
    assert_eq!(fake.rrm(&["report", "last", "-o", &svg]).status.code(), Some(0));
    assert!(std::fs::read_to_string(&svg).unwrap().contains("Training time"));
    assert_eq!(fake.json(&["report", "--layout", &layout, "-o", &fake.path("a.csv")])["written"], fake.path("a.csv"));
}

#[test]
fn rows_are_compared_image_by_image_where_the_daemon_knows_their_outcomes() {
    let fake = Fake::start();
    fake.with_results("demo", &["first", "second"]);
    let layout = fake.file("layout.toml", LAYOUT);
    let tests = |fake: &Fake| fake.json(&["report", "--layout", &layout])["comparisons"][0]["tests"].clone();
    assert_eq!(tests(&fake), serde_json::json!([]), "it knows none");
    let evaluations: Vec<i64> =
        fake.json(&["list"])["jobs"].as_array().unwrap().iter().filter_map(evaluation_id).collect();
    fake.memory.with_job(evaluations[1], |job| job.evaluations[0].images = images(9));
    fake.memory.with_job(evaluations[0], |job| job.evaluations[0].images = images(3));
    let found = tests(&fake);
    assert_eq!(
        (&found[0]["robust"]["only_first"], &found[0]["robust"]["only_second"]),
        (&0.into(), &6.into()),
        "{found}"
    );
    let p = found[0]["robust"]["p"].as_f64().unwrap();
    assert!((p - 2.0 / 64.0).abs() < 1e-12, "six images on one side: {p}");
}

/// The id of an evaluation in a list.
fn evaluation_id(job: &Value) -> Option<i64> {
    (job["kind"] == JobKind::Evaluate.to_string()).then(|| job["id"].as_i64().unwrap())
}
