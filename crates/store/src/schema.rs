//! The migrations, compiled in.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// "rrm1", as written by the first migration.
pub(crate) const APPLICATION_ID: i64 = 1_920_101_681;

const MIGRATIONS: [(&str, &str); 12] = [
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
    ("placement", include_str!("../../../migrations/0013_placement.sql")),
];

/// The schema that this version of the software makes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Each migration runs in a transaction of its own; one that was changed after it was applied is noticed by its checksum.
pub(crate) fn migrator() -> Migrator {
    first(MIGRATIONS.len())
}

/// The migrations that an older version knows.
fn first(count: usize) -> Migrator {
    let migrations = (1..).zip(MIGRATIONS).take(count).map(|(version, (name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    use super::*;

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
        first(11).run(&mut database).await.unwrap();
        sqlx::raw_sql(OLD_QUEUE).execute(&mut database).await.unwrap();
        migrator().run(&mut database).await.unwrap();
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
        assert_eq!((tables, strict), (23, 23));
    }
}
