//! The operations on a CUDA device against the CPU's definition in f64, and the kernels' source text against the compiler.
//!
//! Needs the feature `cuda`; all but the compilation needs a device too. What cannot run is listed as ignored, and said why.
#![expect(clippy::print_stdout, reason = "a test harness reports on the terminal")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

#[cfg(feature = "cuda")]
mod climbing;
#[cfg(feature = "cuda")]
mod compared;
#[cfg(feature = "cuda")]
mod conventions;
#[cfg(feature = "cuda")]
mod operations;
#[cfg(feature = "cuda")]
mod promises;
#[cfg(feature = "cuda")]
mod sources;
#[cfg(feature = "cuda")]
mod support;

/// What a test finds wrong.
type Outcome = Result<(), Failed>;

/// A test that needs a device, under its name.
#[cfg(feature = "cuda")]
type OnDevice = (&'static str, fn(&candle_core::Device) -> Outcome);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One test after the other: they count passes, and change how f32 is rounded.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials()).exit_code()
}

#[cfg(not(feature = "cuda"))]
fn trials() -> Vec<Trial> {
    println!("skipped: the GPU tests need the feature `cuda`; `make cuda-link` builds them");
    let ignored = |name: &str| Trial::test(name, || Outcome::Err("built without the feature `cuda`".into()));
    vec![ignored("every_kernel_compiles_to_ptx"), ignored("every_operation_agrees_with_the_cpu")]
        .into_iter()
        .map(|trial| trial.with_ignored_flag(true))
        .collect()
}

#[cfg(feature = "cuda")]
fn trials() -> Vec<Trial> {
    let device = rrm_kernels::cuda::open(0);
    let missing = device.as_ref().err().map(|why| {
        println!("skipped: no CUDA device ({})", why.to_string().lines().next().unwrap_or_default());
    });
    let on_device = |(name, test): OnDevice| {
        let device = device.as_ref().ok().cloned();
        let run = move || device.as_ref().map_or(Err("no CUDA device".into()), test);
        Trial::test(name, run).with_ignored_flag(missing.is_some())
    };
    let tests = [operations::tests(), conventions::tests(), climbing::tests(), promises::tests()].concat();
    sources::trials().into_iter().chain(tests.into_iter().map(on_device)).collect()
}
