//! Which files the artifact store holds.

use std::collections::HashMap;

use rrm_spec::{ArtifactHash, ParseIdError};
use serde_json::json;

use crate::event::Of;
use crate::{Store, StoreError, Tx, Write, checkpoint, event, names, sql};

/// A file lies safely in the artifact store, or is offered again.
pub struct KeepArtifact {
    /// Its hash.
    pub sha256: ArtifactHash,
    /// Its size.
    pub bytes: u64,
}

impl Write for KeepArtifact {
    type Output = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        sql::query(
            "insert into artifact (sha256, bytes, stored_at, touched_at) values (?1, ?2, ?3, ?3) \
             on conflict (sha256) do update set touched_at = ?3",
        )
        .bind(self.sha256.as_str())
        .bind(names::signed(self.bytes, "bytes")?)
        .bind(tx.now)
        .execute(tx.connection)?;
        Ok(())
    }
}

/// Files that the artifact store has lost, or that are damaged there: they are to be uploaded anew.
pub struct LoseArtifacts {
    /// Which.
    pub lost: Vec<ArtifactHash>,
}

impl Write for LoseArtifacts {
    type Output = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for sha256 in self.lost {
            let lost =
                sql::query("delete from artifact where sha256 = ?").bind(sha256.as_str()).execute(tx.connection)?;
            if lost.rows_affected == 1 {
                event::add(tx, "artifact.lost", Of::default(), json!({ "sha256": sha256 }))?;
            }
        }
        Ok(())
    }
}

/// Lets go of superseded checkpoints, and of the files that nothing refers to any more.
///
/// Files offered lately are spared, since the record that refers to them may still be on the way.
pub struct CollectArtifacts {
    /// Superseded files last offered before this time go.
    pub superseded_before: i64,
    /// Jobs that ended before this time need their resume checkpoints no more, however they ended.
    pub ended_before: i64,
    /// Files that no record has ever referred to go when they were last offered before this time.
    pub unknown_before: i64,
}

impl Write for CollectArtifacts {
    /// Files to delete.
    type Output = Vec<ArtifactHash>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<ArtifactHash>, StoreError> {
        checkpoint::release_superseded(tx, self.ended_before)?;
        let dropped: Vec<String> = sql::query_scalar(
            "delete from artifact \
             where touched_at < iif(exists (select 1 from checkpoint where checkpoint.sha256 = artifact.sha256), ?, ?) \
                 and not exists ( \
                     select 1 from checkpoint where checkpoint.sha256 = artifact.sha256 and released_at is null) \
                 and not exists (select 1 from import where import.sha256 = artifact.sha256) \
             returning sha256",
        )
        .bind(self.superseded_before)
        .bind(self.unknown_before)
        .fetch_all(tx.connection)?;
        for sha256 in &dropped {
            event::add(tx, "artifact.deleted", Of::default(), json!({ "sha256": sha256 }))?;
        }
        dropped.iter().map(|sha256| sha256.parse().map_err(|e: ParseIdError| StoreError::internal(e))).collect()
    }
}

impl Store {
    /// The size of a file in the artifact store; `None` where it is not there.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn artifact(&self, sha256: &ArtifactHash) -> Result<Option<u64>, StoreError> {
        let found: Option<i64> = sql::query_scalar("select bytes from artifact where sha256 = ?")
            .bind(sha256.as_str())
            .fetch_optional(&self.readers)
            .await?;
        found.map(names::unsigned).transpose()
    }

    /// All files that the artifact store should hold, with their sizes.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn artifacts(&self) -> Result<HashMap<ArtifactHash, u64>, StoreError> {
        let found: Vec<(String, i64)> =
            sql::query_as("select sha256, bytes from artifact").fetch_all(&self.readers).await?;
        let hash = |sha256: &str| sha256.parse().map_err(|e: ParseIdError| StoreError::internal(e));
        found.into_iter().map(|(sha256, bytes)| Ok((hash(&sha256)?, names::unsigned(bytes)?))).collect()
    }
}
