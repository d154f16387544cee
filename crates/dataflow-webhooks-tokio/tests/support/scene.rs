//! An endpoint with a scripted store, deliveries to it, and handlers that note
//! their runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _};
use dataflow_webhooks::{
    Answer, Claim, Counts, DedupKey, Delivery, Endpoint, EndpointBuilder, Outcome, Secret, sign,
};
use dataflow_webhooks_tokio::{
    Body, Detach, Ended, Head, Refusal, Reply, Whole, handle, on_runtime, receive,
};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::store::Scripted;

pub(crate) fn secret() -> Secret {
    Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap()
}

/// The body of an event with this id.
pub(crate) fn body_of(id: &str) -> Bytes {
    format!(r#"{{"id":"{id}","type":"pipeline.run.completed"}}"#).into()
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An adapter's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// Set where the road answered, not the handler.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) body: &'static str,
}

impl Said {
    pub(crate) const fn by_handler(status: u16) -> Self {
        Self { status, outcome: None, body: "the handler's own" }
    }
}

impl Reply for Said {
    fn fixed(answer: Answer, outcome: Outcome) -> Self {
        Self { status: answer.status(), outcome: Some(outcome), body: answer.body() }
    }

    fn status(&self) -> u16 {
        self.status
    }

    fn acknowledge(&mut self) {
        self.status = 200;
    }
}

/// A handler's own error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// The runs of a test's handlers.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    epochs: Vec<Option<u64>>,
    ended: usize,
}

impl Runs {
    pub(crate) fn start(&self, delivery: &Delivery) {
        self.0.lock().unwrap().epochs.push(delivery.epoch());
    }

    pub(crate) fn end(&self) {
        self.0.lock().unwrap().ended += 1;
    }

    pub(crate) fn started(&self) -> usize {
        self.0.lock().unwrap().epochs.len()
    }

    pub(crate) fn ended(&self) -> usize {
        self.0.lock().unwrap().ended
    }

    /// The epoch of each run, in the order of their beginning.
    pub(crate) fn epochs(&self) -> Vec<Option<u64>> {
        self.0.lock().unwrap().epochs.clone()
    }
}

pub(crate) type Run = Pin<Box<dyn Future<Output = Result<Said, Broken>> + Send>>;
pub(crate) type Work = Pin<Box<dyn Future<Output = Ended<Said, Broken>> + Send>>;

pub(crate) struct Scene {
    pub(crate) endpoint: Endpoint,
    pub(crate) store: Arc<Scripted>,
    pub(crate) runs: Runs,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(configure: impl FnOnce(EndpointBuilder) -> EndpointBuilder) -> Self {
        let store = Arc::new(Scripted::new());
        let builder = Endpoint::builder(secret()).dedup(store.clone());
        let endpoint = configure(builder).build().unwrap();
        Self { endpoint, store, runs: Runs::default() }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.endpoint.counts()
    }

    /// A verified delivery of the event with this id.
    pub(crate) fn delivery(&self, id: &str) -> Delivery {
        let body = body_of(id);
        at_once(self.receive(head(&body), Whole::new(body))).unwrap()
    }

    /// Receives a request whose head arrives now.
    pub(crate) fn receive<B: Body>(
        &self,
        head: TestHead,
        body: B,
    ) -> impl Future<Output = Result<Delivery, Refusal>> {
        receive(&self.endpoint, head, Instant::now(), body)
    }

    /// Delivers the event with this id to a handler. The head arrives now.
    pub(crate) fn send<F>(
        &self,
        id: &str,
        handler: impl FnOnce(Delivery) -> F + Send + 'static,
    ) -> Detach<Work>
    where
        F: Future<Output = Result<Said, Broken>> + Send + 'static,
    {
        self.send_when(async { Ok(()) }, id, handler)
    }

    /// The same, to a handler that has to get ready.
    pub(crate) fn send_when<F>(
        &self,
        ready: impl Future<Output = Result<(), Broken>> + Send + 'static,
        id: &str,
        handler: impl FnOnce(Delivery) -> F + Send + 'static,
    ) -> Detach<Work>
    where
        F: Future<Output = Result<Said, Broken>> + Send + 'static,
    {
        self.deliver_when(ready, &self.delivery(id), handler)
    }

