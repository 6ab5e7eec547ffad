//! Whole training steps and jobs on a CUDA device.
//!
//! Needs the feature `cuda` and a device. What cannot run is listed as ignored, and said why.
#![expect(clippy::print_stdout, reason = "a test harness reports on the terminal")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use rrm_train::open_device;

#[path = "../jobs/dataset.rs"]
#[expect(dead_code, reason = "shared with the tests of jobs on the CPU")]
mod dataset;
#[path = "../jobs/support.rs"]
#[expect(dead_code, reason = "shared with the tests of jobs on the CPU")]
mod support;

mod attacks;
mod jobs;
mod memory;
mod steps;

/// What a test finds wrong.
type Outcome = Result<(), Failed>;

/// A test that needs a device, under its name.
type OnDevice = (&'static str, fn(&candle_core::Device) -> Outcome);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One test after the other: one of them takes all of the device's memory.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let device = open_device(rrm_spec::Device::Cuda(0));
    let missing = device.as_ref().err().map(|why| println!("skipped: no CUDA device ({why})"));
    let trial = |(name, test): OnDevice| {
        let device = device.as_ref().ok().cloned();
        let run = move || device.as_ref().map_or(Err("no CUDA device".into()), test);
        Trial::test(name, run).with_ignored_flag(missing.is_some())
    };
    [steps::tests(), attacks::tests(), jobs::tests(), memory::tests()].concat().into_iter().map(trial).collect()
}
