//! Which images runs found under a dataset's name.

use std::collections::HashMap;

use rrm_spec::{ArtifactHash, JobSpec};
use rusqlite::Connection;

use crate::{StoreError, Tx, sql};

/// Images as a job names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reading {
    dataset: String,
    split: &'static str,
    /// The first so many; 0 = all.
    images: u32,
}

impl Reading {
    /// What the job reads; nothing where a job or a file makes its images.
    pub(crate) fn of(spec: &JobSpec) -> Option<Self> {
        let (split, images) = match spec {
            JobSpec::Train(spec) if spec.training_set.is_some() => return None,
            JobSpec::Train(spec) => ("train", spec.dataset.train_images),
            JobSpec::Synthesize(spec) => ("train", spec.dataset.train_images),
            JobSpec::Evaluate(spec) => ("test", spec.images),
        };
        Some(Self { dataset: spec.dataset().name.to_string(), split, images: images.map_or(0, Into::into) })
    }

    /// Keeps what a run found. Where another one found something else before, the dataset has changed.
    pub(crate) fn keep(&self, tx: &mut Tx<'_>, found: &ArtifactHash) -> Result<(), StoreError> {
        let changed = sql::query(
            "delete from reading where dataset = ?1 and exists ( \
                 select 1 from reading where dataset = ?1 and split = ?2 and images = ?3 and data_sha256 <> ?4)",
        );
        self.bound(changed, found).execute(tx.connection)?;
        let kept = sql::query("insert into reading values (?1, ?2, ?3, ?4) on conflict do nothing");
        self.bound(kept, found).execute(tx.connection)?;
        Ok(())
    }

    fn bound(&self, query: sql::Query<()>, found: &ArtifactHash) -> sql::Query<()> {
        query.bind(&self.dataset).bind(self.split).bind(self.images).bind(found.as_str())
    }
}

/// The hashes of all images that are known: a few for each dataset.
pub(crate) fn all(connection: &Connection) -> Result<HashMap<Reading, String>, StoreError> {
    let found: Vec<(String, String, u32, String)> =
        sql::query_as("select dataset, split, images, data_sha256 from reading").fetch_all(connection)?;
    let reading = |(dataset, split, images, sha256): (String, String, u32, String)| {
        let split = if split == "train" { "train" } else { "test" };
        (Reading { dataset, split, images }, sha256)
    };
    Ok(found.into_iter().map(reading).collect())
}
