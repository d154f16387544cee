//! A route whose layer was forgotten: 500, the operator is told, the sender is
//! not, and nothing passes.

use std::error::Error as _;

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::post;
use dataflow_webhooks_axum::{MissingLayer, Webhook, WebhookDelivery};

use crate::support::{PATH, layer, read, sample, send, signed};

async fn event(_: Webhook) -> &'static str {
    "must not run"
}

async fn delivery(_: WebhookDelivery) -> &'static str {
    "must not run"
}

#[tokio::test]
async fn without_the_layer_the_handler_does_not_run_and_the_answer_says_nothing() {
    for route in [post(event), post(delivery)] {
        let app: Router = Router::new().route(PATH, route);
        // Authentic or not: nobody has looked.
        let (status, body) = read(send(app, signed(&sample().body())).await).await;
        assert_eq!((status, &*body), (500, "the delivery was not handled\n"));
    }
}

#[tokio::test]
async fn a_layer_on_another_route_does_not_help() {
    let app: Router =
        Router::new().route("/other", post(event).route_layer(layer())).route(PATH, post(event));
    assert_eq!(send(app, signed(&sample().body())).await.status(), 500);
}

#[tokio::test]
async fn a_route_may_tell_the_two_apart_in_so_many_words() {
    async fn handle(event: Result<Webhook, MissingLayer>) -> &'static str {
        match event {
            Ok(Webhook(_)) => "verified",
            Err(_) => "nobody has looked",
        }
    }
    let body = sample().body();
    let app: Router = Router::new().route(PATH, post(handle));
    assert_eq!(read(send(app.clone(), signed(&body)).await).await.1, "nobody has looked");
    assert_eq!(read(send(app.layer(layer()), signed(&body)).await).await.1, "verified");
}

#[tokio::test]
async fn the_rejection_tells_an_operator_what_to_do_and_a_sender_nothing() {
    async fn handle(event: Result<Webhook, MissingLayer>) -> String {
        let missing = event.unwrap_err();
        assert_eq!(
            (missing.status().as_u16(), missing.body_text()),
            (500, "the delivery was not handled\n")
        );
        assert!(missing.source().is_none());
        let words = missing.to_string();
        assert!(words.contains("WebhookLayer::new(endpoint)"), "{words}");
        let (status, body) = read(missing.into_response()).await;
        assert_eq!((status, &*body), (500, "the delivery was not handled\n"));
        "done".into()
    }
    let app: Router = Router::new().route(PATH, post(handle));
    assert_eq!(read(send(app, signed(&sample().body())).await).await, (200, "done".into()));
}
