//! Every rule finds what breaks it: a database that is well is spoilt in one way after the other.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::invariants::{Moment, violations};
use crate::ledger::{Entry, Ledger};
use crate::world::World;

/// What is done to the database, and the rule that must notice it.
const SPOILT: [(&str, &str); 14] = [
    ("update submission set request_id = 'another' where submission_id = 1", "I1 an acknowledged plan is there"),
    ("update job set submission_id = 99 where job_id = 1", "I1 with the jobs that were acknowledged"),
    ("update submission set name = 'plan 0'", "I1 once"),
    (
        "delete from event where kind = 'job.state' and data ->> 'from' is null and job_id = 1",
        "I1 no job without its first state",
    ),
    ("delete from event where kind = 'job.state' and data ->> 'to' = 'running'", "I2 states follow each other"),
    (
        "insert into event (at, kind, job_id, data) \
         select 1, 'job.state', job_id, '{\"from\": \"succeeded\", \"to\": \"queued\"}' from job where state = 'succeeded' limit 1",
        "I2 an end is final",
    ),
    (
        "delete from event where kind = 'attempt.end' and attempt_id in ( \
             select a.attempt_id from attempt a join attempt b on b.job_id = a.job_id and b.number = a.number + 1)",
        "I3 attempts at a job follow each other",
    ),
    (
        "insert into event (at, kind, job_id, attempt_id, data) \
         select 1, 'epoch', job_id, attempt_id, '{\"epoch\": 99}' from attempt where ended_at is not null limit 1",
        "I3 only an open attempt writes",
    ),
    ("delete from epoch where epoch = 1", "I4 epochs run from 1 on without gap"),
    ("delete from epoch", "I4 a training that succeeded has all of its epochs"),
    (
        "insert into event (at, kind, job_id, attempt_id, data) \
         select 1, kind, job_id, attempt_id, data from event where kind = 'epoch' limit 1",
        "I4 each record is told once",
    ),
    (
        "insert or ignore into dependency select c.job_id, p.job_id from job c join job p on p.job_id < c.job_id \
         where c.state = 'succeeded' and p.state in ('failed', 'cancelled')",
        "I5 a job waits for its parents' success",
    ),
    ("delete from artifact", "I6 what succeeded has its file"),
    (
        "insert into worker_device (worker_id, device, name) values (99, 'cpu', 'nobody')",
        "every reference leads somewhere",
    ),
];

fn spoil(database: &Path, how: &str) {
    let connection = Connection::open(database).expect("the copy can be opened");
    connection.execute_batch("pragma foreign_keys = off").expect("it can be set");
    let rows = connection.execute(how, ()).unwrap_or_else(|error| panic!("{how}: {error}"));
    assert!(rows > 0, "{how}: changes nothing");
}

fn broken(database: &Path, ledger: &Ledger) -> Vec<&'static str> {
    let found = violations(database, ledger, Moment::AtRest).expect("the database can be read");
    found.into_iter().map(|violation| violation.rule).collect()
}

#[tokio::test]
async fn every_way_to_spoil_a_database_is_noticed_by_its_rule() {
    let (folder, ledger) = World::relics(3).await.expect("the invariants hold");
    let database = folder.path().join("rrm.db");
    assert_eq!(broken(&database, &ledger), [""; 0]);
    let copy = |number: usize| -> PathBuf {
        let copy = folder.path().join(format!("copy-{number}.db"));
        std::fs::copy(&database, &copy).expect("the folder can be written");
        copy
    };
    for (number, (how, rule)) in SPOILT.into_iter().enumerate() {
        let copy = copy(number);
        spoil(&copy, how);
        let found = broken(&copy, &ledger);
        assert!(found.contains(&rule), "{how}: only {found:?} is noticed");
    }
}

#[tokio::test]
async fn every_broken_promise_is_noticed_by_its_rule() {
    let (folder, ledger) = World::relics(3).await.expect("the invariants hold");
    let database = folder.path().join("rrm.db");
    let succeeded = ledger.settled.iter().find(|it| it["outcome"] == "ok").expect("some attempt succeeded");
    let attempt = succeeded["attempt"].as_i64().expect("attempts have numbers");
    let unkept = [
        (
            Entry::Submission { request: "a request".into(), plan: "a plan".into(), submission: 99, jobs: vec![] },
            "I1 an acknowledged plan is there",
        ),
        (Entry::Report { attempt, durable: 1, epochs: vec![99] }, "an acknowledged record is there"),
        (Entry::Report { attempt, durable: 99, epochs: vec![] }, "an acknowledged record is there"),
        (Entry::Settled { attempt, outcome: "oom" }, "an acknowledged end is there"),
    ];
    for (promise, rule) in unkept {
        let mut ledger = ledger.clone();
        ledger.add(&promise);
        assert!(broken(&database, &ledger).contains(&rule), "{promise:?} is not missed");
    }
    let mut cancelled = ledger.clone();
    (1..100).for_each(|job| cancelled.add(&Entry::Cancel { job }));
    assert!(broken(&database, &cancelled).contains(&"I8 what was cancelled does not succeed"));
}
