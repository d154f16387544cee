//! Owns the statements on the records.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::dedup::{DedupKey, Scope};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use super::server::{Server, from_sqlx};
use crate::error::SqlStoreError;
use crate::patience::within;
use crate::record::{Found, given_epoch};
use crate::store::{Records, Step};

/// The longest that a batch of deletions takes.
const BATCH: Duration = Duration::from_secs(30);

pub(super) struct PgRecords {
    server: Arc<Server>,
    scope: Scope,
}

impl PgRecords {
    pub(super) fn new(server: Server, scope: Scope) -> Self {
        Self { server: Arc::new(server), scope }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// What the other table of this scope is reached by.
    pub(super) fn reached_by(&self) -> (Arc<Server>, Scope) {
        (self.server.clone(), self.scope.clone())
    }

    fn on<'q>(&'q self, sql: &'static str, key: &'q DedupKey) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql).bind(self.scope()).bind(key.as_str())
    }
}

impl Records for PgRecords {
    type Connection = PgConnection;

    fn scope(&self) -> &str {
        self.scope.as_str()
    }

    async fn take(
        &self,
        key: &DedupKey,
        [lease, retention]: [i64; 2],
    ) -> Result<Step, SqlStoreError> {
        let make = || self.on(include_str!("make.sql"), key).bind(lease).bind(retention);
        if let Some(row) = self.server.rows(make).await?.first() {
            let epoch = given_epoch(row.try_get("epoch").map_err(from_sqlx)?)?;
            return Ok(Step { changed: Some(epoch), found: None });
        }
        let take = || self.on(include_str!("take.sql"), key).bind(lease).bind(retention);
        step(&self.server.rows(take).await?)
    }

    async fn change(&self, key: &DedupKey, numbers: [i64; 4]) -> Result<Step, SqlStoreError> {
        let query = || {
            let query = self.on(include_str!("change.sql"), key);
            numbers.into_iter().fold(query, Query::bind)
        };
        step(&self.server.rows(query).await?)
    }

    async fn commit_in(
        &self,
        connection: &mut PgConnection,
        key: &DedupKey,
        epoch: i64,
        retention: i64,
    ) -> Result<bool, SqlStoreError> {
        let commit = self.on(include_str!("commit_in.sql"), key).bind(epoch).bind(retention);
        Ok(!commit.fetch_all(connection).await.map_err(from_sqlx)?.is_empty())
    }

    async fn forget(&self, key: &DedupKey) -> Result<(), SqlStoreError> {
        self.server.rows(|| self.on(include_str!("forget.sql"), key)).await.map(drop)
    }

    async fn delete_expired(&self, batch: NonZeroU32) -> Result<u64, SqlStoreError> {
        let mut deleted = 0;
        let mut after = String::new();
        loop {
            let query = || {
                sqlx::query(include_str!("delete_expired.sql"))
                    .bind(self.scope())
                    .bind(after.as_str())
                    .bind(i64::from(batch.get()))
            };
            let rows = within(BATCH, self.server.rows(query)).await?;
            let Some(row) = rows.first() else { return Ok(deleted) };
            let gone: i64 = row.try_get("gone").map_err(from_sqlx)?;
            let last: Option<String> = row.try_get("last").map_err(from_sqlx)?;
            deleted += u64::try_from(gone).unwrap_or(0);
            match last {
                Some(last) if gone == i64::from(batch.get()) => after = last,
                _ => return Ok(deleted),
            }
        }
    }
}

fn step(rows: &[PgRow]) -> Result<Step, SqlStoreError> {
    let Some(row) = rows.first() else { return Ok(Step { changed: None, found: None }) };
    let read = || -> sqlx::Result<(Option<i64>, Option<Found>)> {
        let found = match row.try_get("state")? {
            None => None,
            Some(state) => {
                Some(Found { state, leased: row.try_get("leased")?, live: row.try_get("live")? })
            }
        };
        Ok((row.try_get("changed")?, found))
    };
    let (changed, found) = read().map_err(from_sqlx)?;
    let changed = changed.map(given_epoch).transpose()?;
    Ok(Step { changed, found })
}
