//! The extractors: they read what the middleware put into the request, or say that
//! it is missing.

use std::future::{Ready, ready};
use std::{error, fmt};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};
use dataflow_webhooks::{Delivery, Event, Outcome, adapter::log_missing_layer};

use crate::reply::fixed;

/// The typed event of a verified delivery. See the [crate's
/// documentation](crate) for an example.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "handlers take it apart: Webhook(event)")]
pub struct Webhook(pub Event);

/// A verified delivery: raw bytes, key, claim, epoch.
///
/// ```
/// use actix_web::HttpResponse;
/// use dataflow_webhooks_actix::WebhookDelivery;
///
/// #[derive(serde::Deserialize)]
/// struct Cancelled {
///     run_id: String,
/// }
///
/// async fn handle(WebhookDelivery(delivery): WebhookDelivery) -> HttpResponse {
///     if *delivery.event_type() == "pipeline.run.cancelled" {
///         // A shape that does not fit is no reason to refuse the event.
///         if let Ok(cancelled) = delivery.data::<Cancelled>() {
///             println!("{} (epoch {:?})", cancelled.run_id, delivery.epoch());
///         }
///     }
///     HttpResponse::Ok().finish()
/// }
/// ```
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "handlers take it apart: WebhookDelivery(delivery)")]
pub struct WebhookDelivery(pub Delivery);

impl FromRequest for WebhookDelivery {
    type Error = MissingMiddleware;
    type Future = Ready<Result<Self, MissingMiddleware>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(verified(request).map(Self))
    }
}

impl FromRequest for Webhook {
    type Error = MissingMiddleware;
    type Future = Ready<Result<Self, MissingMiddleware>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(verified(request).map(|delivery| Self(delivery.event())))
    }
}

fn verified(request: &HttpRequest) -> Result<Delivery, MissingMiddleware> {
    let delivery = request.extensions().get::<Delivery>().cloned();
    delivery.ok_or(MissingMiddleware).inspect_err(|missing| log_missing_layer(missing))
}

/// There is no verified delivery in the request: the resource has no
/// [`WebhookMiddleware`](crate::WebhookMiddleware). Answered 500, and logged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MissingMiddleware;

impl fmt::Display for MissingMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no verified delivery in the request: put WebhookMiddleware around this resource, \
             with web::resource(path).wrap(WebhookMiddleware::new(endpoint))",
        )
    }
}

impl error::Error for MissingMiddleware {}

impl ResponseError for MissingMiddleware {
    /// 500, and nothing about the mistake.
    fn error_response(&self) -> HttpResponse {
        fixed(Outcome::WrongEndpoint)
    }
}
