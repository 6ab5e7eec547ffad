//! What a round has left, looked at without the daemon.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::invariants::{Class, Moment, Violation, missing_files, violations};
use crate::journal::Journal;
use crate::report::Report;

/// Looks at the database, at every artifact, and at what was answered as it must not be; counts what there was.
pub(crate) fn check(state: &Path, journal: &Journal, moment: Moment, report: &mut Report) {
    let (database, ledger) = (state.join("rrm.db"), journal.ledger());
    let unreadable = |error: rusqlite::Error| {
        vec![Violation { rule: "SQLite opens it", class: Class::Broken, what: error.to_string() }]
    };
    report.violations.extend(violations(&database, &ledger, moment).unwrap_or_else(unreadable));
    report.violations.extend(missing_files(&database, &state.join("artifacts")).unwrap_or_else(unreadable));
    let wrong = journal.wrong().into_iter();
    report.violations.extend(wrong.map(|what| Violation { rule: "every answer is right", class: Class::Stale, what }));
    let counts = [
        ("submission", ledger.submissions.len()),
        ("report", ledger.reports.len()),
        ("settled", ledger.settled.len()),
        ("cancel", ledger.cancels.len()),
    ];
    for (kind, count) in counts {
        *report.acknowledged.entry(kind).or_default() += count as u64;
    }
    let attempts = counted(&database, "select coalesce(outcome, 'open'), count(*) from attempt group by 1");
    add(&mut report.attempts, attempts);
    add(&mut report.jobs, counted(&database, "select state, count(*) from job group by 1"));
}

fn add(to: &mut BTreeMap<String, u64>, counts: Vec<(String, i64)>) {
    for (name, count) in counts {
        *to.entry(name).or_default() += count as u64;
    }
}

fn counted(database: &Path, query: &str) -> Vec<(String, i64)> {
    let ask = || {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query = connection.prepare(query)?;
        query.query_map((), |row| row.try_into())?.collect::<rusqlite::Result<_>>()
    };
    ask().unwrap_or_default()
}
