//! Wherever it is wrapped around, and whatever else is: an authentic delivery runs
//! once, and nothing else does.

use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::middleware::{
    Compress, Condition, ErrorHandlerResponse, ErrorHandlers, Logger, NormalizePath,
};
use actix_web::test::{call_service, init_service};
use actix_web::{App, Resource, web};
use dataflow_webhooks_actix::Webhook;

use crate::support::{PATH, Runs, event_of, middleware, read, sample, signed};

fn resource(runs: &Runs) -> Resource {
    let runs = runs.clone();
    web::resource(PATH).route(web::post().to(move |_: Webhook, body: String| {
        runs.start();
        std::future::ready(body.len().to_string())
    }))
}

/// It guards this app: a large body included, which an extractor of actix's reads.
macro_rules! guards {
    ($app:expr, $runs:expr) => {
        let (app, runs) = (init_service($app).await, $runs);
        let body = event_of(300);
        let length = body.len().to_string();

        let unsigned = signed(&body).insert_header(("x-dataflow-signature", "t=1,v1=00"));
        let refused = call_service(&app, unsigned.to_request()).await;
        assert_eq!((refused.status().as_u16(), runs.started()), (401, 0));
        let handled = call_service(&app, signed(&body).to_request()).await;
        assert_eq!((read(handled).await, runs.started()), ((200, length), 1));
        let again = call_service(&app, signed(&body).to_request()).await;
        assert_eq!(read(again).await, (200, "already handled\n".into()));
        assert_eq!(runs.started(), 1);
    };
}

#[actix_web::test]
async fn around_a_resource() {
    let runs = Runs::default();
    guards!(App::new().service(resource(&runs).wrap(middleware())), &runs);
}

#[actix_web::test]
async fn around_a_scope() {
    let runs = Runs::default();
    let scope = web::scope("").wrap(middleware()).service(resource(&runs));
    guards!(App::new().service(scope), &runs);
}

#[actix_web::test]
async fn around_a_scope_in_a_scope() {
    let runs = Runs::default();
    let inner = web::scope("/webhooks").service(web::scope("").wrap(middleware()).service(
        web::resource("/dataflow").route({
            let runs = runs.clone();
            web::post().to(move |_: Webhook, body: String| {
                runs.start();
                std::future::ready(body.len().to_string())
            })
        }),
    ));
    guards!(App::new().service(inner), &runs);
}

#[actix_web::test]
async fn around_an_app() {
    let runs = Runs::default();
    guards!(App::new().service(resource(&runs)).wrap(middleware()), &runs);
}

#[actix_web::test]
async fn in_a_condition() {
    let runs = Runs::default();
    let conditional = Condition::new(true, middleware());
    guards!(App::new().service(resource(&runs).wrap(conditional)), &runs);
}

#[actix_web::test]
async fn inside_of_other_middleware() {
    let runs = Runs::default();
    let app = App::new()
        .service(resource(&runs).wrap(middleware()))
        .wrap(Logger::default())
        .wrap(ErrorHandlers::new())
        .wrap(Compress::default())
        .wrap(NormalizePath::trim());
    guards!(app, &runs);
}

#[actix_web::test]
async fn outside_of_other_middleware() {
    let runs = Runs::default();
    let app = App::new()
        .service(resource(&runs))
        .wrap(NormalizePath::trim())
        .wrap(Compress::default())
        .wrap(ErrorHandlers::new())
        .wrap(Logger::default())
        .wrap(middleware());
    guards!(app, &runs);
}

#[actix_web::test]
async fn around_a_resource_everything_else_stays_what_it_is() {
    let runs = Runs::default();
    let app = init_service(App::new().service(resource(&runs).wrap(middleware()))).await;
    let request = signed(&sample().body()).uri("/another");
    assert_eq!(call_service(&app, request.to_request()).await.status(), 404);
}

#[actix_web::test]
async fn error_handlers_outside_see_refusals_and_what_handlers_answer() {
    let runs = Runs::default();
    let handlers = ErrorHandlers::new().default_handler(|mut response: ServiceResponse<_>| {
        assert_eq!(response.request().path(), PATH);
        let marked = actix_web::http::header::HeaderValue::from_static("yes");
        let name = actix_web::http::header::HeaderName::from_static("x-seen");
        response.headers_mut().insert(name, marked);
        Ok(ErrorHandlerResponse::Response(response.map_into_left_body()))
    });
    let app = App::new().service(resource(&runs).wrap(middleware())).wrap(handlers);
    let app = init_service(app).await;
    let request = signed(&sample().body()).insert_header(("x-dataflow-signature", "t=1,v1=00"));
    let response = call_service(&app, request.to_request()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.headers().contains_key("x-seen"));
}
