//! Networks that no job made.

use std::collections::HashMap;

use rrm_spec::{
    ArtifactHash, ArtifactRef, ImportedNetwork, JobSpec, ModelSource, NetworkName, NetworkSpec, ParseIdError, Plan,
    PlannedJob, Violation, Violations,
};
use rusqlite::{Connection, Row};
use serde_json::json;

use crate::event::Of;
use crate::sql::FromRow;
use crate::{Store, StoreError, Tx, Write, event, names, sql};

/// Gives a network in the artifact store a name. Telling the same again changes nothing.
pub struct KeepImport {
    /// The network; its file must have been kept before.
    pub import: ImportedNetwork,
}

struct ImportRow(ImportedNetwork);

impl FromRow for ImportRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let id = |error: ParseIdError| StoreError::internal(error);
        Ok(Self(ImportedNetwork {
            name: sql::text(row, "name")?.parse().map_err(id)?,
            sha256: sql::text(row, "sha256")?.parse().map_err(id)?,
            bytes: names::unsigned(row.get("bytes")?)?,
            network: serde_json::from_str(sql::text(row, "network")?)?,
            origin: row.get("origin")?,
        }))
    }
}

impl Write for KeepImport {
    type Output = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let ImportedNetwork { name, sha256, bytes, network, origin } = &self.import;
        if let Some(earlier) = by_name(tx.connection, name)? {
            return same(&self.import, &earlier);
        }
        sql::query("insert into import (name, sha256, bytes, network, origin, imported_at) values (?, ?, ?, ?, ?, ?)")
            .bind(name.as_str())
            .bind(sha256.as_str())
            .bind(names::signed(*bytes, "bytes")?)
            .bind(serde_json::to_string(network)?)
            .bind(origin)
            .bind(tx.now)
            .execute(tx.connection)?;
        event::add(tx, "import", Of::default(), json!({ "name": name, "sha256": sha256 }))
    }
}

/// A name means one network for ever.
fn same(import: &ImportedNetwork, earlier: &ImportedNetwork) -> Result<(), StoreError> {
    if import.sha256 == earlier.sha256 {
        return Ok(());
    }
    let (name, sha256) = (&earlier.name, &earlier.sha256);
    Err(StoreError::conflict(format!("the name {name} is that of another imported network, sha256:{sha256}")))
}

impl Store {
    /// Whether a network can have its name, so that nobody sends a file in vain; [`KeepImport`] asks once more.
    ///
    /// # Errors
    /// A conflict where another network has the name, and where the database cannot be read.
    pub async fn name_is_free_for(&self, import: &ImportedNetwork) -> Result<(), StoreError> {
        let name = import.name.clone();
        match self.readers.run(move |reader| by_name(reader, &name)).await? {
            Some(earlier) => same(import, &earlier),
            None => Ok(()),
        }
    }

    /// The networks that were imported, by name.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn imports(&self) -> Result<Vec<ImportedNetwork>, StoreError> {
        let found: Vec<ImportRow> =
            sql::query_as("select * from import order by name").fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(|ImportRow(import)| import).collect())
    }
}

fn by_name(connection: &Connection, name: &NetworkName) -> Result<Option<ImportedNetwork>, StoreError> {
    let found: Option<ImportRow> =
        sql::query_as("select * from import where name = ?").bind(name.as_str()).fetch_optional(connection)?;
    Ok(found.map(|ImportRow(import)| import))
}

fn by_hash(tx: &mut Tx<'_>, sha256: &ArtifactHash) -> Result<Option<ImportedNetwork>, StoreError> {
    let found: Option<ImportRow> = sql::query_as("select * from import where sha256 = ? order by name limit 1")
        .bind(sha256.as_str())
        .fetch_optional(tx.connection)?;
    Ok(found.map(|ImportRow(import)| import))
}

/// Whether a hash is that of a training's final weights, whose file is kept.
fn is_final(tx: &mut Tx<'_>, sha256: &ArtifactHash) -> Result<bool, StoreError> {
    let found = sql::query_scalar(
        "select exists (select 1 from checkpoint join artifact using (sha256) \
         join attempt using (attempt_id) join job using (job_id) \
         where sha256 = ? and role = 'final' and released_at is null and job.kind = 'train')",
    )
    .bind(sha256.as_str())
    .fetch_one(tx.connection)?;
    Ok(found)
}

