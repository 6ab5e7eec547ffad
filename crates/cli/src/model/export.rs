//! `rrm model export`: a state dict that PyTorch loads.

use std::path::Path;

use rrm_checkpoint::{Wanted, import, read_file};
use rrm_spec::{ArtifactHash, ArtifactRef, CheckpointRole, JobId, JobKind, NetworkSpec};
use serde_json::json;

use super::{described, failure, sha256_of, write_whole};
use crate::{
    arguments::ModelExportArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    selector::NetworkSelector,
};

pub(super) async fn run(arguments: &ModelExportArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let sha256 = find(arguments, daemon).await?;
    let folder = tempfile::tempdir().map_err(|error| Failure::new(Exit::Failed, format!("make a folder: {error}")))?;
    let copy = folder.path().join(sha256.as_str());
    let fetched = daemon.client.download(&sha256, &copy).await;
    fetched.map_err(|error| Failure::from(error).context(format!("fetch sha256:{sha256}")))?;
    let target = arguments.output.clone();
    let exporting = tokio::task::spawn_blocking(move || write_state_dict(&copy, &target)).await;
    let exported = exporting.map_err(|error| Failure::new(Exit::Failed, format!("export: {error}")))??;
    show(&exported, &arguments.output, output)
}

/// What was written.
struct Exported {
    network: NetworkSpec,
    sha256: ArtifactHash,
    bytes: usize,
}

fn write_state_dict(artifact: &Path, target: &Path) -> Result<Exported, Failure> {
    let fault = |error| failure("export", artifact, &error);
    let bytes = read_file(artifact).map_err(fault)?;
    let imported = import(&bytes, &Wanted::default()).map_err(fault)?;
    let exported = imported.to_artifact();
    write_whole(target, &exported)?;
    Ok(Exported { network: imported.network, sha256: sha256_of(&exported), bytes: exported.len() })
}

fn show(exported: &Exported, file: &Path, output: Output) -> Result<Exit, Failure> {
    let Exported { network, sha256, bytes } = exported;
    match output.format() {
        Format::Ids => output.line(&format!("sha256:{sha256}"))?,
        Format::Json => output.document(json!({
            "file": file,
            "sha256": sha256.as_str(),
            "bytes": bytes,
            "network": network,
        }))?,
        Format::Human => {
            output.line(&described(network))?;
            let (mean, std) = network.normalization.constants();
            let logits = match network.temperature {
                1.0 => String::new(),
                temperature => format!(", logits divided by {temperature} after"),
            };
            output.note(&format!(
                "wrote {}: load_state_dict(safetensors.torch.load_file(..)) takes it; pixels in [0, 1] are to be normalised by \
                 mean {mean:?}, deviation {std:?} before{logits}",
                file.display()
            ));
        }
    }
    Ok(Exit::Done)
}

async fn find(arguments: &ModelExportArguments, daemon: &Daemon) -> Result<ArtifactHash, Failure> {
    match &arguments.network {
        NetworkSelector::Job(job) => final_of(daemon.select_one(job, arguments.plan).await?, daemon).await,
        NetworkSelector::Artifact(ArtifactRef::Hash(sha256) | ArtifactRef::Pinned(_, sha256)) => Ok(sha256.clone()),
        NetworkSelector::Artifact(ArtifactRef::Name(name)) => {
            let imports = daemon.client.imports().await?;
            imports.into_iter().find(|import| import.name == *name).map(|import| import.sha256).ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("there is no imported network {name}"))
                    .next("`rrm model list --imported` shows what there is; jobs are named by id or @NAME")
            })
        }
    }
}

/// The job's final weights.
async fn final_of(id: JobId, daemon: &Daemon) -> Result<ArtifactHash, Failure> {
    let job = daemon.client.job(id).await.map_err(|error| Failure::from(error).context(format!("export job {id}")))?;
    if job.summary.kind != JobKind::Train {
        let what = format!("job {id} is of kind {} and makes no network", job.summary.kind);
        return Err(Failure::new(Exit::Invalid, what).next("name a train job that has succeeded"));
    }
    let checkpoint = job.checkpoints.into_iter().rev().find(|checkpoint| checkpoint.role == CheckpointRole::Final);
    checkpoint.map(|checkpoint| checkpoint.sha256).ok_or_else(|| {
        let state = job.summary.state;
        Failure::new(Exit::NotFound, format!("job {id} is {state} and has no final weights"))
            .next("name a train job that has succeeded")
    })
}
