//! What must hold of the database, whatever happened: the invariants I1 to I8 as queries of their own over the tables and the
//! log of events, beside all that the daemon says of itself.
//!
//! A rule's query has one row per violation, a sentence. Its parameters: `?1` to `?4` are the ledger's lists as JSON, `?5` is 1
//! where nothing is under way any more.

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use crate::ledger::Ledger;

/// What a violation counts as in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// An acknowledged operation has left no trace.
    Lost,
    /// Something happened twice that happened once.
    Duplicated,
    /// An attempt without the lease has written.
    Stale,
    /// Epochs are missing.
    Gap,
    /// A state that must not be.
    Broken,
}

/// A rule: its name, what its violation is, and the query for violations.
struct Rule {
    name: &'static str,
    class: Class,
    query: &'static str,
}

/// Times when an attempt was open, as numbers of events: times of day are not to be relied upon.
macro_rules! spans {
    () => {
        "with told as materialized ( \
             select attempt_id, min(iif(kind = 'attempt.start', seq, null)) as begun, \
                 min(iif(kind = 'attempt.end', seq, null)) as ended \
             from event where kind in ('attempt.start', 'attempt.end') group by attempt_id), \
         span as materialized ( \
             select a.attempt_id, a.job_id, a.worker_id, a.device, t.begun, t.ended \
             from attempt a left join told t on t.attempt_id = a.attempt_id) "
    };
}

