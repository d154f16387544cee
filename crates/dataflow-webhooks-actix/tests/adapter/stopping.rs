//! Drain inside the signal that stops the server.

use actix_web::{App, HttpServer, web};
use dataflow_webhooks_actix::{Outcome, Webhook, WebhookMiddleware};
use tokio::sync::oneshot;

use crate::support::{PATH, Runs, Server, endpoint, eventually, sample};

async fn stops_after_the_handlers(workers: usize) {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let (stop, stopped) = oneshot::channel::<()>();
    let (counted, wrapped, draining) = (runs.clone(), endpoint.clone(), endpoint.clone());
    let server = HttpServer::new(move || {
        let runs = counted.clone();
        let resource = web::resource(PATH).wrap(WebhookMiddleware::new(wrapped.clone()));
        App::new().service(resource.to(move |_: Webhook| {
            let runs = runs.clone();
            async move {
                runs.start();
                runs.gate().await;
                runs.end();
                "done"
            }
        }))
    });
    let server = server.workers(workers).shutdown_timeout(1).bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let signal = async move {
        _ = stopped.await;
        draining.drain().await;
    };
    let server = server.shutdown_signal(signal).run();
    let client = Server::at(address, server.handle());
    let running = actix_web::rt::spawn(server);

    let mut wire = client.connect().await;
    wire.send(&sample().body()).await;
    eventually("the handler has begun", || runs.started() == 1).await;
    wire.reset();
    eventually("the sender has gone", || endpoint.counts().outcome(Outcome::HungUp) == 1).await;
    stop.send(()).unwrap();
    eventually("the gate is closed", || endpoint.is_draining()).await;
    assert_eq!(client.deliver(&sample().body()).await.status, 503);
    assert_eq!(runs.ended(), 0);
    runs.let_go();
    running.await.unwrap().unwrap();
    assert_eq!(runs.ended(), 1, "finished before the server was");
    assert_eq!(endpoint.counts().running, 0);
}

#[actix_web::test]
async fn a_handler_whose_sender_has_gone_finishes_before_one_worker_stops() {
    stops_after_the_handlers(1).await;
}

#[actix_web::test]
async fn a_handler_whose_sender_has_gone_finishes_before_four_workers_stop() {
    stops_after_the_handlers(4).await;
}
