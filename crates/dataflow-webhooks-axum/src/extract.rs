//! The extractors: they read what the layer put into the request.

use axum_core::extract::FromRequestParts;
use dataflow_webhooks::{Delivery, Event};
use http::request::Parts;

use crate::rejection::MissingLayer;

/// The typed event of a verified delivery. See the [crate's
/// documentation](crate) for an example.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "handlers take it apart: Webhook(event)")]
pub struct Webhook(pub Event);

/// A verified delivery: raw bytes, key, claim, epoch.
///
/// ```
/// use axum::http::StatusCode;
/// use dataflow_webhooks_axum::WebhookDelivery;
///
/// #[derive(serde::Deserialize)]
/// struct Cancelled {
///     run_id: String,
/// }
///
/// async fn handle(WebhookDelivery(delivery): WebhookDelivery) -> StatusCode {
///     if *delivery.event_type() == "pipeline.run.cancelled" {
///         // A shape that does not fit is no reason to refuse the event.
///         if let Ok(cancelled) = delivery.data::<Cancelled>() {
///             println!("{} (epoch {:?})", cancelled.run_id, delivery.epoch());
///         }
///     }
///     StatusCode::OK
/// }
/// ```
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "handlers take it apart: WebhookDelivery(delivery)")]
pub struct WebhookDelivery(pub Delivery);

impl<S: Sync> FromRequestParts<S> for WebhookDelivery {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, MissingLayer> {
        match parts.extensions.get::<Delivery>() {
            Some(delivery) => Ok(Self(delivery.clone())),
            None => Err(MissingLayer::found()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Webhook {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, MissingLayer> {
        let WebhookDelivery(delivery) = WebhookDelivery::from_request_parts(parts, state).await?;
        Ok(Self(delivery.event()))
    }
}
