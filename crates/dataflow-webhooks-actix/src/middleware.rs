//! The middleware: an endpoint, wrapped around any service, and the conversion
//! between actix's types and the road of a delivery.

use std::cell::Cell;
use std::future::{Future, Ready, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::EitherBody;
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::{Version, header};
use actix_web::{Error, HttpMessage as _, error};
use dataflow_webhooks::{Delivery, Endpoint, Outcome, SIGNATURE_HEADER};
use dataflow_webhooks_tokio::{Detach, Head, Spanned, handle, receive};
use tokio::time::Instant;

use crate::body::{Chunks, give_back};
use crate::reply::{ActixReply, fixed, refuse, stand_in};

const SIGNATURE: header::HeaderName = header::HeaderName::from_static(SIGNATURE_HEADER);

/// Lets verified deliveries through to the service that it wraps. See the [crate's
/// documentation](crate) for an example.
#[derive(Debug, Clone)]
pub struct WebhookMiddleware {
    endpoint: Endpoint,
}

impl WebhookMiddleware {
    /// Middleware that lets deliveries to this endpoint through.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl<S, B> Transform<S, ServiceRequest> for WebhookMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = WebhookService<S>;
    type InitError = ();
    type Future = Ready<Result<WebhookService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(WebhookService { inner: Rc::new(inner), endpoint: self.endpoint.clone() }))
    }
}

/// The answer to come.
pub type ResponseFuture<B> =
    Pin<Box<dyn Future<Output = Result<ServiceResponse<EitherBody<B>>, Error>>>>;

/// A wrapped service. Made by [`WebhookMiddleware`].
///
/// It is always ready itself: it waits for the inner service after verification
/// and before the claim, so that whatever waits there waits under the delivery's
/// clock.
#[derive(Debug)]
pub struct WebhookService<S> {
    inner: Rc<S>,
    endpoint: Endpoint,
}

impl<S, B> Service<ServiceRequest> for WebhookService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<B>;

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let arrived = Instant::now();
        let (endpoint, inner) = (self.endpoint.clone(), Rc::clone(&self.inner));
        Box::pin(async move {
            let most = endpoint.limits().max_body_bytes();
            let verified = request.extensions().get::<Delivery>().cloned();
            if let Some(delivery) = verified {
                // This middleware is around already; see the crate's documentation.
                if let Err(outcome) = endpoint.passes_on(&delivery) {
                    return Ok(request.into_response(fixed(outcome)).map_into_right_body());
                }
                give_back(delivery.body().clone(), most, &mut request);
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                return Ok(inner.call(request).await?.map_into_left_body());
            }
            let mut payload = request.take_payload();
            let head = head(&request, matches!(payload, Payload::None));
            let delivery = match receive(&endpoint, head, arrived, Chunks(&mut payload)).await {
                Ok(delivery) => delivery,
                Err(refusal) => {
                    let answer = request.into_response(refuse(refusal, payload));
                    return Ok(answer.map_into_right_body());
                }
            };
            let deadline = arrived + endpoint.limits().answer_within();
            let (method, uri) = (request.method().clone(), request.uri().clone());
            // The handler's, from when it is called; the answer's, if it never is.
            let kept = Rc::new(Cell::new(Some(request)));
            let handlers = Rc::clone(&kept);
            let ready = |inner: Rc<S>| async move {
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                Ok::<_, Error>(inner)
            };
            let call = move |inner: Rc<S>, delivery: Delivery| async move {
                // There is one: only a late answer goes out before this, and leaves it.
                let Some(mut request) = handlers.take() else {
                    return Ok(ActixReply::Fixed(Outcome::Late));
                };
                give_back(delivery.body().clone(), most, &mut request);
                request.extensions_mut().insert(delivery);
                Ok(ActixReply::Handlers(inner.call(request).await.map_err(no_success)?))
            };
            let work = handle(&endpoint, &delivery, deadline, inner, ready, call);
            match Detach::new(&endpoint, &delivery, deadline, work, on_worker).await? {
                ActixReply::Handlers(response) => Ok(response.map_into_left_body()),
                ActixReply::Fixed(outcome) => {
                    let kept = if outcome == Outcome::Late { None } else { kept.take() };
                    let request = kept.unwrap_or_else(|| stand_in(method, uri));
                    Ok(request.into_response(fixed(outcome)).map_into_right_body())
                }
            }
        })
    }
}

/// An error is no success, whatever status it has: the event is to come again.
fn no_success(error: Error) -> Error {
    let is_success = error.as_response_error().status_code().is_success();
    if is_success { error::ErrorInternalServerError(error) } else { error }
}

/// The values of all lines of one header.
type Lines<'a> = std::slice::Iter<'a, header::HeaderValue>;

/// What the road needs to know of a request's head.
fn head<'a>(
    request: &'a ServiceRequest,
    is_bodyless: bool,
) -> Head<'a, Lines<'a>, impl FnOnce(&'static str) -> Lines<'a>> {
    let headers = request.headers();
    // Never beside `Transfer-Encoding`: actix refuses that itself.
    let length = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    // Over HTTP/1, actix has told the sender to go on before this runs.
    let expects = request.version() > Version::HTTP_11 && headers.contains_key(header::EXPECT);
    let peer = request.peer_addr().map(|address| address.ip());
    Head::new(request.method().as_str(), headers.get_all(SIGNATURE))
        .with_peer(peer, move |name| headers.get_all(name))
        .with_content_length(if is_bodyless { Some(0) } else { length })
        .with_expect_continue(expects)
}

/// Puts unfinished work on the worker's own thread, for it need not be `Send`.
///
/// This runs in a drop as well. Outside of a `LocalSet` (no server of actix's is)
/// `spawn_local` panics, and so it may while a thread is torn down; the work is
/// then lost, and its event comes again when the lease has lapsed.
fn on_worker<F: Future + 'static>(_: &tokio::runtime::Handle, work: Spanned<F>) {
    _ = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_local(work)));
}
