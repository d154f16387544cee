//! The queue in a stream of NATS JetStream.
//!
//! One stream, two subjects: events, and those that were given up on. Messages stay when
//! they were processed: after a restart the server knows of an id again only what is in the
//! stream. [`Queue::clean_up`] deletes them when nobody can come again with theirs.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, Stream};
use async_nats::jetstream::{AckKind, Message};
use async_nats::{ConnectOptions, HeaderMap, ServerAddr};
use dataflow_webhooks_axum::BoxError;
use futures_util::TryStreamExt as _;
use percent_encoding::percent_decode_str;
use receiver::{Failure, in_full, until_done};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Dead, Item, REMEMBERED, SIGNED_WITH};
use crate::settings::{Settings, URL, wrong_url};
use crate::work::{End, Queued, Worker};

/// The sender's schedule, with a margin: what the stream must remember at least.
const SCHEDULE: Duration = Duration::from_secs(8 * 60 * 60);

/// The consumer that all workers share.
const CONSUMER: &str = "worker";

const KEY: &str = "Event-Key";
const ATTEMPTS: &str = "Attempts";
const ERROR: &str = "Error";

/// The server may take so long to answer: the sender's patience is 5 s.
const ANSWER: Duration = Duration::from_secs(2);

/// How often the client is asked whether it has a connection, while it has none.
const ASK: Duration = Duration::from_millis(20);

/// How long a worker that has nothing to do waits at a time; so long its end can take.
const LOOK: Duration = Duration::from_secs(1);

/// The largest message that may be put, in bytes: a body of 1 MiB, which is the endpoint's
/// limit unless told, and what is known of it.
const LARGEST: usize = (1 << 20) + (16 << 10);

/// Events that wait for another attempt are as many as these at most, and then no other is
/// given out.
const WAITING: i64 = 100_000;

/// The queue in a stream of NATS JetStream.
#[derive(Debug, Clone)]
pub struct Queue {
    context: Context,
    name: String,
}

