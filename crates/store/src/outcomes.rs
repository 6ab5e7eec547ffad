//! How attempts ended, counted without reading all of them every time.

use rrm_spec::AttemptOutcome;
use rusqlite::Connection;

use crate::{Store, StoreError, names, sql};

/// How many attempts ended in each way. Kept by whoever asks, so that the next answer costs only what is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// All attempts up to this one have ended and are in `settled`.
    settled_up_to: i64,
    settled: Vec<(AttemptOutcome, u64)>,
    recent: Vec<(AttemptOutcome, u64)>,
}

impl Outcomes {
    /// The counts; ways that no attempt ended in may be missing.
    pub fn counts(&self) -> Vec<(AttemptOutcome, u64)> {
        let mut counts = self.settled.clone();
        add(&mut counts, &self.recent);
        counts
    }
}

fn add(counts: &mut Vec<(AttemptOutcome, u64)>, more: &[(AttemptOutcome, u64)]) {
    for (outcome, count) in more {
        match counts.iter_mut().find(|(known, _)| known == outcome) {
            Some((_, sum)) => *sum += count,
            None => counts.push((*outcome, *count)),
        }
    }
}

impl Store {
    /// Brings counts up to date. What was counted once as ended stays so: an attempt's end is final.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn count_outcomes(&self, before: Outcomes) -> Result<Outcomes, StoreError> {
        // One transaction, so that no attempt is counted twice or missed in between.
        self.readers
            .at_one_moment(move |reader| {
                let edge: i64 = sql::query_scalar(
                    "select coalesce((select min(attempt_id) - 1 from attempt where ended_at is null), \
                             (select max(attempt_id) from attempt), 0)",
                )
                .fetch_one(reader)?;
                let Outcomes { settled_up_to, mut settled, .. } = before;
                add(&mut settled, &ended(reader, settled_up_to, edge)?);
                let recent = ended(reader, edge.max(settled_up_to), i64::MAX)?;
                Ok(Outcomes { settled_up_to: edge.max(settled_up_to), settled, recent })
            })
            .await
    }
}

/// Of the attempts after one and up to another those that have ended.
fn ended(connection: &Connection, after: i64, up_to: i64) -> Result<Vec<(AttemptOutcome, u64)>, StoreError> {
    let found: Vec<(String, i64)> = sql::query_as(
        "select outcome, count(*) from attempt \
         where attempt_id > ? and attempt_id <= ? and outcome is not null group by outcome",
    )
    .bind(after)
    .bind(up_to)
    .fetch_all(connection)?;
    found.into_iter().map(|(name, count)| Ok((names::outcome(&name)?, names::unsigned(count)?))).collect()
}
