//! The durable queue, of one kind or another, and what all of them promise:
//!
//! - What was put is there after any crash, and is given out until a run has succeeded or it
//!   was given up on.
//! - The event's key is the queue's own: to put an event again changes nothing, for as long
//!   as the sender may come again, whether the first one has run meanwhile or not.
//! - Runs are counted where the job is, so that one which kills its process is given up on
//!   as well.

mod jobs;
mod letters;
mod nats;
mod postgres;
mod sqlite;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks_axum::BoxError;
use dataflow_webhooks_axum::dedup::{Claim, DedupKey, DedupStore, Terms};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use receiver::Failure;
use tokio_util::sync::CancellationToken;

use crate::settings::{NAME, Settings, URL, wrong_url};
use crate::work::Worker;

/// How long the queue remembers an event that was processed: three times the sender's retry
/// schedule, which ends 7 h 22 min after the first attempt ("Error Handling").
pub const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// How many expired records of the endpoint's are deleted in one transaction.
const BATCH: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not 0");

/// The name under which a key of the endpoint's is kept with a job.
const SIGNED_WITH: &str = "signed_with";

/// A durable queue.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Queue {
    /// apalis on a file of SQLite.
    Sqlite(sqlite::Queue),
    /// apalis on PostgreSQL.
    Postgres(postgres::Queue),
    /// A stream of NATS JetStream.
    Nats(Box<nats::Queue>),
}

/// What is put into a queue.
#[derive(Clone)]
#[allow(clippy::exhaustive_structs, reason = "who puts sets it up")]
pub struct Item {
    /// The event's key, which is the queue's own.
    pub key: DedupKey,
    /// The verified bytes, as they came.
    pub body: Bytes,
    /// The name of the key that they were signed with.
    pub signed_with: String,
}

/// The claim that a put completes, where the queue can do both in one transaction.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "who puts sets it up")]
pub struct Completing<'a> {
    /// The delivery's.
    pub claim: &'a Claim,
    /// The endpoint's.
    pub terms: Terms,
}

/// An event that was given up on.
#[derive(Clone)]
#[non_exhaustive]
pub struct Dead {
    /// Its key.
    pub key: String,
    /// The verified bytes.
    pub body: Bytes,
    /// How often it was taken out of the queue.
    pub attempts: u32,
    /// What the last attempt died of.
    pub error: String,
}

/// Not the body: it is your customers' data.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("key", &self.key)
            .field("body", &format_args!("[{} bytes elided]", self.body.len()))
            .finish_non_exhaustive()
    }
}

/// Not the body, as with an [`Item`].
impl fmt::Debug for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dead")
            .field("key", &self.key)
            .field("body", &format_args!("[{} bytes elided]", self.body.len()))
            .field("attempts", &self.attempts)
            .field("error", &self.error)
            .finish()
    }
}

/// Calls one of the three.
macro_rules! each {
    ($queue:expr, $it:ident => $call:expr) => {
        match $queue {
            Queue::Sqlite($it) => $call,
            Queue::Postgres($it) => $call,
            Queue::Nats($it) => $call,
        }
    };
}

