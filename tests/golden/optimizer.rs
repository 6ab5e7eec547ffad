//! `sgd.safetensors` and `schedules.json`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Tensor, Var};
use rrm_kernels::{SgdConfig, sgd_step};
use rrm_spec::{OptimizerSpec, Schedule};
use rrm_train::Timetable;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    compare::{Report, Tolerance, number_after, numbers, tolerance_after},
    flat,
    folder::{Folder, Tensors},
    generator::Generator,
};

pub(crate) fn compare_sgd(folder: &Folder, file: &str) -> Result<Report> {
    let entry = folder.entry(file)?;
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    for (dtype, suffix) in [(DType::F64, "f64"), (DType::F32, "f32")] {
        let tolerance = Tolerance::Scaled(tolerance_after(&entry.tolerance, suffix)?);
        let generator = folder.generator();
        Descent { generator, tensors: &tensors, dtype, suffix, tolerance }.compare(&entry.parameters, &mut report)?;
    }
    tensors.all()?;
    Ok(report)
}

struct Descent<'a> {
    generator: Generator,
    tensors: &'a Tensors,
    dtype: DType,
    suffix: &'a str,
    tolerance: Tolerance,
}

impl Descent<'_> {
    fn compare(&self, parameters: &Value, report: &mut Report) -> Result<()> {
        // Learning rate a*(1-b*s), momentum a-b*s at step s.
        let [rate, _, fall] = formula(parameters, "lr")?;
        let [momentum, slope] = formula(parameters, "momentum")?;
        let weight_decay = parameters["weight_decay"].as_f64().context("weight_decay")?;
        let [scale] = formula(parameters, "p,q")?;
        let [p_gradient, q_gradient] = formula(parameters, "grads")?;
        let mut weights = [self.weight("p", 1.0)?, self.weight("q", scale)?];
        for step in (0..).take_while(|step| self.tensors.has(&format!("p{step}.{}", self.suffix))) {
            let s = f64::from(step);
            let config =
                SgdConfig { learning_rate: rate * (1.0 - fall * s), momentum: momentum - slope * s, weight_decay };
            for (weight, scale) in weights.iter_mut().zip([p_gradient, q_gradient]) {
                weight.descend(self, step, scale, config)?;
                weight.compare(self, step, report)?;
            }
        }
        Ok(())
    }

    fn weight(&self, name: &'static str, scale: f64) -> Result<Weight> {
        let shape = self.tensors.get(&format!("{name}0.{}", self.suffix))?.dims().to_vec();
        let value = Var::from_tensor(&self.drawn(&format!("sgd.{name}"), &shape, scale)?)?;
        let buffer = Var::from_tensor(&value.zeros_like()?)?;
        Ok(Weight { name, value, buffer, shape })
    }

    /// Numbers of a stream: made in f64, rounded to f32, as all golden inputs are.
    fn drawn(&self, name: &str, shape: &[usize], scale: f64) -> Result<Tensor> {
        let numbers = self.generator.sym_tensor(name, shape)?.affine(scale, 0.0)?;
        Ok(numbers.to_dtype(DType::F32)?.to_dtype(self.dtype)?)
    }
}

struct Weight {
    name: &'static str,
    value: Var,
    buffer: Var,
    shape: Vec<usize>,
}

impl Weight {
    fn descend(&self, descent: &Descent<'_>, step: i32, scale: f64, config: SgdConfig) -> Result<()> {
        let gradient = descent.drawn(&format!("sgd.g{}{step}", self.name), &self.shape, scale)?;
        Ok(sgd_step(&self.value, &gradient, &self.buffer, config)?)
    }

    fn compare(&self, descent: &Descent<'_>, step: i32, report: &mut Report) -> Result<()> {
        for (prefix, found) in [("", &self.value), ("b", &self.buffer)] {
            let name = format!("{prefix}{}{step}.{}", self.name, descent.suffix);
            if descent.tensors.has(&name) {
                report.close(&name, &flat(found)?, &descent.tensors.numbers(&name)?, descent.tolerance);
            }
        }
        Ok(())
    }
}

