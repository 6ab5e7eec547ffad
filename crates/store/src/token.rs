//! Tokens that were granted: their hashes, and what they stand for.

use rrm_spec::{Grant, GrantView, ParseIdError, Role, TokenHash};
use serde_json::json;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};
use sqlx::{FromRow, Row};

use crate::event::Of;
use crate::{Store, StoreError, Tx, Write, event};

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

impl FromRow<'_, SqliteRow> for GrantRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let id = |error: ParseIdError| sqlx::Error::Decode(error.into());
        let role: &str = row.try_get("role")?;
        let role = Role::from_name(role).ok_or_else(|| sqlx::Error::Decode(format!("`{role}` is no role").into()))?;
        let grant = Grant {
            sha256: row.try_get::<&str, _>("token_sha256")?.parse().map_err(id)?,
            user: row.try_get::<&str, _>("user")?.parse().map_err(id)?,
            role,
            expires_at: row.try_get("expires_at")?,
        };
        Ok(Self(GrantView { grant, created_at: row.try_get("created_at")? }))
    }
}

impl Write for AddToken {
    type Output = ();

    async fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let grant = &self.grant;
        if let Some(earlier) = find(&mut *tx.connection, grant.sha256).await? {
            return match earlier.grant == *grant {
                true => Ok(()),
                false => Err(StoreError::conflict(format!("token {} stands for something else", grant.sha256.short()))),
            };
        }
        sqlx::query("insert into token (token_sha256, user, role, created_at, expires_at) values (?, ?, ?, ?, ?)")
            .bind(grant.sha256.to_string())
            .bind(grant.user.as_str())
            .bind(grant.role.name())
            .bind(tx.now)
            .bind(grant.expires_at)
            .execute(&mut *tx.connection)
            .await?;
        event::add(tx, "token.add", Of::default(), data(grant)).await
    }
}

impl Write for RevokeToken {
    type Output = ();

    async fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let unknown = || StoreError::not_found(format!("token {}", self.sha256.short()));
        let found = find(&mut *tx.connection, self.sha256).await?.ok_or_else(unknown)?;
        sqlx::query("delete from token where token_sha256 = ?")
            .bind(self.sha256.to_string())
            .execute(&mut *tx.connection)
            .await?;
        event::add(tx, "token.revoke", Of::default(), data(&found.grant)).await
    }
}

/// For the log of events; watchers see it, so that it has no more of the hash than a name needs.
fn data(grant: &Grant) -> serde_json::Value {
    json!({ "token": grant.sha256.short(), "user": grant.user, "role": grant.role, "expires_at": grant.expires_at })
}

async fn find(executor: impl SqliteExecutor<'_>, sha256: TokenHash) -> Result<Option<GrantView>, StoreError> {
    let found: Option<GrantRow> = sqlx::query_as("select * from token where token_sha256 = ?")
        .bind(sha256.to_string())
        .fetch_optional(executor)
        .await?;
    Ok(found.map(|GrantRow(view)| view))
}

impl Store {
    /// The tokens that were added and not revoked, oldest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn tokens(&self) -> Result<Vec<GrantView>, StoreError> {
        let rows: Vec<GrantRow> =
            sqlx::query_as("select * from token order by created_at, token_sha256").fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|GrantRow(view)| view).collect())
    }
}
