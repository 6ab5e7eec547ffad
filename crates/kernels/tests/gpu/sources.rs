//! Every kernel compiles, for the oldest architecture that the toolkit knows and for newer ones.

use libtest_mimic::Trial;
use rrm_kernels::cuda::{KernelSource, NumberType, compile_to_ptx};

/// Turing is the oldest that CUDA 13 compiles for; Hopper is the paper's successor machine today.
const ARCHITECTURES: [&str; 3] = ["compute_75", "compute_80", "compute_90"];

pub(crate) fn trials() -> Vec<Trial> {
    let of = |source: KernelSource| {
        Trial::test(format!("{source:?}_compiles_to_ptx_in_every_form").to_lowercase(), move || {
            for number in NumberType::ALL {
                for architecture in ARCHITECTURES {
                    let ptx = compile_to_ptx(source, number, architecture)
                        .map_err(|error| format!("{source:?} in {number:?} for {architecture}: {error}"))?;
                    let target = architecture.replace("compute", "sm");
                    if !ptx.contains(&format!(".target {target}")) || !ptx.contains(".visible .entry") {
                        return Err(format!("no kernels for {target} in:\n{ptx}").into());
                    }
                }
            }
            Ok(())
        })
    };
    KernelSource::ALL.into_iter().map(of).collect()
}
