//! What the extractors give, alone and beside others; and that the verified body is
//! there for every extractor of actix's.

use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::test::{call_service, init_service};
use actix_web::web::{self, Data, JsonConfig, PayloadConfig};
use actix_web::{
    App, FromRequest, Handler, HttpRequest, HttpResponse, Responder, ResponseError as _,
};
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_actix::{
    EventPayload, EventType, MissingMiddleware, Webhook, WebhookDelivery,
};
use serde_json::Value;

use crate::support::{PATH, event_of, middleware, read, sample, signed};

/// Sends a body to a handler behind the middleware. Its asserts would be a 500.
async fn handled_by<H, A>(handler: H, body: &Bytes) -> (u16, String)
where
    H: Handler<A>,
    A: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    let resource = web::resource(PATH).wrap(middleware()).route(web::post().to(handler));
    let app = init_service(App::new().app_data(Data::new("state")).service(resource)).await;
    read(call_service(&app, signed(body).to_request()).await).await
}

fn done() -> (u16, String) {
    (200, "done".into())
}

#[actix_web::test]
async fn webhook_is_the_typed_event() {
    async fn handle(Webhook(event): Webhook) -> &'static str {
        assert_eq!(event.id, "evt_1");
        assert_eq!(event.event_type, EventType::PipelineRunCompleted);
        let EventPayload::PipelineRunCompleted(run) = event.payload else { panic!("its type") };
        assert_eq!(run.records_processed, 15_420);
        "done"
    }
    assert_eq!(handled_by(handle, &sample().body()).await, done());
}

#[actix_web::test]
async fn webhook_takes_events_of_types_that_nobody_has_documented() {
    async fn handle(Webhook(event): Webhook) -> &'static str {
        assert!(matches!(event.payload, EventPayload::Unknown(_)));
        "done"
    }
    let body = Sample::unknown("pipeline.run.cancelled").body();
    assert_eq!(handled_by(handle, &body).await, done());
}

#[actix_web::test]
async fn webhook_delivery_is_the_bytes_the_key_and_the_claim() {
    async fn handle(WebhookDelivery(delivery): WebhookDelivery) -> Bytes {
        let (id, key, epoch) = (delivery.id(), delivery.key(), delivery.epoch());
        assert_eq!((id, key, epoch), ("evt_1", "current", Some(1)));
        delivery.body().clone()
    }
    let body = sample().body();
    let (status, answer) = handled_by(handle, &body).await;
    assert_eq!((status, answer.as_bytes()), (200, &body[..]));
}

#[actix_web::test]
async fn webhook_first_of_many() {
    async fn handle(
        Webhook(event): Webhook,
        WebhookDelivery(delivery): WebhookDelivery,
        state: Data<&'static str>,
        request: HttpRequest,
        body: Bytes,
    ) -> &'static str {
        assert_eq!((&*event.id, **state), (delivery.id(), "state"));
        assert_eq!(request.headers().get("x-request-id").unwrap(), "req_1");
        assert_eq!(body, *delivery.body());
        "done"
    }
    assert_eq!(handled_by(handle, &sample().body()).await, done());
}

#[actix_web::test]
async fn webhook_amid_many_with_json_of_the_verified_body() {
    async fn handle(
        web::Json(value): web::Json<Value>,
        WebhookDelivery(delivery): WebhookDelivery,
        method: Method,
        Webhook(event): Webhook,
    ) -> &'static str {
        assert_eq!((&*event.id, method), (delivery.id(), Method::POST));
        assert_eq!(value, serde_json::from_slice::<Value>(delivery.body()).unwrap());
        "done"
    }
    assert_eq!(handled_by(handle, &sample().body()).await, done());
}

#[actix_web::test]
async fn webhook_last_after_the_payload_itself() {
    async fn handle(mut payload: web::Payload, _: Webhook, all: WebhookDelivery) -> &'static str {
        use futures_core::Stream as _;
        let mut read = Vec::new();
        while let Some(chunk) =
            std::future::poll_fn(|cx| std::pin::Pin::new(&mut payload).poll_next(cx)).await
        {
            read.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(read, all.0.body()[..]);
        "done"
    }
    assert_eq!(handled_by(handle, &sample().body()).await, done());
}

async fn bytes(body: Bytes, _: Webhook) -> String {
    body.len().to_string()
}

async fn string(_: Webhook, body: String) -> String {
    body.len().to_string()
}

