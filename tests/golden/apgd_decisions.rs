//! `apgd_checkpoints.json`: when AutoPGD decides on step sizes, and how.

use std::collections::BTreeMap;

use anyhow::Result;
use rrm_attacks::apgd::{checkpoints, oscillates};
use serde::Deserialize;

use crate::{apgd_art, compare::Report, folder::Folder};

#[derive(Deserialize)]
struct Decisions {
    fra31: BTreeMap<String, Schedule>,
    #[serde(default)]
    art_1_7_2: BTreeMap<String, apgd_art::Decisions>,
    check_oscillation: Oscillations,
}

#[derive(Deserialize)]
struct Schedule {
    after_step: Vec<u32>,
    window: Vec<u32>,
}

#[derive(Deserialize)]
struct Oscillations {
    cases: Vec<OscillationCase>,
}

/// The losses of case c are 12x4: sym('osc.<c>') + (0.3*row if c is odd) + (2 if c<2).
#[derive(Deserialize)]
struct OscillationCase {
    case: usize,
    j: usize,
    k: usize,
    reduce: Vec<u8>,
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    const ROWS: usize = 12;
    let told: Decisions = folder.json(file)?;
    let mut report = Report::default();
    for (iterations, schedule) in &told.fra31 {
        let found = checkpoints(iterations.parse()?);
        let after: Vec<u32> = found.iter().map(|checkpoint| checkpoint.after).collect();
        let window: Vec<u32> = found.iter().map(|checkpoint| checkpoint.window).collect();
        report.same(&format!("checkpoints of {iterations}"), &after, &schedule.after_step);
        report.same(&format!("windows of {iterations}"), &window, &schedule.window);
    }
    for OscillationCase { case, j, k, reduce } in &told.check_oscillation.cases {
        let columns = reduce.len();
        let numbers = folder.generator().sym(&format!("osc.{case}"), ROWS * columns);
        let loss = |row: usize, column: usize| {
            let slope = if case % 2 == 1 { 0.3 * row as f64 } else { 0.0 };
            numbers[row * columns + column] + slope + if *case < 2 { 2.0 } else { 0.0 }
        };
        let of_column = |column: usize| -> Vec<f64> { (0..ROWS).map(|row| loss(row, column)).collect() };
        let found: Vec<u8> = (0..columns).map(|column| oscillates(&of_column(column), *j, *k).into()).collect();
        report.same(&format!("oscillation, case {case}, j {j}, k {k}"), &found, reduce);
    }
    apgd_art::compare_decisions(&told.art_1_7_2, &mut report)?;
    Ok(report)
}
