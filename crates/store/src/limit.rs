//! How much may be waiting: a slip of the finger in a sweep must not fill everybody's queue.

use rrm_spec::UserName;

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
            refuse(open(tx)?, open_jobs.most, "open jobs")?;
            refuse(open_of(tx, &user)?, open_jobs.most_per_user, &format!("open jobs of {user}"))?;
        }
        Ok(submitted)
    }
}

fn refuse(with_these: i64, most: u64, what: &str) -> Result<(), StoreError> {
    if u64::try_from(with_these).is_ok_and(|count| count <= most) {
        return Ok(());
    }
    Err(StoreError::Limit { what: format!("{what}: {with_these} with this plan, at most {most}") })
}

/// Along an index that has open jobs alone, and holds all that is asked for.
const OPEN: &str = "select count(*) from job indexed by job_open where state in ('waiting', 'queued', 'running')";

const OPEN_OF: &str =
    "select count(*) from job indexed by job_open where state in ('waiting', 'queued', 'running') and owner = ?";

fn open(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let count = sql::query_scalar(OPEN);
    Ok(count.fetch_one(tx.connection)?)
}

fn open_of(tx: &mut Tx<'_>, user: &UserName) -> Result<i64, StoreError> {
    let count = sql::query_scalar(OPEN_OF);
    Ok(count.bind(user.as_str()).fetch_one(tx.connection)?)
}
