//! axum, with the layer as its documentation shows it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use dataflow_webhooks::Endpoint;
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use tower_http::timeout::TimeoutLayer;
use webhook_tests::Receiver;

use super::unready::Readiness;
use super::{PATH, log_answer};
use crate::scene::{Failed, Says, Served};

pub(super) async fn serve(served: &Served) -> Receiver {
    let handler = served.handler.clone();
    let handle = async move |WebhookDelivery(delivery): WebhookDelivery, body: Bytes| {
        let said = handler.run(delivery, body).await;
        let Says { status, headers, body } =
            said.map_err(|Failed| (status(Failed::STATUS), Failed::TEXT))?;
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = self::status(status);
        for (name, value) in headers {
            answer.headers_mut().append(name, value.parse().expect("a header's value"));
        }
        Ok::<_, (StatusCode, &str)>(answer)
    };
    let mut route = any(handle);
    if let Some(inner) = &served.inner {
        let readiness = Readiness { never: served.never_ready };
        route = route.layer((layer(inner, served.peer_known), readiness));
    }
    let mut app = Router::new().route(PATH, route);
    if let Some(outer) = &served.outer {
        app = app.layer(layer(outer, served.peer_known));
    }
    let app = app.layer(axum::middleware::map_response(logged));
    let time_out = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, served.time_out);
    Receiver::start(app.layer(time_out)).await
}

fn layer(endpoint: &Endpoint, peer_known: bool) -> WebhookLayer {
    let layer = WebhookLayer::new(endpoint.clone());
    if !peer_known {
        return layer;
    }
    layer.peer(|parts| {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(info.0.ip())
    })
}

async fn logged(answer: Response) -> Response {
    log_answer!(answer, answer.extensions());
    answer.into_response()
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status")
}
