//! Whose call made a change, and whose jobs that caller may change.

use rrm_spec::{JobId, Role, UserName};

use crate::names::first_few;
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

/// Whether jobs of this owner may be changed: administrators, and the daemon by itself, may change everybody's.
pub(crate) fn may_change(caller: Option<&Caller>, owner: &str) -> bool {
    let Some(Caller { user, role }) = caller else { return true };
    match role {
        Role::Admin => true,
        Role::Read | Role::Submit | Role::Work => user.as_str() == owner,
    }
}

/// Refuses where some of these jobs, each with name and owner, are others' that the caller may not change.
///
/// # Errors
/// [`StoreError::Forbidden`] that names these jobs and their owners.
pub(crate) fn refuse_others<'j>(
    caller: Option<&Caller>,
    jobs: impl IntoIterator<Item = (JobId, &'j str, &'j str)>,
) -> Result<(), StoreError> {
    let others = jobs.into_iter().filter(|(_, _, owner)| !may_change(caller, owner));
    let others: Vec<String> = others.map(|(id, name, owner)| format!("job {id} `{name}` is {owner}'s")).collect();
    let allowed = match others.len() {
        0 => return Ok(()),
        1 => "only its owner or an administrator may change it",
        _ => "only their owners or an administrator may change them",
    };
    Err(StoreError::Forbidden { what: format!("{}: {allowed}", first_few(others)) })
}

/// A change that a caller has asked for: every event of it names user and role, and others' jobs are changed for administrators alone.
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
