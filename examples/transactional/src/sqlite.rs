//! The totals in a file of SQLite.

use std::sync::Arc;

use dataflow_webhooks_axum::BoxError;
use dataflow_webhooks_axum::dedup::{Claim, Terms};
use dataflow_webhooks_axum::event::PipelineRunCompleted;
use dataflow_webhooks_sqlx::{Cleanup, SqliteStore};
use receiver::{Failure, in_full};

use crate::totals::{ADD, CLEANUP, SCOPE, URL};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS pipeline_totals \
    (pipeline_id TEXT PRIMARY KEY, runs INTEGER NOT NULL, records INTEGER NOT NULL) STRICT";

#[derive(Clone)]
pub(crate) struct Totals {
    store: SqliteStore,
    /// Deletes the records past their retention until it is dropped.
    _cleanup: Arc<Cleanup>,
}

impl Totals {
    /// The file is made when there is none.
    pub(crate) async fn open(path: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            let what = format!("{URL} must name a file, as in sqlite://totals.db");
            return Err(Failure::in_configuration(what));
        }
        let cannot =
            |error: BoxError| Failure::at_run_time(format!("{URL}: {path}: {}", in_full(&*error)));
        let store = Self::make(path).await.map_err(cannot)?;
        let cleanup = Arc::new(store.spawn_cleanup(CLEANUP));
        Ok(Self { store, _cleanup: cleanup })
    }

    async fn make(path: &str) -> Result<SqliteStore, BoxError> {
        let store = SqliteStore::open(path, SCOPE).await?;
        store.migrate().await?;
        sqlx::query(TABLE).execute(store.pool()).await?;
        Ok(store)
    }

    pub(crate) fn store(&self) -> &SqliteStore {
        &self.store
    }

    pub(crate) async fn add(
        &self,
        run: &PipelineRunCompleted,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), BoxError> {
        let records = i64::try_from(run.records_processed)?;
        // The one writer from here on: no lease is renewed until it has ended, so be quick.
        let mut tx = self.store.pool().begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(ADD).bind(&run.pipeline_id).bind(records).execute(&mut *tx).await?;
        // The last statement. If another run has taken over meanwhile it is an error, and
        // dropping the transaction rolls it back.
        self.store.commit_in(&mut tx, claim, terms).await?;
        // If this fails nobody knows whether it happened. The next delivery does.
        tx.commit().await?;
        Ok(())
    }
}
