//! Jobs of a plan that earlier jobs have done already.

use std::collections::HashMap;

use rrm_spec::{ArtifactHash, DeviceRequest, JobId, SubmissionId};
use serde_json::{Value, json};

use crate::{StoreError, Tx, names, sql};

/// Whether what has been done before is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// A job whose content key is that of a job that has succeeded is taken for done, as long as what that one made is there.
    Yes,
    /// Every job is queued.
    No,
}

/// A job that has done what others may want done.
struct Done {
    id: JobId,
    /// Where it ran; absent where its trainer did not say.
    device: Option<rrm_spec::Device>,
}

/// Jobs that have succeeded and whose products are there, by their content keys; the newest last.
pub(crate) struct Finished(HashMap<ArtifactHash, Vec<Done>>);

impl Finished {
    /// None.
    pub(crate) fn nothing() -> Self {
        Self(HashMap::new())
    }

    /// Those with these keys. An evaluation is in the database as a whole; other jobs need the file that they made.
    pub(crate) fn with_keys(tx: &mut Tx<'_>, keys: &[Option<ArtifactHash>]) -> Result<Self, StoreError> {
        let keys: Vec<&ArtifactHash> = keys.iter().flatten().collect();
        let found: Vec<(String, i64, Option<String>)> = sql::query_as(
            "select job.content_key, job.job_id, attempt.run_device from json_each(?) named \
             cross join job indexed by job_content on job.content_key = named.value and job.state = 'succeeded' \
             join attempt on attempt.job_id = job.job_id and attempt.outcome = 'ok' \
             where (job.kind = 'evaluate' and coalesce(job.spec ->> '$.keep_images', 0) = 0) or exists ( \
                 select 1 from checkpoint join artifact using (sha256) \
                 where checkpoint.attempt_id = attempt.attempt_id and checkpoint.role = 'final' \
                     and checkpoint.released_at is null) \
             order by job.job_id",
        )
        .bind(serde_json::to_string(&keys)?)
        .fetch_all(tx.connection)?;
        let mut finished: HashMap<ArtifactHash, Vec<Done>> = HashMap::new();
        for (key, id, device) in found {
            let key = key.parse().map_err(|error: rrm_spec::ParseIdError| StoreError::internal(error))?;
            let device = device.as_deref().map(names::device).transpose()?;
            finished.entry(key).or_default().push(Done { id: JobId(id), device });
        }
        Ok(Self(finished))
    }

    /// The newest that did the same on a device that was asked for: times of another say nothing.
    pub(crate) fn find(&self, key: Option<&ArtifactHash>, request: DeviceRequest) -> Option<JobId> {
        let suits = |done: &&Done| match done.device {
            Some(device) => device.satisfies(request),
            None => request == DeviceRequest::Any,
        };
        self.0.get(key?)?.iter().rev().find(suits).map(|done| done.id)
    }
}

/// A job that is not queued.
pub(crate) struct Reused<'p> {
    /// Its place in the plan.
    pub(crate) ordinal: u32,
    pub(crate) name: &'p str,
    /// The job that has done it.
    pub(crate) job: JobId,
}

pub(crate) fn insert(tx: &mut Tx<'_>, submission: SubmissionId, reused: &[Reused<'_>]) -> Result<(), StoreError> {
    if reused.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = reused.iter().map(|it| json!([it.ordinal, it.name, it.job])).collect();
    sql::query(
        "insert into reuse (submission_id, ordinal, name, job_id) \
         select ?, value ->> 0, value ->> 1, value ->> 2 from json_each(?)",
    )
    .bind(submission.0)
    .bind(Value::Array(rows).to_string())
    .execute(tx.connection)?;
    Ok(())
}
