//! The formats, on the demonstration with hand-computed numbers.

mod common;

use common::{complete, job, waiting, well_formed};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use rrm_report::{figure, table};
use rrm_spec::JobDetail;

fn renamed(name: &str) -> Vec<JobDetail> {
    let mut jobs = complete();
    job(&mut jobs, "student").summary.name = name.into();
    jobs
}

#[test]
fn text_has_every_number_with_its_interval() {
    let text = table(&complete()).to_text();
    // Wilson, 5210 of 10 000: centre (0.521 + 0.000192)/(1.000384) = 0.520992, half-width 0.009789.
    for part in ["52.10", "51.12–53.08", "5210/10000", "14.00 ± 3.93", "n = 5", "1.67", "2.83", "7.00×", "4.12×"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(text.contains("reference trained for 2 of 5 epochs"), "{text}");
}

#[test]
fn text_fits_a_wide_terminal_and_is_aligned() {
    let text = table(&complete()).to_text();
    let lines: Vec<&str> = text.lines().collect();
    let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 132, "{widest}\n{text}");
    let value = |needle: &str| {
        let line = lines.iter().find(|line| line.contains(needle)).unwrap();
        line[..line.find(needle).unwrap()].chars().count() + needle.chars().count()
    };
    assert_eq!(value("52.10"), value("51.12–53.08"), "{text}");
}

#[test]
fn markdown_rows_have_as_many_cells_as_the_header() {
    let markdown = table(&renamed("a|b[seed=1]")).to_markdown();
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let table: Vec<&str> = markdown.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(table.len(), 6, "{markdown}");
    assert!(table.iter().all(|line| cells(line) == cells(table[0])), "{markdown}");
    assert!(
        table[3].starts_with("| a\\|b\\[seed=1\\] | RRM | resnet18/4 | teacher | 5 | 85.30<br>84.59–85.98"),
        "{markdown}"
    );
}

#[test]
fn latex_is_escaped_and_has_one_line_per_row() {
    let latex = table(&renamed("50%_lr&x")).to_latex();
    assert!(
        latex.contains("50\\%\\_lr\\&x & RRM & resnet18/4 & teacher & 5 & 85.30 (84.59--85.98, 8530/10000)"),
        "{latex}"
    );
    let body = latex.split("\\midrule\n").nth(1).and_then(|rest| rest.split("\\bottomrule").next()).unwrap();
    assert_eq!(body.lines().filter(|line| line.ends_with("\\\\")).count(), 4, "{latex}");
    assert!(latex.contains("14.00 $\\pm$ 3.93 (n = 5)"), "{latex}");
}

#[test]
fn latex_is_ascii_as_pdflatex_wants_it() {
    let latex = table(&complete()).to_latex();
    assert!(latex.is_ascii(), "{latex}");
}

#[test]
fn every_report_of_a_plan_says_where_its_numbers_come_from() {
    let table = table(&complete());
    for report in [table.to_text(), table.to_markdown(), table.to_html(), table.to_latex()] {
        for part in ["Provenance", "node1/cuda:1", "000000000000", "dddddddddddd", "eeeeeeeeeeee"] {
            assert!(report.contains(part), "{part} is missing in:\n{report}");
        }
    }
    let json = table.to_json();
    let student = &json["provenance"][1];
    assert_eq!((&student["row"], &student["of"]["name"]), (&"student".into(), &"student".into()));
    assert_eq!(student["of"]["data_sha256"], "d".repeat(64));
    assert_eq!(student["of"]["built_on"][0]["name"], "teacher");
    assert_eq!(student["of"]["evaluations"][0]["data_sha256"], "e".repeat(64));
}

#[test]
fn csv_has_a_field_for_every_header_and_quotes_commas() {
    let csv = table(&renamed("student[seed=1,lambda=0.05]")).to_csv();
    let lines: Vec<Vec<String>> = csv.split_terminator("\r\n").map(fields).collect();
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
    let column = |name: &str| lines[0].iter().position(|header| header == name).unwrap();
    assert_eq!(lines[2][column("name")], "student[seed=1,lambda=0.05]");
    assert_eq!(lines[2][column("APGD-CE 20x5 linf 0.1 correct")], "5210");
    assert_eq!(lines[2][column("training_with_teacher_us")], "170000000");
    assert_eq!(lines[2][column("baseline_scaled_to_epochs")], "5");
    assert_eq!(lines[4][column("natural source")], "validation");
    assert_eq!(lines[2][column("spec_sha256")].len(), 64);
    assert_eq!(lines[2][column("code_versions")], "0.1.0");
}

