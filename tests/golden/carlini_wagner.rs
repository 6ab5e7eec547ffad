//! `cw_<net>.safetensors`: Carlini & Wagner's attack.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::Tensor;
use rrm_attacks::{Ball, CarliniWagner};
use rrm_spec::{Mode, Norm};
use serde::Deserialize;

use crate::{
    arithmetic::Arithmetic,
    compare::{Report, Tolerance, tolerance_after},
    flat,
    folder::Folder,
    victims::Victim,
};

pub(crate) fn is_known(file: &str) -> bool {
    file.starts_with("cw_") && file.ends_with(".safetensors")
}

/// What the index tells of an attack.
#[derive(Deserialize)]
struct Case {
    iterations: u32,
    search_steps: u32,
    learning_rate: f64,
    initial_constant: f64,
    confidence: f64,
}

impl Case {
    fn attack(&self) -> CarliniWagner {
        // The nearest images are asked for, whether or not they lie in a ball.
        let ball = Ball { norm: Norm::L2, epsilon: 0.0 };
        let Self { iterations, search_steps, learning_rate, initial_constant, confidence } = *self;
        CarliniWagner { ball, iterations, search_steps, learning_rate, initial_constant, confidence }
    }
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let (tensors, entry) = (folder.tensors(file)?, folder.entry(file)?);
    let cases: BTreeMap<String, Case> = serde_json::from_value(entry.parameters["cases"].clone())?;
    let tolerances = [tolerance_after(&entry.tolerance, "f64 dist")?, tolerance_after(&entry.tolerance, "f32")?];
    let mut report = Report::default();
    for &arithmetic in Arithmetic::all() {
        report.begin(arithmetic);
        let suffix = arithmetic.suffix();
        let victim = Victim::load(folder, entry.parameters["net"].as_str().context("net")?, arithmetic.dtype())?;
        for (name, case) in &cases {
            let attack = case.attack();
            let run = || attack.nearest(&victim.network, Mode::Eval, &victim.pixels, &victim.labels);
            let nearest = arithmetic.during(run)?;
            let found: Vec<f64> = nearest.distances.iter().map(|found| f64::from(u8::from(found.is_some()))).collect();
            let told = tensors.numbers(&format!("{name}.found.{suffix}"))?;
            report.close(&format!("{name}.found.{suffix}"), &found, &told, Tolerance::Exact);
            let distances: Vec<f64> = nearest.distances.iter().map(|found| found.unwrap_or(0.0)).collect();
            let told = tensors.numbers(&format!("{name}.dist.{suffix}"))?;
            let tolerance = tolerances[usize::from(arithmetic != Arithmetic::Double)];
            report.close(&format!("{name}.dist.{suffix}"), &distances, &told, Tolerance::Scaled(tolerance));
            let points = tensors.numbers(&format!("{name}.adv_img0_5"))?;
            if arithmetic == Arithmetic::Double {
                let images = &nearest.images;
                let found = flat(&Tensor::cat(&[images.narrow(0, 0, 1)?, images.narrow(0, 5, 1)?], 0)?)?;
                report.close(&format!("{name}.adv_img0_5"), &found, &points, Tolerance::Absolute(tolerance));
            }
        }
    }
    tensors.all()?;
    Ok(report)
}
