//! How fast this machine is.

use std::{io::Write, num::NonZeroU32, process::ExitCode};

use anyhow::Context;
use clap::Args;
use rrm_spec::{Arch, Device, Precision};
use rrm_train::{
    bench::{Request, Workload, measure},
    open_device,
};

use crate::cli::complain;

const EXAMPLES: &str = "\
Examples:
  rrm-worker bench --arch resnet18 --mode train --batch 128
  rrm-worker bench --arch resnet18 --mode rrm:vgg11 --batch 128 --precision bf16
  rrm-worker bench --arch dnn/4 --mode attack --batch 64 --threads 1 --json";

/// Flags of `bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    #[arg(long, help = format!("Network: {}", Arch::FORMS))]
    arch: Arch,
    /// What is timed: a training step (train), a gradient step of an attack (attack), a forward pass (eval), or an RRM step
    /// with a teacher of another network (rrm:ARCH)
    #[arg(long)]
    mode: Workload,
    /// Images per step
    #[arg(long, value_name = "N")]
    batch: NonZeroU32,
    /// What the networks compute in: f32, or bf16 with weights and sums in f32
    #[arg(long, default_value_t, value_name = "PRECISION")]
    precision: Precision,
    /// Device to compute on: cpu or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: Device,
    /// Threads of the CPU kernels [default: the processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Steps that are timed; the median counts [default: 9]
    #[arg(long, value_name = "N")]
    steps: Option<NonZeroU32>,
    /// Let a GPU round the factors of f32 products to TF32: faster, and as coarse as half precision
    #[arg(long)]
    tf32: bool,
    /// Print a JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

/// `rrm-worker bench`.
pub(crate) fn main(args: &BenchArgs) -> ExitCode {
    match bench(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &BenchArgs) -> anyhow::Result<()> {
    rrm_kernels::keep_freed_memory();
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    rrm_kernels::set_threads(args.threads.map_or_else(processors, |threads| threads as usize));
    rrm_kernels::allow_tf32(args.tf32);
    let mut request = Request::new(args.arch, args.mode, args.batch);
    request.precision = args.precision;
    request.steps = args.steps.unwrap_or(request.steps);
    let speed = measure(&request, &open_device(args.device)?)?;
    let text = if args.json { serde_json::to_string(&speed)? } else { speed.to_string() };
    writeln!(std::io::stdout(), "{text}").context("standard output")
}