impl Queue {
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let (options, server) = apart(&settings.url)?;
        // It connects when the server is there, and again when it comes back.
        let client = options
            .retry_on_initial_connect()
            .connect(server)
            .await
            .map_err(|error| wrong_url(in_full(&error)))?;
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(ANSWER);
        let this = Self { context, name: settings.name.clone() };
        let making = this.clone();
        tokio::spawn(async move {
            until_done(URL, || async { making.stream().await.map(drop) }).await;
        });
        Ok(this)
    }

    /// The stream, made when there is none. One of your own making is taken as it is.
    async fn stream(&self) -> Result<Stream, BoxError> {
        let config = stream::Config {
            name: self.name.clone(),
            subjects: vec![self.events(), self.given_up()],
            duplicate_window: REMEMBERED,
            ..Default::default()
        };
        let stream = self.context.get_or_create_stream(config).await?;
        let window = stream.cached_info().config.duplicate_window;
        if window < SCHEDULE {
            warn!("the stream's duplicate window is {window:?}: an event sent again runs again");
        }
        let takes = self.context.client().max_payload();
        if takes < LARGEST {
            warn!("the server's max_payload is {takes}: some events it will never take");
        }
        Ok(stream)
    }

    fn events(&self) -> String {
        format!("{}.events", self.name)
    }

    fn given_up(&self) -> String {
        format!("{}.dead", self.name)
    }

    pub(super) async fn put(&self, item: &Item) -> Result<(), BoxError> {
        let key = item.key.as_str();
        let message = PublishMessage::build()
            .payload(item.body.clone())
            .message_id(key)
            .header(KEY, key)
            .header(SIGNED_WITH, &*item.signed_with);
        self.connected().await?;
        Ok(self.publish(self.events(), message).await?)
    }

    /// Waits for the server for a while. The client would keep what is published without one,
    /// thousands of bodies, until it is back.
    async fn connected(&self) -> Result<(), BoxError> {
        let client = self.context.client();
        let connected = async {
            while client.connection_state() != State::Connected {
                sleep(ASK).await;
            }
        };
        Ok(timeout(ANSWER, connected).await.map_err(|_| "there is no connection to the server")?)
    }

    /// Waits until the server has it: also when it had it before, under the same message id.
    async fn publish(&self, subject: String, message: PublishMessage) -> Result<(), PublishError> {
        self.context.send_publish(subject, message).await?.await?;
        Ok(())
    }

    pub(super) async fn work(
        &self,
        worker: &Worker,
        stopping: &CancellationToken,
    ) -> Result<(), BoxError> {
        let places = Arc::new(Semaphore::new(worker.limits().workers));
        let mut jobs = JoinSet::new();
        let worked = loop {
            match self.take(worker, &places, &mut jobs, stopping).await {
                // A job may take long, and the others do not wait for it.
                Err(error) if !jobs.is_empty() && !stopping.is_cancelled() => {
                    warn!("the queue: no job taken: {}", in_full(&*error));
                    sleep(LOOK).await;
                }
                worked => break worked,
            }
        };
        // Awaited also when the server fails: they run to their end.
        while jobs.join_next().await.is_some() {}
        worked
    }

    /// The place in the stream that all workers share.
    async fn consumer(&self, lease: Duration) -> Result<Consumer<pull::Config>, BoxError> {
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            filter_subject: self.events(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: lease,
            max_ack_pending: WAITING,
            ..Default::default()
        };
        Ok(self.stream().await?.create_consumer(config).await?)
    }

    /// Takes messages and starts their jobs until `stopping`, or the server fails.
    async fn take(
        &self,
        worker: &Worker,
        places: &Arc<Semaphore>,
        jobs: &mut JoinSet<()>,
        stopping: &CancellationToken,
    ) -> Result<(), BoxError> {
        let consumer = self.consumer(worker.limits().lease).await?;
        loop {
            let place = tokio::select! {
                place = Arc::clone(places).acquire_owned() => place?,
                () = stopping.cancelled() => return Ok(()),
            };
            while jobs.try_join_next().is_some() {}
            // One by one, and never broken off: what was given out and not taken would be
            // an attempt, and wait for a lease.
            let Some(message) = next(&consumer).await? else {
                if stopping.is_cancelled() {
                    return Ok(());
                }
                continue;
            };
            let (this, worker) = (self.clone(), worker.clone());
            jobs.spawn(async move {
                this.run(&worker, message).await;
                drop(place);
            });
        }
    }

    async fn run(&self, worker: &Worker, message: Message) {
        if let Err(error) = self.try_to_run(worker, &message).await {
            let error = in_full(&*error);
            error!("a job ran, and the queue was not told: it runs again: {error}");
        }
    }

    async fn try_to_run(&self, worker: &Worker, message: &Message) -> Result<(), BoxError> {
        let attempt = u32::try_from(message.info()?.delivered)?;
        let headers = message.headers.clone().unwrap_or_default();
        let job = worker.run(Queued {
            key: text(&headers, KEY),
            body: message.payload.clone(),
            signed_with: text(&headers, SIGNED_WITH),
            attempt,
        });
        let end = while_renewed(message, worker.limits().lease, job).await;
        let last = match end {
            End::Done => AckKind::Ack,
            End::Again(pause, _) => AckKind::Nak(Some(pause)),
            End::GivenUp(why) => {
                self.give_up(message, &headers, attempt, &why).await?;
                AckKind::Term
            }
        };
        message.double_ack_with(last).await
    }

    async fn give_up(
        &self,
        message: &Message,
        headers: &HeaderMap,
        attempts: u32,
        why: &str,
    ) -> Result<(), BoxError> {
        // Of this message, not of its event: that one may run again and fail again.
        let id = format!("dead:{}", message.info()?.stream_sequence);
        let dead = |why| {
            let dead = PublishMessage::build()
                .payload(message.payload.clone())
                .message_id(&*id)
                .header(KEY, &*text(headers, KEY))
                .header(SIGNED_WITH, &*text(headers, SIGNED_WITH))
                .header(ATTEMPTS, attempts.to_string())
                .header(ERROR, why);
            self.publish(self.given_up(), dead)
        };
        match dead(why).await {
            // The event leaves no room for why.
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                Ok(dead("see the worker's log").await?)
            }
            done => Ok(done?),
        }
    }

    pub(super) async fn dead(&self) -> Result<Vec<Dead>, BoxError> {
        let dead = |message: Message| {
            let headers = message.headers.clone().unwrap_or_default();
            Dead {
                key: text(&headers, KEY),
                body: message.payload.clone(),
                attempts: text(&headers, ATTEMPTS).parse().unwrap_or_default(),
                error: text(&headers, ERROR),
            }
        };
        Ok(self.given_up_on().await?.into_iter().map(dead).collect())
    }

    async fn given_up_on(&self) -> Result<Vec<Message>, BoxError> {
        let config = pull::Config {
            filter_subject: self.given_up(),
            ack_policy: AckPolicy::None,
            ..Default::default()
        };
        let mut consumer = self.stream().await?.create_consumer(config).await?;
        let mut left = consumer.info().await?.num_pending;
        let mut all = Vec::new();
        while left > 0 {
            let Some(message) = next(&consumer).await? else { break };
            left = message.info()?.pending;
            all.push(message);
        }
        Ok(all)
    }

    pub(super) async fn retry(&self, key: &str) -> Result<bool, BoxError> {
        let stream = self.stream().await?;
        let mut found = false;
        for message in self.given_up_on().await? {
            let headers = message.headers.clone().unwrap_or_default();
            if text(&headers, KEY) != key {
                continue;
            }
            let sequence = message.info()?.stream_sequence;
            let again = PublishMessage::build()
                .payload(message.payload.clone())
                // Not the event's own, which the stream knows; and the same when a crash
                // comes before the deletion.
                .message_id(format!("again:{sequence}"))
                .header(KEY, key)
                .header(SIGNED_WITH, &*text(&headers, SIGNED_WITH));
            self.publish(self.events(), again).await?;
            stream.delete_message(sequence).await?;
            found = true;
        }
        Ok(found)
    }

    pub(super) async fn clean_up(&self, older_than: Duration) -> Result<(), BoxError> {
        let stream = self.stream().await?;
        let mut worker: Consumer<pull::Config> = match stream.get_consumer(CONSUMER).await {
            Ok(consumer) => consumer,
            // Nobody has worked yet.
            Err(_) => return Ok(()),
        };
        let done = worker.info().await?.ack_floor.stream_sequence;
        let since = std::time::SystemTime::now() - older_than;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartTime { start_time: since.into() },
            filter_subject: self.events(),
            ack_policy: AckPolicy::None,
            ..Default::default()
        };
        let mut newer = stream.create_consumer(config).await?;
        let old = newer.info().await?.delivered.stream_sequence;
        let up_to = done.min(old);
        // To purge what comes before the first message would be to purge all of them.
        if up_to > 0 {
            stream.purge().filter(self.events()).sequence(up_to + 1).await?;
        }
        Ok(())
    }
}

