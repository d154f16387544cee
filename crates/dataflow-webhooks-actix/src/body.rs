//! Bodies: the one that arrives, as the road reads it, and the verified one, given
//! back to the extractors inside.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::dev::{Extensions, Payload, ServiceRequest};
use actix_web::error::PayloadError::Overflow;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::web::{Data, JsonConfig, PayloadConfig};
use bytes::Bytes;
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
        let is_limit = |it: &(dyn Error + 'static)| matches!(it.downcast_ref(), Some(Overflow));
        Pin::new(&mut *self.0).poll_next(cx).map_err(|error| BodyError::of(error, is_limit))
    }
}

/// Puts the verified body back, for any extractor to read.
///
/// Actix's own extractors read 256 KiB, or 2 MB, or what the application says. Then an
/// authentic event would be refused, so they are told to read as much as this
/// endpoint takes. The application's other settings are kept.
///
/// They also unpack a body by its `Content-Encoding`. This one is an event as it
/// stands, whatever that header says, so the header goes.
pub(crate) fn give_back(body: Bytes, most: usize, request: &mut ServiceRequest) {
    let (payload, json) = (configured::<PayloadConfig>(request), configured::<JsonConfig>(request));
    let packed = request.headers().contains_key(CONTENT_ENCODING);
    if payload.is_some() || json.is_some() || packed || body.len() > READ_ANYWAY {
        request.headers_mut().remove(CONTENT_ENCODING);
        let mut limits = Extensions::new();
        limits.insert(payload.unwrap_or_default().limit(most));
        limits.insert(json.unwrap_or_default().limit(most));
        request.add_data_container(std::rc::Rc::new(limits));
    }
    request.set_payload(Payload::from(body));
}

/// A setting of the application's, found where its extractor would look.
fn configured<T: Clone + 'static>(request: &ServiceRequest) -> Option<T> {
    request.app_data::<T>().or_else(|| Some(&***request.app_data::<Data<T>>()?)).cloned()
}
