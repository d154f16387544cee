//! The extractors: they read what the middleware put into the request.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use dataflow_webhooks::{Delivery, Event};

use crate::missing::MissingMiddleware;

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
    delivery.ok_or_else(MissingMiddleware::found)
}
