//! Whose call made a change.

use rrm_spec::{Role, UserName};

use crate::{StoreError, Tx, Write, sql};

/// A change that a caller has asked for: every event of it names user and role.
pub struct By<W> {
    /// Who has called.
    pub user: UserName,
    /// In which role.
    pub role: Role,
    /// What is to be changed.
    pub write: W,
}

impl<W: Write> Write for By<W> {
    type Output = W::Output;

    fn apply(self, tx: &mut Tx<'_>) -> Result<W::Output, StoreError> {
        let Self { user, role, write } = self;
        let before = newest_event(tx)?;
        let output = write.apply(tx)?;
        // Afterwards and of all at once: whoever adds events need not think of it.
        sql::query("update event set user = ?, role = ? where seq > ?")
            .bind(user.as_str())
            .bind(role.name())
            .bind(before)
            .execute(tx.connection)?;
        Ok(output)
    }
}

fn newest_event(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let newest: Option<i64> = sql::query_scalar("select max(seq) from event").fetch_one(tx.connection)?;
    Ok(newest.unwrap_or(0))
}
