//! Bodies: the one that arrives, as the road reads it, and the verified one, given
//! back to the extractors inside.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::dev::{Extensions, Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::web::{Data, JsonConfig, PayloadConfig};
use bytes::Bytes;
use dataflow_webhooks::Delivery;
use dataflow_webhooks_tokio::{Body, BodyError};
use futures_core::Stream as _;

/// The least that an extractor of actix's reads without being told: 256 KiB.
const READ_ANYWAY: usize = 256 * 1024;

/// A payload as the road reads it. Borrowed: what is left of it decides about the
/// connection.
pub(crate) struct Chunks<'a>(pub(crate) &'a mut Payload);

impl Body for Chunks<'_> {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = Pin::new(&mut *self.0).poll_next(cx);
        chunk.map_err(|error| match error {
            PayloadError::Overflow => BodyError::TooLarge(error.into()),
            error => BodyError::Lost(error.into()),
        })
    }
}

/// What actix's own extractors read at the most, set to the endpoint's limit: at
/// theirs (256 KiB, 2 MB) an authentic event would be refused.
#[derive(Clone)]
pub(crate) struct ReadLimits {
    bytes: usize,
    /// For requests without limits of their own, made once.
    container: Rc<Extensions>,
}

impl ReadLimits {
    pub(crate) fn of(bytes: usize) -> Self {
        let container = container(bytes, PayloadConfig::default(), JsonConfig::default());
        Self { bytes, container }
    }

    /// Puts the verified body back, for any extractor to read. Settings of the
    /// application are kept, but for the limit.
    pub(crate) fn give_back(&self, delivery: &Delivery, request: &mut ServiceRequest) {
        let body = delivery.body().clone();
        let own = (configured::<PayloadConfig>(request), configured::<JsonConfig>(request));
        match own {
            (None, None) if body.len() <= READ_ANYWAY => {}
            (None, None) => request.add_data_container(Rc::clone(&self.container)),
            (payload, json) => {
                let (payload, json) = (payload.unwrap_or_default(), json.unwrap_or_default());
                request.add_data_container(container(self.bytes, payload, json));
            }
        }
        request.set_payload(Payload::from(body));
    }
}

fn container(bytes: usize, payload: PayloadConfig, json: JsonConfig) -> Rc<Extensions> {
    let mut container = Extensions::new();
    container.insert(payload.limit(bytes));
    container.insert(json.limit(bytes));
    Rc::new(container)
}

/// A setting of the application's, found where its extractor would look.
fn configured<T: Clone + 'static>(request: &ServiceRequest) -> Option<T> {
    let shared = || request.app_data::<Data<T>>().map(|data| &***data);
    request.app_data::<T>().or_else(shared).cloned()
}