/// The numbers of a formula in the index; names of streams hold none.
fn formula<const N: usize>(parameters: &Value, key: &str) -> Result<[f64; N]> {
    let text = parameters[key].as_str().with_context(|| format!("no formula {key}"))?;
    // What lies in quotes or brackets is a stream's name or shape; what follows ` at ` explains.
    let text = text.split(" at ").next().unwrap_or(text);
    let outside: String = text.split('\'').step_by(2).map(|part| part.split(']').next_back().unwrap_or(part)).collect();
    let found: Vec<f64> = numbers(&outside).collect();
    found.try_into().map_err(|found| anyhow::anyhow!("`{text}` has the numbers {found:?}, not {N}"))
}

#[derive(Deserialize)]
struct Curve {
    kind: String,
    #[serde(default)]
    around: Vec<u32>,
    total_steps: u32,
    base_lr: f64,
    step: Vec<u64>,
    lr: Vec<f64>,
    momentum: Vec<f64>,
    lr_after_last: f64,
    momentum_after_last: f64,
    lr_sum: f64,
}

pub(crate) fn compare_schedules(folder: &Folder, file: &str) -> Result<Report> {
    let curves: BTreeMap<String, Curve> = folder.json(file)?;
    ensure!(!curves.is_empty(), "{file} is empty");
    let allowed = tolerance_after(&folder.entry(file)?.tolerance, "")?;
    let mut report = Report::default();
    for (name, curve) in &curves {
        curve.compare(name, allowed, &mut report)?;
    }
    Ok(report)
}

impl Curve {
    /// Our schedule of that kind. One step makes an epoch here, so that epochs and steps are one.
    fn timetable(&self) -> Result<Timetable> {
        let mut momentum = 0.9;
        let schedule = if self.kind.starts_with("cosine per step to 1e-6") {
            Schedule::Cosine
        } else if self.kind.contains("CyclicLR, cycle_momentum left on") {
            let (_, range) = self.kind.split_once('(').context("no range of momentum")?;
            let mut range = range.split("..").filter_map(|end| numbers(end).next());
            let peak = range.next().context("the lowest momentum")?;
            momentum = range.next().context("the highest momentum")?;
            Schedule::Triangular { peak_momentum: Some(peak) }
        } else if self.kind.contains("MultiStepLR") {
            ensure!(!self.around.is_empty(), "no milestones");
            Schedule::Step { milestones: self.around.clone(), factor: 0.1 }
        } else if self.kind.contains("StepLR step") {
            let every = number_after(&self.kind, "StepLR step")? as u32;
            Schedule::Step { milestones: (every..=self.total_steps).step_by(every as usize).collect(), factor: 0.1 }
        } else {
            bail!("unknown schedule `{}`", self.kind);
        };
        let optimizer = OptimizerSpec { learning_rate: self.base_lr, momentum, weight_decay: 0.0, schedule };
        Ok(Timetable::new(&optimizer, self.total_steps, 1))
    }

    fn compare(&self, name: &str, allowed: f64, report: &mut Report) -> Result<()> {
        let timetable = self.timetable().with_context(|| name.to_owned())?;
        let rates: Vec<_> = self.step.iter().map(|&step| timetable.at(step)).collect();
        let found: Vec<f64> = rates.iter().map(|rate| rate.learning_rate).collect();
        report.close(&format!("{name} lr"), &found, &self.lr, Tolerance::Absolute(allowed));
        let found: Vec<f64> = rates.iter().map(|rate| rate.momentum).collect();
        report.close(&format!("{name} momentum"), &found, &self.momentum, Tolerance::Absolute(allowed));
        let end = timetable.at(u64::from(self.total_steps));
        let (found, expected) = ([end.learning_rate, end.momentum], [self.lr_after_last, self.momentum_after_last]);
        report.close(&format!("{name} after the last step"), &found, &expected, Tolerance::Absolute(allowed));
        let sum: f64 = (0..u64::from(self.total_steps)).map(|step| timetable.at(step).learning_rate).sum();
        let steps = f64::from(self.total_steps);
        report.close(&format!("{name} lr_sum"), &[sum], &[self.lr_sum], Tolerance::Absolute(allowed * steps));
        Ok(())
    }
}
