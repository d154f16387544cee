//! The totals of each pipeline, in the database that `DATABASE_URL` names. A program with
//! one database needs one of the two modules, and nothing of this one but the statement.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks_axum::BoxError;
use dataflow_webhooks_axum::dedup::{Claim, DedupStore, Terms};
use dataflow_webhooks_axum::event::PipelineRunCompleted;
use receiver::Failure;

use crate::{postgres, sqlite};

/// The variable that names the database.
pub(crate) const URL: &str = "DATABASE_URL";

/// The endpoint's name in the store: all its processes have the same one.
pub(crate) const SCOPE: &str = "pipeline_totals";

/// How often records past their retention are deleted.
pub(crate) const CLEANUP: Duration = Duration::from_secs(10 * 60);

/// Adds a run to its pipeline: what must happen once, for twice would count it twice.
pub(crate) const ADD: &str = "\
    INSERT INTO pipeline_totals (pipeline_id, runs, records) VALUES ($1, 1, $2) \
    ON CONFLICT (pipeline_id) DO UPDATE SET \
    runs = pipeline_totals.runs + 1, records = pipeline_totals.records + excluded.records";

#[derive(Clone)]
pub(crate) enum Totals {
    Postgres(postgres::Totals),
    Sqlite(sqlite::Totals),
}

impl Totals {
    pub(crate) async fn from_env() -> Result<Self, Failure> {
        let url = env::var(URL).unwrap_or_default();
        match url.split_once("://") {
            Some(("postgres" | "postgresql", _)) => {
                postgres::Totals::connect(&url).map(Self::Postgres)
            }
            Some(("sqlite", path)) => sqlite::Totals::open(path).await.map(Self::Sqlite),
            // Not a word of it: it may hold a password.
            _ => Err(Failure::in_configuration(format!(
                "{URL} must be set, and begin with postgres:// or sqlite://"
            ))),
        }
    }

    /// The dedup store in this database.
    pub(crate) fn store(&self) -> Arc<dyn DedupStore> {
        match self {
            Self::Postgres(totals) => Arc::new(totals.store().clone()),
            Self::Sqlite(totals) => Arc::new(totals.store().clone()),
        }
    }

    /// Adds a run and completes its event, both or neither.
    pub(crate) async fn add(
        &self,
        run: &PipelineRunCompleted,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), BoxError> {
        match self {
            Self::Postgres(totals) => totals.add(run, claim, terms).await,
            Self::Sqlite(totals) => totals.add(run, claim, terms).await,
        }
    }
}
