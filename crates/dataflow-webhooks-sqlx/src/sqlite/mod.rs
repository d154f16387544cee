//! Owns the store in SQLite: how it is made.

mod dead_letters;
mod file;
mod migrate;
mod records;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, Scope, Terms};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool, SqliteTransaction};

pub use self::dead_letters::SqliteDeadLetters;
use self::file::{File, from_sqlx, while_locked};
use self::records::{Clock, SqliteRecords};
use crate::cleanup::Cleanup;
use crate::error::{CommitError, SqlStoreError, SqlStoreErrorKind};
use crate::store::{self, Records as _, dedup_store};

/// How many connections a pool has that [`SqliteStore::open`] makes.
const CONNECTIONS: u32 = 4;
/// How long a statement waits for whoever writes. sqlx's own 5 s are all the patience of the sender
/// ("Endpoint Requirements").
const BUSY: Duration = Duration::from_secs(1);
const ACQUIRE: Duration = Duration::from_millis(1_500);

/// A dedup store in a file of SQLite, for all processes of one machine.
///
/// It survives a restart, and the processes of one machine share it; not those of several: SQLite
/// and network file systems do not go together. Clones share their pool. [The crate's
/// documentation](crate) tells what can be lost.
///
/// ```
/// use dataflow_webhooks::dedup::{ClaimOutcome, DedupKey, DedupStore as _, Held, Terms};
/// use dataflow_webhooks_sqlx::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let path = std::env::temp_dir().join(format!("sqlite-store-{}.db", std::process::id()));
/// let store = SqliteStore::open(&path, "orders").await?;
/// store.migrate().await?;
///
/// let (key, terms) = (DedupKey::from_event_id("evt_1a2b3c4d5e6f"), Terms::default());
/// let ClaimOutcome::New(claim) = store.claim(&key, terms).await? else { panic!() };
/// assert_eq!(store.commit(&claim, terms).await?, Held::Yes);
/// assert_eq!(store.claim(&key, terms).await?, ClaimOutcome::Done);
/// # store.pool().close().await;
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    records: Arc<SqliteRecords>,
}

impl SqliteStore {
    /// A store on a pool of your own, which your handlers may use as well. Make it of
    /// [`options`](Self::options), or know why not. The scope is as for [`open`](Self::open).
    ///
    /// A call takes at most 1.5 s whatever the pool's own time-outs are.
    ///
    /// When the disk is full SQLite ends a transaction by itself, and sqlx 0.9 takes its connection
    /// to be in it for good: no other one begins there. The pool of [`open`](Self::open) replaces
    /// such a connection. Let yours do so too, if your handlers have transactions on it:
    ///
    /// ```
    /// use dataflow_webhooks_sqlx::SqliteStore;
    /// use sqlx::{Connection as _, sqlite::SqlitePoolOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dataflow_webhooks::BoxError> {
    /// let pool = SqlitePoolOptions::new()
    ///     .before_acquire(|connection, _| {
    ///         let is_free = !connection.is_in_transaction();
    ///         Box::pin(async move { Ok(is_free) })
    ///     })
    ///     .connect_lazy_with(SqliteStore::options("app.db"));
    /// let store = SqliteStore::new(pool, "orders")?;
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the scope is wrong.
    pub fn new(pool: SqlitePool, scope: &str) -> Result<Self, SqlStoreError> {
        Ok(Self { records: Arc::new(SqliteRecords::new(File::new(pool), Scope::new(scope)?)) })
    }

