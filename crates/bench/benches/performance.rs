//! `cargo bench -p rrm-bench --bench performance -- --help`

use clap::Parser;
use rrm_bench::{arguments::Arguments, driver};

fn main() -> anyhow::Result<()> {
    driver::main(&Arguments::parse())
}
