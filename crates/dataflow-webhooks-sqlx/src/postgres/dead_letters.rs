//! Owns the sink of dead letters in PostgreSQL.

use std::sync::Arc;

use dataflow_webhooks::dead_letters::{DeadLetter, SinkFuture};
use dataflow_webhooks::dedup::Scope;
use sqlx::{PgPool, Postgres};

use super::migrate;
use super::server::{Server, from_sqlx};
use crate::dead_letters::{self, Kept, Table, Value};
use crate::error::SqlStoreError;

/// The statement, with a commit that waits for the disk even where the pool's connections do not:
/// whoever loses a letter has told the sender that all is well.
macro_rules! durably {
    ($file:literal) => {
        concat!(
            "WITH changed AS (",
            include_str!($file),
            ") SELECT event_id, letter, CASE WHEN current_setting('synchronous_commit') = 'off' ",
            "THEN set_config('synchronous_commit', 'on', true) END FROM changed"
        )
    };
}

/// Dead letters in PostgreSQL, in a table beside that of the dedup store.
///
/// [`PostgresStore::dead_letters`](crate::PostgresStore::dead_letters) gives that of a store, on the
/// same pool. [The crate's documentation](crate#dead-letters) tells what is in the table.
///
/// ```no_run
/// use dataflow_webhooks::BoxError;
/// use dataflow_webhooks::dead_letters::{DeadLetters as _, run_again};
/// use dataflow_webhooks_sqlx::PostgresStore;
///
/// # async fn handle(_: dataflow_webhooks::Event) -> Result<(), BoxError> { Ok(()) }
/// # async fn example() -> Result<(), BoxError> {
/// let store = PostgresStore::connect("postgres://app@db.internal/app", "orders").await?;
/// store.migrate().await?;
/// let letters = store.dead_letters();
/// for letter in letters.list(None, 100).await? {
///     println!("{} {} {}", letter.failed_at(), letter.id(), letter.reason());
/// }
/// run_again(&letters, "evt_1a2b3c4d5e6f", async |letter| handle(letter.event()).await).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresDeadLetters {
    server: Arc<Server>,
    scope: Scope,
}

impl PostgresDeadLetters {
    /// The letters of this scope, on a pool of your own: where the dedup store is another one.
    ///
    /// The scope names the endpoint: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`. Two endpoints
    /// that share a database must not share it. Storing, getting and removing a letter take at most
    /// 1.5 s each, and a page of a list 30 s, whatever the pool's own time-outs are.
    ///
    /// # Errors
    /// When the scope is wrong.
    pub fn new(pool: PgPool, scope: &str) -> Result<Self, SqlStoreError> {
        Ok(Self::on(Arc::new(Server::new(pool)), Scope::new(scope)?))
    }

    pub(super) fn on(server: Arc<Server>, scope: Scope) -> Self {
        Self { server, scope }
    }

    /// As [`PostgresStore::migrate`](crate::PostgresStore::migrate): makes the tables of both.
    ///
    /// # Errors
    /// When the database cannot be reached, or the user may not create tables.
    pub async fn migrate(&self) -> Result<(), SqlStoreError> {
        migrate::migrate(self.server.pool(), migrate::DEAD_LETTERS).await.map_err(from_sqlx)
    }
}

dead_letters::dead_letters!(PostgresDeadLetters);

impl Table for PostgresDeadLetters {
    const STORE: &'static str = durably!("../dead_letters/store.sql");
    const REMOVE: &'static str = durably!("../dead_letters/remove.sql");

    fn scope(&self) -> &str {
        self.scope.as_str()
    }

    async fn read(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Kept>, SqlStoreError> {
        let rows = self.server.rows(|| dead_letters::query(sql, self.scope(), values)).await?;
        dead_letters::kept::<Postgres>(&rows).map_err(from_sqlx)
    }

    async fn write(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Kept>, SqlStoreError> {
        self.read(sql, values).await
    }
}
