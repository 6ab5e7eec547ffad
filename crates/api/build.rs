//! Generates the wire types from `proto/`; protox compiles in Rust, so that no protoc is needed.

use std::{error::Error, path::Path};

const FILES: [&str; 8] = ["artifacts", "error", "jobs", "placement", "record", "spec", "view", "workers"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = FILES.map(|name| root.join(format!("rrm/v1/{name}.proto")));
    let descriptors = protox::compile(files, [&root])?;
    // Contents of artifacts and logs as `Bytes`: no copy on their way through.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
