//! The receivers on a resource of actix-web, served by its own HTTP/1 server.

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use dataflow_webhooks_actix::{Webhook, WebhookMiddleware};
use webhook_verify::Provider;
use webhook_verify::actix::{VerifiedBody, WebhookConfig};

use super::{Endpoints, PATH, SECRET, hand_written};
use crate::rows::Receiver;
use crate::wire::Served;

pub(super) fn serve(receiver: Receiver, endpoints: &Endpoints<'_>) -> Served {
    let (runtime, resource) = (endpoints.runtime, web::resource(PATH));
    match receiver {
        Receiver::Bare | Receiver::Control => {
            Served::by_actix(runtime, resource.route(web::post().to(bare)))
        }
        Receiver::HandWritten => Served::by_actix(runtime, resource.route(web::post().to(by_hand))),
        Receiver::WebhookVerify => {
            let secret = webhook_verify::Secret::new(SECRET);
            let config = WebhookConfig::new(Provider::Stripe, secret);
            let route = web::post().to(after_webhook_verify);
            Served::by_actix(runtime, resource.app_data(config).route(route))
        }
        Receiver::WithoutDedup => {
            let middleware = WebhookMiddleware::new(endpoints.without_dedup());
            Served::by_actix(runtime, resource.wrap(middleware).route(web::post().to(bare)))
        }
        Receiver::Typed => {
            let middleware = WebhookMiddleware::new(endpoints.without_dedup());
            Served::by_actix(runtime, resource.wrap(middleware).route(web::post().to(typed)))
        }
        Receiver::WithDedup => {
            let middleware = WebhookMiddleware::new(endpoints.with_dedup());
            Served::by_actix(runtime, resource.wrap(middleware).route(web::post().to(bare)))
        }
    }
}

async fn bare(body: Bytes) -> HttpResponse {
    std::hint::black_box(body);
    HttpResponse::Ok().finish()
}

async fn typed(Webhook(event): Webhook) -> HttpResponse {
    std::hint::black_box(event);
    HttpResponse::Ok().finish()
}

async fn after_webhook_verify(body: VerifiedBody) -> HttpResponse {
    drop(std::hint::black_box(body));
    HttpResponse::Ok().finish()
}

async fn by_hand(request: HttpRequest, body: Bytes) -> HttpResponse {
    let signature = request.headers().get("x-dataflow-signature");
    let status = hand_written::receive(signature.and_then(|value| value.to_str().ok()), &body);
    HttpResponse::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}
