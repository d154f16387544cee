//! A complete receiver of the platform's webhooks with hyper and tower alone, to
//! be copied together with `../receiver`, which has all that is not the
//! application's.

use std::convert::Infallible;

use bytes::Bytes;
use dataflow_webhooks::{Delivery, Endpoint};
use dataflow_webhooks_tower::{ResponseBody, WebhookBody, WebhookLayer};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use receiver::{Failure, Receiver, http1};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

#[tokio::main]
async fn main() {
    receiver::run(env!("CARGO_PKG_NAME"), serve).await
}

async fn serve(receiver: Receiver) -> Result<(), Failure> {
    let app = app(receiver.endpoint.clone());
    http1::serve(receiver, app).await
}

type Text = Full<Bytes>;

/// The layer's answers, or our own.
type Answer = Response<Either<ResponseBody<Text>, Text>>;

/// Each path and its methods, by hand.
fn app(
    endpoint: Endpoint,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send> + Clone {
    let webhook = WebhookLayer::new(endpoint).peer(http1::peer).layer(service_fn(receive));
    service_fn(move |request: Request<Incoming>| {
        let webhook = webhook.clone();
        async move {
            Ok(match (request.uri().path(), request.method()) {
                // Only what is posted goes through the layer.
                (receiver::PATH, &Method::POST) => {
                    webhook.oneshot(request).await?.map(Either::Left)
                }
                (receiver::PATH, _) => not_allowed("POST"),
                ("/healthz", &Method::GET | &Method::HEAD) => healthy(),
                ("/healthz", _) => not_allowed("GET,HEAD"),
                _ => empty(StatusCode::NOT_FOUND),
            })
        }
    })
}

/// Runs for verified deliveries only.
async fn receive(request: Request<WebhookBody>) -> Result<Response<Text>, Infallible> {
    let processed = match request.extensions().get::<Delivery>() {
        Some(delivery) => receiver::process(delivery).await.is_ok(),
        // Without the layer around it.
        None => false,
    };
    let mut response = Response::default();
    if !processed {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

fn healthy() -> Answer {
    let mut response = Response::new(Either::Right(Text::from("ok\n")));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Either::Right(Text::default()));
    *response.status_mut() = status;
    // hyper says so itself, but not in answer to a HEAD.
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    response
}
