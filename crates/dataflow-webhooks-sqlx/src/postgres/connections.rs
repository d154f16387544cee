//! Owns how a call gets its connection.
//!
//! A pool drops a connection that it is opening when the call that asked for it runs out of time.
//! After an outage or a start under load all that wait are about to: each would begin to open one,
//! give up, and leave the server with the work for nothing; none would ever be open. So what was
//! begun here is brought to its end, and serves whoever is next.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The longest that opening a connection may take, whatever the pool's own time is.
const OPENING: Duration = Duration::from_secs(3);

/// The connections of a pool, and those who wait for one.
pub(super) struct Connections {
    pool: PgPool,
    /// As many as the pool has connections: who waits here has begun nothing, and may give up.
    places: Arc<Semaphore>,
}

/// A connection, and the place of its call.
pub(super) struct Connected {
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
            return Ok(Connected { connection: pool.acquire().await?, _place: place });
        }
        let opening = tokio::spawn(async move {
            match timeout(OPENING, pool.acquire()).await {
                Ok(opened) => Ok(Connected { connection: opened?, _place: place }),
                Err(_elapsed) => Err(sqlx::Error::PoolTimedOut),
            }
        });
        // It ends otherwise only with the runtime.
        opening.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

impl Deref for Connected {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Connected {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