impl Queue {
    /// Opens the queue that the settings name, and makes what of it is not there. A server
    /// that is away does not keep the program from starting: deliveries are answered 503
    /// until it is there.
    ///
    /// # Errors
    ///
    /// The URL is wrong (exit code 2), or the file cannot be made (1).
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        match kind(&settings.url)? {
            Kind::Sqlite(path) => sqlite::Queue::open(path, settings).await.map(Self::Sqlite),
            Kind::Postgres => postgres::Queue::open(settings).map(Self::Postgres),
            Kind::Nats => nats::Queue::open(settings).await.map(Box::new).map(Self::Nats),
        }
    }

    /// The same for a worker, which makes no file: where there is none, nobody puts anything.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and when there is no such file (exit code 2).
    pub async fn open_as_worker(settings: &Settings) -> Result<Self, Failure> {
        if let Kind::Sqlite(path) = kind(&settings.url)? {
            sqlite::must_exist(path)?;
        }
        Self::open(settings).await
    }

    /// The same for a person, who makes nothing and changes nothing by looking.
    ///
    /// # Errors
    ///
    /// The URL is wrong or there is no queue (exit code 2), or it cannot be asked (1).
    pub async fn open_as_person(settings: &Settings) -> Result<Self, Failure> {
        match kind(&settings.url)? {
            Kind::Sqlite(path) => {
                sqlite::Queue::open_as_person(path, settings).await.map(Self::Sqlite)
            }
            Kind::Postgres => postgres::Queue::open_as_person(settings).await.map(Self::Postgres),
            Kind::Nats => nats::Queue::open_as_person(settings).await.map(Box::new).map(Self::Nats),
        }
    }

    /// The dedup store in the same database, where there is one.
    #[must_use]
    pub fn dedup(&self) -> Option<Arc<dyn DedupStore>> {
        match self {
            Self::Sqlite(queue) => Some(Arc::new(queue.store().clone())),
            Self::Postgres(queue) => Some(Arc::new(queue.store().clone())),
            Self::Nats(_) => None,
        }
    }

    /// Puts an event into the queue, and completes its claim in the same transaction where
    /// there is such a thing. When this is done, the event survives any crash.
    ///
    /// # Errors
    ///
    /// Nobody knows whether it is in the queue, or the claim was lost and it is not: answer
    /// with an error, and the sender comes again. To put it again does no harm.
    pub async fn put(
        &self,
        item: &Item,
        completing: Option<Completing<'_>>,
    ) -> Result<(), BoxError> {
        match self {
            Self::Sqlite(queue) => queue.put(item, completing).await,
            Self::Postgres(queue) => queue.put(item, completing).await,
            // The road commits the claim after the answer; a crash between the two leaves it
            // to the queue to know the event.
            Self::Nats(queue) => queue.put(item).await,
        }
    }

    /// Works until `stopping`, and then to the end of the jobs that run.
    ///
    /// # Errors
    ///
    /// The queue has failed. Jobs that ran meanwhile may run again.
    pub async fn work(
        &self,
        worker: &Worker,
        stopping: &CancellationToken,
    ) -> Result<(), BoxError> {
        each!(self, queue => queue.work(worker, stopping).await)
    }

    /// The events that were given up on, the oldest first. However many they are, one at a
    /// time is in memory, and nothing waits while nobody asks for the next one.
    ///
    /// # Errors
    ///
    /// The queue cannot be asked: it is the last that comes.
    #[must_use]
    pub fn dead(&self) -> BoxStream<'_, Result<Dead, BoxError>> {
        each!(self, queue => queue.dead().boxed())
    }

    /// Deletes what was processed longer ago than this, and what the dedup store in the same
    /// database remembers no longer. What waits, runs, or was given up on stays.
    ///
    /// # Errors
    ///
    /// The queue cannot be asked.
    pub async fn clean_up(&self, older_than: Duration) -> Result<(), BoxError> {
        each!(self, queue => queue.clean_up(older_than).await)
    }

    /// Has the event with this key run again, its attempts counted anew, if it was given up
    /// on; tells whether it was. Of several keys, the first that is there is meant.
    ///
    /// # Errors
    ///
    /// The queue cannot be asked.
    pub async fn retry(&self, keys: &[&str]) -> Result<bool, BoxError> {
        each!(self, queue => queue.retry(keys).await)
    }
}

/// What a URL names.
enum Kind<'a> {
    /// The path of its file.
    Sqlite(&'a str),
    Postgres,
    Nats,
}

fn kind(url: &str) -> Result<Kind<'_>, Failure> {
    match url.split_once("://") {
        Some(("sqlite", "")) => Err(wrong_url("it must name a file, as in sqlite://inbox.db")),
        Some(("sqlite", path)) => Ok(Kind::Sqlite(path)),
        Some(("postgres" | "postgresql", _)) => Ok(Kind::Postgres),
        Some(("nats" | "tls", _)) => Ok(Kind::Nats),
        _ => Err(wrong_url("it must begin with sqlite://, postgres://, nats:// or tls://")),
    }
}

/// That there is no queue where one was looked for, and what to do.
fn no_queue(where_and_why: impl fmt::Display) -> Failure {
    wrong_url(format!(
        "there is no queue: {where_and_why}; correct {URL} or {NAME}, or start `inbox receiver`, \
         which makes it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn debug_shows_no_body_and_no_password() {
        let key = DedupKey::from_event_id("evt_1");
        let body = Bytes::from_static(b"the customer's data");
        let signed_with = "current".to_owned();
        let dead = Dead {
            key: "id:evt_1".to_owned(),
            body: body.clone(),
            attempts: 3,
            error: String::new(),
        };
        let settings = Settings::of("postgres://inbox:hunter2@127.0.0.1:1/inbox");
        let queue = Queue::open(&settings).await.unwrap();
        let shown =
            format!("{:?} {dead:?} {settings:?} {queue:?}", Item { key, body, signed_with });
        for secret in ["customer", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("19 bytes"), "{shown}");
    }
}
