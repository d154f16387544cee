//! The receivers on an axum route, served by hyper.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use tower_layer::Layer as _;
use webhook_verify::Provider;
use webhook_verify::tower::VerifyLayer;

use super::{Endpoints, PATH, SECRET, hand_written};
use crate::rows::Receiver;
use crate::wire::Served;

pub(super) fn serve(receiver: Receiver, endpoints: &Endpoints<'_>) -> Served {
    match receiver {
        Receiver::Bare | Receiver::Control => Served::by_hyper(app(post(bare))),
        Receiver::HandWritten => Served::by_hyper(app(post(by_hand))),
        Receiver::WebhookVerify => {
            // Around the router: on the route it would need an error handler,
            // whose cost is not its own.
            let secret = webhook_verify::Secret::new(SECRET);
            let layer = VerifyLayer::<Body>::new(Provider::Stripe, secret);
            Served::by_hyper(layer.layer(app(post(bare))))
        }
        Receiver::WithoutDedup => {
            let layer = WebhookLayer::new(endpoints.without_dedup());
            Served::by_hyper(app(post(bare).route_layer(layer)))
        }
        Receiver::Typed => {
            let layer = WebhookLayer::new(endpoints.without_dedup());
            Served::by_hyper(app(post(typed).route_layer(layer)))
        }
        Receiver::WithDedup => {
            let layer = WebhookLayer::new(endpoints.with_dedup());
            Served::by_hyper(app(post(bare).route_layer(layer)))
        }
    }
}

fn app(route: MethodRouter) -> Router {
    Router::new().route(PATH, route)
}

async fn bare(body: Bytes) -> StatusCode {
    std::hint::black_box(body);
    StatusCode::OK
}

async fn typed(Webhook(event): Webhook) -> StatusCode {
    std::hint::black_box(event);
    StatusCode::OK
}

async fn by_hand(headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("x-dataflow-signature").and_then(|value| value.to_str().ok());
    let status = hand_written::receive(signature, &body);
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
