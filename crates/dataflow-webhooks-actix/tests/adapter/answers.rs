//! What the sender reads, and what middleware outside can read of it.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use actix_web::test::{call_service, init_service};
use actix_web::{App, HttpResponse, web};
use dataflow_webhooks_actix::dead_letters::DeadLetters as _;
use dataflow_webhooks_actix::{
    DeadLetterFile, Endpoint, Outcome, Rejection, RejectionKind, Webhook, WebhookMiddleware,
};

use crate::support::{
    PATH, Runs, endpoint, event_of, middleware, outcome, read, sample, secret, signed,
};

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn ok(_: Webhook) -> &'static str {
    "done"
}

#[actix_web::test]
async fn a_2xx_becomes_200_and_keeps_headers_and_body() {
    async fn handle(_: Webhook) -> HttpResponse {
        HttpResponse::Accepted().reason("Later").insert_header(("x-kept", "yes")).body("kept")
    }
    let resource = web::resource(PATH).wrap(middleware()).to(handle);
    let app = init_service(App::new().service(resource)).await;
    let response = call_service(&app, signed(&sample().body()).to_request()).await;
    assert_eq!(header(response.headers(), "x-kept"), "yes");
    assert_eq!(response.response().head().reason(), "OK");
    assert_eq!(read(response).await, (200, "kept".into()));
}

#[actix_web::test]
async fn what_a_handler_refuses_goes_out_as_it_is_and_comes_again() {
    let runs = Runs::default();
    let counted = runs.clone();
    let resource = web::resource(PATH).wrap(middleware()).to(move |_: Webhook| {
        let answer = match counted.start() {
            1 => HttpResponse::BadGateway().body("its own"),
            2 => HttpResponse::Found().finish(),
            _ => HttpResponse::Ok().body("at last"),
        };
        std::future::ready(answer)
    });
    let app = init_service(App::new().service(resource)).await;
    let body = sample().body();
    for expected in [(502, "its own"), (302, ""), (200, "at last"), (200, "already handled\n")] {
        let (status, text) = read(call_service(&app, signed(&body).to_request()).await).await;
        assert_eq!((status, &*text), expected);
    }
    assert_eq!(runs.started(), 3);
}

#[actix_web::test]
async fn an_error_of_the_handler_or_of_middleware_inside_stays_what_it_is() {
    async fn handle(_: Webhook) -> Result<&'static str, actix_web::Error> {
        Err(actix_web::error::ErrorServiceUnavailable("busy"))
    }
    let resource = web::resource(PATH).wrap(middleware()).to(handle);
    let app = init_service(App::new().service(resource)).await;
    let response = call_service(&app, signed(&sample().body()).to_request()).await;
    assert_eq!(read(response).await, (503, "busy".into()));

    let fails = actix_web::middleware::from_fn(async |_request, _next| {
        Err::<actix_web::dev::ServiceResponse, _>(actix_web::error::ErrorConflict("inside"))
    });
    let resource = web::resource(PATH).to(ok).wrap(fails).wrap(middleware());
    let app = init_service(App::new().service(resource)).await;
    for _ in 0..2 {
        let request = signed(&sample().body()).to_request();
        let error = actix_web::dev::Service::call(&app, request).await.err().unwrap();
        assert_eq!(error.error_response().status(), 409, "released, so it runs again");
    }
}

#[actix_web::test]
async fn an_error_of_middleware_inside_is_no_success_whatever_its_status_is() {
    let fails = actix_web::middleware::from_fn(async |_request, _next| {
        let error = actix_web::error::InternalError::new("inside", StatusCode::OK);
        Err::<actix_web::dev::ServiceResponse, _>(error.into())
    });
    let resource = web::resource(PATH).to(ok).wrap(fails).wrap(middleware());
    let app = init_service(App::new().service(resource)).await;
    for _ in 0..2 {
        let request = signed(&sample().body()).to_request();
        let error = actix_web::dev::Service::call(&app, request).await.err().unwrap();
        assert_eq!(error.error_response().status(), 500, "released, so it runs again");
    }
}

#[actix_web::test]
async fn what_another_extractor_refuses_releases_the_event() {
    async fn handle(_: Webhook, _: web::Json<Vec<u8>>) -> &'static str {
        unreachable!("the body is an object")
    }
    let resource = web::resource(PATH).wrap(middleware()).to(handle);
    let app = init_service(App::new().service(resource)).await;
    for _ in 0..2 {
        let response = call_service(&app, signed(&sample().body()).to_request()).await;
        assert_eq!(response.status(), 400, "actix's own answer");
    }
}

#[actix_web::test]
async fn a_refusal_is_a_response_with_one_text_and_the_reason_in_its_extensions() {
    let resource = web::resource(PATH).wrap(middleware()).to(ok);
    let app = init_service(App::new().service(resource)).await;
    let request = signed(&sample().body()).insert_header(("x-dataflow-signature", "nonsense"));
    let response = call_service(&app, request.to_request()).await;
    assert_eq!(header(response.headers(), "www-authenticate"), "DataFlow-Signature");
    assert_eq!(header(response.headers(), "content-type"), "text/plain; charset=utf-8");
    let kind = RejectionKind::MalformedSignature;
    assert_eq!(outcome(&response), Some(Outcome::Rejected(kind)));
    assert_eq!(response.response().extensions().get::<Rejection>().unwrap().kind(), kind);
    assert_eq!(read(response).await.0, 401);
}

#[actix_web::test]
async fn two_header_lines_are_refused() {
    let resource = web::resource(PATH).wrap(middleware()).to(ok);
    let app = init_service(App::new().service(resource)).await;
    let request = signed(&sample().body()).append_header(("x-dataflow-signature", "t=1"));
    assert_eq!(call_service(&app, request.to_request()).await.status(), 401);
}

