//! Time-outs that cost nothing while nothing waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use dataflow_webhooks::adapter::caught;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long before the deadline whatever has an answer of its own gives up
/// waiting, so that this answer goes out and not the one to a late handler.
pub(crate) const AHEAD: Duration = Duration::from_millis(30);

/// An alarm that makes its timer at the second `Pending`.
///
/// A tokio timer costs about as much as the whole of a small delivery's MAC, and
/// most handlers and stores are ready at the first or second poll. So the first
/// poll only asks to be polled again at once; the second one makes the timer.
pub(crate) enum Alarm {
    After(Duration, Option<Instant>),
    At(Instant),
    Nudged(Instant),
    Armed(Pin<Box<Sleep>>),
}

impl Alarm {
    /// Rings at this moment.
    pub(crate) fn at(moment: Instant) -> Self {
        Self::At(moment)
    }

    /// Rings this long after the first poll; or a little before the deadline, if
    /// that is sooner and the deadline still to come then.
    pub(crate) fn after(time: Duration, deadline: Option<Instant>) -> Self {
        Self::After(time, deadline)
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::After(time, deadline) => {
                let now = Instant::now();
                let left = deadline.map_or(Duration::ZERO, |d| d.saturating_duration_since(now));
                let ahead = left - AHEAD.min(left / 2);
                let time = if ahead.is_zero() { *time } else { ahead.min(*time) };
                *self = Self::Nudged(now + time);
            }
            Self::At(moment) => *self = Self::Nudged(*moment),
            Self::Nudged(moment) => {
                let mut sleep = Box::pin(sleep_until(*moment));
                let ringing = poll_sleep(sleep.as_mut(), cx);
                *self = Self::Armed(sleep);
                return ringing;
            }
            Self::Armed(sleep) => return poll_sleep(sleep.as_mut(), cx),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A timer does not ring in a turn that the work before it has used up (tokio's
/// budget), and work that uses up every turn would never be timed out. So the
/// clock is asked as well.
fn poll_sleep(mut sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    match sleep.as_mut().poll(cx) {
        Poll::Pending if Instant::now() >= sleep.deadline() => Poll::Ready(()),
        ringing => ringing,
    }
}

pin_project! {
    /// What `work` comes to, unless the alarm rings first. `work` is asked first.
    ///
    /// A struct, as all combinators here: an `async fn` would hold `work` twice,
    /// and each one around it would double that again.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Unless<F> {
        #[pin]
        work: F,
        alarm: Alarm,
    }
}

impl<F: Future> Future for Unless<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        match this.work.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => this.alarm.poll(cx).map(|()| None),
        }
    }
}

/// What `work` comes to, unless the alarm rings first.
pub(crate) fn unless<F: Future>(work: F, alarm: Alarm) -> Unless<F> {
    Unless { work, alarm }
}

/// What `work` comes to within this time.
pub(crate) fn within<F: Future>(time: Duration, work: F) -> Unless<F> {
    unless(work, Alarm::after(time, None))
}

/// A panic, caught.
pub(crate) struct Panicked;

/// Polls once, and turns a panic into a value. The future must not be polled
/// again after that.
pub(crate) fn poll_guarded<F: Future + ?Sized>(
    work: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match caught(|| work.poll(cx)) {
        Some(poll) => poll.map(Ok),
        None => Poll::Ready(Err(Panicked)),
    }
}

pin_project! {
    /// A place for one piece of work, all of whose panics are caught: while it is
    /// made, polled, dropped.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Guarded<F> {
        #[pin]
        work: Option<F>,
    }
}

impl<F> Guarded<F> {
    /// A place without work as yet.
    pub(crate) fn vacant() -> Self {
        Self { work: None }
    }

    /// Puts in what `make` makes.
    pub(crate) fn start(self: Pin<&mut Self>, make: impl FnOnce() -> F) -> Result<(), Panicked> {
        let work = caught(make).ok_or(Panicked)?;
        self.project().work.set(Some(work));
        Ok(())
    }

    /// Drops the work, finished or not.
    pub(crate) fn vacate(self: Pin<&mut Self>) -> Result<(), Panicked> {
        caught(|| self.project().work.set(None)).ok_or(Panicked)
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().work.as_pin_mut() {
            Some(work) => poll_guarded(work, cx),
            None => Poll::Ready(Err(Panicked)),
        }
    }
}

/// Runs what `make` makes, now, to its end or its panic.
pub(crate) fn guarded_from<F: Future>(make: impl FnOnce() -> F) -> Guarded<F> {
    // Polled without work, it says that there was a panic.
    Guarded { work: caught(make) }
}
