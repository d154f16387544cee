//! A worker on the stream: what it takes, and what it tells the server of its jobs.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{AckKind, Message};
use dataflow_webhooks_axum::BoxError;
use futures_util::TryStreamExt as _;
use receiver::in_full;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{ANSWER, ATTEMPTS, CONSUMER, ERROR, KEY, Queue, text};
use crate::queue::SIGNED_WITH;
use crate::work::{End, Queued, Worker};

/// How long a worker that has nothing to do waits at a time; so long its end can take.
const LOOK: Duration = Duration::from_secs(1);

/// Events that wait for another attempt are as many as these at most, and then no other is
/// given out.
const WAITING: i64 = 100_000;

impl Queue {
    pub(in crate::queue) async fn work(
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
                // In this order: once it is to stop, the server is asked for nothing more.
                biased;
                () = stopping.cancelled() => return Ok(()),
                place = Arc::clone(places).acquire_owned() => place?,
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
            let (this, worker, under_way) = (self.clone(), worker.clone(), worker.under_way());
            jobs.spawn(async move {
                this.run(&worker, message).await;
                drop((place, under_way));
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
