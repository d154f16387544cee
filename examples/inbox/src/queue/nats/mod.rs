//! The queue in a stream of NATS JetStream.
//!
//! One stream, two subjects: events, and those that were given up on. Messages stay when
//! they were processed: after a restart the server knows of an id again only what is in the
//! stream. [`Queue::clean_up`] deletes them when nobody can come again with theirs.

mod connection;
mod working;

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::{
    Context, GetStreamError, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{self, RawMessageErrorKind, Stream};
use async_nats::{Client, HeaderMap};
use dataflow_webhooks_axum::BoxError;
use futures_util::TryStreamExt as _;
use futures_util::stream::{once, try_unfold};
use receiver::{Failure, until_done};
use tokio::time::{sleep, timeout};
use tracing::warn;

use self::connection::WhyAway;
use super::{Dead, Item, REMEMBERED, SIGNED_WITH, no_queue};
use crate::settings::{Settings, URL, wrong_url};

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

/// The largest message that may be put, in bytes: a body of 1 MiB, which is the endpoint's
/// limit unless told, and what is known of it.
const LARGEST: usize = (1 << 20) + (16 << 10);

/// What there is to be done about a smaller limit of the server's.
const RAISE_IT: &str = "set `max_payload: 2MB` in its configuration, or such an event is answered \
    503 each time it comes, and the platform disables a webhook after five failed attempts";

/// The queue in a stream of NATS JetStream.
#[derive(Debug, Clone)]
pub struct Queue {
    context: Context,
    why_away: WhyAway,
    name: String,
}

impl Queue {
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        let (options, server) = connection::apart(&settings.url)?;
        let why_away = WhyAway::default();
        // It connects when the server is there, and again when it comes back.
        let options = why_away.kept_by(options).retry_on_initial_connect();
        let client = options.connect(server).await.map_err(|error| wrong_url(error.to_string()))?;
        let this = Self::new(client, why_away, settings);
        let making = this.clone();
        tokio::spawn(async move {
            until_done(URL, || async { making.stream().await.map(drop) }).await;
        });
        Ok(this)
    }

    pub(super) async fn open_as_person(settings: &Settings) -> Result<Self, Failure> {
        let (options, server) = connection::apart(&settings.url)?;
        let cannot = |error: &dyn Error| Failure::at_run_time(format!("{URL}: {error}"));
        let client = options.connect(server).await.map_err(|error| cannot(&error))?;
        let this = Self::new(client, WhyAway::default(), settings);
        match this.context.get_stream(&this.name).await {
            Ok(_) => Ok(this),
            Err(error) if is_not_there(&error) => {
                Err(no_queue(format_args!("the server has no stream {}", this.name)))
            }
            Err(error) => Err(cannot(&error)),
        }
    }

    fn new(client: Client, why_away: WhyAway, settings: &Settings) -> Self {
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(ANSWER);
        Self { context, why_away, name: settings.name.clone() }
    }

    /// The stream, made when there is none. One of your own making is taken as it is.
    async fn stream(&self) -> Result<Stream, BoxError> {
        self.connected().await?;
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
            warn!(
                "the server's max_payload is {takes} bytes, and the largest events need \
                 {LARGEST}: {RAISE_IT}"
            );
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
        match self.publish(self.events(), message).await {
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                let (size, takes) = (item.body.len(), self.context.client().max_payload());
                let why = "with its headers it is larger than the server's max_payload";
                Err(format!("its body has {size} bytes: {why}, {takes} bytes: {RAISE_IT}").into())
            }
            done => Ok(done?),
        }
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
        Ok(timeout(ANSWER, connected).await.map_err(|_| self.why_away.to_string())?)
    }

    /// Waits until the server has it: also when it had it before, under the same message id.
    async fn publish(&self, subject: String, message: PublishMessage) -> Result<(), PublishError> {
        self.context.send_publish(subject, message).await?.await?;
        Ok(())
    }

    /// What was given up on, the oldest first, each with a request of its own: there is no
    /// consumer, which would be gone after a pause.
    fn given_up_on(&self) -> impl futures_util::Stream<Item = Result<StreamMessage, BoxError>> {
        let (context, name, subject) = (&self.context, &self.name, self.given_up());
        once(async move { Ok::<_, BoxError>(context.get_stream(name).await?) })
            .map_ok(move |stream| {
                try_unfold((stream, subject.clone(), 1), async |(stream, subject, from)| {
                    let next = stream.get_first_raw_message_by_subject(&subject, from).await;
                    match next {
                        // Those that come meanwhile are for another time.
                        Ok(next) if next.sequence > stream.cached_info().state.last_sequence => {
                            Ok(None)
                        }
                        Ok(next) => {
                            let after = next.sequence + 1;
                            Ok(Some((next, (stream, subject, after))))
                        }
                        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                            Ok(None)
                        }
                        Err(error) => Err(error.into()),
                    }
                })
            })
            .try_flatten()
    }

    pub(super) fn dead(&self) -> impl futures_util::Stream<Item = Result<Dead, BoxError>> {
        self.given_up_on().map_ok(|StreamMessage { headers, payload, .. }| Dead {
            key: text(&headers, KEY),
            body: payload,
            attempts: text(&headers, ATTEMPTS).parse().unwrap_or_default(),
            error: text(&headers, ERROR),
        })
    }

    pub(super) async fn retry(&self, keys: &[&str]) -> Result<bool, BoxError> {
        // One pass for all keys; an event may have been given up on more than once.
        let mut found = vec![Vec::new(); keys.len()];
        let mut all = pin!(self.given_up_on());
        while let Some(message) = all.try_next().await? {
            let key = text(&message.headers, KEY);
            if let Some(which) = keys.iter().position(|of| *of == key) {
                found[which].push(message.sequence);
            }
        }
        let Some(sequences) = found.into_iter().find(|found| !found.is_empty()) else {
            return Ok(false);
        };
        let stream = self.context.get_stream(&self.name).await?;
        for sequence in sequences {
            let StreamMessage { headers, payload, .. } = stream.get_raw_message(sequence).await?;
            let again = PublishMessage::build()
                .payload(payload)
                // Not the event's own, which the stream knows; and the same when a crash
                // comes before the deletion.
                .message_id(format!("again:{sequence}"))
                .header(KEY, &*text(&headers, KEY))
                .header(SIGNED_WITH, &*text(&headers, SIGNED_WITH));
            self.publish(self.events(), again).await?;
            stream.delete_message(sequence).await?;
        }
        Ok(true)
    }

    pub(super) async fn clean_up(&self, older_than: Duration) -> Result<(), BoxError> {
        let stream = self.context.get_stream(&self.name).await?;
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

fn is_not_there(error: &GetStreamError) -> bool {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => error.error_code() == ErrorCode::STREAM_NOT_FOUND,
        _ => false,
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(ToString::to_string).unwrap_or_default()
}
