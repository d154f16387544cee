//! Owns what both databases do with dead letters: the statements, what they are given, and what is
//! read back.

use std::borrow::Cow;
use std::time::Duration;

use dataflow_webhooks::dead_letters::DeadLetter;
use sqlx::query::Query;
use sqlx::{ColumnIndex, Database, Decode, Encode, Row as _, Type};

use crate::error::{SqlStoreError, SqlStoreErrorKind};
use crate::patience::{in_time, within};
use crate::record::stored_epoch;

/// The longest that a page of letters takes, which may be many megabytes; nobody waits for it but a
/// person.
const LISTING: Duration = Duration::from_secs(30);

/// A value of a statement.
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(i64),
}

/// A row of a statement.
pub(crate) struct Kept {
    event_id: String,
    /// Empty where the statement does not read it.
    letter: String,
}

/// The letters of one scope in one database. The first value of each statement is the scope.
pub(crate) trait Table: Send + Sync + 'static {
    const STORE: &'static str;
    const REMOVE: &'static str;

    fn scope(&self) -> &str;

    fn read(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Kept>, SqlStoreError>> + Send;

    /// What it changes survives a loss of power once it is answered.
    fn write(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Kept>, SqlStoreError>> + Send;
}

/// The statement with its values, for a database.
pub(crate) fn query<'q, D: Database>(
    sql: &'static str,
    scope: &'q str,
    values: &'q [Value<'_>],
) -> Query<'q, D, D::Arguments>
where
    &'q str: Encode<'q, D> + Type<D>,
    i64: Encode<'q, D> + Type<D>,
{
    values.iter().fold(sqlx::query(sql).bind(scope), |query, value| match value {
        Value::Text(text) => query.bind(text.as_ref()),
        Value::Number(number) => query.bind(*number),
    })
}

/// What its rows say.
pub(crate) fn kept<D: Database>(rows: &[D::Row]) -> sqlx::Result<Vec<Kept>>
where
    usize: ColumnIndex<D::Row>,
    String: for<'r> Decode<'r, D> + Type<D>,
{
    let kept = |row: &D::Row| Ok(Kept { event_id: row.try_get(0)?, letter: row.try_get(1)? });
    rows.iter().map(kept).collect()
}

pub(crate) async fn store<T: Table>(table: &T, letter: &DeadLetter) -> Result<(), SqlStoreError> {
    let json = serde_json::to_string(letter).map_err(|_| {
        SqlStoreError::new(SqlStoreErrorKind::Other, "the dead letter cannot be written as JSON")
    })?;
    let values = [
        Value::Text(letter.id().into()),
        failed_at(letter),
        Value::Number(stored_epoch(letter.runs()).unwrap_or(i64::MAX)),
        Value::Text(text(letter.event_type().as_str())),
        Value::Text(text(letter.reason())),
        Value::Text(json.into()),
    ];
    in_time(table.write(T::STORE, &values)).await.map(drop)
}

pub(crate) async fn list<T: Table>(
    table: &T,
    after: Option<&DeadLetter>,
    limit: usize,
) -> Result<Vec<DeadLetter>, SqlStoreError> {
    let (time, id) = match after {
        Some(letter) => (failed_at(letter), letter.id()),
        None => (Value::Number(i64::MIN), ""),
    };
    let limit = Value::Number(i64::try_from(limit).unwrap_or(i64::MAX));
    let values = [time, Value::Text(id.into()), limit];
    let kept = within(LISTING, table.read(include_str!("list.sql"), &values)).await?;
    kept.iter().map(read_back).collect()
}

pub(crate) async fn get<T: Table>(
    table: &T,
    event_id: &str,
) -> Result<Option<DeadLetter>, SqlStoreError> {
    if event_id.contains('\0') {
        // PostgreSQL refuses it, and no event has it: its id is the hash of its body then.
        return Ok(None);
    }
    let values = [Value::Text(event_id.into())];
    let kept = in_time(table.read(include_str!("get.sql"), &values)).await?;
    kept.first().map(read_back).transpose()
}

pub(crate) async fn remove<T: Table>(
    table: &T,
    letter: &DeadLetter,
) -> Result<bool, SqlStoreError> {
    let values = [Value::Text(letter.id().into()), failed_at(letter)];
    let removed = in_time(table.write(T::REMOVE, &values)).await?;
    Ok(!removed.is_empty())
}

fn failed_at(letter: &DeadLetter) -> Value<'static> {
    Value::Number(letter.failed_at().as_millisecond())
}

/// What people look for: the letter itself has it as it is. PostgreSQL refuses U+0000, and the tools
/// for SQLite end a text there.
fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

fn read_back(kept: &Kept) -> Result<DeadLetter, SqlStoreError> {
    DeadLetter::from_trusted_json(kept.letter.as_bytes())
        .map_err(|error| SqlStoreError::no_letter(&kept.event_id, error))
}

/// What a sink that is a [`Table`] is to others.
macro_rules! dead_letters {
    ($sink:ident) => {
        impl std::fmt::Debug for $sink {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // Not the pool: its options have the password.
                f.debug_struct(stringify!($sink))
                    .field("scope", &$crate::dead_letters::Table::scope(self))
                    .finish_non_exhaustive()
            }
        }

        impl dataflow_webhooks::dead_letters::DeadLetterSink for $sink {
            fn store<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, ()> {
                Box::pin(async move { Ok(dead_letters::store(self, letter).await?) })
            }
        }

        impl dataflow_webhooks::dead_letters::DeadLetters for $sink {
            fn list<'a>(
                &'a self,
                after: Option<&'a DeadLetter>,
                limit: usize,
            ) -> SinkFuture<'a, Vec<DeadLetter>> {
                Box::pin(async move { Ok(dead_letters::list(self, after, limit).await?) })
            }

            fn get<'a>(&'a self, event_id: &'a str) -> SinkFuture<'a, Option<DeadLetter>> {
                Box::pin(async move { Ok(dead_letters::get(self, event_id).await?) })
            }

            fn remove<'a>(&'a self, letter: &'a DeadLetter) -> SinkFuture<'a, bool> {
                Box::pin(async move { Ok(dead_letters::remove(self, letter).await?) })
            }
        }
    };
}
pub(crate) use dead_letters;
