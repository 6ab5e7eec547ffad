//! The migrations, compiled in.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// "rrm1", as written by the first migration.
pub(crate) const APPLICATION_ID: i64 = 1_920_101_681;

const MIGRATIONS: [(&str, &str); 14] = [
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
];

/// The schema that this version of the software makes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Migrations up to this one are made for a connection with foreign keys, the later ones for one without.
pub(crate) const LAST_WITH_FOREIGN_KEYS: i64 = 11;

/// The migrations up to this version; later ones that were applied already are no concern of it. Each runs in a transaction of its
/// own; one that was changed after it was applied is noticed by its checksum.
pub(crate) fn up_to(version: i64) -> Migrator {
    let migrations = (1..=version).zip(MIGRATIONS).map(|(version, (name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_ignore_missing(version < VERSION);
    migrator
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::{ConnectOptions, Connection, SqliteConnection};

    use super::*;
    use crate::{Store, open};

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

    #[tokio::test]
    async fn an_older_queue_belongs_to_the_laboratory_and_what_runs_there_keeps_its_device() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        open::migrate_to(11, &mut database).await.unwrap();
        sqlx::raw_sql(OLD_QUEUE).execute(&mut database).await.unwrap();
        open::migrate_to(VERSION, &mut database).await.unwrap();
        let requests: Vec<(i64, String, String, f64)> =
            sqlx::query_as("select job_id, owner, device_request, devices from job_requests order by job_id")
                .fetch_all(&mut database)
                .await
                .unwrap();
        assert_eq!(requests, [(1, "lab".into(), "cuda".into(), 1.0), (2, "lab".into(), "any".into(), 1.0)]);
        let booked: Vec<(i64, String, i64, bool)> =
            sqlx::query_as("select attempt_id, device, part, open from attempt_device")
                .fetch_all(&mut database)
                .await
                .unwrap();
        assert_eq!(booked, [(7, "cuda:0".into(), 0, true)]);
    }

    #[test]
    fn every_table_is_strict() {
        let tables = MIGRATIONS.iter().map(|(_, sql)| sql.matches("create table").count()).sum::<usize>();
        let strict = MIGRATIONS.iter().map(|(_, sql)| sql.matches(") strict").count()).sum::<usize>();
        assert_eq!((tables, strict), (28, 28));
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

    async fn remains(path: &Path) -> Vec<String> {
        let mut reader = open::looking(path).connect().await.unwrap();
        let mut rows = Vec::new();
        for query in REMAINS {
            rows.extend(sqlx::query_scalar::<_, String>(query).fetch_all(&mut reader).await.unwrap());
        }
        reader.close().await.unwrap();
        rows
    }

    /// A database as the version with so many migrations left it.
    async fn of_version(count: usize, path: &Path) {
        let mut old = open::writing(path).connect().await.unwrap();
        open::migrate_to(count as i64, &mut old).await.unwrap();
        let version = sqlx::AssertSqlSafe(format!("pragma user_version = {count}"));
        sqlx::raw_sql(version).execute(&mut old).await.unwrap();
        sqlx::raw_sql(ROWS).execute(&mut old).await.unwrap();
        old.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_database_of_any_earlier_version_is_upgraded_with_every_row_and_a_copy_is_kept() {
        for count in 3..MIGRATIONS.len() {
            let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let path = folder.path().join("rrm.db");
            of_version(count, &path).await;
            let before = remains(&path).await;
            assert_eq!(before.len(), 16, "schema {count}: {before:#?}");
            let store = Store::open(&path).await.unwrap_or_else(|error| panic!("schema {count}: {error:?}"));
            store.close().await;
            assert_eq!(remains(&path).await, before, "schema {count}");
            let kept = folder.path().join(format!("rrm.db.schema-{count}"));
            assert_eq!(remains(&kept).await, before, "the copy of schema {count}");
            let mut reader = open::looking(&kept).connect().await.unwrap();
            let version: i64 = sqlx::query_scalar("pragma user_version").fetch_one(&mut reader).await.unwrap();
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