#[actix_web::test]
async fn only_post_is_let_through() {
    let resource = web::resource(PATH).wrap(middleware()).to(ok);
    let app = init_service(App::new().service(resource)).await;
    for method in [Method::GET, Method::PUT, Method::HEAD] {
        let request = signed(&sample().body()).method(method);
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(
            (response.status().as_u16(), header(response.headers(), "allow")),
            (405, "POST")
        );
    }
}

#[actix_web::test]
async fn a_body_over_the_limit_is_413() {
    let resource = web::resource(PATH).wrap(middleware()).to(ok);
    let app = init_service(App::new().service(resource)).await;
    let response = call_service(&app, signed(&event_of(1024)).to_request()).await;
    assert_eq!(response.status(), 413);
}

#[actix_web::test]
async fn an_authentic_body_that_is_no_object_is_422() {
    let resource = web::resource(PATH).wrap(middleware()).to(ok);
    let app = init_service(App::new().service(resource)).await;
    let response = call_service(&app, signed(&"[1]".into()).to_request()).await;
    assert_eq!(response.status(), 422);
}

#[actix_web::test]
async fn a_draining_endpoint_answers_503() {
    let endpoint = endpoint();
    endpoint.drain().await;
    let resource = web::resource(PATH).wrap(WebhookMiddleware::new(endpoint)).to(ok);
    let app = init_service(App::new().service(resource)).await;
    let response = call_service(&app, signed(&sample().body()).to_request()).await;
    assert_eq!(header(response.headers(), "retry-after"), "60");
    assert_eq!(read(response).await, (503, "try again later\n".into()));
}

#[actix_web::test]
async fn a_panic_of_the_handler_is_500_and_the_retry_runs() {
    let runs = Runs::default();
    let counted = runs.clone();
    let resource = web::resource(PATH).wrap(middleware()).to(move |_: Webhook| {
        let run = counted.start();
        async move {
            assert!(run > 1, "on purpose");
            "done"
        }
    });
    let app = init_service(App::new().service(resource)).await;
    let body = sample().body();
    let response = call_service(&app, signed(&body).to_request()).await;
    assert_eq!(outcome(&response), Some(Outcome::Panicked));
    assert_eq!(response.request().uri(), PATH, "middleware outside may ask");
    assert_eq!(response.status(), 500);
    let response = call_service(&app, signed(&body).to_request()).await;
    assert_eq!(read(response).await, (200, "done".into()));
}

#[actix_web::test]
async fn a_duplicate_of_a_delivery_in_flight_waits_for_it() {
    let endpoint = endpoint();
    let go = Rc::new(tokio::sync::Notify::new());
    let gone = Rc::clone(&go);
    // Not `Send`, and need not be.
    let resource =
        web::resource(PATH).wrap(WebhookMiddleware::new(endpoint.clone())).to(move |_: Webhook| {
            let go = Rc::clone(&gone);
            async move {
                go.notified().await;
                "done"
            }
        });
    let app = init_service(App::new().service(resource)).await;
    let body = sample().body();
    let mut first = Box::pin(call_service(&app, signed(&body).to_request()));
    let soon = Duration::from_millis(20);
    assert!(tokio::time::timeout(soon, &mut first).await.is_err(), "under way");
    let mut second = Box::pin(call_service(&app, signed(&body).to_request()));
    assert!(tokio::time::timeout(soon, &mut second).await.is_err(), "it waits");
    go.notify_one();
    assert_eq!(read(first.await).await.1, "done");
    let second = second.await;
    assert_eq!(second.request().headers().get("x-request-id").unwrap(), "req_1", "its own request");
    assert_eq!(read(second).await, (200, "already handled\n".into()));
}

#[actix_web::test]
async fn a_duplicate_of_one_still_in_flight_when_the_time_is_up_is_503() {
    let endpoint = Endpoint::builder(secret())
        .body_within(Duration::from_millis(100))
        .answer_within(Duration::from_millis(150))
        .build()
        .unwrap();
    let resource = web::resource(PATH).wrap(WebhookMiddleware::new(endpoint.clone())).to(
        async |_: Webhook| {
            std::future::pending::<()>().await;
            "never"
        },
    );
    let app = init_service(App::new().service(resource)).await;
    let body = sample().body();
    let late = call_service(&app, signed(&body).to_request()).await;
    assert_eq!(outcome(&late), Some(Outcome::Late));
    let again = call_service(&app, signed(&body).to_request()).await;
    assert_eq!(outcome(&again), Some(Outcome::InFlight));
    assert_eq!(header(again.headers(), "retry-after"), "60");
}

#[actix_web::test]
async fn a_dead_letter_is_answered_with_its_outcome_in_place_of_the_handlers_answer() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers.jsonl");
    let _ = std::fs::remove_file(&path);
    let letters = Arc::new(DeadLetterFile::open(&path).unwrap());
    let endpoint = Endpoint::builder(secret()).dead_letters(letters.clone(), 1).build().unwrap();
    let resource = web::resource(PATH)
        .wrap(WebhookMiddleware::new(endpoint))
        .to(async |_: Webhook| HttpResponse::BadGateway().body("the handler's own"));
    let app = init_service(App::new().service(resource)).await;
    let body = sample().body();
    let response = call_service(&app, signed(&body).to_request()).await;
    assert_eq!(outcome(&response), Some(Outcome::DeadLettered));
    assert_eq!(header(response.headers(), "content-type"), "text/plain; charset=utf-8");
    assert_eq!(read(response).await, (200, "kept for later\n".into()));
    assert_eq!(letters.list(None, 10).await.unwrap()[0].body(), &body);
}