/// The size of a file in the artifact store.
pub(crate) fn bytes_of(tx: &mut Tx<'_>, sha256: &ArtifactHash) -> Result<Option<u64>, StoreError> {
    let found: Option<i64> = sql::query_scalar("select bytes from artifact where sha256 = ?")
        .bind(sha256.as_str())
        .fetch_optional(tx.connection)?;
    found.map(names::unsigned).transpose()
}

/// What the artifacts that a plan names are, with their hashes.
///
/// # Errors
/// Faults of the plan all at once; else all that the store does not hold.
pub(crate) fn resolve(tx: &mut Tx<'_>, plan: &Plan) -> Result<HashMap<ArtifactRef, ArtifactRef>, StoreError> {
    let (mut resolved, mut faults, mut missing) = (HashMap::new(), Vec::new(), Vec::new());
    for planned in &plan.jobs {
        for (field, network) in planned.spec.networks() {
            let ModelSource::Artifact(artifact) = network else { continue };
            match find(tx, artifact)? {
                Found::Import(import) => {
                    faults.extend(misuse(planned, field, artifact, &import.network));
                    resolved.insert(artifact.clone(), ArtifactRef::Pinned(import.name, import.sha256));
                }
                Found::Final(sha256) => drop(resolved.insert(artifact.clone(), ArtifactRef::Hash(sha256))),
                Found::Nothing => missing.push(format!("the network {artifact} (named by `{}`)", planned.name)),
            }
        }
    }
    Violations::check(faults)?;
    match missing.is_empty() {
        true => Ok(resolved),
        false => Err(StoreError::not_found(names::first_few(missing))),
    }
}

enum Found {
    Import(ImportedNetwork),
    Final(ArtifactHash),
    Nothing,
}

fn find(tx: &mut Tx<'_>, artifact: &ArtifactRef) -> Result<Found, StoreError> {
    let import = match artifact {
        ArtifactRef::Name(name) => by_name(tx.connection, name)?,
        ArtifactRef::Hash(sha256) => by_hash(tx, sha256)?,
        ArtifactRef::Pinned(name, sha256) => by_name(tx.connection, name)?.filter(|import| import.sha256 == *sha256),
    };
    if let Some(import) = import {
        // A file that was lost must be imported anew.
        return Ok(if bytes_of(tx, &import.sha256)?.is_some() { Found::Import(import) } else { Found::Nothing });
    }
    match artifact {
        ArtifactRef::Hash(sha256) if is_final(tx, sha256)? => Ok(Found::Final(sha256.clone())),
        ArtifactRef::Name(_) | ArtifactRef::Hash(_) | ArtifactRef::Pinned(..) => Ok(Found::Nothing),
    }
}

/// What is wrong with using a network for a job's images.
fn misuse(planned: &PlannedJob, field: &str, artifact: &ArtifactRef, network: &NetworkSpec) -> Vec<Violation> {
    let dataset = &planned.spec.dataset().name;
    // Of a teacher, and of what robust images are made with, the representation alone is used.
    let needs_classes = field == "initial" || matches!(planned.spec, JobSpec::Evaluate(_));
    let field = format!("job.{}.{field}.artifact", planned.name);
    let (channels, side) = (dataset.channels(), dataset.image_side());
    let mut faults = Vec::new();
    let mut refuse = |allowed: String| {
        faults.push(Violation { field: field.clone(), value: artifact.to_string(), allowed });
    };
    let (own_channels, own_side) = (network.channels, network.arch.family().image_side());
    if (own_channels, own_side) != (channels, side) {
        refuse(format!(
            "must take {channels}×{side}×{side} images, as those of {dataset} are: it takes {own_channels}×{own_side}×{own_side}"
        ));
    }
    if let Some(classes) = dataset.classes().filter(|classes| needs_classes && *classes != network.classes) {
        refuse(format!("must know the {classes} classes of {dataset}: it knows {}", network.classes));
    }
    faults
}
