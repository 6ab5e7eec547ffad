//! The migrations, compiled in.

use rusqlite::Connection;

/// "rrm1", as written by the first migration.
pub(crate) const APPLICATION_ID: i64 = 1_920_101_681;

const MIGRATIONS: [(&str, &str); 18] = [
    ("queue", include_str!("../../../migrations/0001_queue.sql")),
    ("result", include_str!("../../../migrations/0002_result.sql")),
    ("view", include_str!("../../../migrations/0003_view.sql")),
    ("precision", include_str!("../../../migrations/0004_precision.sql")),
    ("import", include_str!("../../../migrations/0005_import.sql")),
    ("norm", include_str!("../../../migrations/0006_norm.sql")),
    ("synthesis", include_str!("../../../migrations/0007_synthesis.sql")),
    ("class_accuracy", include_str!("../../../migrations/0008_class_accuracy.sql")),
    ("closest_point", include_str!("../../../migrations/0009_closest_point.sql")),
    ("content_key", include_str!("../../../migrations/0010_content_key.sql")),
    ("diagnostic", include_str!("../../../migrations/0011_diagnostic.sql")),
    ("control", include_str!("../../../migrations/0012_control.sql")),
    ("placement", include_str!("../../../migrations/0013_placement.sql")),
    ("access", include_str!("../../../migrations/0014_access.sql")),
    ("steps", include_str!("../../../migrations/0015_steps.sql")),
    ("lane", include_str!("../../../migrations/0016_lane.sql")),
    ("last_plan", include_str!("../../../migrations/0017_last_plan.sql")),
    ("result_key", include_str!("../../../migrations/0018_result_key.sql")),
];

/// The schema that this version of the software makes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Migrations up to this one rely on foreign keys: a renamed table's references follow it. The later ones are made without, as
/// SQLite's own recipe for making a table anew has it; one that does so checks in its transaction that no reference dangles.
const LAST_WITH_FOREIGN_KEYS: i64 = 11;

/// Where versions before the fifteenth counted their steps, one by one, and the schema's version when all were done.
pub(crate) const EARLIER_STEPS: &str = "_sqlx_migrations";

/// Takes the steps that are left up to a version, each in a transaction of its own with its number. Later ones that were taken
/// already are no concern of it.
pub(crate) fn upgrade(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    let taken = steps_taken(connection)?;
    for (step, (_, sql)) in (1..=version).zip(MIGRATIONS).filter(|(step, _)| *step > taken) {
        let keys = if step <= LAST_WITH_FOREIGN_KEYS { "on" } else { "off" };
        connection.execute_batch(&format!("pragma foreign_keys = {keys}"))?;
        let change = connection.unchecked_transaction()?;
        change.execute_batch(sql)?;
        change.execute_batch(&format!("pragma user_version = {step}"))?;
        change.commit()?;
    }
    connection.execute_batch("pragma foreign_keys = on")
}

