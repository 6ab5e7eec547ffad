//! The binary `rrm-worker`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: rrm_kernels::CacheLines = rrm_kernels::CacheLines;

fn main() -> ExitCode {
    rrm_worker::run()
}