/// The address without the credentials, and those as options: the client reads none out of a
/// URL, and logs all of it at level debug.
fn apart(url: &str) -> Result<(ConnectOptions, ServerAddr), Failure> {
    let wrong = |error| wrong_url(in_full(&error));
    let server: ServerAddr = url.parse().map_err(wrong)?;
    let plain = |text| match percent_decode_str(text).decode_utf8() {
        Ok(plain) => Ok(plain.into_owned()),
        Err(_) => Err(wrong_url("the credentials must be UTF-8")),
    };
    let options = match (server.username(), server.password()) {
        (None, None) => ConnectOptions::new(),
        (Some(token), None) => ConnectOptions::with_token(plain(token)?),
        (user, Some(password)) => {
            let user = plain(user.unwrap_or_default())?;
            ConnectOptions::with_user_and_password(user, plain(password)?)
        }
    };
    let mut url = server.into_inner();
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
    if !is_bare || url.fragment().is_some() {
        // A password that is written as it is ends the host's place: a piece of it is the port.
        return Err(wrong_url(
            "nothing may follow its host and port: in the credentials /, ? and # are %2F, %3F and %23",
        ));
    }
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return Err(wrong_url("it must name a host"));
    }
    Ok((options, ServerAddr::from_url(url).map_err(wrong)?))
}

/// The next message, if there is one within a while.
async fn next(consumer: &Consumer<pull::Config>) -> Result<Option<Message>, BoxError> {
    let batch = consumer.batch().max_messages(1).expires(LOOK).messages().await?;
    tokio::pin!(batch);
    // The server says when the time is over; here nobody waits for one that is gone.
    match timeout(LOOK + ANSWER, batch.try_next()).await {
        Ok(next) => next,
        Err(_) => Err("the server does not answer".into()),
    }
}

/// Keeps the message from others while its job runs.
async fn while_renewed<T>(message: &Message, lease: Duration, job: impl Future<Output = T>) -> T {
    let mut ticks = interval(lease / 4);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    tokio::pin!(job);
    loop {
        tokio::select! {
            end = &mut job => return end,
            _ = ticks.tick() => {
                if let Err(error) = message.ack_with(AckKind::Progress).await {
                    warn!("a job's lease was not renewed: {error}");
                }
            }
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(ToString::to_string).unwrap_or_default()
}
