//! `rrm model import`: from others' checkpoints to a network that plans can name.

use std::path::Path;

use rrm_checkpoint::{Finding, Imported, Wanted, Weight, import, read_file};
use rrm_spec::{ArtifactHash, ImportedNetwork, NetworkName};
use serde_json::{Value, json};

use super::{described, failure, sha256_of, write_whole};
use crate::{
    arguments::{Global, ModelImportArguments},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
};

/// A checkpoint in the project's own form.
struct Converted {
    imported: Imported,
    artifact: Vec<u8>,
    sha256: ArtifactHash,
    /// Hash of the file that it was made of.
    origin: ArtifactHash,
}

pub(super) async fn run(arguments: &ModelImportArguments, global: &Global, output: Output) -> Result<Exit, Failure> {
    // Before the work, so that nobody waits for nothing.
    let target = match &arguments.output {
        Some(path) => Target::File(path),
        None => Target::Daemon(Daemon::find(global)?, name(arguments)?),
    };
    let (path, wanted) = (arguments.file.clone(), wanted(arguments));
    let converting = tokio::task::spawn_blocking(move || convert(&path, &wanted)).await;
    let converted = converting.map_err(|error| Failure::new(Exit::Failed, format!("import: {error}")))??;
    match target {
        Target::File(path) => {
            write_whole(path, &converted.artifact)?;
            show(&converted, json!({"file": path}), &format!("wrote {}", path.display()), output)?;
        }
        Target::Daemon(daemon, name) => {
            let import = announce(arguments, name, &converted);
            send(&daemon, &import, &converted.artifact).await?;
            let next = format!("name it in a plan by {{ artifact = \"{}\" }}", import.name);
            show(&converted, json!({"name": import.name, "origin": import.origin}), &next, output)?;
        }
    }
    Ok(Exit::Done)
}

/// Where the network goes.
enum Target<'a> {
    File(&'a Path),
    Daemon(Daemon, NetworkName),
}

fn wanted(arguments: &ModelImportArguments) -> Wanted {
    let ModelImportArguments { arch, classes, normalization, temperature, .. } = arguments;
    Wanted { arch: *arch, classes: *classes, normalization: *normalization, temperature: *temperature }
}

/// The name that was asked for, or the file's.
fn name(arguments: &ModelImportArguments) -> Result<NetworkName, Failure> {
    if let Some(name) = &arguments.name {
        return Ok(name.clone());
    }
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.parse::<NetworkName>().map_err(|error| {
        Failure::new(Exit::Invalid, format!("call the network as its file: {error}")).next("name it: --name NAME")
    })
}

fn convert(path: &Path, wanted: &Wanted) -> Result<Converted, Failure> {
    let fault = |error| failure("import", path, &error);
    let bytes = read_file(path).map_err(fault)?;
    let imported = import(&bytes, wanted).map_err(fault)?;
    let artifact = imported.to_artifact();
    Ok(Converted { sha256: sha256_of(&artifact), origin: sha256_of(&bytes), imported, artifact })
}

fn announce(arguments: &ModelImportArguments, name: NetworkName, converted: &Converted) -> ImportedNetwork {
    let Converted { imported, artifact, sha256, origin } = converted;
    let file = arguments.file.file_name().unwrap_or_default().to_string_lossy();
    let (bytes, network) = (artifact.len() as u64, imported.network.clone());
    ImportedNetwork { name, sha256: sha256.clone(), bytes, network, origin: format!("{file} sha256:{origin}") }
}

async fn send(daemon: &Daemon, import: &ImportedNetwork, artifact: &[u8]) -> Result<(), Failure> {
    let temporary = |error| Failure::file("write", Path::new("a temporary file"), &error);
    let file = tempfile::NamedTempFile::new().map_err(temporary)?;
    std::fs::write(file.path(), artifact).map_err(temporary)?;
    let sent = daemon.client.import(import, file.path()).await;
    sent.map_err(|error| {
        let is_conflict = matches!(error, rrm_api::ApiError::Conflict { .. });
        let failure = Failure::from(error).context(format!("import {}", import.name));
        if is_conflict { failure.next("choose another --name: what a plan names must not change") } else { failure }
    })
}

fn show(converted: &Converted, mut fields: Value, next: &str, output: Output) -> Result<(), Failure> {
    let Converted { imported, artifact, sha256, .. } = converted;
    match output.format() {
        Format::Ids => output.line(&format!("sha256:{sha256}")),
        Format::Json => {
            fields["sha256"] = sha256.as_str().into();
            fields["bytes"] = artifact.len().into();
            fields["network"] = json!(imported.network);
            fields["findings"] = imported.findings.iter().map(finding).collect();
            output.document(fields)
        }
        Format::Human => {
            output.line(&described(&imported.network))?;
            imported.findings.iter().try_for_each(|finding| output.line(&told(finding)))?;
            output.line(&format!("sha256:{sha256}"))?;
            output.note(next);
            Ok(())
        }
    }
}

fn told(finding: &Finding) -> String {
    match finding.weight() {
        Weight::Note => format!("- {finding}"),
        Weight::Warning => format!("- warning: {finding}"),
    }
}

fn finding(finding: &Finding) -> Value {
    let weight = match finding.weight() {
        Weight::Note => "note",
        Weight::Warning => "warning",
    };
    json!({"weight": weight, "text": finding.to_string()})
}
