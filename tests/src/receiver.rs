//! An application on a loopback port, under hyper, and what its handler saw.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use dataflow_webhooks::{BoxError, Endpoint, EndpointBuilder, KeyRing, Secret};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::{Layer as _, Service};

/// The signing secret of every test.
pub const SECRET: &str = "whsec_tests_1a2b3c4d5e6f7g8h9i0j";

/// [`SECRET`], validated.
///
/// # Panics
///
/// Never: the secret is a good one.
#[must_use]
pub fn secret() -> Secret {
    Secret::new(SECRET).expect("a good secret")
}

/// An endpoint with the secret of the tests and every default.
pub fn endpoint() -> EndpointBuilder {
    Endpoint::builder(KeyRing::new(secret()))
}

/// How often a handler ran for each event: begun and ended.
#[derive(Debug, Clone, Default)]
pub struct Runs(Arc<Mutex<HashMap<String, (usize, usize)>>>);

impl Runs {
    /// A handler began with this event.
    pub fn begin(&self, id: &str) {
        self.at(id, |runs| runs.0 += 1);
    }

    /// A handler reached its own end with this event.
    pub fn end(&self, id: &str) {
        self.at(id, |runs| runs.1 += 1);
    }

    /// How often it began with this event.
    #[must_use]
    pub fn begun(&self, id: &str) -> usize {
        self.at(id, |runs| runs.0)
    }

    /// How often it reached its end with this event.
    #[must_use]
    pub fn ended(&self, id: &str) -> usize {
        self.at(id, |runs| runs.1)
    }

    /// How often it began, and how often it reached its end, with any event.
    #[must_use]
    pub fn all(&self) -> (usize, usize) {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.values().fold((0, 0), |all, runs| (all.0 + runs.0, all.1 + runs.1))
    }

    fn at<T>(&self, id: &str, look: impl FnOnce(&mut (usize, usize)) -> T) -> T {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(runs.entry(id.to_owned()).or_default())
    }
}

/// A server that is up until this is dropped.
#[derive(Debug)]
pub struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
}

/// What ends with it.
#[derive(Debug)]
pub(crate) enum Server {
    Hyper(JoinHandle<()>),
    Actix(ServerHandle),
}

impl Receiver {
    /// Serves an application, HTTP/1 and HTTP/2, on a free loopback port, with
    /// the peer's address where axum puts it.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(app: Router) -> Self {
        Self::serve(move |peer| Extension(ConnectInfo(peer)).layer(app.clone())).await
    }

    /// Serves the service that is made for each connection, HTTP/1 and HTTP/2,
    /// on a free loopback port. As the documentation advises, a connection holds
    /// at most 64 KiB that the application has not asked for: hyper's buffer
    /// grows to almost twice its `max_buf_size`, and its state comes on top.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn serve<S, B>(make: impl Fn(SocketAddr) -> S + Send + 'static) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accepting = tokio::spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new()).max_buf_size(16 * 1024);
            while let Ok((stream, peer)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let service = TowerToHyperService::new(make(peer));
                let server = server.clone();
                tokio::spawn(async move {
                    // A broken connection is what many of the tests are about.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, server: Server::Hyper(accepting) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        match &self.server {
            Server::Hyper(accepting) => accepting.abort(),
            // It is told here, and nobody waits for it.
            Server::Actix(server) => drop(server.stop(false)),
        }
    }
}
