//! One call of the dedup store: within a time, its panics caught, its failure put
//! into words, reported with the time it took.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dataflow_webhooks::adapter::Telemetry;
use dataflow_webhooks::dedup::StoreFuture;
use dataflow_webhooks::{Endpoint, StoreOperation};
use tokio::time::Instant;

use crate::timer::{Alarm, Guarded, Panicked, Unless, guarded_from, unless};

/// The longest a call of the store may take.
const STORE_CALL: Duration = Duration::from_secs(2);

/// A call of the store came to nothing, which has been reported.
pub(crate) struct StoreFailed;

/// A call of the store that has been made.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct StoreCall<'a, T> {
    endpoint: &'a Endpoint,
    operation: StoreOperation,
    /// Not where nobody looks at the time.
    called: Option<Instant>,
    answer: Unless<Guarded<StoreFuture<'a, T>>>,
}

/// Makes one call of the store. It has [`STORE_CALL`] to answer, and not beyond
/// the deadline at which somebody must be answered, if that is still to come.
pub(crate) fn call_store<'a, T>(
    endpoint: &'a Endpoint,
    operation: StoreOperation,
    deadline: Option<Instant>,
    call: impl FnOnce() -> StoreFuture<'a, T>,
) -> StoreCall<'a, T> {
    let called = Telemetry::TAKES_TIMES.then(Instant::now);
    let answer = unless(guarded_from(call), Alarm::after(STORE_CALL, deadline));
    StoreCall { endpoint, operation, called, answer }
}

impl<T> StoreCall<'_, T> {
    fn failed(&self, why: &str) -> StoreFailed {
        self.endpoint.telemetry().store_failed(self.operation, &why);
        StoreFailed
    }
}

impl<T> Future for StoreCall<'_, T> {
    type Output = Result<T, StoreFailed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        if let Some(called) = self.called {
            self.endpoint.telemetry().store_called(self.operation, called.elapsed());
        }
        Poll::Ready(match answer {
            Some(Ok(Ok(answer))) => Ok(answer),
            Some(Ok(Err(error))) => Err(self.failed(&in_full(&*error))),
            Some(Err(Panicked)) => Err(self.failed("it panicked")),
            None => Err(self.failed("it did not answer in time")),
        })
    }
}

/// An error with all that caused it: the outermost often says only "I/O error".
pub(crate) fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !words.ends_with(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
        source = error.source();
    }
    words
}
