//! A connection that is made anew when it is lost, and the time that a call has.
//!
//! The client's own manager is not used: it answers the first call after an outage with the error
//! of its last attempt, so that the first delivery after it would be refused, and it does not
//! follow a primary that moves.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{RedisStoreError, RedisStoreErrorKind};
use crate::log;
use crate::manner::Times;
use crate::place::{Connection, Place};
use crate::policy::RedisWarning;
use crate::script::{Call, Reply};

/// A way to Redis.
pub(crate) struct Link {
    place: Place,
    times: Times,
    scope: String,
    live: Mutex<Option<Live>>,
    /// Held by the one who connects; holds why the last attempt failed.
    connecting: tokio::sync::Mutex<Option<RedisStoreError>>,
    /// How many attempts to connect have ended.
    attempts: AtomicU64,
    warnings: Mutex<Vec<RedisWarning>>,
}

#[derive(Clone)]
struct Live {
    /// Tells this connection from those before and after it.
    number: u64,
    connection: Connection,
}

impl Link {
    pub(crate) fn new(place: Place, times: Times, scope: &str) -> Self {
        Self {
            place,
            times,
            scope: scope.to_owned(),
            live: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(None),
            attempts: AtomicU64::new(0),
            warnings: Mutex::new(Vec::new()),
        }
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) const fn times(&self) -> Times {
        self.times
    }

    pub(crate) fn warnings(&self) -> Vec<RedisWarning> {
        lock(&self.warnings).clone()
    }

    /// Connects, if there is no connection.
    pub(crate) async fn connect(&self) -> Result<(), RedisStoreError> {
        self.live().await.map(drop)
    }

    /// Makes one call, within its time.
    ///
    /// When the connection is lost it is made anew, and the call once more. Each call may be
    /// repeated: what a second one finds is what the first has done, and the epoch tells whose it
    /// is. A claim whose answer was lost is then in flight until its lease lapses, as it would be
    /// without the repetition.
    pub(crate) async fn make(&self, call: &Call) -> Result<Reply, RedisStoreError> {
        self.make_within(self.times.call, call).await
    }

    /// The same with less time, for a second call that has what the first one has left.
    pub(crate) async fn make_within(
        &self,
        time: Duration,
        call: &Call,
    ) -> Result<Reply, RedisStoreError> {
        let mut used = None;
        match timeout(time, self.make_twice(call, &mut used)).await {
            Ok(done) => done,
            Err(_elapsed) => {
                // A server that is gone without a word looks like this as well: then the next call
                // must not wait for the same connection again.
                if let Some(number) = used {
                    self.give_up(number);
                }
                Err(too_late("Redis did not answer", time))
            }
        }
    }

    async fn make_twice(
        &self,
        call: &Call,
        used: &mut Option<u64>,
    ) -> Result<Reply, RedisStoreError> {
        match self.make_once(call, used).await {
            Err(error) if error.ask_elsewhere() && used.is_some() => {
                *used = None;
                self.make_once(call, used).await
            }
            done => done,
        }
    }

    /// Makes the call once; notes in `used` on which connection, as soon as there is one.
    async fn make_once(
        &self,
        call: &Call,
        used: &mut Option<u64>,
    ) -> Result<Reply, RedisStoreError> {
        let Live { number, mut connection } = self.live().await?;
        *used = Some(number);
        connection.make(call).await.map_err(|error| {
            let error = RedisStoreError::from_client(error);
            if error.ask_elsewhere() {
                self.give_up(number);
            }
            error
        })
    }

    /// The connection; it is made if there is none. Many may wait for it, and one makes it.
    async fn live(&self) -> Result<Live, RedisStoreError> {
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let ended = self.attempts.load(Ordering::Acquire);
        let mut last_failure = self.connecting.lock().await;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        if self.attempts.load(Ordering::Acquire) != ended {
            // An attempt has failed while this call waited for it: that is its answer too, or all
            // that wait would try one after the other.
            if let Some(failure) = &*last_failure {
                return Err(failure.clone());
            }
        }
        let made = self.open().await;
        let number = self.attempts.fetch_add(1, Ordering::AcqRel);
        match made {
            Ok(connection) => {
                *last_failure = None;
                let live = Live { number, connection };
                *lock(&self.live) = Some(live.clone());
                Ok(live)
            }
            Err(failure) => {
                *last_failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Opens one connection, and reads what is worth a warning.
    async fn open(&self) -> Result<Connection, RedisStoreError> {
        let within = self.times.connect;
        let mut connection = in_time(within, self.place.connect(within))
            .await
            .ok_or_else(|| too_late("Redis could not be connected to", within))?
            .map_err(RedisStoreError::from_client)?;
        // A node of a Cluster that is silent must not use up the call that this is for.
        if let Some(found) = in_time(within / 2, connection.warnings()).await {
            let mut known = lock(&self.warnings);
            for warning in found.iter().filter(|warning| !known.contains(warning)) {
                log::warning(&self.scope, warning);
            }
            *known = found;
        }
        Ok(connection)
    }

    fn current(&self) -> Option<Live> {
        lock(&self.live).clone()
    }

    /// Lets go of this connection, if it is still the one in use: the next call makes another.
    fn give_up(&self, number: u64) {
        if self.place.is_ours_to_mend() {
            let mut live = lock(&self.live);
            if live.as_ref().is_some_and(|live| live.number == number) {
                *live = None;
            }
        }
    }
}

async fn in_time<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    timeout(time, work).await.ok()
}

fn too_late(what: &str, time: Duration) -> RedisStoreError {
    RedisStoreError::new(
        RedisStoreErrorKind::TimedOut,
        format!("{what} within {} ms", time.as_millis()),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is replaced as a whole, so it is whole after a panic too.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
