//! `cargo bench -p rrm-bench --bench performance -- --help`

use clap::Parser;
use rrm_bench::{arguments::Arguments, driver};

#[global_allocator]
static ALLOCATOR: rrm_kernels::CacheLines = rrm_kernels::CacheLines;

fn main() -> anyhow::Result<()> {
    driver::main(&Arguments::parse())
}
