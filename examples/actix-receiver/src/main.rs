//! A complete receiver of the platform's webhooks with actix-web, to be copied
//! together with `../receiver`, which has all that is not actix-web's.

mod underway;

use std::future::pending;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use dataflow_webhooks_actix::{Endpoint, WebhookDelivery, WebhookMiddleware};
use receiver::{Failure, Receiver};
use socket2::SockRef;
use tokio::sync::oneshot;
use tracing::info;

use crate::underway::Underway;

/// A connection's first head must be complete this long after it was opened, and
/// one that is idle after an answer is closed: let a proxy in front drop its own
/// earlier than that.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How many connections a worker has open at once; there is a worker for each CPU.
const CONNECTIONS: usize = 1024;

/// What the system holds back for one connection, in bytes. actix-web has no bound
/// of its own for what it reads ahead: see "Memory" in its adapter's documentation.
const READ_AHEAD: usize = 16 * 1024;

/// How many seconds open connections may take to end when everything else has.
const CONNECTIONS_END_WITHIN: u64 = 5;

#[actix_web::main]
async fn main() {
    receiver::run(env!("CARGO_PKG_NAME"), serve).await
}

async fn serve(Receiver { endpoint, listener, mut stop, .. }: Receiver) -> Result<(), Failure> {
    // The connections that it accepts inherit this.
    SockRef::from(&listener).set_recv_buffer_size(READ_AHEAD).map_err(Failure::at_run_time)?;
    let underway = Underway::default();
    let (served, counted) = (endpoint.clone(), underway.clone());
    let (cut_off, was_cut_off) = oneshot::channel();
    let server = HttpServer::new(move || {
        let (endpoint, underway) = (served.clone(), counted.clone());
        App::new().configure(move |config| routes(config, endpoint, underway))
    });
    let server = server
        .client_request_timeout(HEAD_WITHIN)
        .keep_alive(HEAD_WITHIN)
        .max_connections(CONNECTIONS)
        // Answers are small and must not wait for more to send.
        .tcp_nodelay(true)
        .shutdown_timeout(CONNECTIONS_END_WITHIN)
        // All of it inside of the signal: actix drops the handlers that still run
        // as soon as it stops, those of senders that have hung up first.
        .shutdown_signal(async move {
            stop.requested().await;
            info!("stopping");
            if let Err(failure) = stop.drain(&endpoint, underway.answered()).await {
                let _ = cut_off.send(failure);
                pending().await
            }
        })
        .listen(listener.into_std().map_err(Failure::at_run_time)?)
        .map_err(Failure::at_run_time)?
        .run();
    tokio::select! {
        ended = server => ended.map_err(Failure::at_run_time),
        Ok(failure) = was_cut_off => Err(failure),
    }
}

fn routes(config: &mut web::ServiceConfig, endpoint: Endpoint, underway: Underway) {
    // Around the resource, so that 404 stays what it is, and so does all else.
    let webhook = web::resource(receiver::PATH)
        .wrap(WebhookMiddleware::new(endpoint))
        .wrap(from_fn(move |request, next| underway.clone().count(request, next)))
        .route(web::post().to(receive));
    let healthz = web::resource("/healthz")
        .route(web::get().to(async || "ok\n"))
        .route(web::head().to(async || "ok\n"));
    config.service(webhook).service(healthz);
}

/// Runs for verified deliveries only.
async fn receive(WebhookDelivery(delivery): WebhookDelivery) -> HttpResponse {
    match receiver::process(&delivery).await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
