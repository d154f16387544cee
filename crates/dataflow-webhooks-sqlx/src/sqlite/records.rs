//! Owns the statements on the records, and where their time comes from.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dataflow_webhooks::dedup::{DedupKey, Scope};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Executor, Row as _, Sqlite, SqliteConnection};

use super::file::{File, from_sqlx};
use crate::error::SqlStoreError;
use crate::record::{Ask, Found, given_epoch, milliseconds};
use crate::store::{Records, Step};

pub(super) struct SqliteRecords {
    file: Arc<File>,
    scope: Scope,
    clock: Clock,
}

/// Where a store takes the time from.
pub(super) enum Clock {
    System,
    Given(Box<dyn Fn() -> Duration + Send + Sync>),
}

impl Clock {
    /// In milliseconds.
    fn now(&self) -> i64 {
        milliseconds(match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Self::Given(clock) => clock(),
        })
    }
}

impl SqliteRecords {
    pub(super) fn new(file: File, scope: Scope) -> Self {
        Self { file: Arc::new(file), scope, clock: Clock::System }
    }

    pub(super) fn on_clock(&self, clock: Clock) -> Self {
        Self { file: self.file.clone(), scope: self.scope.clone(), clock }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What the other table of this scope is reached by.
    pub(super) fn reached_by(&self) -> (Arc<File>, Scope) {
        (self.file.clone(), self.scope.clone())
    }

    fn on<'q>(
        &'q self,
        sql: &'static str,
        key: &'q DedupKey,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        sqlx::query(sql).bind(self.scope()).bind(key.as_str()).bind(self.clock.now())
    }

    /// The record, if it has this epoch (or with `None` any).
    async fn look<'c>(
        &self,
        executor: impl Executor<'c, Database = Sqlite>,
        key: &DedupKey,
        epoch: Option<i64>,
    ) -> Result<Option<Found>, SqlStoreError> {
        let query = self.on(include_str!("look.sql"), key);
        let Some(row) = query.fetch_optional(executor).await.map_err(from_sqlx)? else {
            return Ok(None);
        };
        let read = || -> sqlx::Result<_> {
            let (state, leased, live) =
                (row.try_get("state")?, row.try_get("leased")?, row.try_get("live")?);
            Ok((row.try_get::<i64, _>("epoch")?, Found { state, leased, live }))
        };
        let (stored, found) = read().map_err(from_sqlx)?;
        Ok(epoch.is_none_or(|epoch| epoch == stored).then_some(found))
    }

    /// The epoch of the claim that was brought into the state.
    async fn change_on<'c>(
        &self,
        executor: impl Executor<'c, Database = Sqlite>,
        key: &DedupKey,
        numbers: [i64; 4],
    ) -> Result<Option<u64>, SqlStoreError> {
        let query = self.on(include_str!("change.sql"), key);
        let query = numbers.into_iter().fold(query, Query::bind);
        epoch(&query.fetch_all(executor).await.map_err(from_sqlx)?)
    }
}

impl Records for SqliteRecords {
    type Connection = SqliteConnection;

    fn scope(&self) -> &str {
        self.scope.as_str()
    }

    async fn take(
        &self,
        key: &DedupKey,
        [lease, retention]: [i64; 2],
    ) -> Result<Step, SqlStoreError> {
        // Reading first: a duplicate needs not wait for whoever writes.
        let found = self.look(self.file.pool(), key, None).await?;
        if found.and_then(Found::refuses).is_some() {
            return Ok(Step { changed: None, found });
        }
        let _turn = self.file.turn().await;
        let query = self.on(include_str!("claim.sql"), key).bind(lease).bind(retention);
        // To the end, as wherever rows come back: sqlx commits a statement that it leaves at its
        // first row without telling whether that worked.
        let rows = query.fetch_all(self.file.pool()).await.map_err(from_sqlx)?;
        // No row when another claim was faster.
        Ok(Step { changed: epoch(&rows)?, found })
    }

    async fn change(&self, key: &DedupKey, numbers: [i64; 4]) -> Result<Step, SqlStoreError> {
        let changed = {
            let _turn = self.file.turn().await;
            self.change_on(self.file.pool(), key, numbers).await?
        };
        let found = match changed {
            Some(_) => None,
            // What could not be changed with this epoch never can be again, so this is not too late.
            None => self.look(self.file.pool(), key, Some(numbers[0])).await?,
        };
        Ok(Step { changed, found })
    }

    async fn commit_in(
        &self,
        connection: &mut SqliteConnection,
        key: &DedupKey,
        epoch: i64,
        retention: i64,
    ) -> Result<bool, SqlStoreError> {
        // The writer's turn is the transaction's already.
        let numbers = [epoch, Ask::Commit.state(), 0, retention];
        Ok(self.change_on(connection, key, numbers).await?.is_some())
    }

    async fn forget(&self, key: &DedupKey) -> Result<(), SqlStoreError> {
        let _turn = self.file.turn().await;
        let query = self.on(include_str!("forget.sql"), key);
        query.execute(self.file.pool()).await.map(drop).map_err(from_sqlx)
    }

    async fn delete_expired(&self, batch: NonZeroU32) -> Result<u64, SqlStoreError> {
        let (mut deleted, mut after, now) = (0, String::new(), self.clock.now());
        loop {
            let found = sqlx::query(include_str!("find_expired.sql"))
                .bind(self.scope())
                .bind(after.as_str())
                .bind(now)
                .bind(batch.get())
                .fetch_one(self.file.pool())
                .await
                .map_err(from_sqlx)?;
            let last: Option<String> = found.try_get("last").map_err(from_sqlx)?;
            let Some(last) = last else { return Ok(deleted) };
            let _turn = self.file.turn().await;
            let gone = sqlx::query(include_str!("delete_expired.sql"))
                .bind(self.scope())
                .bind(after.as_str())
                .bind(now)
                .bind(last.as_str())
                .execute(self.file.pool())
                .await
                .map_err(from_sqlx)?;
            deleted += gone.rows_affected();
            after = last;
        }
    }
}

/// That of the row, if there is one.
fn epoch(rows: &[SqliteRow]) -> Result<Option<u64>, SqlStoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    given_epoch(row.try_get("epoch").map_err(from_sqlx)?).map(Some)
}
