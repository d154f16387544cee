//! Serves a tower service over HTTP/1: accepts connections, bounds what one of
//! them can cost, and ends them all when the program is to stop.
//! (`axum::serve` sets none of these bounds.)

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use dataflow_webhooks::BoxError;
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower_service::Service;
use tracing::{debug, info, warn};

use crate::Receiver;
use crate::failure::Failure;

/// A request's head must be complete this long after the connection was opened
/// or its last answer went out. So it bounds idle connections too: let a proxy
/// in front drop its own earlier than that.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// What is read at a time on one connection, in bytes. hyper's buffer grows to
/// almost twice this, and with its state a connection stays under the 64 KiB that
/// the bound on memory counts for it. A longer head is refused.
const READ_AHEAD: usize = 16 * 1024;

/// How long open connections may take to end once the program is to stop:
/// every request that has arrived by then is answered within 4.5 s.
const CONNECTIONS_END_WITHIN: Duration = Duration::from_secs(5);

/// The other end of the connection, in each request's extensions.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

/// The peer's address, which the allow-list of sources asks for: give this to
/// `WebhookLayer::peer`.
#[must_use]
pub fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.0.ip())
}

/// Serves the app until the program is to stop, and every handler has ended.
///
/// # Errors
///
/// As [`Stop::drain`](crate::Stop::drain).
pub async fn serve<S, B>(receiver: Receiver, app: S) -> Result<(), Failure>
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let Receiver { endpoint, listener, mut stop } = receiver;
    let open = until(stop.requested(), listener, app).await;
    stop.drain(&endpoint, ended(open)).await
}

/// Serves the app until `stop` is ready, and gives back what is open then.
async fn until<S, B>(
    stop: impl Future<Output = ()>,
    listener: TcpListener,
    app: S,
) -> GracefulShutdown
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(READ_AHEAD);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, address) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = &mut stop => break,
        };
        let app = TowerToHyperService::new(app.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(address));
            app.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection broke off: {error}");
            }
        });
    }
    info!("stopping");
    // New connections are refused from here on.
    drop(listener);
    connections
}

/// Idle connections are closed, the others when they have answered the request
/// they are at.
async fn ended(connections: GracefulShutdown) {
    if timeout(CONNECTIONS_END_WITHIN, connections.shutdown()).await.is_err() {
        warn!("some connections were still open after {CONNECTIONS_END_WITHIN:?}");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Answers are small and must not wait for more to send.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            // Out of file descriptors, for one: some will be free again.
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
