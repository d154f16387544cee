//! The span that a delivery's work runs in.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::answer::Outcome;
#[cfg(feature = "tracing")]
use crate::caught::caught;
use crate::delivery::Delivery;
#[cfg(feature = "tracing")]
use crate::event::shown::shown;

/// The span of one delivery: event id, type, key label, skew, and in the end the
/// outcome; the endpoint where it has a name of its own. Empty without the feature `tracing`,
/// and where the subscriber panics that makes it: none of its panics goes further than here.
#[derive(Debug)]
#[non_exhaustive]
pub struct DeliverySpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl DeliverySpan {
    #[cfg(feature = "tracing")]
    pub(super) fn new(delivery: &Delivery, endpoint: Option<&str>) -> Self {
        let span = caught(|| {
            tracing::info_span!(
                target: "dataflow_webhooks",
                "delivery",
                event_id = %shown(delivery.id()),
                event_type = %shown(delivery.event_type().as_str()),
                key = delivery.key(),
                endpoint,
                skew_seconds = delivery.skew().as_secs(),
                outcome = tracing::field::Empty,
            )
        });
        Self { span: span.unwrap_or_else(tracing::Span::none) }
    }

    #[cfg(not(feature = "tracing"))]
    pub(super) fn new(_delivery: &Delivery, _endpoint: Option<&str>) -> Self {
        Self {}
    }

    /// Writes the outcome into the span, once there is one.
    pub fn record(&self, outcome: Outcome) {
        // The field is looked up by its name: not where nobody listens.
        #[cfg(feature = "tracing")]
        if !self.span.is_disabled() {
            _ = caught(|| self.span.record("outcome", outcome.as_str()));
        }
        #[cfg(not(feature = "tracing"))]
        let _ = outcome;
    }

    /// Polls a future inside the span.
    pub fn poll<F: Future + ?Sized>(
        &self,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        #[cfg(feature = "tracing")]
        let _entered = Entered(caught(|| self.span.enter()));
        future.poll(cx)
    }
}

impl Clone for DeliverySpan {
    #[cfg(feature = "tracing")]
    fn clone(&self) -> Self {
        Self { span: caught(|| self.span.clone()).unwrap_or_else(tracing::Span::none) }
    }

    #[cfg(not(feature = "tracing"))]
    fn clone(&self) -> Self {
        Self {}
    }
}

#[cfg(feature = "tracing")]
impl Drop for DeliverySpan {
    fn drop(&mut self) {
        let span = std::mem::replace(&mut self.span, tracing::Span::none());
        _ = caught(|| drop(span));
    }
}

/// Leaves the span when it is dropped, after a panic of the future as well.
#[cfg(feature = "tracing")]
struct Entered<'a>(Option<tracing::span::Entered<'a>>);

#[cfg(feature = "tracing")]
impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let entered = self.0.take();
        _ = caught(|| drop(entered));
    }
}
