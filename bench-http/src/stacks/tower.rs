//! The receivers as tower services, served by hyper, no framework between them.

use std::convert::Infallible;

use bytes::Bytes;
use dataflow_webhooks::Delivery;
use dataflow_webhooks_tower::{WebhookBody, WebhookLayer};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::http::StatusCode;
use hyper::{Request, Response};
use tower::service_fn;
use tower_layer::Layer as _;
use webhook_verify::Provider;
use webhook_verify::tower::VerifyLayer;

use super::{Endpoints, SECRET, hand_written};
use crate::rows::Receiver;
use crate::wire::Served;

pub(super) fn serve(receiver: Receiver, endpoints: &Endpoints<'_>) -> Served {
    match receiver {
        Receiver::Bare | Receiver::Control => Served::by_hyper(service_fn(bare)),
        Receiver::HandWritten => Served::by_hyper(service_fn(by_hand)),
        Receiver::WebhookVerify => {
            let secret = webhook_verify::Secret::new(SECRET);
            let layer = VerifyLayer::<Bytes>::new(Provider::Stripe, secret);
            Served::by_hyper(layer.layer(service_fn(after_webhook_verify)))
        }
        Receiver::WithoutDedup => {
            let layer = WebhookLayer::new(endpoints.without_dedup());
            Served::by_hyper(layer.layer(service_fn(after_ours)))
        }
        Receiver::Typed => {
            let layer = WebhookLayer::new(endpoints.without_dedup());
            Served::by_hyper(layer.layer(service_fn(typed)))
        }
        Receiver::WithDedup => {
            let layer = WebhookLayer::new(endpoints.with_dedup());
            Served::by_hyper(layer.layer(service_fn(after_ours)))
        }
    }
}

async fn bare(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    std::hint::black_box(request.into_body().collect().await?.to_bytes());
    Ok(answer(StatusCode::OK))
}

async fn by_hand(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let signature = parts.headers.get("x-dataflow-signature");
    let signature = signature.and_then(|value| value.to_str().ok());
    let status = hand_written::receive(signature, &body);
    Ok(answer(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)))
}

async fn after_webhook_verify(
    request: Request<Bytes>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    std::hint::black_box(request.into_body());
    Ok(answer(StatusCode::OK))
}

async fn after_ours(request: Request<WebhookBody>) -> Result<Response<Empty<Bytes>>, Infallible> {
    std::hint::black_box(request.into_body().into_bytes());
    Ok(answer(StatusCode::OK))
}

async fn typed(request: Request<WebhookBody>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let delivery = request.extensions().get::<Delivery>();
    std::hint::black_box(delivery.map(Delivery::event));
    Ok(answer(StatusCode::OK))
}

fn answer(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}
