//! Requests that would have another effect if they were carried out once more.

use rrm_spec::RequestId;
use serde::{Serialize, de::DeserializeOwned};

use crate::{StoreError, Tx, sql};

/// What the same request was answered before; `None` where it is new.
///
/// # Errors
/// [`StoreError::Conflict`] where the id was used for something else.
pub(crate) fn answer<A: DeserializeOwned>(
    tx: &mut Tx<'_>,
    id: &RequestId,
    asked: &impl Serialize,
) -> Result<Option<A>, StoreError> {
    let found: Option<(String, String)> = sql::query_as("select asked, answered from request where request_id = ?")
        .bind(id.as_str())
        .fetch_optional(tx.connection)?;
    let Some((before, answered)) = found else { return Ok(None) };
    let asked = serde_json::to_string(asked)?;
    match before == asked {
        true => Ok(Some(serde_json::from_str(&answered)?)),
        false => Err(StoreError::conflict(format!(
            "request {} has already asked for something else: stored {before}, now {asked}",
            id.as_str()
        ))),
    }
}

/// Keeps what a request was answered.
pub(crate) fn keep(
    tx: &mut Tx<'_>,
    id: &RequestId,
    asked: &impl Serialize,
    answered: &impl Serialize,
) -> Result<(), StoreError> {
    sql::query("insert into request (request_id, asked, answered, at) values (?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(serde_json::to_string(asked)?)
        .bind(serde_json::to_string(answered)?)
        .bind(tx.now)
        .execute(tx.connection)?;
    Ok(())
}
