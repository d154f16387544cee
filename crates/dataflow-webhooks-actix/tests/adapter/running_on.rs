//! A handler that is not done when its sender no longer waits: it runs on, on its
//! own thread, and its event is settled.

use std::rc::Rc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use dataflow_webhooks_actix::{Endpoint, Outcome, Webhook, WebhookMiddleware};

use crate::support::{Answer, PATH, Runs, Server, Wire, endpoint, eventually, sample, secret};

/// A handler that ends when it may, with something in its hands that is not `Send`.
fn slow(runs: &Runs) -> impl actix_web::Handler<(Webhook,), Output = HttpResponse> + Send + use<> {
    let runs = runs.clone();
    move |_: Webhook| {
        let runs = runs.clone();
        async move {
            let held = Rc::new(runs.start());
            runs.gate().await;
            runs.end();
            HttpResponse::Ok().body(held.to_string())
        }
    }
}

fn impatient() -> Endpoint {
    let (body, answer) = (Duration::from_millis(100), Duration::from_millis(200));
    Endpoint::builder(secret()).body_within(body).answer_within(answer).build().unwrap()
}

/// Delivers it as the platform does: again after a 503, but not for ever.
async fn until_handled(wire: &mut Wire, body: &Bytes) -> Answer {
    let mut answer = wire.deliver(body).await;
    for _ in 0..5 {
        if answer.status == 503 {
            answer = wire.deliver(body).await;
        }
    }
    answer
}

/// Delivers it until its handler has begun. Where the machine stands still, it may be
/// too late for that.
async fn until_begun(wire: &mut Wire, body: &Bytes, runs: &Runs) -> Answer {
    let mut answer = wire.deliver(body).await;
    for _ in 0..5 {
        if runs.started() == 0 {
            answer = wire.deliver(body).await;
        }
    }
    answer
}

#[actix_web::test]
async fn a_late_handler_is_answered_503_runs_on_and_commits() {
    let (runs, endpoint) = (Runs::default(), impatient());
    let server = Server::of(&endpoint, slow(&runs));
    let (mut wire, body) = (server.connect().await, sample().body());
    let late = until_begun(&mut wire, &body, &runs).await;
    assert_eq!((late.status, &*late.body), (503, "try again later\n"));
    assert!(late.has("retry-after: 60"), "{late:?}");
    assert_eq!((runs.started(), runs.ended()), (1, 0));
    runs.let_go();
    eventually("the handler is done", || runs.ended() == 1).await;
    let again = until_handled(&mut server.connect().await, &body).await;
    assert_eq!((again.status, &*again.body), (200, "already handled\n"));
    assert_eq!(runs.started(), 1);
}

#[actix_web::test]
async fn the_late_answer_keeps_the_connection() {
    let (runs, endpoint) = (Runs::default(), impatient());
    let server = Server::of(&endpoint, slow(&runs));
    let (mut wire, body) = (server.connect().await, sample().body());
    assert_eq!(until_begun(&mut wire, &body, &runs).await.status, 503);
    runs.let_go();
    eventually("the handler is done", || runs.ended() == 1).await;
    assert_eq!(until_handled(&mut wire, &body).await.status, 200);
}

#[actix_web::test]
async fn middleware_outside_sees_the_late_request_s_line() {
    let endpoint = impatient();
    let server = Server::start(move |config| {
        let marks = actix_web::middleware::from_fn(async |request, next| {
            let mut response = actix_web::middleware::Next::call(&next, request).await?;
            let seen = response.request().uri().to_string().parse().unwrap();
            let name = actix_web::http::header::HeaderName::from_static("x-line");
            actix_web::dev::ServiceResponse::headers_mut(&mut response).insert(name, seen);
            Ok::<_, actix_web::Error>(response)
        });
        let resource = web::resource(PATH)
            .to(async |_: Webhook| std::future::pending::<&'static str>().await)
            .wrap(WebhookMiddleware::new(endpoint.clone()))
            .wrap(marks);
        config.service(resource);
    });
    let late = server.deliver(&sample().body()).await;
    assert_eq!(late.status, 503);
    assert!(late.has("x-line: /webhooks/dataflow"), "{late:?}");
}

#[actix_web::test]
async fn a_handler_whose_sender_resets_runs_on_and_commits() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let server = Server::of(&endpoint, slow(&runs));
    let body = sample().body();
    let mut wire = server.connect().await;
    wire.send(&body).await;
    eventually("the handler has begun", || runs.started() == 1).await;
    wire.reset();
    eventually("the sender has gone", || endpoint.counts().outcome(Outcome::HungUp) == 1).await;
    assert_eq!(runs.ended(), 0);
    runs.let_go();
    eventually("the handler is done", || runs.ended() == 1).await;
    let again = server.deliver(&body).await;
    assert_eq!((again.status, &*again.body), (200, "already handled\n"));
    assert_eq!(runs.started(), 1);
}

#[actix_web::test]
async fn a_handler_whose_sender_closes_its_half_answers_it() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let server = Server::of(&endpoint, slow(&runs));
    let mut wire = server.connect().await;
    wire.send(&sample().body()).await;
    eventually("the handler has begun", || runs.started() == 1).await;
    wire.finish().await;
    runs.let_go();
    assert_eq!(wire.answer().await.status, 200);
}

#[actix_web::test]
async fn a_panic_after_the_late_answer_releases_the_event() {
    let (runs, endpoint) = (Runs::default(), impatient());
    let counted = runs.clone();
    let server = Server::of(&endpoint, move |_: Webhook| {
        let runs = counted.clone();
        async move {
            if runs.start() == 1 {
                runs.gate().await;
                runs.end();
                panic!("on purpose");
            }
            "done"
        }
    });
    let body = sample().body();
    let late = until_begun(&mut server.connect().await, &body, &runs).await;
    assert_eq!(late.status, 503);
    runs.let_go();
    eventually("it has panicked", || runs.ended() == 1).await;
    eventually("it is settled", || endpoint.counts().running == 0).await;
    let again = until_handled(&mut server.connect().await, &body).await;
    assert_eq!((again.status, &*again.body), (200, "done"));
}

/// `spawn_local` knows no place for the work here: the drop must not panic.
#[tokio::test]
async fn outside_of_a_local_set_a_dropped_request_does_no_harm() {
    use actix_web::dev::Service as _;
    let resource = web::resource(PATH)
        .wrap(WebhookMiddleware::new(endpoint()))
        .to(async |_: Webhook| std::future::pending::<&'static str>().await);
    let app = actix_web::test::init_service(actix_web::App::new().service(resource)).await;
    let mut call = Box::pin(app.call(crate::support::signed(&sample().body()).to_request()));
    let soon = Duration::from_millis(20);
    assert!(tokio::time::timeout(soon, &mut call).await.is_err(), "under way");
    drop(call);
}
