//! Generates the wire types from `proto/`; protox compiles in Rust, so that no protoc is needed.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

const FILES: [&str; 10] =
    ["access", "artifacts", "control", "error", "jobs", "placement", "record", "spec", "view", "workers"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = FILES.map(|name| root.join(format!("rrm/v1/{name}.proto")));
    let descriptors = protox::compile(files, [&root])?;
    // For server reflection, comments included.
    fs::write(Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    // Contents of artifacts and logs as `Bytes`: no copy on their way through.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
