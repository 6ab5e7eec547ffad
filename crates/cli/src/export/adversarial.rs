//! `rrm export adversarial`: the adversarial images that an evaluation kept.

use rrm_spec::{CheckpointRecord, CheckpointRole, JobDetail, JobId, JobSpec};
use serde_json::json;

use crate::{
    arguments::ExportAdversarialArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
};

pub(super) async fn run(
    arguments: &ExportAdversarialArguments,
    daemon: &Daemon,
    output: Output,
) -> Result<Exit, Failure> {
    let id = daemon.select_one(&arguments.job, arguments.plan).await?;
    let failed = |error| Failure::from(error).context(format!("export the adversarial images of job {id}"));
    let kept = kept_by(id, daemon.client.job(id).await.map_err(failed)?)?;
    daemon.client.download(&kept.sha256, &arguments.output).await.map_err(failed)?;
    match output.format() {
        Format::Ids => output.line(&format!("sha256:{}", kept.sha256))?,
        Format::Json => {
            output.document(json!({"file": arguments.output, "sha256": kept.sha256, "bytes": kept.bytes}))?;
        }
        Format::Human => {
            output.note(&format!("wrote {}: safetensors.torch.load_file opens it", arguments.output.display()));
        }
    }
    Ok(Exit::Done)
}

fn kept_by(id: JobId, job: JobDetail) -> Result<CheckpointRecord, Failure> {
    let JobSpec::Evaluate(spec) = &job.spec else {
        let what = format!("job {id} is of kind {} and attacks nothing", job.summary.kind);
        return Err(Failure::new(Exit::Invalid, what).next("name an evaluation with keep_images = true"));
    };
    if !spec.keep_images {
        let what = format!("job {id} did not keep its adversarial images");
        return Err(Failure::new(Exit::NotFound, what).next("submit it again with keep_images = true"));
    }
    let kept = job.checkpoints.into_iter().rev().find(|checkpoint| checkpoint.role == CheckpointRole::Final);
    kept.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("job {id} is {} and has no adversarial images", job.summary.state))
            .next("wait until it has succeeded (rrm wait)")
    })
}
