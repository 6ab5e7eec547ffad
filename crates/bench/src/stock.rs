//! Candle as it comes, as a peer: ResNet18 from candle_nn's layers and its SGD.

mod blocks;
mod resnet;

use std::{collections::HashMap, time::Instant};

use anyhow::{Context, ensure};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Optimizer, SGD, VarBuilder, VarMap, loss::cross_entropy};
use rrm_spec::Precision;

use crate::{
    plan::Mode,
    protocol::{Hello, Setup},
    serve::Work,
};
use resnet::ResNet18;

const CHANNELS: usize = 3;
const SIDE: usize = 32;
const CLASSES: usize = 10;

/// As in our own benchmark: random labels do not diverge at it.
const LEARNING_RATE: f64 = 1e-3;

/// Stock Candle. It has no way to ask for its version, which is that of the workspace's `Cargo.toml`.
pub fn hello() -> Hello {
    Hello { name: "Candle".into(), version: "as locked".into() }
}

/// The work of `setup`, on the CPU.
///
/// # Errors
/// For anything but ResNet18 in f32.
pub fn set_up(setup: &Setup) -> anyhow::Result<Work> {
    let (name, divisor) = setup.arch.split_once('/').unwrap_or((&setup.arch, "1"));
    ensure!(name == "resnet18", "{} is not written in stock Candle here, only resnet18 is", setup.arch);
    ensure!(setup.precision == Precision::F32, "stock Candle has no convolution in {}", setup.precision);
    let divisor = divisor.parse().context("a divisor is a number")?;
    let mode = setup.workload.parse().map_err(anyhow::Error::msg)?;
    let mut step = step(mode, divisor, setup.batch as usize)?;
    Ok(Box::new(move || {
        let start = Instant::now();
        step()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }))
}

type Step = Box<dyn FnMut() -> candle_core::Result<()>>;

fn step(mode: Mode, divisor: usize, batch: usize) -> candle_core::Result<Step> {
    let device = Device::Cpu;
    let images = Tensor::rand(0f32, 1., (batch, CHANNELS, SIDE, SIDE), &device)?;
    let labels = Tensor::from_iter((0..batch).map(|image| (image % CLASSES) as u32), &device)?;
    let variables = VarMap::new();
    let network = ResNet18::new(&VarBuilder::from_varmap(&variables, DType::F32, &device), CHANNELS, divisor)?;
    let victim = ResNet18::new(&VarBuilder::from_tensors(frozen(&variables), DType::F32, &device), CHANNELS, divisor)?;
    Ok(match mode {
        Mode::Train => {
            let mut optimizer = SGD::new(trainable(&variables), LEARNING_RATE)?;
            Box::new(move || optimizer.backward_step(&cross_entropy(&network.forward(&images, true)?, &labels)?))
        }
        Mode::Attack => Box::new(move || {
            let images = Var::from_tensor(&images)?;
            cross_entropy(&victim.forward(images.as_tensor(), false)?, &labels)?.backward().map(drop)
        }),
        Mode::Eval => Box::new(move || victim.forward(&images, false).map(drop)),
    })
}

/// All but the running statistics, which Candle keeps among the variables.
fn trainable(variables: &VarMap) -> Vec<Var> {
    let all = variables.data().lock().expect("no other thread has it");
    all.iter().filter(|(name, _)| !name.contains("running")).map(|(_, variable)| variable.clone()).collect()
}

fn frozen(variables: &VarMap) -> HashMap<String, Tensor> {
    let all = variables.data().lock().expect("no other thread has it");
    all.iter().map(|(name, variable)| (name.clone(), variable.as_detached_tensor())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Variant;

    fn setup(arch: &str, workload: &str) -> Setup {
        let (arch, workload) = (arch.to_owned(), workload.to_owned());
        Setup { arch, workload, batch: 2, precision: Precision::F32, variant: Variant::PLAIN }
    }

    #[test]
    fn every_mode_can_be_repeated() {
        for mode in Mode::ALL {
            let mut work = set_up(&setup("resnet18/16", &mode.to_string())).unwrap();
            assert!(work().unwrap() > 0.0 && work().unwrap() > 0.0);
        }
    }

    #[test]
    fn what_is_not_written_in_candle_is_refused() {
        for (arch, workload) in [("vgg11", "train"), ("resnet18/x", "train"), ("resnet18/16", "rrm:dnn")] {
            assert!(set_up(&setup(arch, workload)).is_err(), "{arch} {workload}");
        }
    }
}
