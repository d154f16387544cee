//! The layer is always ready; it readies a clone of the inner service after
//! verification and before the claim, and calls that one.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::Outcome;
use dataflow_webhooks_tower::{WebhookBody, WebhookLayer, WebhookService};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{Sleep, sleep};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::support::{Answering, Runs, endpoint, event, outcome, signed, timed, unsigned};

/// A service that has to be polled ready, and forgets it when it is cloned.
struct Fussy {
    runs: Runs,
    asked: Arc<AtomicUsize>,
    takes: Duration,
    error: Option<&'static str>,
    waiting: Option<Pin<Box<Sleep>>>,
    is_ready: bool,
}

impl Fussy {
    fn new(runs: &Runs) -> Self {
        Self {
            runs: runs.clone(),
            asked: Arc::default(),
            takes: Duration::ZERO,
            error: None,
            waiting: None,
            is_ready: false,
        }
    }
}

impl Clone for Fussy {
    fn clone(&self) -> Self {
        let Self { runs, asked, takes, error, .. } = self;
        let (takes, error) = (*takes, *error);
        Self { asked: asked.clone(), takes, error, ..Self::new(runs) }
    }
}

impl Service<Request<WebhookBody>> for Fussy {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Answering<&'static str>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.asked.fetch_add(1, SeqCst);
        if let Some(error) = self.error {
            return Poll::Ready(Err(error));
        }
        let takes = self.takes;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(takes)));
        if !takes.is_zero() && waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<WebhookBody>) -> Self::Future {
        assert!(self.is_ready, "called without having been polled ready");
        self.runs.start();
        Box::pin(async { Ok(Response::new(Full::from("done"))) })
    }
}

#[tokio::test]
async fn only_a_clone_that_was_polled_ready_is_called() {
    let runs = Runs::default();
    let service = WebhookService::new(Fussy::new(&runs), endpoint());
    for round in 1..=3 {
        let response = service.clone().oneshot(signed(&event())).await.unwrap();
        assert_eq!((response.status().as_u16(), runs.started()), (200, round));
    }
}

#[tokio::test]
async fn the_inner_pass_of_a_layer_applied_twice_readies_too() {
    let (runs, layer) = (Runs::default(), WebhookLayer::new(endpoint()));
    let service = layer.layer(layer.layer(Fussy::new(&runs)));
    assert_eq!(service.oneshot(signed(&event())).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_refused_request_does_not_ask_the_inner_service() {
    let fussy = Fussy::new(&Runs::default());
    let asked = fussy.asked.clone();
    let service = WebhookService::new(fussy, endpoint());
    assert_eq!(service.oneshot(unsigned()).await.unwrap().status(), 401);
    assert_eq!(asked.load(SeqCst), 0);
}

#[tokio::test]
async fn the_layer_is_ready_while_the_inner_service_is_not() {
    let fussy = Fussy { error: Some("out of order"), ..Fussy::new(&Runs::default()) };
    let mut service = WebhookService::new(fussy, endpoint());
    let ready =
        std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx));
    ready.await.unwrap();
}

#[tokio::test]
async fn an_inner_service_that_fails_to_get_ready_keeps_its_error_and_nothing_is_claimed() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let fussy = Fussy { error: Some("out of order"), ..Fussy::new(&runs) };
    let body = event();
    let service = WebhookService::new(fussy, endpoint.clone());
    assert_eq!(service.oneshot(signed(&body)).await.unwrap_err(), "out of order");
    assert_eq!(endpoint.counts().outcome(Outcome::Failed), 1);
    assert_eq!(runs.started(), 0);

    // Its epoch is still the first one.
    let first = |request: Request<WebhookBody>| async move {
        let delivery: &dataflow_webhooks::Delivery = request.extensions().get().unwrap();
        assert_eq!(delivery.epoch(), Some(1));
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    };
    let service = WebhookService::new(tower::service_fn(first), endpoint);
    assert_eq!(service.oneshot(signed(&body)).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_ready_in_time_is_called() {
    let runs = Runs::default();
    let fussy = Fussy { takes: Duration::from_secs(4), ..Fussy::new(&runs) };
    let service = WebhookService::new(fussy, endpoint());
    let (time, response) = timed(service.oneshot(signed(&event()))).await;
    assert_eq!((time.as_secs(), response.unwrap().status().as_u16()), (4, 200));
    assert_eq!(runs.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_not_ready_at_4500_ms_is_503_and_is_not_called_later() {
    let runs = Runs::default();
    let fussy = Fussy { takes: Duration::from_secs(6), ..Fussy::new(&runs) };
    let service = WebhookService::new(fussy, endpoint());
    let (time, response) = timed(service.oneshot(signed(&event()))).await;
    let response = response.unwrap();
    assert_eq!(time.as_millis() / 10, 450);
    assert_eq!((response.status().as_u16(), outcome(&response)), (503, Some(Outcome::Late)));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(runs.started(), 0);
}
