//! What a round has left, looked at without the daemon.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::invariants::{Class, Moment, Violation, missing_files, violations};
use crate::journal::Journal;
use crate::report::Report;

/// Looks at the database, at every artifact, and at what was answered as it must not be; counts what there was.
pub(crate) async fn check(state: &Path, journal: &Journal, moment: Moment, report: &mut Report) {
    let (database, ledger) = (state.join("rrm.db"), journal.ledger());
    let unreadable =
        |error: sqlx::Error| vec![Violation { rule: "SQLite opens it", class: Class::Broken, what: error.to_string() }];
    report.violations.extend(violations(&database, &ledger, moment).await.unwrap_or_else(unreadable));
    report.violations.extend(missing_files(&database, &state.join("artifacts")).await.unwrap_or_else(unreadable));
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
    let attempts = counted(&database, "select coalesce(outcome, 'open'), count(*) from attempt group by 1").await;
    add(&mut report.attempts, attempts);
    add(&mut report.jobs, counted(&database, "select state, count(*) from job group by 1").await);
}

fn add(to: &mut BTreeMap<String, u64>, counts: Vec<(String, i64)>) {
    for (name, count) in counts {
        *to.entry(name).or_default() += count as u64;
    }
}

async fn counted(database: &Path, query: &'static str) -> Vec<(String, i64)> {
    let ask = async {
        let mut connection = SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
        let rows = sqlx::query_as(query).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(rows)
    };
    ask.await.unwrap_or_default()
}
