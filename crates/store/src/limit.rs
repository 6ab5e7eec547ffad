//! How much may be waiting: a slip of the finger in a sweep must not fill everybody's queue.

use std::collections::HashMap;

use rrm_spec::{JobId, UserName};

use crate::caller::By;
use crate::{StoreError, Submit, Submitted, Tx, Write, sql};

/// How many jobs may be open, which are those that have not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenJobs {
    /// In all.
    pub most: u64,
    /// Of one user.
    pub most_per_user: u64,
}

/// A submission that is refused with [`StoreError::Limit`] where more jobs would be open with it than may be.
pub struct SubmitWithin {
    /// What is submitted, and by whom.
    pub submit: By<Submit>,
    /// What is allowed.
    pub open_jobs: OpenJobs,
}

impl Write for SubmitWithin {
    type Output = Submitted;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Submitted, StoreError> {
        let Self { submit, open_jobs } = self;
        let user = submit.write.owner.clone();
        let submitted = submit.apply(tx)?;
        // What was accepted before is answered again, however much is open now.
        if !submitted.already && submitted.jobs.len() > submitted.reused.len() {
            let newest = submitted.jobs.iter().map(|(id, _)| *id).max().expect("some were stored");
            refuse(tx, None, newest, open_jobs.most)?;
            refuse(tx, Some(user), newest, open_jobs.most_per_user)?;
        }
        Ok(submitted)
    }
}

/// Jobs that were open when they were last counted, of each user and, without a name, of all.
///
/// Since then at most as many more are open as were made, which their ids tell: so that a submission need not count a million jobs
/// unless it may be the one too many.
#[derive(Default)]
pub(crate) struct Counted(HashMap<Option<UserName>, Count>);

struct Count {
    open: i64,
    /// The newest job then.
    newest: JobId,
}

impl Counted {
    /// Whether certainly no more than `most` are open, now that `newest` is the newest job.
    fn are_within(&self, user: Option<&UserName>, newest: JobId, most: u64) -> bool {
        let count = self.0.get(&user.cloned());
        count.is_some_and(|count| is_within(count.open + (newest.0 - count.newest.0), most))
    }
}

fn is_within(open: i64, most: u64) -> bool {
    u64::try_from(open).is_ok_and(|open| open <= most)
}

fn refuse(tx: &mut Tx<'_>, user: Option<UserName>, newest: JobId, most: u64) -> Result<(), StoreError> {
    if tx.open_jobs.are_within(user.as_ref(), newest, most) {
        return Ok(());
    }
    let open = count(tx, user.as_ref())?;
    let whose = user.as_ref().map_or(String::new(), |user| format!(" of {user}"));
    tx.open_jobs.0.insert(user, Count { open, newest });
    match is_within(open, most) {
        true => Ok(()),
        false => Err(StoreError::Limit { what: format!("open jobs{whose}: {open} with this plan, at most {most}") }),
    }
}

/// Along an index that has open jobs alone, and holds all that is asked for.
const OPEN: &str = "select count(*) from job indexed by job_open where state in ('waiting', 'queued', 'running')";

const OPEN_OF: &str =
    "select count(*) from job indexed by job_open where state in ('waiting', 'queued', 'running') and owner = ?";

fn count(tx: &Tx<'_>, user: Option<&UserName>) -> Result<i64, StoreError> {
    match user {
        None => sql::query_scalar(OPEN).fetch_one(tx.connection),
        Some(user) => sql::query_scalar(OPEN_OF).bind(user.as_str()).fetch_one(tx.connection),
    }
}
