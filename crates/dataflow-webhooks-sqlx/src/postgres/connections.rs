//! Owns how a call gets its connection, and where that goes afterwards.
//!
//! A pool drops a connection that it is opening when the call that asked for it runs out of time.
//! After an outage or a start under load all that wait are about to: each would begin to open one,
//! give up, and leave the server with the work for nothing; none would ever be open. So what was
//! begun here is brought to its end, and serves whoever is next.
//!
//! A pool also waits for ever for a connection that comes back in the middle of a statement. If it
//! leads nowhere any more, and nobody has said so, its place is lost until the kernel gives it up,
//! a quarter of an hour later. So here it has a time to show that it is alive.
//!
//! And a pool asks the server about each connection that comes back: one more round trip, in a task
//! of its own. Where calls wait, a connection goes from one to the next, and skips that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The longest that opening a connection may take, whatever the pool's own time is.
const OPENING: Duration = Duration::from_secs(3);
/// How long a connection whose call has given up may take to end the statement.
const ENDING: Duration = Duration::from_secs(3);
/// So often in a row a connection skips the pool. Not more: a handler's own transaction waits in the
/// pool, and has its turn there only. The pool has to look at a connection's age now and then, too.
const HAND_OVERS: u32 = 16;

/// The connections of a pool, and those who wait for one.
pub(super) struct Connections {
    pool: PgPool,
    queue: Arc<Queue>,
}

struct Queue(Mutex<Waiting>);

struct Waiting {
    /// The places that nobody has; all together they are as many as the pool has connections.
    free: usize,
    /// The calls that wait for one: they have begun nothing, and may give up. None waits while a
    /// place is free.
    calls: VecDeque<oneshot::Sender<Place>>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use a connection, and perhaps one that comes with it. Dropped, both go to the call
/// that waits, or else back.
struct Place {
    queue: Arc<Queue>,
    handed: Option<Open>,
}

/// An open connection, and how often it has skipped the pool.
struct Open {
    connection: PoolConnection<Postgres>,
    skipped: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        let next = loop {
            match waiting.calls.pop_front() {
                Some(gave_up) if gave_up.is_closed() => {}
                Some(next) => break next,
                None => {
                    // In this order: it is in the pool's hands before the next call comes.
                    drop(self.handed.take());
                    waiting.free += 1;
                    return;
                }
            }
        };
        drop(waiting);
        let place = Self { queue: Arc::clone(&self.queue), handed: self.handed.take() };
        // A call that gives up at this very moment drops it, and it goes on to the next one.
        let _ = next.send(place);
    }
}

/// A connection, and the place of its call.
pub(super) struct Connected {
    /// `None` only while it is dropped.
    held: Option<Held>,
    is_answered: bool,
}

struct Held {
    // In this order: it is in the pool's hands before the next call comes.
    open: Open,
    place: Place,
}

impl Connections {
    pub(super) fn new(pool: PgPool) -> Self {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let waiting = Waiting { free: most.max(1), calls: VecDeque::new() };
        Self { pool, queue: Arc::new(Queue(Mutex::new(waiting))) }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn get(&self) -> sqlx::Result<Connected> {
        let mut place = self.place().await?;
        if let Some(open) = place.handed.take() {
            return Ok(Connected::new(open, place));
        }
        let pool = self.pool.clone();
        if pool.num_idle() > 0 {
            // Most calls find one that is open.
            return Ok(Connected::by_pool(pool.acquire().await?, place));
        }
        let opening = tokio::spawn(async move {
            match timeout(OPENING, pool.acquire()).await {
                Ok(opened) => Ok(Connected::by_pool(opened?, place)),
                Err(_elapsed) => Err(sqlx::Error::PoolTimedOut),
            }
        });
        // It ends otherwise only with the runtime.
        opening.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    async fn place(&self) -> sqlx::Result<Place> {
        let turn = {
            let mut waiting = self.queue.lock();
            if waiting.free > 0 {
                waiting.free -= 1;
                return Ok(Place { queue: Arc::clone(&self.queue), handed: None });
            }
            let (call, turn) = oneshot::channel();
            waiting.calls.push_back(call);
            turn
        };
        turn.await.map_err(|_| sqlx::Error::PoolClosed)
    }
}

impl Connected {
    fn by_pool(connection: PoolConnection<Postgres>, place: Place) -> Self {
        Self::new(Open { connection, skipped: 0 }, place)
    }

    fn new(open: Open, place: Place) -> Self {
        // Nothing was asked yet.
        Self { held: Some(Held { open, place }), is_answered: true }
    }

    /// What `call` makes of the connection. If it is dropped before its end, the connection has to
    /// show that it still leads to the server.
    pub(super) async fn ask<T>(
        mut self,
        call: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let Some(held) = &mut self.held else { return Err(sqlx::Error::PoolClosed) };
        self.is_answered = false;
        let answer = call(&mut held.open.connection).await;
        self.is_answered = true;
        if answer.is_ok() {
            self.hand_over();
        }
        answer
    }

    /// Nothing is under way on the connection: whoever waits may have it.
    fn hand_over(&mut self) {
        if let Some(Held { open: Open { connection, skipped }, mut place }) = self.held.take()
            && skipped < HAND_OVERS
        {
            place.handed = Some(Open { connection, skipped: skipped + 1 });
        }
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
        if timeout(ENDING, self.open.connection.ping()).await.is_err() {
            self.open.connection.close_on_drop();
        }
    }
}