/// An upgrade by an earlier version may have been cut off between its steps and its last word.
fn steps_taken(connection: &Connection) -> rusqlite::Result<i64> {
    let number = |sql: &str| connection.query_one(sql, (), |row| row.get::<_, i64>(0));
    let version = number("pragma user_version")?;
    let counted = format!("select exists (select 1 from sqlite_schema where name = '{EARLIER_STEPS}')");
    match number(&counted)? {
        0 => Ok(version),
        _ => Ok(version.max(number(&format!("select coalesce(max(version), 0) from {EARLIER_STEPS} where success"))?)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Store, open, sql};

    #[test]
    fn the_first_migration_names_the_application() {
        assert!(MIGRATIONS[0].1.contains(&format!("application_id = {APPLICATION_ID};")));
    }

    /// A queue as version 11 left it: a running job that wants a CUDA device, and a queued one that wants any.
    const OLD_QUEUE: &str = r#"
        insert into submission (submission_id, request_id, plan_sha256, name, client_version, host, created_at)
        values (1, 'request-1', hex(zeroblob(32)), 'old', '0', 'desk', 1);
        insert into worker (worker_id, boot_id, node, version, online, registered_at, last_seen_at)
        values (1, 'boot', 'node', '0', 1, 1, 1);
        insert into worker_device (worker_id, device, name) values (1, 'cuda:0', 'a device');
        insert into job (job_id, submission_id, ordinal, name, kind, dataset, spec, device_request, priority, epochs_total,
            max_retries, crash_limit, state, created_at)
        values (1, 1, 0, 'a', 'train', 'cifar10', '{}', 'cuda', 0, 1, 1, 5, 'queued', 1),
            (2, 1, 1, 'b', 'train', 'cifar10', '{}', 'any', 0, 1, 1, 5, 'queued', 1);
        insert into attempt (attempt_id, job_id, number, worker_id, device, lease_request, started_at)
        values (7, 1, 1, 1, 'cuda:0', 'lease-1', 1);
        update job set state = 'running', attempt_id = 7 where job_id = 1;
    "#;

    #[test]
    fn an_older_queue_belongs_to_the_laboratory_and_what_runs_there_keeps_its_device() {
        let database = Connection::open_in_memory().unwrap();
        upgrade(&database, 11).unwrap();
        database.execute_batch(OLD_QUEUE).unwrap();
        upgrade(&database, VERSION).unwrap();
        let requests: Vec<(i64, String, String, f64)> =
            sql::query_as("select job_id, owner, device_request, devices from job_requests order by job_id")
                .fetch_all(&database)
                .unwrap();
        assert_eq!(requests, [(1, "lab".into(), "cuda".into(), 1.0), (2, "lab".into(), "any".into(), 1.0)]);
        let booked: Vec<(i64, String, i64, bool)> =
            sql::query_as("select attempt_id, device, part, open from attempt_device").fetch_all(&database).unwrap();
        assert_eq!(booked, [(7, "cuda:0".into(), 0, true)]);
    }

    #[test]
    fn every_table_is_strict() {
        let tables = MIGRATIONS.iter().map(|(_, sql)| sql.matches("create table").count()).sum::<usize>();
        let strict = MIGRATIONS.iter().map(|(_, sql)| sql.matches(") strict").count()).sum::<usize>();
        assert_eq!((tables, strict), (29, 29));
    }

    /// A plan that has been evaluated, in the columns that there were from the beginning.
    const ROWS: &str = "
        insert into submission (submission_id, request_id, plan_sha256, name, client_version, host, created_at) values \
            (3, 'request-3', printf('%064d', 3), 'chain', '0.1.0', 'desk', 10);
        insert into worker (worker_id, boot_id, node, version, online, registered_at, last_seen_at) values (2, 'boot', 'node', '0.1.0', 1, 11, 12);
        insert into worker_device (worker_id, device, name) values (2, 'cpu', 'a processor');
        insert into job (job_id, submission_id, ordinal, name, kind, dataset, spec, device_request, priority, epochs_total, \
            max_retries, crash_limit, crashes, state, created_at, queued_at, started_at, ended_at) values \
            (5, 3, 0, 'teacher', 'train', 'bars', '{\"seed\":7}', 'any', 4, 2, 1, 5, 1, 'succeeded', 10, 10, 13, 19), \
            (6, 3, 1, 'attack', 'evaluate', 'bars', '{\"seed\":1}', 'any', 4, 0, 1, 5, 0, 'succeeded', 10, 19, 20, 25);
        insert into dependency (job_id, parent_id) values (6, 5);
        insert into attempt (attempt_id, job_id, number, worker_id, device, lease_request, started_at, ended_at, outcome, \
            last_seq, first_epoch) values (7, 5, 1, 2, 'cpu', 'lease-7', 13, 14, 'lost', 2, 1), \
            (8, 5, 2, 2, 'cpu', 'lease-8', 14, 19, 'ok', 4, 2), (9, 6, 1, 2, 'cpu', 'lease-9', 20, 25, 'ok', 1, null);
        insert into epoch (attempt_id, epoch, recorded_at, train_us, validation_us, images, learning_rate, loss, \
            train_correct, train_total, natural_correct, natural_total, robust_correct, robust_total) values (7, 1, 13, 100, 10, 24, 0.1, 1.5, 9, 24, 3, 8, null, null), \
            (8, 2, 15, 100, 10, 24, 0.1, 1.25, 12, 24, 4, 8, 2, 8);
        insert into artifact (sha256, bytes, stored_at, touched_at) values (printf('%064d', 1), 99, 16, 17);
        insert into checkpoint (checkpoint_id, attempt_id, epoch, role, path, sha256, bytes, recorded_at, released_at) values \
            (1, 8, 2, 'final', 'final.safetensors', printf('%064d', 1), 99, 16, null);
        insert into evaluation (evaluation_id, attempt_id, attack, label, norm, epsilon, epsilon_value, natural_correct, \
            natural_total, robust_correct, robust_total, natural_low, natural_high, robust_low, robust_high, elapsed_us, \
            weights, recorded_at) values (4, 9, '{\"kind\":\"apgd\"}', 'APGD-CE 5x1', 'linf', '8/255', 0.03, 4, 8, 2, 8, \
            0.1, 0.2, 0.3, 0.4, 1000, printf('%064d', 1), 24);
        insert into image_outcome (evaluation_id, image, label, prediction, outcome, restart) values \
            (4, 0, 1, 1, 'broken', 0), (4, 1, 2, 2, 'robust', null);
        insert into event (seq, at, kind, submission_id, job_id, attempt_id, worker_id, data) values (1, 10, 'submission', 3, null, null, null, '{\"jobs\":2}');
    ";

    /// Each row's columns of the beginning, table by table.
    const REMAINS: [&str; 11] = [
        "select json_array(submission_id, request_id, plan_sha256, name, created_at) from submission",
        "select json_array(worker_id, boot_id, node, online, last_seen_at) from worker",
        "select json_array(worker_id, device, name) from worker_device",
        "select json_array(job_id, submission_id, ordinal, name, kind, spec, priority, epochs_total, crashes, state, ended_at) \
         from job order by job_id",
        "select json_array(job_id, parent_id) from dependency",
        "select json_array(attempt_id, job_id, number, worker_id, device, outcome, last_seq, first_epoch, ended_at) \
         from attempt order by attempt_id",
        "select json_array(attempt_id, epoch, train_us, images, loss, train_correct, natural_correct, robust_total) \
         from epoch order by attempt_id",
        "select json_array(checkpoint_id, attempt_id, epoch, role, sha256, bytes, released_at) from checkpoint",
        "select json_array(evaluation_id, attempt_id, attack, norm, epsilon, robust_correct, robust_high, weights) \
         from evaluation",
        "select json_array(evaluation_id, image, label, prediction, outcome, restart) from image_outcome order by image",
        "select json_array(seq, at, kind, submission_id, data) from event",
    ];

    fn remains(path: &Path) -> Vec<String> {
        let reader = open::looking(path).unwrap();
        let rows = REMAINS.iter().flat_map(|query| sql::query_scalar(*query).fetch_all(&reader).unwrap());
        rows.collect()
    }

    /// A database as the version with so many migrations left it.
    fn of_version(count: usize, path: &Path) {
        let old = open::writing(path).unwrap();
        upgrade(&old, count as i64).unwrap();
        old.execute_batch(ROWS).unwrap();
    }

    #[test]
    fn an_upgrade_that_an_earlier_version_was_cut_off_in_goes_on_where_it_was() {
        let database = Connection::open_in_memory().unwrap();
        upgrade(&database, 12).unwrap();
        let counted = "create table _sqlx_migrations (version bigint primary key, success boolean not null); \
                       insert into _sqlx_migrations values (11, true), (12, true); pragma user_version = 11";
        database.execute_batch(counted).unwrap();
        upgrade(&database, VERSION).unwrap();
        let left: i64 = sql::query_scalar("select count(*) from sqlite_schema where name like '_sqlx%'")
            .fetch_one(&database)
            .unwrap();
        assert_eq!((left, steps_taken(&database).unwrap()), (0, VERSION));
    }

    #[tokio::test]
    async fn a_database_of_any_earlier_version_is_upgraded_with_every_row_and_a_copy_is_kept() {
        for count in 3..MIGRATIONS.len() {
            let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let path = folder.path().join("rrm.db");
            of_version(count, &path);
            let before = remains(&path);
            assert_eq!(before.len(), 16, "schema {count}: {before:#?}");
            let store = Store::open(&path).await.unwrap_or_else(|error| panic!("schema {count}: {error:?}"));
            store.close().await;
            assert_eq!(remains(&path), before, "schema {count}");
            let kept = folder.path().join(format!("rrm.db.schema-{count}"));
            assert_eq!(remains(&kept), before, "the copy of schema {count}");
            let reader = open::looking(&kept).unwrap();
            let version: i64 = sql::query_scalar("pragma user_version").fetch_one(&reader).unwrap();
            assert_eq!(version, count as i64);
        }
    }

    #[tokio::test]
    async fn a_database_of_this_version_is_opened_without_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrm.db");
        for _ in 0..2 {
            Store::open(&path).await.unwrap().close().await;
        }
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("schema")), "{names:?}");
    }
}