    /// Takes a verified delivery, whose head arrived now, to a handler.
    pub(crate) fn deliver<F>(
        &self,
        delivery: &Delivery,
        handler: impl FnOnce(Delivery) -> F + Send + 'static,
    ) -> Detach<Work>
    where
        F: Future<Output = Result<Said, Broken>> + Send + 'static,
    {
        self.deliver_when(async { Ok(()) }, delivery, handler)
    }

    fn deliver_when<F>(
        &self,
        ready: impl Future<Output = Result<(), Broken>> + Send + 'static,
        delivery: &Delivery,
        handler: impl FnOnce(Delivery) -> F + Send + 'static,
    ) -> Detach<Work>
    where
        F: Future<Output = Result<Said, Broken>> + Send + 'static,
    {
        let deadline = Instant::now() + self.endpoint.limits().answer_within();
        // Once ready, it stays so.
        let mut ready = Some(ready);
        let ready = move |()| {
            let ready = ready.take();
            async move {
                match ready {
                    Some(ready) => ready.await,
                    None => Ok(()),
                }
            }
        };
        let call = move |(), delivery| handler(delivery);
        let work: Work = Box::pin(handle(&self.endpoint, delivery, deadline, (), ready, call));
        Detach::new(&self.endpoint, delivery, deadline, work, on_runtime)
    }

    /// A handler that takes this time and then answers with this status.
    pub(crate) fn takes(
        &self,
        time: Duration,
        status: u16,
    ) -> impl FnOnce(Delivery) -> Run + Send + use<> {
        let runs = self.runs.clone();
        move |delivery| {
            Box::pin(async move {
                runs.start(&delivery);
                if !time.is_zero() {
                    sleep(time).await;
                }
                runs.end();
                Ok(Said::by_handler(status))
            })
        }
    }

    /// A handler that answers with this status at once.
    pub(crate) fn says(&self, status: u16) -> impl FnOnce(Delivery) -> Run + Send + use<> {
        self.takes(Duration::ZERO, status)
    }

    /// What another process would be told about this event now. A new claim is
    /// given back.
    pub(crate) async fn state(&self, id: &str) -> State {
        match self.store.claim_elsewhere(id).await {
            ClaimOutcome::Done => State::Done,
            ClaimOutcome::InFlight => State::InFlight,
            ClaimOutcome::New(claim) => {
                let terms = self.endpoint.limits().terms();
                let _ = self.store.inner.release(&claim, terms).await.unwrap();
                State::Free { next_epoch: claim.epoch() }
            }
        }
    }

    /// The claim on this event that has this epoch.
    pub(crate) fn claim(&self, id: &str, epoch: u64) -> Claim {
        Claim::new(DedupKey::from_event_id(id), epoch)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Done,
    InFlight,
    Free { next_epoch: u64 },
}

pub(crate) type TestHead = Head<'static, Vec<String>, fn(&'static str) -> Vec<&'static str>>;

/// The head of an authentic request with this body.
pub(crate) fn head(body: &Bytes) -> TestHead {
    signed_by(vec![sign(&secret(), Timestamp::now(), body)], Some(body.len() as u64))
}

/// The head of a request that nobody has signed.
pub(crate) fn unsigned(length: Option<u64>) -> TestHead {
    signed_by(Vec::new(), length)
}

fn signed_by(lines: Vec<String>, length: Option<u64>) -> TestHead {
    let no_lines: fn(_) -> _ = |_| Vec::new();
    Head::new("POST", lines).with_peer(None, no_lines).with_content_length(length)
}

/// What a future comes to that has nothing to wait for.
#[track_caller]
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match poll_once(std::pin::pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// Polls once, and wakes nobody.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets everything that can go on do so, without moving the clock.
pub(crate) async fn settle_down() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// The time a future takes, by tokio's clock, and what it comes to.
pub(crate) async fn timed<F: Future>(future: F) -> (Duration, F::Output) {
    let started = Instant::now();
    let output = future.await;
    (started.elapsed(), output)
}

/// tokio's timers round up to the next millisecond.
#[track_caller]
pub(crate) fn assert_about(time: Duration, expected: Duration) {
    let most = expected + millis(5);
    assert!((expected..=most).contains(&time), "after {time:?}, not {expected:?}");
}
