//! `make bench-scheduler`.

use std::path::Path;

use clap::Parser;
use rrm_load::{Arguments, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(&Arguments::parse(), Path::new(env!("CARGO_TARGET_TMPDIR"))).await
}