/// Splits one line after RFC 4180.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

#[test]
fn json_has_a_schema_and_raw_numbers() {
    let json = table(&complete()).to_json();
    assert_eq!(json["schema"], 1);
    let student = &json["rows"][1];
    assert_eq!(student["robust"][0]["correct"], 5210);
    assert_eq!(student["robust"][0]["job"], 6);
    assert_eq!(student["training_us"], 100_000_000);
    assert_eq!(student["epoch_us"].as_array().unwrap().len(), 5);
    assert_eq!(student["teacher"]["job"]["name"], "teacher");
    assert_eq!(student["speed_up"]["baseline"]["scaled_to_epochs"], 5);
    assert_eq!(json["rows"][3]["speed_up"], serde_json::Value::Null);
}

#[test]
fn no_format_invents_numbers_of_jobs_that_have_not_run() {
    let table = table(&waiting());
    let text = table.to_text();
    assert!(text.contains("0/5") && text.contains("waiting"), "{text}");
    assert!(!text.contains("100.0") && !text.contains("0.00"), "{text}");
    assert!(figure(&table).unwrap().contains("waiting"));
}

#[test]
fn figure_is_well_formed_and_labelled() {
    let svg = figure(&table(&renamed("a<b>&\"c\"\u{1}"))).unwrap();
    well_formed(&svg);
    for part in [
        "a&lt;b&gt;&amp;&quot;c&quot;",
        "Accuracy, %",
        "Training time, min",
        "APGD-CE 20x5, linf 0.1",
        "52.10",
        "1.67 + 1.17",
    ] {
        assert!(svg.contains(part), "{part} is missing");
    }
    assert!(!svg.contains('\u{1}') && !svg.contains("NaN"));
}

#[test]
fn a_figure_grows_with_its_rows() {
    let height = |jobs: &[JobDetail]| {
        let svg = figure(&table(jobs)).unwrap();
        let start = svg.find("height=\"").unwrap() + 8;
        svg[start..].split('"').next().unwrap().parse::<u32>().unwrap()
    };
    assert!(height(&complete()) > height(&complete()[..2]));
}

/// Writes the figure where `RRM_FIGURE` says, for looking at it.
#[test]
fn figure_of_a_busy_plan_has_all_its_names() {
    let mut jobs = complete();
    let mut running = job(&mut jobs, "student").clone();
    running.summary.id = rrm_spec::JobId(60);
    running.summary.name = "student[seed=1,lambda=0.05,momentum=0.9]".into();
    jobs.push(running);
    common::train(&mut jobs, "student[seed=1,lambda=0.05,momentum=0.9]", "node1", &[20]);
    let svg = figure(&table(&jobs)).unwrap();
    assert!(svg.contains("student[seed=1,lambda") && svg.contains("running"));
    if let Some(path) = std::env::var_os("RRM_FIGURE") {
        std::fs::write(path, &svg).unwrap();
    }
    if let Some(path) = std::env::var_os("RRM_TABLE") {
        std::fs::write(path, table(&jobs).to_text()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Names are users' texts: whatever they hold, a row stays a row and a figure a figure.
    #[test]
    fn no_name_breaks_any_format(name in any::<String>()) {
        let table = table(&renamed(&name));
        let markdown = table.to_markdown();
        let rows = markdown.lines().take_while(|line| line.starts_with('|'));
        let unescaped = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        prop_assert_eq!(rows.map(unescaped).collect::<Vec<_>>(), vec![14; 6], "{}", markdown);
        let latex = table.to_latex();
        let cells = |line: &str| line.replace("\\&", "").matches(" & ").count();
        // Of twelve columns the provenance.
        prop_assert!(latex.lines().filter(|line| line.ends_with("\\\\")).all(|line| cells(line) >= 11), "{}", latex);
        let json = table.to_json();
        prop_assert_eq!(json["rows"][1]["name"].as_str(), Some(name.as_str()));
        well_formed(&figure(&table).unwrap());
    }
}
