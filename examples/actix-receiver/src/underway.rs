//! The requests that had arrived when the program was told to stop: they are
//! answered before the endpoint is closed.
//!
//! actix-web listens on until its handlers have ended. Without this, a delivery
//! whose body is on its way when the signal comes would be told to come again.

use std::sync::Arc;

use actix_web::Error;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use tokio::sync::watch;

/// Says whether the program is stopping. Each request that began before is a
/// receiver of it.
#[derive(Debug, Clone)]
pub(crate) struct Underway(Arc<watch::Sender<bool>>);

impl Default for Underway {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Underway {
    /// As middleware: counts the request, and ends its connection when the
    /// program is stopping.
    pub(crate) async fn count<B>(
        self,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<B>, Error> {
        let counted = self.0.subscribe();
        // Later ones need not be waited for: they would have no end.
        let counted = if *counted.borrow() { None } else { Some(counted) };
        let mut response = next.call(request).await?;
        if *self.0.borrow() {
            let head = response.response_mut().head_mut();
            head.set_connection_type(ConnectionType::Close);
        }
        drop(counted);
        Ok(response)
    }

    /// Waits until every request is answered that began before this: 5 s at the
    /// most (4 s of body, and 1 s of what is read on of a refused one), and not for
    /// handlers that run on.
    pub(crate) async fn answered(&self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}
