//! The unfinished work of a dropped or late request goes to the runtime.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use dataflow_webhooks::adapter::{DeliverySpan, Verdict};
use dataflow_webhooks::{Delivery, Endpoint, Outcome};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::Reply;
use crate::timer::{Alarm, Panicked, poll_guarded};

/// What the work of a delivery came to.
pub struct Ended<R, E> {
    outcome: Outcome,
    reply: Result<R, E>,
}

impl<R: Reply, E> Ended<R, E> {
    pub(crate) fn new(outcome: Outcome, reply: Result<R, E>) -> Self {
        Self { outcome, reply }
    }

    /// The outcome's fixed answer.
    pub(crate) fn fixed(outcome: Outcome) -> Self {
        Self::new(outcome, Ok(R::fixed(outcome.answer(), outcome)))
    }

    /// This, or the answer to a dead letter.
    pub(crate) fn unless_kept(self, kept: bool) -> Self {
        if kept { Self::fixed(Outcome::DeadLettered) } else { self }
    }

    /// The status of the answer, where there is one.
    pub(crate) fn status(&self) -> Option<u16> {
        self.reply.as_ref().ok().map(Reply::status)
    }
}

impl<R, E> fmt::Debug for Ended<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// Drives the work of a delivery in place, and sees it through.
///
/// It resolves with the work's answer, or at the deadline with the one to a
/// late handler. When the deadline passes or this future is dropped (the sender
/// hung up, an outer time-out fired), the unfinished work is handed to the
/// runtime as it stands and runs on there.
///
/// Invariant: the work is polled either here or on the runtime, never in both
/// places, and never again after it has panicked; it is given away at most
/// once, by taking it out of `work`.
#[must_use = "nothing runs before this is polled"]
pub struct Detach<F> {
    work: Option<Pin<Box<F>>>,
    spawn: fn(&Handle, Spanned<F>),
    /// Where the work goes. Taken at the first `Pending`: a drop may happen on
    /// a thread that knows no runtime.
    runtime: Option<Handle>,
    alarm: Alarm,
    endpoint: Endpoint,
    delivery: Delivery,
    span: DeliverySpan,
}

impl<F> Detach<F> {
    /// Work (a future of [`handle`](crate::handle)) that is answered by the
    /// deadline. `spawn` puts the rest of it on the runtime:
    /// [`on_runtime`], where it is `Send`.
    pub fn new(
        endpoint: &Endpoint,
        delivery: &Delivery,
        deadline: Instant,
        work: F,
        spawn: fn(&Handle, Spanned<F>),
    ) -> Self {
        Self {
            work: Some(Box::pin(work)),
            spawn,
            runtime: None,
            alarm: Alarm::at(deadline),
            endpoint: endpoint.clone(),
            delivery: delivery.clone(),
            span: endpoint.telemetry().span(delivery),
        }
    }

    /// Gives the unfinished work to the runtime. Says whether there was any.
    fn hand_over(&mut self) -> bool {
        let (Some(work), Some(runtime)) = (self.work.take(), &self.runtime) else {
            return false;
        };
        (self.spawn)(runtime, Spanned { work, span: self.span.clone() });
        true
    }

    fn answer<R: Reply, E>(&self, ended: Ended<R, E>) -> Result<R, E> {
        let Ended { outcome, reply } = ended;
        self.span.record(outcome);
        let is_200 = matches!(&reply, Ok(reply) if reply.status() == Verdict::ACKNOWLEDGED);
        self.endpoint.telemetry().answered(&self.delivery, outcome, is_200);
        reply
    }
}

/// Nothing in it is pinned in place: the work has a box of its own.
impl<F> Unpin for Detach<F> {}

impl<F, R, E> Future for Detach<F>
where
    F: Future<Output = Ended<R, E>>,
    R: Reply,
{
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(work) = this.work.as_mut() else {
            // Polled again after its end, which a future may answer as it likes.
            return Poll::Pending;
        };
        let span = &this.span;
        let mut entered = std::future::poll_fn(|cx| span.poll(work.as_mut(), cx));
        match poll_guarded(Pin::new(&mut entered), cx) {
            Poll::Ready(Ok(ended)) => {
                this.work = None;
                return Poll::Ready(this.answer(ended));
            }
            Poll::Ready(Err(Panicked)) => {
                this.work = None;
                return Poll::Ready(this.answer(Ended::fixed(Outcome::Panicked)));
            }
            Poll::Pending => {}
        }
        if this.runtime.is_none() {
            this.runtime = Handle::try_current().ok();
        }
        if this.alarm.poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.hand_over();
        Poll::Ready(this.answer(Ended::fixed(Outcome::Late)))
    }
}

impl<F> Drop for Detach<F> {
    fn drop(&mut self) {
        // Work that was never polled has done nothing yet, and has no runtime:
        // it is dropped, and the sender tries again.
        if self.hand_over() {
            self.span.record(Outcome::HungUp);
            self.endpoint.telemetry().answered(&self.delivery, Outcome::HungUp, false);
        }
    }
}

impl<F> fmt::Debug for Detach<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detach").field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

/// The rest of a delivery's work, in the delivery's span, its answer dropped:
/// nobody waits for it any more.
#[must_use = "it must be spawned, or the work is lost"]
pub struct Spanned<F> {
    work: Pin<Box<F>>,
    span: DeliverySpan,
}

impl<F: Future> Future for Spanned<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { work, span } = &mut *self;
        span.poll(work.as_mut(), cx).map(drop)
    }
}

impl<F> fmt::Debug for Spanned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spanned").finish_non_exhaustive()
    }
}

/// Puts work that is `Send` on the runtime: what an adapter on a multi-threaded
/// stack gives to [`Detach::new`].
pub fn on_runtime<F>(runtime: &Handle, work: Spanned<F>)
where
    F: Future + Send + 'static,
{
    runtime.spawn(work);
}
