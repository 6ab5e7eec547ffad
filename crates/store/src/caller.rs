//! Whose call made a change.

use rrm_spec::{Role, UserName};

use crate::{StoreError, Tx, Write};

/// Who has asked.
pub(crate) struct Caller {
    user: UserName,
    role: Role,
}

/// Name and role of who has asked for a change, where it was somebody.
pub(crate) fn names(caller: Option<&Caller>) -> (Option<&str>, Option<&str>) {
    (caller.map(|it| it.user.as_str()), caller.map(|it| it.role.name()))
}

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
        // Whoever adds events need not think of it.
        let before = tx.caller.replace(Caller { user, role });
        let output = write.apply(tx);
        tx.caller = before;
        output
    }
}
