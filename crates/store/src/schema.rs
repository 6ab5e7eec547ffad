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
    ("access", include_str!("../../../migrations/0014_access.sql")),
];

/// The schema that this version of the software makes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Each migration runs in a transaction of its own; one that was changed after it was applied is noticed by its checksum.
pub(crate) fn migrator() -> Migrator {
    let migrations = (1..).zip(MIGRATIONS).map(|(version, (name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_migration_names_the_application() {
        assert!(MIGRATIONS[0].1.contains(&format!("application_id = {APPLICATION_ID};")));
    }

    #[test]
    fn every_table_is_strict() {
        let tables = MIGRATIONS.iter().map(|(_, sql)| sql.matches("create table").count()).sum::<usize>();
        let strict = MIGRATIONS.iter().map(|(_, sql)| sql.matches(") strict").count()).sum::<usize>();
        assert_eq!((tables, strict), (20, 20));
    }
}
