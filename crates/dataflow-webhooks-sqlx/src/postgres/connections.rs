//! Owns how a call gets its connection.
//!
//! A pool drops a connection that it is opening when the call that asked for it runs out of time.
//! After an outage or a start under load all that wait are about to: each would begin to open one,
//! give up, and leave the server with the work for nothing; none would ever be open. So what was
//! begun here is brought to its end, and serves whoever is next.
//!
//! A pool also waits for ever for a connection that comes back in the middle of a statement. If it
//! leads nowhere any more, and nobody has said so, its place is lost until the kernel gives it up,
//! a quarter of an hour later. So here it has a time to show that it is alive.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The longest that opening a connection may take, whatever the pool's own time is.
const OPENING: Duration = Duration::from_secs(3);
/// How long a connection whose call has given up may take to end the statement.
const ENDING: Duration = Duration::from_secs(3);

/// The connections of a pool, and those who wait for one.
pub(super) struct Connections {
    pool: PgPool,
    /// As many as the pool has connections: who waits here has begun nothing, and may give up.
    places: Arc<Semaphore>,
}

/// A connection, and the place of its call.
pub(super) struct Connected {
    /// `None` only while it is dropped.
    held: Option<Held>,
    is_answered: bool,
}

struct Held {
    // In this order: it is back in the pool's hands before the next call comes.
    connection: PoolConnection<Postgres>,
    _place: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(pool: PgPool) -> Self {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
        Self { pool, places }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn get(&self) -> sqlx::Result<Connected> {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let pool = self.pool.clone();
        if pool.num_idle() > 0 {
            // Most calls find one that is open.
            return Ok(Connected::new(pool.acquire().await?, place));
        }
        let opening = tokio::spawn(async move {
            match timeout(OPENING, pool.acquire()).await {
                Ok(opened) => Ok(Connected::new(opened?, place)),
                Err(_elapsed) => Err(sqlx::Error::PoolTimedOut),
            }
        });
        // It ends otherwise only with the runtime.
        opening.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

impl Connected {
    fn new(connection: PoolConnection<Postgres>, place: OwnedSemaphorePermit) -> Self {
        // Nothing was asked yet.
        Self { held: Some(Held { connection, _place: place }), is_answered: true }
    }

    /// What `call` makes of the connection. If it is dropped before its end, the connection has to
    /// show that it still leads to the server.
    pub(super) async fn ask<T>(
        mut self,
        call: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let Some(held) = &mut self.held else { return Err(sqlx::Error::PoolClosed) };
        self.is_answered = false;
        let answer = call(&mut held.connection).await;
        self.is_answered = true;
        answer
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(held) = self.held.take()
            && !self.is_answered
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(held.end());
        }
    }
}

impl Held {
    async fn end(mut self) {
        if timeout(ENDING, self.connection.ping()).await.is_err() {
            self.connection.close_on_drop();
        }
    }
}
