//! Owns the store in PostgreSQL: how it is made.

mod connections;
mod dead_letters;
mod migrate;
mod records;
mod server;
mod url;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, Scope, Terms};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgPool, PgTransaction};

pub use self::dead_letters::PostgresDeadLetters;
use self::records::PgRecords;
use self::server::{Server, from_sqlx};
use crate::cleanup::Cleanup;
use crate::error::{CommitError, SqlStoreError};
use crate::store::{self, Records as _, dedup_store};

/// How many connections a pool has that [`PostgresStore::connect`] makes.
const CONNECTIONS: u32 = 10;
/// How long such a pool tries to get one.
const ACQUIRE: Duration = Duration::from_millis(1_400);
/// A connection that was idle for longer is tried before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// A dedup store in PostgreSQL, for all processes of an endpoint.
///
/// Clones share their pool. [The crate's documentation](crate) tells what it does when the
/// database is away, and what can be lost.
///
/// ```no_run
/// use dataflow_webhooks::{Endpoint, KeyRing};
/// use dataflow_webhooks_sqlx::PostgresStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::connect("postgres://app@db.internal/app", "orders").await?;
/// store.migrate().await?;
/// let _cleanup = store.spawn_cleanup(std::time::Duration::from_secs(60));
/// let endpoint = Endpoint::builder(KeyRing::from_env()?).dedup(store).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    records: Arc<PgRecords>,
}

impl PostgresStore {
    /// A store on a pool of your own, which your handlers may use as well.
    ///
    /// The scope names the endpoint: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`. All processes of
    /// one endpoint use the same one, and two endpoints that share a database must not: the event
    /// ids of one would answer for those of the other.
    ///
    /// A call takes at most 1.5 s whatever the pool's own time-outs are. It needs one connection;
    /// a handler that holds one meanwhile must leave enough for the renewals of its own lease, so
    /// let the pool have more connections than handlers run at once, or give the store another
    /// pool. The default isolation of the pool's connections does not matter.
    ///
    /// # Errors
    /// When the scope is wrong.
    pub fn new(pool: PgPool, scope: &str) -> Result<Self, SqlStoreError> {
        Ok(Self { records: Arc::new(PgRecords::new(Server::new(pool), Scope::new(scope)?)) })
    }

    /// Connects to `postgres://[user[:password]@]host[:port]/database[?sslmode=…]`, with a pool of
    /// at most 10 connections. The scope is as for [`new`](Self::new).
    ///
    /// The environment variables of libpq (`PGPASSWORD`, `PGSSLMODE`, …) count where the URL says
    /// nothing. In the user and the password `/`, `?`, `#` and `%` are percent-encoded, and so is an
    /// `@` anywhere but before the host.
    ///
    /// # Errors
    /// When the URL or the scope is wrong, or there is no connection within 1.4 s. A receiver that is
    /// to start while the database is down uses [`connect_lazy`](Self::connect_lazy).
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers on.
    pub async fn connect(url: &str, scope: &str) -> Result<Self, SqlStoreError> {
        let store = Self::connect_lazy(url, scope)?;
        store.records.server().connect().await?;
        Ok(store)
    }

    /// A store that connects with its first call: a receiver can then start while the database is
    /// down, answers 503, and passes deliveries as soon as it is up. The URL and the scope are as
    /// for [`connect`](Self::connect).
    ///
    /// # Errors
    /// When the URL or the scope is wrong.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers on.
    pub fn connect_lazy(url: &str, scope: &str) -> Result<Self, SqlStoreError> {
        let scope = Scope::new(scope)?;
        let options = url::options(url)?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            // Under load this saves each call a round trip; a call whose connection turns out to be
            // dead is made again on another one.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { records: Arc::new(PgRecords::new(Server::new(pool), scope)) })
    }

    /// The pool, for a handler's own transactions.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.records.server().pool()
    }

    /// Makes the tables, or brings them to this version of the crate. Done before, it changes nothing
    /// and needs no rights. Any number of processes may do it at once.
    ///
    /// The tables are made in the first schema of the connections' `search_path`. You may create them
    /// by yourself instead: [the crate's documentation](crate) has the SQL.
    ///
    /// # Errors
    /// When the database cannot be reached, or the user may not create tables.
    pub async fn migrate(&self) -> Result<(), SqlStoreError> {
        migrate::migrate(self.pool(), migrate::DEDUP).await.map_err(from_sqlx)
    }

    /// The sink of dead letters beside this store, with its scope and on its pool: for
    /// [`EndpointBuilder::dead_letters`](dataflow_webhooks::EndpointBuilder::dead_letters), and for
    /// whoever looks at the letters.
    #[must_use]
    pub fn dead_letters(&self) -> PostgresDeadLetters {
        let (server, scope) = self.records.reached_by();
        PostgresDeadLetters::on(server, scope)
    }

    /// Marks the event as done inside a transaction of your own, so that your writes and the
    /// completion are one atomic step. Let it be the last statement before `tx.commit()`.
    ///
    /// The claim is [`Delivery::claim`](dataflow_webhooks::Delivery::claim), and the terms are
    /// those of the endpoint's limits. When the handler has answered 2xx, its own commit finds the
    /// event done under this very claim, and changes nothing. The transaction must be on the
    /// database of this store; [the crate's documentation](crate#effects-that-happen-once) has the
    /// whole story.
    ///
    /// ```no_run
    /// use dataflow_webhooks::{Delivery, Endpoint};
    /// use dataflow_webhooks_sqlx::PostgresStore;
    ///
    /// async fn handle(
    ///     delivery: &Delivery,
    ///     endpoint: &Endpoint,
    ///     store: &PostgresStore,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let claim = delivery.claim().ok_or("the endpoint has no dedup store")?;
    ///     let mut tx = store.pool().begin().await?;
    ///     sqlx::query("INSERT INTO orders (id) VALUES ($1)")
    ///         .bind(delivery.id())
    ///         .execute(&mut *tx)
    ///         .await?;
    ///     store.commit_in(&mut tx, claim, endpoint.limits().terms()).await?;
    ///     tx.commit().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// When the claim was lost meanwhile, or the database could not do it. The transaction must
    /// then be rolled back: dropping it does. Under an isolation above READ COMMITTED, a renewal of
    /// the lease since the transaction's first statement fails it as well.
    pub async fn commit_in(
        &self,
        tx: &mut PgTransaction<'_>,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), CommitError> {
        store::commit_in(&*self.records, &mut **tx, claim, terms).await
    }

    /// Deletes all expired records of this scope, at most `batch` of them in one transaction;
    /// tells how many. Records whose retention is not over stay, whatever their state.
    ///
    /// It reads each of the scope's records once. Records that a transaction has locked are left
    /// for another time.
    ///
    /// # Errors
    /// When the database cannot be reached, or a batch takes longer than 30 s. What was deleted
    /// until then is gone.
    pub async fn delete_expired(&self, batch: NonZeroU32) -> Result<u64, SqlStoreError> {
        self.records.delete_expired(batch).await
    }

    /// Starts a task that deletes expired records at once and again after each interval, 1 s or
    /// more, until the handle is dropped. What fails is logged and tried again. Each process of a
    /// fleet may have one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_cleanup(&self, interval: Duration) -> Cleanup {
        Cleanup::spawn(interval, self.records.clone())
    }
}

dedup_store!(PostgresStore);