    /// Opens the file, which is made when there is none, with a pool of at most 4 connections. Its
    /// folder must be writable: SQLite keeps two more files beside it, with `-wal` and `-shm` at
    /// the end of their names. A new file has the permissions 0600 (on Unix), for dead letters and
    /// your own tables may be in it; one that is there keeps its own.
    ///
    /// The scope names the endpoint: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`. All processes of
    /// one endpoint use the same one, and two endpoints that share a file must not: the event ids
    /// of one would answer for those of the other.
    ///
    /// # Errors
    /// When the scope is wrong, the path is empty or `:memory:` (that is what
    /// [`MemoryStore`](dataflow_webhooks::dedup::MemoryStore) is for), or the file cannot be opened.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time driver on.
    pub async fn open(path: impl AsRef<Path>, scope: &str) -> Result<Self, SqlStoreError> {
        let (path, scope) = (path.as_ref(), Scope::new(scope)?);
        if path.as_os_str().is_empty() || path == Path::new(":memory:") {
            let what = format!("{path:?} is not the path of a file");
            return Err(SqlStoreError::new(SqlStoreErrorKind::InvalidUrl, what));
        }
        file::make_for_owner(path);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            // A full disk ends a transaction behind the back of sqlx, whose connection would
            // begin none any more: another one takes its place.
            .before_acquire(|connection, _| {
                let is_free = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_free) })
            })
            .connect_lazy_with(Self::options(path));
        let file = File::new(pool);
        // To turn the write-ahead log on takes the file alone, and does not wait for it.
        while_locked(|| file.connect()).await?;
        Ok(Self { records: Arc::new(SqliteRecords::new(file, scope)) })
    }

    /// What a connection must be like for this store: the write-ahead log (readers and the writer
    /// do not hinder one another), `synchronous` FULL (a commit that was answered survives a loss
    /// of power), a busy time-out of 1 s; the file is made when there is none.
    #[must_use]
    pub fn options(path: impl AsRef<Path>) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
    }

    /// The same store on another clock, for tests: it tells the time since a moment that does not
    /// change. Unless told, that is the system's clock.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { records: Arc::new(self.records.on_clock(Clock::Given(Box::new(clock)))) }
    }

    /// The pool, for a handler's own transactions. Begin them with `begin_with("BEGIN IMMEDIATE")`:
    /// one that reads first and then writes fails at once when another has written in between.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        self.records.file().pool()
    }

    /// Makes the tables, or brings them to this version of the crate. Done before, it changes nothing.
    /// Any number of processes may do it at once.
    ///
    /// You may create the tables by yourself instead: [the crate's documentation](crate) has the
    /// SQL.
    ///
    /// # Errors
    /// When the file cannot be written, or is locked for 10 s.
    pub async fn migrate(&self) -> Result<(), SqlStoreError> {
        while_locked(|| async { migrate::migrate(self.pool()).await.map_err(from_sqlx) }).await
    }

    /// The sink of dead letters beside this store, with its scope and on its pool: for
    /// [`EndpointBuilder::dead_letters`](dataflow_webhooks::EndpointBuilder::dead_letters), and for
    /// whoever looks at the letters.
    #[must_use]
    pub fn dead_letters(&self) -> SqliteDeadLetters {
        let (file, scope) = self.records.reached_by();
        SqliteDeadLetters::on(file, scope)
    }

    /// Marks the event as done inside a transaction of your own, so that your writes and the
    /// completion are one atomic step. Let it be the last statement before `tx.commit()`.
    ///
    /// The claim is [`Delivery::claim`](dataflow_webhooks::Delivery::claim), and the terms are
    /// those of the endpoint's limits. When the handler has answered 2xx, its own commit finds the
    /// event done under this very claim, and changes nothing. The transaction must be on the file
    /// of this store; [the crate's documentation](crate#effects-that-happen-once) has the whole
    /// story.
    ///
    /// Keep the transaction short: SQLite has one writer, so for as long as it lasts no event can
    /// be claimed and no lease renewed, in any process.
    ///
    /// ```no_run
    /// use dataflow_webhooks::{Delivery, Endpoint};
    /// use dataflow_webhooks_sqlx::SqliteStore;
    ///
    /// async fn handle(
    ///     delivery: &Delivery,
    ///     endpoint: &Endpoint,
    ///     store: &SqliteStore,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let claim = delivery.claim().ok_or("the endpoint has no dedup store")?;
    ///     let mut tx = store.pool().begin_with("BEGIN IMMEDIATE").await?;
    ///     sqlx::query("INSERT INTO orders (id) VALUES (?1)")
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
    /// then be rolled back: dropping it does.
    pub async fn commit_in(
        &self,
        tx: &mut SqliteTransaction<'_>,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), CommitError> {
        store::commit_in(&*self.records, &mut **tx, claim, terms).await
    }

    /// Deletes all expired records of this scope, at most `batch` of them in one transaction;
    /// tells how many. Records whose retention is not over stay, whatever their state.
    ///
    /// # Errors
    /// When the file cannot be written, or is locked for longer than a busy time-out. What was
    /// deleted until then is gone.
    pub async fn delete_expired(&self, batch: NonZeroU32) -> Result<u64, SqlStoreError> {
        self.records.delete_expired(batch).await
    }

    /// Starts a task that deletes expired records at once and again after each interval, 1 s or
    /// more, until the handle is dropped. What fails is logged and tried again.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_cleanup(&self, interval: Duration) -> Cleanup {
        Cleanup::spawn(interval, self.records.clone())
    }
}

dedup_store!(SqliteStore);
