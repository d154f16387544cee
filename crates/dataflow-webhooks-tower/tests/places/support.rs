//! Requests as the platform sends them, handlers that note their runs, and the
//! one check that every place must pass.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{
    Delivery, Endpoint, EndpointBuilder, Outcome, Rejection, RejectionKind, Secret, sign,
};
use dataflow_webhooks_tower::WebhookLayer;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt as _};

pub(crate) const PATH: &str = "/webhooks/dataflow";

pub(crate) fn secret() -> Secret {
    Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap()
}

pub(crate) fn endpoint() -> Endpoint {
    endpoint_with(|builder| builder)
}

pub(crate) fn endpoint_with(
    configure: impl FnOnce(EndpointBuilder) -> EndpointBuilder,
) -> Endpoint {
    configure(Endpoint::builder(secret())).build().unwrap()
}

pub(crate) fn layer() -> WebhookLayer {
    WebhookLayer::new(endpoint())
}

/// The body of an event that nobody has sent before.
pub(crate) fn event() -> Bytes {
    Sample::of("pipeline.run.completed").body()
}

/// An authentic delivery of this body.
pub(crate) fn signed(body: &Bytes) -> Request<Body> {
    request(body).map(|body| Body::from(body.clone()))
}

/// The same, with the body still to be chosen.
pub(crate) fn request(body: &Bytes) -> Request<&Bytes> {
    Request::post(PATH)
        .header("x-dataflow-signature", sign(&secret(), Timestamp::now(), body))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

/// A request that nobody has signed.
pub(crate) fn unsigned() -> Request<Body> {
    Request::post(PATH).body(Body::from(event())).unwrap()
}

pub(crate) async fn text<B>(response: Response<B>) -> Bytes
where
    B: http_body::Body,
    B::Error: Debug,
{
    response.into_body().collect().await.unwrap().to_bytes()
}

/// What a layer outside can read.
pub(crate) fn outcome<B>(response: &Response<B>) -> Option<Outcome> {
    response.extensions().get().copied()
}

/// What a layer outside can read of a refusal.
pub(crate) fn rejected<B>(response: &Response<B>) -> Option<RejectionKind> {
    response.extensions().get().map(Rejection::kind)
}

/// How often handlers were called, and how often they came to their end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(Arc<[AtomicUsize; 2]>);

impl Runs {
    pub(crate) fn start(&self) {
        self.0[0].fetch_add(1, SeqCst);
    }

    pub(crate) fn end(&self) {
        self.0[1].fetch_add(1, SeqCst);
    }

    pub(crate) fn started(&self) -> usize {
        self.0[0].load(SeqCst)
    }

    pub(crate) fn ended(&self) -> usize {
        self.0[1].load(SeqCst)
    }
}

/// A handler that checks that it got a verified delivery and its bytes. Any body
/// will do, so that layers which change it may stand before it.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    pub(crate) runs: Runs,
    status: StatusCode,
    takes: Duration,
}

impl Handler {
    pub(crate) fn new(runs: &Runs) -> Self {
        Self { runs: runs.clone(), status: StatusCode::ACCEPTED, takes: Duration::ZERO }
    }

    pub(crate) fn says(self, status: u16) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap(), ..self }
    }

    pub(crate) fn takes(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }
}

pub(crate) type Answering<E> =
    Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, E>> + Send>>;

impl<B> Service<Request<B>> for Handler
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Debug,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering<Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { runs, status, takes } = self.clone();
        Box::pin(async move {
            runs.start();
            let (parts, body) = request.into_parts();
            let delivery = parts.extensions.get::<Delivery>().expect("a verified delivery");
            assert_eq!(body.collect().await.unwrap().to_bytes(), *delivery.body());
            if !takes.is_zero() {
                sleep(takes).await;
            }
            runs.end();
            let mut response = Response::new(Full::from("done"));
            *response.status_mut() = status;
            Ok(response)
        })
    }
}

/// The check of every place: what nobody has signed stays outside; what is
/// authentic comes to the handler, once; its 202 becomes the platform's 200.
///
/// The handler answers 202 and "done".
pub(crate) async fn guards<S, B>(service: S, runs: &Runs)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Debug,
    B: http_body::Body,
    B::Error: Debug,
{
    let send = |request| async { service.clone().oneshot(request).await.unwrap() };

    let refused = send(unsigned()).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(text(refused).await, "the signature was not accepted\n");
    assert_eq!(runs.started(), 0, "what is not authentic must not come to the handler");

    let body = event();
    let handled = send(signed(&body)).await;
    assert_eq!(handled.status(), 200);
    assert_eq!(text(handled).await, "done");
    assert_eq!((runs.started(), runs.ended()), (1, 1));

    let again = send(signed(&body)).await;
    assert_eq!(again.status(), 200);
    assert_eq!(text(again).await, "already handled\n");
    assert_eq!(runs.started(), 1, "a duplicate must not come to the handler");
}

/// The time a future takes, and what it comes to.
pub(crate) async fn timed<F: Future>(future: F) -> (Duration, F::Output) {
    let started = Instant::now();
    let output = future.await;
    (started.elapsed(), output)
}

/// A body of these frames, one at a time, without a declared length.
#[derive(Debug)]
pub(crate) struct Frames<E = Infallible>(VecDeque<Result<Frame<Bytes>, E>>);

impl<E> Frames<E> {
    pub(crate) fn of(frames: impl IntoIterator<Item = Result<Frame<Bytes>, E>>) -> Self {
        Self(frames.into_iter().collect())
    }

    /// The bytes cut in pieces of this length.
    pub(crate) fn cut(bytes: &Bytes, size: usize) -> Self {
        Self::of(bytes.chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))))
    }
}

impl<E> Unpin for Frames<E> {}

impl<E> http_body::Body for Frames<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        Poll::Ready(self.0.pop_front())
    }
}
