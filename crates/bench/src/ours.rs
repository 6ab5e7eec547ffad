//! This project's own steps, as a peer.

use std::num::NonZeroU32;

use anyhow::{Context, anyhow, ensure};
use candle_core::Device;
use rrm_spec::{Arch, Precision};
use rrm_train::bench::Workload;

use crate::{
    protocol::{Hello, Setup},
    serve::Work,
};

/// This project.
pub fn hello() -> Hello {
    Hello { name: "rrm".into(), version: env!("CARGO_PKG_VERSION").into() }
}

/// The work of `setup`, on the CPU.
///
/// # Errors
/// Where there is no such network or workload, or memory is short; and in bf16 on a processor without products of bf16: what it
/// would measure is f32.
pub fn set_up(setup: &Setup) -> anyhow::Result<Work> {
    let arch: Arch = setup.arch.parse()?;
    let batch_size = NonZeroU32::new(setup.batch).context("a batch has at least one image")?;
    let workload: Workload = setup.workload.parse().map_err(|why| anyhow!("{why}"))?;
    let there = setup.precision == Precision::F32 || rrm_kernels::bf16_products();
    ensure!(there, "this processor has no products of {}", setup.precision);
    let mut work = rrm_train::bench::Work::prepare(arch, workload, batch_size, setup.precision, &Device::Cpu)?;
    Ok(Box::new(move || Ok(work.step()?.as_secs_f64() * 1e3)))
}
