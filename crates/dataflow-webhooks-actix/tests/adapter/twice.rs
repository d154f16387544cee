//! The middleware around itself: on the app and on the resource, say.

use actix_web::test::{call_service, init_service};
use actix_web::{App, web};
use dataflow_webhooks_actix::{Outcome, Webhook, WebhookMiddleware};

use crate::support::{PATH, Runs, endpoint, event_of, outcome, read, sample, signed};

#[actix_web::test]
async fn from_one_endpoint_the_inner_one_passes_through_with_the_body() {
    async fn handle(_: Webhook, body: String) -> String {
        body.len().to_string()
    }
    let endpoint = endpoint();
    let middleware = WebhookMiddleware::new(endpoint.clone());
    let resource = web::resource(PATH).wrap(middleware.clone()).to(handle);
    let app = init_service(App::new().service(resource).wrap(middleware)).await;
    let body = event_of(300);
    let response = call_service(&app, signed(&body).to_request()).await;
    assert_eq!(read(response).await, (200, body.len().to_string()));
    assert_eq!(endpoint.counts().outcome(Outcome::Handled), 1, "it is counted once");
}

#[actix_web::test]
async fn from_two_endpoints_the_inner_one_answers_500_and_the_event_is_released() {
    let (runs, outer, inner) = (Runs::default(), endpoint(), endpoint());
    let counted = runs.clone();
    let resource = web::resource(PATH).wrap(WebhookMiddleware::new(inner.clone())).to(move || {
        counted.start();
        std::future::ready("must not run")
    });
    let app = App::new().service(resource).wrap(WebhookMiddleware::new(outer.clone()));
    let app = init_service(app).await;
    for attempt in 1..=2 {
        let response = call_service(&app, signed(&sample().body()).to_request()).await;
        assert_eq!(outcome(&response), Some(Outcome::WrongEndpoint));
        assert_eq!(read(response).await, (500, "the delivery was not handled\n".into()));
        assert_eq!(outer.counts().outcome(Outcome::Failed), attempt, "not a duplicate");
        assert_eq!(inner.counts().outcome(Outcome::WrongEndpoint), attempt);
    }
    assert_eq!(runs.started(), 0);
}
