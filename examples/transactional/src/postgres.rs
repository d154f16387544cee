//! The totals in PostgreSQL.

use dataflow_webhooks_axum::BoxError;
use dataflow_webhooks_axum::dedup::{Claim, Terms};
use dataflow_webhooks_axum::event::PipelineRunCompleted;
use dataflow_webhooks_sqlx::PostgresStore;
use receiver::{Failure, in_full, until_done};

use crate::totals::{ADD, CLEANUP, SCOPE, URL};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS pipeline_totals \
    (pipeline_id text PRIMARY KEY, runs bigint NOT NULL, records bigint NOT NULL)";

#[derive(Clone)]
pub(crate) struct Totals {
    store: PostgresStore,
}

impl Totals {
    /// A server that is away does not keep the program from starting: deliveries are
    /// answered 503 until it is there.
    pub(crate) fn connect(url: &str) -> Result<Self, Failure> {
        let store = PostgresStore::connect_lazy(url, SCOPE);
        let wrong = |error| Failure::in_configuration(format!("{URL}: {}", in_full(&error)));
        let this = Self { store: store.map_err(wrong)? };
        tokio::spawn(this.clone().keep());
        Ok(this)
    }

    /// Makes the tables when the database is there, and deletes the records past their
    /// retention, for as long as the program runs.
    async fn keep(self) {
        until_done(URL, || self.make_tables()).await;
        let _cleanup = self.store.spawn_cleanup(CLEANUP);
        std::future::pending().await
    }

    async fn make_tables(&self) -> Result<(), BoxError> {
        sqlx::query(TABLE).execute(self.store.pool()).await?;
        // Last: without its table, no event is claimed.
        Ok(self.store.migrate().await?)
    }

    pub(crate) fn store(&self) -> &PostgresStore {
        &self.store
    }

    pub(crate) async fn add(
        &self,
        run: &PipelineRunCompleted,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), BoxError> {
        let records = i64::try_from(run.records_processed)?;
        let mut tx = self.store.pool().begin().await?;
        sqlx::query(ADD).bind(&run.pipeline_id).bind(records).execute(&mut *tx).await?;
        // The last statement. If another run has taken over meanwhile it is an error, and
        // dropping the transaction rolls it back.
        self.store.commit_in(&mut tx, claim, terms).await?;
        // If this fails nobody knows whether it happened. The next delivery does.
        tx.commit().await?;
        Ok(())
    }
}
