-- The steps of the schema are counted by its version alone, each in the transaction that makes it.
drop table if exists _sqlx_migrations;
