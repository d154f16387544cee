//! An authentic delivery passes, and nothing else does.

use axum::http::StatusCode;
use axum::{Router, routing::post};
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use webhook_tests::{Receiver, Request, Runs, Wire, endpoint};

#[tokio::test]
async fn an_authentic_delivery_runs_the_handler_and_a_duplicate_does_not() {
    let (endpoint, runs) = (endpoint().build().unwrap(), Runs::default());
    let seen = runs.clone();
    let handle = move |Webhook(event): Webhook| async move {
        seen.begin(&event.id);
        StatusCode::NO_CONTENT
    };
    let app = Router::new()
        .route("/webhooks/dataflow", post(handle).route_layer(WebhookLayer::new(endpoint.clone())));
    let receiver = Receiver::start(app).await;

    let sample = Sample::of("pipeline.run.completed").id("evt_smoke");
    let mut wire = Wire::connect(receiver.address()).await.unwrap();
    for _ in 0..2 {
        wire.send(&Request::signed(sample.body())).await.unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, runs.begun("evt_smoke")), (200, 1), "{}", answer.text());
    }

    let mut tampered = Request::signed(sample.body());
    tampered.body = sample.id("evt_other").body();
    let answer = tampered.send(receiver.address()).await.unwrap();
    assert_eq!((answer.status, runs.begun("evt_other")), (401, 0));
    assert_eq!(endpoint.counts().authentic_refused, 0);
}