const RULES: [Rule; 24] = [
    Rule {
        name: "I1 an acknowledged plan is there",
        class: Class::Lost,
        query: "select 'plan ' || (a.value ->> 'request') || ' was acknowledged as ' || (a.value ->> 'submission') \
                from json_each(?1) a where not exists ( \
                    select 1 from submission s where s.request_id = a.value ->> 'request' \
                        and s.submission_id = a.value ->> 'submission' and s.name = a.value ->> 'plan')",
    },
    Rule {
        name: "I1 with the jobs that were acknowledged",
        class: Class::Lost,
        query: "select 'plan ' || (a.value ->> 'request') || ' has other jobs than ' || (a.value -> 'jobs') \
                from json_each(?1) a where (a.value -> 'jobs') is not ( \
                    select json_group_array(job_id) from ( \
                        select job_id from job where submission_id = a.value ->> 'submission' order by ordinal))",
    },
    Rule {
        name: "I1 once",
        class: Class::Duplicated,
        query: "select 'plan `' || name || '` is there ' || count(*) || ' times' from submission group by name having count(*) > 1",
    },
    Rule {
        name: "I1 no job without its first state",
        class: Class::Broken,
        query: "select 'job ' || job_id || ' has ' || n || ' beginnings' from ( \
                    select j.job_id, (select count(*) from event e where e.job_id = j.job_id and e.kind = 'job.state' \
                        and e.data ->> 'from' is null) as n from job j) where n <> 1",
    },
    Rule {
        name: "I2 states follow each other",
        class: Class::Broken,
        query: "select 'job ' || job_id || ' goes from ' || came || ' though it was ' || coalesce(was, 'not there') from ( \
                    select job_id, data ->> 'from' as came, \
                        lag(data ->> 'to') over (partition by job_id order by seq) as was, \
                        row_number() over (partition by job_id order by seq) as n \
                    from event where kind = 'job.state') \
                where n > 1 and came is not was",
    },
    Rule {
        name: "I2 an end is final",
        class: Class::Broken,
        query: "select 'job ' || job_id || ' leaves its end ' || (data ->> 'from') from event where kind = 'job.state' \
                and data ->> 'from' in ('succeeded', 'failed', 'cancelled', 'skipped')",
    },
    Rule {
        name: "I2 the state is the last one told",
        class: Class::Broken,
        query: "select 'job ' || j.job_id || ' is ' || j.state || ' and told to be ' || coalesce(told, 'nothing') from ( \
                    select job_id, state, (select e.data ->> 'to' from event e where e.job_id = job.job_id \
                        and e.kind = 'job.state' order by seq desc limit 1) as told from job) j \
                where told is not state",
    },
    Rule {
        name: "I2 every job ends",
        class: Class::Broken,
        query: "select 'job ' || job_id || ' is still ' || state || coalesce(': ' || reason, '') from job \
                where ?5 = 1 and state not in ('succeeded', 'failed', 'cancelled', 'skipped')",
    },
    Rule {
        name: "I3 attempts at a job follow each other",
        class: Class::Stale,
        query: concat!(
            spans!(),
            "select 'attempts ' || a.attempt_id || ' and ' || b.attempt_id || ' at job ' || a.job_id || ' overlap' \
             from span a join span b on b.job_id = a.job_id and b.attempt_id > a.attempt_id \
             where a.ended is null or a.ended > b.begun"
        ),
    },
    Rule {
        name: "I3 an attempt begins and ends once",
        class: Class::Duplicated,
        query: "select kind || ' of attempt ' || attempt_id || ' is told ' || count(*) || ' times' from event \
                where kind in ('attempt.start', 'attempt.end') group by kind, attempt_id having count(*) > 1",
    },
    Rule {
        name: "I3 only an open attempt writes",
        class: Class::Stale,
        query: concat!(
            spans!(),
            "select e.kind || ' (event ' || e.seq || ') of attempt ' || e.attempt_id || ' was taken after its end' \
             from event e join span s using (attempt_id) \
             where e.kind in ('run', 'epoch', 'checkpoint', 'evaluation', 'diagnostics') \
                 and (e.seq < s.begun or e.seq > coalesce(s.ended, e.seq))"
        ),
    },
    Rule {
        name: "I3 a running job has its open attempt, and no other has one",
        class: Class::Broken,
        query: "select 'job ' || j.job_id || ' is ' || j.state || ' with attempt ' || coalesce(a.attempt_id, 'none') \
                from job j left join attempt a on a.job_id = j.job_id and a.ended_at is null \
                where (j.state = 'running') is not (a.attempt_id is not null) or j.attempt_id is not a.attempt_id",
    },
    Rule {
        name: "I4 epochs run from 1 on without gap",
        class: Class::Gap,
        query: "select 'job ' || job_id || ' has ' || count(*) || ' epochs, ' || min(epoch) || ' to ' || max(epoch) \
                from epoch_current group by job_id having min(epoch) <> 1 or max(epoch) <> count(distinct epoch)",
    },
    Rule {
        name: "I4 each epoch counts once",
        class: Class::Duplicated,
        query: "select 'epoch ' || epoch || ' of job ' || job_id || ' counts ' || count(*) || ' times' \
                from epoch_current group by job_id, epoch having count(*) > 1",
    },
    Rule {
        name: "I4 a training that succeeded has all of its epochs",
        class: Class::Gap,
        query: "select 'job ' || job_id || ' has ' || n || ' of ' || epochs_total || ' epochs' from ( \
                    select job_id, epochs_total, (select count(*) from epoch_current e where e.job_id = job.job_id) as n \
                    from job where state = 'succeeded') where n <> epochs_total",
    },
    Rule {
        name: "I4 each record is told once",
        class: Class::Duplicated,
        query: "select kind || ' ' || coalesce(data ->> 'epoch', '') || ' of attempt ' || attempt_id || ' is told ' \
                    || count(*) || ' times' \
                from event where kind in ('run', 'epoch', 'checkpoint') \
                group by kind, attempt_id, data ->> 'epoch', data ->> 'role' having count(*) > 1",
    },
    Rule {
        name: "I4 what is told twice is told alike",
        class: Class::Duplicated,
        query: "select kind || ' of attempt ' || attempt_id from event where kind like 'error.%'",
    },
    Rule {
        name: "I5 a job waits for its parents' success",
        class: Class::Broken,
        query: "select 'job ' || d.job_id || ' did not wait for job ' || d.parent_id from dependency d \
                join event e on e.job_id = d.job_id and e.kind = 'job.state' and e.data ->> 'to' in ('queued', 'running') \
                where not exists (select 1 from event p where p.job_id = d.parent_id and p.kind = 'job.state' \
                    and p.data ->> 'to' = 'succeeded' and p.seq < e.seq) \
                group by d.job_id, d.parent_id",
    },
    Rule {
        name: "I5 a job is skipped where a parent ended otherwise, and only there",
        class: Class::Broken,
        query: "select 'job ' || job_id || ' is ' || state || ' with ' || failed || ' parents that ended otherwise' from ( \
                    select j.job_id, j.state, (select count(*) from dependency d join job p on p.job_id = d.parent_id \
                        where d.job_id = j.job_id and p.state in ('failed', 'cancelled', 'skipped')) as failed from job j) \
                where (state = 'skipped' and failed = 0) or (state = 'waiting' and failed > 0)",
    },
    Rule {
        name: "I6 what succeeded has its file",
        class: Class::Lost,
        query: "select 'job ' || j.job_id || ' has no file for ' || c.sha256 from job j \
                join attempt a on a.job_id = j.job_id and a.outcome = 'ok' \
                join checkpoint c on c.attempt_id = a.attempt_id and c.role = 'final' \
                where j.state = 'succeeded' and not exists (select 1 from artifact f where f.sha256 = c.sha256) \
                    and not exists (select 1 from event e where e.kind = 'artifact.lost' and e.data ->> 'sha256' = c.sha256)",
    },
    Rule {
        name: "I7 a device has one attempt at a time",
        class: Class::Broken,
        query: concat!(
            spans!(),
            "select 'attempts ' || a.attempt_id || ' and ' || b.attempt_id || ' share ' || a.device || ' of worker ' || a.worker_id \
             from span a join span b on b.worker_id = a.worker_id and b.device = a.device and b.attempt_id > a.attempt_id \
             where a.ended is null or a.ended > b.begun"
        ),
    },
    Rule {
        name: "I8 what was cancelled does not succeed",
        class: Class::Lost,
        query: "select 'job ' || job_id || ' succeeded after its cancellation was acknowledged' from job \
                where state = 'succeeded' and job_id in (select value ->> 'job' from json_each(?2))",
    },
    Rule {
        name: "an acknowledged record is there",
        class: Class::Lost,
        query: "select 'epoch ' || n.value || ' of attempt ' || (r.value ->> 'attempt') \
                from json_each(?3) r, json_each(r.value, '$.epochs') n \
                where not exists (select 1 from epoch e where e.attempt_id = r.value ->> 'attempt' and e.epoch = n.value) \
                union all \
                select 'records up to ' || (r.value ->> 'durable') || ' of attempt ' || (r.value ->> 'attempt') \
                from json_each(?3) r left join attempt a on a.attempt_id = r.value ->> 'attempt' \
                where coalesce(a.last_seq, -1) < r.value ->> 'durable'",
    },
    Rule {
        name: "an acknowledged end is there",
        class: Class::Lost,
        query: "select 'attempt ' || (s.value ->> 'attempt') || ' was settled as ' || (s.value ->> 'outcome') || ' and is ' \
                    || coalesce(a.outcome, 'open') \
                from json_each(?4) s left join attempt a on a.attempt_id = s.value ->> 'attempt' \
                where a.outcome is not s.value ->> 'outcome' \
                    and not (s.value ->> 'outcome' = 'ok' and a.outcome is 'worker-error')",
    },
];

