//! actix-web under its own server, one worker, on threads of its own.

use actix_web::dev::ServiceRequest;
use actix_web::error::{self, InternalError};
use actix_web::http::StatusCode;
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use dataflow_webhooks_actix::{WebhookDelivery, WebhookMiddleware};
use webhook_tests::Receiver;

use super::unready::Readiness;
use super::{PATH, log_answer};
use crate::scene::{Failed, Says, Served};

pub(super) fn serve(served: &Served) -> Receiver {
    let served = served.clone();
    Receiver::run_actix(move || {
        let server = HttpServer::new(move || {
            let handler = served.handler.clone();
            let handle = move |WebhookDelivery(delivery): WebhookDelivery, body: Bytes| {
                let handler = handler.clone();
                async move { handler.run(delivery, body).await.map(answer).map_err(error) }
            };
            let layer = |endpoint: &Option<_>| {
                let middleware = endpoint.clone().unwrap_or_else(|| served.endpoint.clone());
                Condition::new(endpoint.is_some(), WebhookMiddleware::new(middleware))
            };
            let readiness = Readiness { never: served.never_ready };
            let resource = web::resource(PATH).wrap(readiness).wrap(layer(&served.inner));
            let resource = resource.to(handle);
            let (time_out, peer_known) = (served.time_out, served.peer_known);
            let outermost = from_fn(move |mut request: ServiceRequest, next: Next<_>| async move {
                if !peer_known {
                    // As of a connection through a Unix socket.
                    request.head_mut().peer_addr = None;
                }
                let answered = tokio::time::timeout(time_out, next.call(request)).await;
                let answer = answered.unwrap_or_else(|_| Err(timed_out()))?;
                log_answer!(answer.headers(), answer.response().extensions());
                Ok(answer)
            });
            App::new().service(resource).wrap(layer(&served.outer)).wrap(outermost)
        });
        let server = server.workers(1).disable_signals().bind_auto_h2c("127.0.0.1:0");
        let server = server.expect("a free port");
        let address = server.addrs()[0];
        (server.run(), address)
    })
}

fn answer(says: Says) -> HttpResponse {
    let mut answer = HttpResponse::build(status(says.status));
    for header in says.headers {
        answer.append_header(header);
    }
    answer.body(says.body)
}

fn error(_: Failed) -> error::Error {
    InternalError::new(Failed::TEXT, status(Failed::STATUS)).into()
}

fn timed_out() -> error::Error {
    InternalError::from_response("timed out", HttpResponse::GatewayTimeout().finish()).into()
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status")
}
