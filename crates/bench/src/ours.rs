//! This project's own steps, as a peer.

use std::num::NonZeroU32;

use anyhow::{Context, anyhow, bail};
use candle_core::Device;
use rrm_spec::Arch;
use rrm_train::bench::Workload;

use crate::{
    protocol::{Hello, Precision, Setup},
    serve::Work,
};

/// This project.
pub fn hello() -> Hello {
    Hello { name: "rrm".into(), version: env!("CARGO_PKG_VERSION").into() }
}

/// The work of `setup`, on the CPU.
///
/// # Errors
/// Where there is no such network, workload or precision, or memory is short.
pub fn set_up(setup: &Setup) -> anyhow::Result<Work> {
    let arch: Arch = setup.arch.parse()?;
    let workload: Workload = setup.workload.parse().map_err(|why| anyhow!("{why}"))?;
    let batch_size = NonZeroU32::new(setup.batch).context("a batch has at least one image")?;
    if setup.precision != Precision::F32 {
        bail!("no kernels in {} yet", setup.precision);
    }
    let mut work = rrm_train::bench::Work::prepare(arch, workload, batch_size, &Device::Cpu)?;
    Ok(Box::new(move || Ok(work.step()?.as_secs_f64() * 1e3)))
}