/// A rule that does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) class: Class,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.class, self.rule, self.what)
    }
}

/// Whether anything may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Jobs may be under way.
    Underway,
    /// Everything should have come to its end.
    AtRest,
}

/// All that does not hold of a database, with what was acknowledged before.
///
/// # Errors
/// Where SQLite cannot read it.
pub(crate) fn violations(database: &Path, ledger: &Ledger, moment: Moment) -> rusqlite::Result<Vec<Violation>> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("pragma temp_store = memory")?;
    let mut found = unsound(&connection)?;
    let json = |list: &Vec<serde_json::Value>| serde_json::to_string(list).expect("values are JSON");
    let lists = [&ledger.submissions, &ledger.cancels, &ledger.reports, &ledger.settled].map(json);
    for rule in &RULES {
        let mut query = connection.prepare(rule.query)?;
        // Every rule gets those of the parameters that it names.
        for place in 1..=query.parameter_count() {
            match lists.get(place - 1) {
                Some(list) => query.raw_bind_parameter(place, list)?,
                None => query.raw_bind_parameter(place, i64::from(moment == Moment::AtRest))?,
            }
        }
        let mut rows = query.raw_query();
        while let Some(row) = rows.next()? {
            found.push(Violation { rule: rule.name, class: rule.class, what: row.get(0)? });
        }
    }
    Ok(found)
}

fn unsound(connection: &Connection) -> rusqlite::Result<Vec<Violation>> {
    let broken = |rule, what| Violation { rule, class: Class::Broken, what };
    let mut check = connection.prepare("pragma integrity_check")?;
    let lines: Vec<String> = check.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut found: Vec<_> =
        lines.into_iter().filter(|line| line != "ok").map(|line| broken("SQLite finds no fault", line)).collect();
    let mut check = connection.prepare("pragma foreign_key_check")?;
    let dangling = check.query_map((), |row| row.try_into())?;
    let dangling: Vec<(String, Option<i64>, String, i64)> = dangling.collect::<Result<_, _>>()?;
    let dangling =
        dangling.into_iter().map(|(table, row, parent, _)| format!("{table} row {row:?} refers to no {parent}"));
    found.extend(dangling.map(|what| broken("every reference leads somewhere", what)));
    Ok(found)
}

/// Artifacts that the database names and that are not there in full, with the content that they are named by (I6).
#[allow(dead_code, reason = "the simulation has no files that could be damaged")]
pub(crate) fn missing_files(database: &Path, artifacts: &Path) -> rusqlite::Result<Vec<Violation>> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut named = connection.prepare("select sha256, bytes from artifact")?;
    let rows: Vec<(String, i64)> = named.query_map((), |row| row.try_into())?.collect::<Result<_, _>>()?;
    let is_well = |(sha256, bytes): &(String, i64)| {
        let content = std::fs::read(artifacts.join(&sha256[..2]).join(sha256)).unwrap_or_default();
        content.len() as i64 == *bytes && hex::encode(Sha256::digest(&content)) == *sha256
    };
    let lost =
        |(sha256, _): (String, i64)| Violation { rule: "I6 a stored file is there", class: Class::Lost, what: sha256 };
    Ok(rows.into_iter().filter(|row| !is_well(row)).map(lost).collect())
}
