//! One call of the dedup store: within a time, its panics caught, its failure in
//! words.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dataflow_webhooks::dedup::StoreFuture;
use tokio::time::Instant;

use crate::timer::{Alarm, Guarded, Panicked, Unless, guarded_from, unless};

/// The longest a call of the store may take.
const STORE_CALL: Duration = Duration::from_secs(2);

/// Why a call of the store came to nothing, in words.
pub(crate) type StoreFailure = String;

/// A call of the store that has been made.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct StoreCall<'a, T>(Unless<Guarded<StoreFuture<'a, T>>>);

/// Makes one call of the store. It has [`STORE_CALL`] to answer, and not beyond
/// the deadline at which somebody must be answered, if that is still to come.
pub(crate) fn call_store<'a, T>(
    deadline: Option<Instant>,
    call: impl FnOnce() -> StoreFuture<'a, T>,
) -> StoreCall<'a, T> {
    StoreCall(unless(guarded_from(call), Alarm::after(STORE_CALL, deadline)))
}

impl<T> Future for StoreCall<'_, T> {
    type Output = Result<T, StoreFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(cx)) {
            Some(Ok(Ok(answer))) => Ok(answer),
            Some(Ok(Err(error))) => Err(in_full(&*error)),
            Some(Err(Panicked)) => Err("it panicked".into()),
            None => Err("it did not answer in time".into()),
        })
    }
}

/// An error with all that caused it: the outermost often says only "I/O error".
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
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
