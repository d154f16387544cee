//! The service: converts types between `http` and the road of a delivery.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use dataflow_webhooks::{BoxError, Delivery, Endpoint, SIGNATURE_HEADER};
use dataflow_webhooks_tokio::{
    Body as RoadBody, BodyError, Detach, Head, Reply as _, handle, on_runtime, receive,
};
use http::header::{EXPECT, HeaderName};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::LengthLimitError;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use crate::body::WebhookBody;
use crate::layer::WebhookLayer;
use crate::response::{Answering, HttpReply, ResponseBody, refuse};

const SIGNATURE: HeaderName = HeaderName::from_static(SIGNATURE_HEADER);

/// The answer to come.
pub type ResponseFuture<B, E> =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

/// Lets verified deliveries through to the service inside. Made by
/// [`WebhookLayer`](crate::WebhookLayer).
///
/// It keeps the inner service's error type and is always ready itself: it
/// readies a clone of the inner service after verification and before the claim,
/// so that whatever waits there waits under the delivery's clock.
#[derive(Debug, Clone)]
pub struct WebhookService<S> {
    pub(crate) inner: S,
    pub(crate) layer: WebhookLayer,
}

impl<S> WebhookService<S> {
    /// Lets deliveries to this endpoint through to `inner`.
    pub const fn new(inner: S, endpoint: Endpoint) -> Self {
        Self { inner, layer: WebhookLayer::new(endpoint) }
    }
}

impl<S, B, ResBody> Service<Request<B>> for WebhookService<S>
where
    S: Service<Request<WebhookBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    ResBody: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<ResBody, S::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let arrived = Instant::now();
        let (layer, mut inner) = (self.layer.clone(), self.inner.clone());
        let (mut parts, body) = request.into_parts();
        Box::pin(async move {
            let endpoint = &layer.endpoint;
            if let Some(delivery) = parts.extensions.get::<Delivery>() {
                // This layer is around already; see the crate's documentation.
                if let Err(outcome) = endpoint.passes_on(delivery) {
                    return Ok(HttpReply::fixed(outcome.answer(), outcome).0);
                }
                let body = WebhookBody::from(delivery.body().clone());
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                let response = inner.call(Request::from_parts(parts, body)).await?;
                return Ok(response.map(ResponseBody::inner));
            }
            let head = Head::new(parts.method.as_str(), parts.headers.get_all(SIGNATURE))
                .with_peer(layer.peer.in_head(&parts), |name| parts.headers.get_all(name))
                .with_content_length(body.size_hint().exact())
                .with_expect_continue(parts.headers.contains_key(EXPECT));
            let delivery = match receive(endpoint, head, arrived, Chunks { body }).await {
                Ok(delivery) => delivery,
                Err(refusal) => return Ok(refuse(refusal, parts.version)),
            };
            let deadline = arrived + endpoint.limits().answer_within();
            let ready = |mut inner: S| async move {
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                Ok(inner)
            };
            let call = move |mut inner: S, delivery: Delivery| {
                let body = WebhookBody::from(delivery.body().clone());
                parts.extensions.insert(delivery);
                Answering { response: inner.call(Request::from_parts(parts, body)) }
            };
            let work = handle(endpoint, &delivery, deadline, inner, ready, call);
            Ok(Detach::new(endpoint, &delivery, deadline, work, on_runtime).await?.0)
        })
    }
}

pin_project! {
    /// An `http_body` as the road reads it.
    struct Chunks<B> {
        #[pin]
        body: B,
    }
}

impl<B> RoadBody for Chunks<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut body = self.project().body;
        // A body that knows its end need not be asked for it.
        while !body.is_end_stream() {
            let Some(frame) = ready!(body.as_mut().poll_frame(cx)) else { break };
            match frame.map(Frame::into_data) {
                Ok(Ok(mut data)) => {
                    return Poll::Ready(Some(Ok(data.copy_to_bytes(data.remaining()))));
                }
                // Trailers are not part of what is signed.
                Ok(Err(_)) => {}
                // A limit outside of ours (`RequestBodyLimitLayer`, axum's
                // `DefaultBodyLimit`) shows as an error somewhere down the chain.
                Err(error) => {
                    let error = BodyError::of(error, |cause| cause.is::<LengthLimitError>());
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }
}
