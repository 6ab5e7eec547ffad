//! Tokens that were granted: their hashes, and what they stand for.

use rrm_spec::{Grant, GrantView, ParseIdError, Role, TokenHash};
use rusqlite::{Connection, Row};
use serde_json::json;

use crate::event::Of;
use crate::sql::FromRow;
use crate::{Store, StoreError, Tx, Write, event, sql};

/// Makes a token valid. The same grant may come again; a conflict where the token stands for something else.
pub struct AddToken {
    /// What it stands for.
    pub grant: Grant,
}

/// Takes a token back; [`StoreError::NotFound`] where there is none.
pub struct RevokeToken {
    /// Which.
    pub sha256: TokenHash,
}

struct GrantRow(GrantView);

impl FromRow for GrantRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let id = |error: ParseIdError| StoreError::internal(error);
        let role = sql::text(row, "role")?;
        let role = Role::from_name(role).ok_or_else(|| StoreError::internal(format!("`{role}` is no role")))?;
        let grant = Grant {
            sha256: sql::text(row, "token_sha256")?.parse().map_err(id)?,
            user: sql::text(row, "user")?.parse().map_err(id)?,
            role,
            expires_at: row.get("expires_at")?,
        };
        Ok(Self(GrantView { grant, created_at: row.get("created_at")? }))
    }
}

impl Write for AddToken {
    type Output = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let grant = &self.grant;
        if let Some(earlier) = find(tx.connection, grant.sha256)? {
            return match earlier.grant == *grant {
                true => Ok(()),
                false => Err(StoreError::conflict(format!("token {} stands for something else", grant.sha256.short()))),
            };
        }
        sql::query("insert into token (token_sha256, user, role, created_at, expires_at) values (?, ?, ?, ?, ?)")
            .bind(grant.sha256.to_string())
            .bind(grant.user.as_str())
            .bind(grant.role.name())
            .bind(tx.now)
            .bind(grant.expires_at)
            .execute(tx.connection)?;
        event::add(tx, "token.add", Of::default(), data(grant))
    }
}

impl Write for RevokeToken {
    type Output = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let unknown = || StoreError::not_found(format!("token {}", self.sha256.short()));
        let found = find(tx.connection, self.sha256)?.ok_or_else(unknown)?;
        sql::query("delete from token where token_sha256 = ?").bind(self.sha256.to_string()).execute(tx.connection)?;
        event::add(tx, "token.revoke", Of::default(), data(&found.grant))
    }
}

/// For the log of events; watchers see it, so that it has no more of the hash than a name needs.
fn data(grant: &Grant) -> serde_json::Value {
    json!({ "token": grant.sha256.short(), "user": grant.user, "role": grant.role, "expires_at": grant.expires_at })
}

fn find(connection: &Connection, sha256: TokenHash) -> Result<Option<GrantView>, StoreError> {
    let found: Option<GrantRow> = sql::query_as("select * from token where token_sha256 = ?")
        .bind(sha256.to_string())
        .fetch_optional(connection)?;
    Ok(found.map(|GrantRow(view)| view))
}

impl Store {
    /// The tokens that were added and not revoked, oldest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn tokens(&self) -> Result<Vec<GrantView>, StoreError> {
        let rows: Vec<GrantRow> =
            sql::query_as("select * from token order by created_at, token_sha256").fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|GrantRow(view)| view).collect())
    }
}
