//! A body that comes as a test has told it to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks_tokio::{Body, BodyError};
use tokio::time::{Sleep, sleep};

/// What comes next.
pub(crate) enum Step {
    Chunk(Bytes),
    Wait(Duration),
    /// Nothing, ever.
    Stall,
    /// The connection is gone.
    Lost,
    /// A limit outside was reached.
    TooLarge,
    Panic,
}

impl Step {
    pub(crate) fn chunk(bytes: impl Into<Bytes>) -> Self {
        Self::Chunk(bytes.into())
    }
}

pub(crate) struct Steps {
    steps: Box<dyn Iterator<Item = Step> + Send>,
    waiting: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
    served: Arc<AtomicU64>,
    polls: Arc<AtomicU64>,
}

impl Steps {
    pub(crate) fn of(steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        Self {
            steps: Box::new(steps.into_iter()),
            waiting: None,
            has_ended: false,
            served: Arc::default(),
            polls: Arc::default(),
        }
    }

    /// One byte at a time, with this pause before each.
    pub(crate) fn trickle(body: Bytes, pause: Duration) -> Self {
        let bytes = (0..body.len()).map(move |i| body.slice(i..=i));
        Self::of(bytes.flat_map(move |byte| [Step::Wait(pause), Step::Chunk(byte)]))
    }

    /// How many bytes have been read out of it.
    pub(crate) fn served(&self) -> Arc<AtomicU64> {
        self.served.clone()
    }

    /// How often it was polled.
    pub(crate) fn polls(&self) -> Arc<AtomicU64> {
        self.polls.clone()
    }
}

impl Body for Steps {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.polls.fetch_add(1, SeqCst);
        assert!(!self.has_ended, "polled again after an error");
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            let error = match self.steps.next() {
                None => return Poll::Ready(None),
                Some(Step::Chunk(chunk)) => {
                    self.served.fetch_add(chunk.len() as u64, SeqCst);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Some(Step::Wait(time)) => {
                    self.waiting = Some(Box::pin(sleep(time)));
                    continue;
                }
                Some(Step::Stall) => {
                    self.waiting = Some(Box::pin(sleep(Duration::from_secs(86_400))));
                    continue;
                }
                Some(Step::Lost) => BodyError::Lost("the connection is gone".into()),
                Some(Step::TooLarge) => BodyError::TooLarge("a limit outside".into()),
                Some(Step::Panic) => panic!("the script says so"),
            };
            self.has_ended = true;
            return Poll::Ready(Some(Err(error)));
        }
    }
}
