//! Statements and their answers: what rusqlite leaves to write at each place, written once.
//!
//! A statement runs where it is sent to: on a [`Connection`] at once, in the thread that asks, as all changes do; by the [`Readers`] in
//! a thread for reading, and the answer is awaited.

use std::borrow::Cow;

use rusqlite::types::{FromSql, ToSqlOutput, Value};
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use crate::{Readers, StoreError};

/// A statement with its values, of whose rows each makes a `T`.
pub(crate) struct Query<T> {
    sql: Cow<'static, str>,
    values: rusqlite::Result<Vec<Value>>,
    read: fn(&Row<'_>) -> Result<T, StoreError>,
}

/// A statement that changes something.
pub(crate) fn query(sql: impl Into<Cow<'static, str>>) -> Query<()> {
    Query { sql: sql.into(), values: Ok(Vec::new()), read: |_| Ok(()) }
}

/// A statement of whose rows each makes one thing.
pub(crate) fn query_as<T: FromRow>(sql: impl Into<Cow<'static, str>>) -> Query<T> {
    Query { sql: sql.into(), values: Ok(Vec::new()), read: T::from_row }
}

/// A statement of whose rows the first column is wanted.
pub(crate) fn query_scalar<T: FromSql>(sql: impl Into<Cow<'static, str>>) -> Query<T> {
    Query { sql: sql.into(), values: Ok(Vec::new()), read: |row| Ok(row.get(0)?) }
}

/// What a statement has changed.
pub(crate) struct Changed {
    pub(crate) rows_affected: u64,
    /// Of the newest row, where one was inserted.
    pub(crate) last_insert_rowid: i64,
}

/// The statement may run in another thread, long after what the value was borrowed from.
fn owned(value: ToSqlOutput<'_>) -> rusqlite::Result<Value> {
    match value {
        ToSqlOutput::Owned(value) => Ok(value),
        ToSqlOutput::Borrowed(value) => Ok(Value::column_result(value)?),
        other => Err(rusqlite::Error::ToSqlConversionFailure(format!("{other:?} cannot be kept").into())),
    }
}

impl<T: Send + 'static> Query<T> {
    /// The value of the next parameter.
    pub(crate) fn bind(mut self, value: impl ToSql) -> Self {
        self.values = self.values.and_then(|mut values| {
            values.push(owned(value.to_sql()?)?);
            Ok(values)
        });
        self
    }

    /// All rows.
    pub(crate) fn fetch_all<P: Place>(self, place: P) -> P::Answer<Vec<T>> {
        place.run(move |connection| self.rows(connection, usize::MAX))
    }

    /// The first row, if there is one.
    pub(crate) fn fetch_optional<P: Place>(self, place: P) -> P::Answer<Option<T>> {
        place.run(move |connection| Ok(self.rows(connection, 1)?.pop()))
    }

    /// The first row, which there must be.
    pub(crate) fn fetch_one<P: Place>(self, place: P) -> P::Answer<T> {
        place.run(move |connection| Ok(self.rows(connection, 1)?.pop().ok_or(rusqlite::Error::QueryReturnedNoRows)?))
    }

    fn rows(self, connection: &Connection, most: usize) -> Result<Vec<T>, StoreError> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(params_from_iter(self.values?))?;
        let mut read = Vec::new();
        while read.len() < most
            && let Some(row) = rows.next()?
        {
            read.push((self.read)(row)?);
        }
        Ok(read)
    }
}

impl Query<()> {
    /// Carries out a statement without rows.
    pub(crate) fn execute(self, connection: &Connection) -> Result<Changed, StoreError> {
        let rows_affected = connection.prepare_cached(&self.sql)?.execute(params_from_iter(self.values?))? as u64;
        Ok(Changed { rows_affected, last_insert_rowid: connection.last_insert_rowid() })
    }
}

/// Where a statement runs.
pub(crate) trait Place {
    /// How the answer comes back.
    type Answer<T: Send + 'static>;

    fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Self::Answer<T>;
}

impl Place for &Connection {
    type Answer<T: Send + 'static> = Result<T, StoreError>;

    fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        work(self)
    }
}

impl Place for &Readers {
    type Answer<T: Send + 'static> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

    fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Self::Answer<T> {
        let readers = self.clone();
        Box::pin(async move { readers.run(work).await })
    }
}

/// What a row makes.
pub(crate) trait FromRow: Sized {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError>;
}

/// The columns in order.
macro_rules! from_columns {
    ($($column:ident $place:literal),+) => {
        impl<$($column: FromSql),+> FromRow for ($($column,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
                Ok(($(row.get::<_, $column>($place)?,)+))
            }
        }
    };
}

from_columns!(A 0, B 1);
from_columns!(A 0, B 1, C 2);
from_columns!(A 0, B 1, C 2, D 3);
from_columns!(A 0, B 1, C 2, D 3, E 4);
from_columns!(A 0, B 1, C 2, D 3, E 4, F 5);
from_columns!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
from_columns!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
from_columns!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);

/// A column's text, as it lies in the row.
pub(crate) fn text<'r>(row: &'r Row<'_>, column: &str) -> Result<&'r str, StoreError> {
    row.get_ref(column)?.as_str().map_err(|error| unreadable(column, error))
}

/// The same of a column that may be null.
pub(crate) fn optional_text<'r>(row: &'r Row<'_>, column: &str) -> Result<Option<&'r str>, StoreError> {
    row.get_ref(column)?.as_str_or_null().map_err(|error| unreadable(column, error))
}

fn unreadable(column: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::internal(format!("column {column}: {error}"))
}
