//! The layer: an endpoint, wrapped around any service.

use std::net::IpAddr;

use dataflow_webhooks::{Endpoint, adapter::FindPeer};
use http::request::Parts;
use tower_layer::Layer;

use crate::service::WebhookService;

/// Wraps a service into a [`WebhookService`]. See the [crate's
/// documentation](crate) for an example.
#[derive(Debug, Clone)]
pub struct WebhookLayer {
    pub(crate) endpoint: Endpoint,
    pub(crate) peer: FindPeer<Parts>,
}

impl WebhookLayer {
    /// A layer that lets deliveries to this endpoint through.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, peer: FindPeer::never() }
    }

    /// Says where the address of the peer, the other end of the connection, is
    /// found in a request. An endpoint with a
    /// [`SourceAllowList`](dataflow_webhooks::SourceAllowList) needs it: where it
    /// finds none, the request is answered 403.
    ///
    /// It must not read a header, since anyone can write one; proxies and their
    /// header are named in the list. Servers put the address into the request's
    /// extensions. Under axum it is there after
    /// `into_make_service_with_connect_info::<SocketAddr>()`:
    ///
    /// ```
    /// use axum::extract::ConnectInfo;
    /// use dataflow_webhooks::{Endpoint, SourceAllowList};
    /// use dataflow_webhooks_tower::WebhookLayer;
    /// use std::net::SocketAddr;
    ///
    /// # use dataflow_webhooks::{KeyRing, Secret};
    /// # let keys = KeyRing::new(Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?);
    /// let sources: SourceAllowList = "203.0.113.0/24".parse()?;
    /// let endpoint = Endpoint::builder(keys).source(sources).build()?;
    /// let layer = WebhookLayer::new(endpoint).peer(|parts| {
    ///     let info = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    ///     Some(info.0.ip())
    /// });
    /// # let _ = layer;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn peer(mut self, find: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = FindPeer::by(find);
        self
    }
}

impl<S> Layer<S> for WebhookLayer {
    type Service = WebhookService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WebhookService { inner, layer: self.clone() }
    }
}