async fn json(_: Webhook, _: web::Json<Value>) -> &'static str {
    "done"
}

#[actix_web::test]
async fn bytes_and_strings_past_actix_s_256_kib_are_read() {
    let (three, six) = (event_of(300), event_of(600));
    assert_eq!(handled_by(bytes, &three).await, (200, three.len().to_string()));
    assert_eq!(handled_by(string, &six).await, (200, six.len().to_string()));
}

async fn with_settings(settings: fn(&mut web::ServiceConfig), kib: usize) -> ServiceResponse {
    let endpoint = dataflow_webhooks_actix::Endpoint::builder(crate::support::secret())
        .max_body_bytes(8 * 1024 * 1024)
        .build()
        .unwrap();
    let resource = web::resource(PATH)
        .wrap(dataflow_webhooks_actix::WebhookMiddleware::new(endpoint))
        .route(web::post().to(json));
    let app = init_service(App::new().configure(settings).service(resource)).await;
    call_service(&app, signed(&event_of(kib)).to_request()).await.map_into_boxed_body()
}

#[actix_web::test]
async fn json_past_actix_s_2_mb_is_read_up_to_the_endpoint_s_limit() {
    assert_eq!(read(with_settings(|_| (), 3 * 1024).await).await, done());
}

#[actix_web::test]
async fn the_application_s_own_limits_are_raised_to_the_endpoint_s() {
    let lower = |config: &mut web::ServiceConfig| {
        config.app_data(JsonConfig::default().limit(10)).app_data(PayloadConfig::new(10));
    };
    assert_eq!(read(with_settings(lower, 1).await).await, done());
    let shared = |config: &mut web::ServiceConfig| {
        config.app_data(Data::new(JsonConfig::default().limit(10)));
    };
    assert_eq!(read(with_settings(shared, 1).await).await, done());
}

#[actix_web::test]
async fn the_application_s_other_settings_are_kept() {
    let settings = |config: &mut web::ServiceConfig| {
        let json = JsonConfig::default().content_type(|_| false).content_type_required(true);
        config.app_data(json.error_handler(|error, _| {
            let answer = HttpResponse::ImATeapot().body("its own");
            actix_web::error::InternalError::from_response(error, answer).into()
        }));
    };
    // Not a content type that counts as JSON.
    let resource = web::resource(PATH).wrap(middleware()).route(web::post().to(json));
    let app = init_service(App::new().configure(settings).service(resource)).await;
    let request = signed(&event_of(300)).insert_header(("content-type", "text/plain"));
    let response = call_service(&app, request.to_request()).await;
    assert_eq!(read(response).await, (418, "its own".into()));
}

#[actix_web::test]
async fn without_the_middleware_no_handler_runs_and_the_answer_says_nothing() {
    async fn delivery(_: WebhookDelivery) -> &'static str {
        "must not run"
    }
    async fn event(_: Webhook) -> &'static str {
        "must not run"
    }
    for route in [web::post().to(delivery), web::post().to(event)] {
        let app = init_service(App::new().service(web::resource(PATH).route(route))).await;
        let response = call_service(&app, signed(&sample().body()).to_request()).await;
        assert_eq!(read(response).await, (500, "the delivery was not handled\n".into()));
    }
}

#[actix_web::test]
async fn a_handler_may_tell_the_two_apart_in_so_many_words() {
    async fn handle(event: Result<Webhook, MissingMiddleware>) -> &'static str {
        let Err(missing) = event else { return "verified" };
        assert_eq!(missing.error_response().status(), 500);
        assert!(missing.to_string().contains("WebhookMiddleware::new(endpoint)"));
        "nobody has looked"
    }
    let body = sample().body();
    let app = init_service(App::new().route(PATH, web::post().to(handle))).await;
    let response = call_service(&app, signed(&body).to_request()).await;
    assert_eq!(read(response).await.1, "nobody has looked");
    assert_eq!(handled_by(handle, &body).await.1, "verified");
}

#[actix_web::test]
async fn debug_shows_no_body() {
    async fn handle(delivery: WebhookDelivery) -> String {
        format!("{delivery:?}")
    }
    let (status, debug) = handled_by(handle, &sample().data("card", "4111").body()).await;
    assert_eq!(status, 200);
    assert!(debug.contains("evt_1") && !debug.contains("4111"), "{debug}");
}
