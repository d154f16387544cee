//! The layer: an endpoint, wrapped around any service.

use dataflow_webhooks::Endpoint;
use tower_layer::Layer;

use crate::service::WebhookService;

/// Wraps a service into a [`WebhookService`]. See the [crate's
/// documentation](crate) for an example.
#[derive(Debug, Clone)]
pub struct WebhookLayer {
    endpoint: Endpoint,
}

impl WebhookLayer {
    /// A layer that lets deliveries to this endpoint through.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl<S> Layer<S> for WebhookLayer {
    type Service = WebhookService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WebhookService::new(inner, self.endpoint.clone())
    }
}
