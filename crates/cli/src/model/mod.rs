//! `rrm model`: the networks, and the way in and out for those that others train.

mod export;
mod import;
mod list;
mod show;

use std::path::Path;

use rrm_checkpoint::CheckpointError;
use rrm_spec::{ArtifactHash, NetworkSpec};
use sha2::{Digest, Sha256};

use crate::{
    arguments::{Global, ModelCommand},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::Output,
};

/// Runs one of the commands.
pub(crate) async fn run(command: ModelCommand, global: &Global, output: Output) -> Result<Exit, Failure> {
    match command {
        ModelCommand::List(arguments) if arguments.imported => {
            list::imported(&Daemon::reach(global, output)?, output).await
        }
        ModelCommand::List(_) => list::architectures(output),
        ModelCommand::Show(arguments) => show::run(&arguments, output),
        ModelCommand::Import(arguments) => import::run(&arguments, global, output).await,
        ModelCommand::Export(arguments) => export::run(&arguments, &Daemon::reach(global, output)?, output).await,
    }
}

/// What a network is, in one line.
fn described(network: &NetworkSpec) -> String {
    let NetworkSpec { arch, channels, classes, normalization, representation_width, temperature } = network;
    let side = arch.family().image_side();
    let adapter = if network.has_adapter() { " by an adapter" } else { "" };
    let temperature = if *temperature == 1.0 { String::new() } else { format!(", temperature {temperature}") };
    format!(
        "{arch} for images of {channels}×{side}×{side}, {classes} classes, representation of {representation_width}{adapter}, \
         normalisation {normalization}{temperature}"
    )
}

fn sha256_of(bytes: &[u8]) -> ArtifactHash {
    hex::encode(Sha256::digest(bytes)).parse().expect("a digest in hexadecimal digits is a hash")
}

/// A checkpoint that could not be used.
fn failure(attempt: &str, path: &Path, error: &CheckpointError) -> Failure {
    let exit = match error {
        CheckpointError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => Exit::NotFound,
        CheckpointError::NoArch
        | CheckpointError::OtherNetwork { .. }
        | CheckpointError::OtherTemperature { .. }
        | CheckpointError::NoNormalization { .. }
        | CheckpointError::Misfit { .. }
        | CheckpointError::Spec(_) => Exit::Invalid,
        CheckpointError::Io(_)
        | CheckpointError::TooLarge { .. }
        | CheckpointError::Unrecognized { .. }
        | CheckpointError::Pickle { .. }
        | CheckpointError::Zip(_)
        | CheckpointError::Safetensors(_)
        | CheckpointError::Malformed { .. }
        | CheckpointError::NoStateDict { .. }
        | CheckpointError::Ambiguous { .. }
        | CheckpointError::Description(_)
        | CheckpointError::NotFinite { .. } => Exit::Failed,
    };
    let failure = Failure::new(exit, format!("{attempt} {}: {error}", path.display()));
    match error.next_step() {
        Some(next) => failure.next(next),
        None => failure,
    }
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error| Failure::file("write", path, &error))
}
