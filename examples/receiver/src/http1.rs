//! Accepts connections, bounds what one of them can cost, and ends them all
//! when the program is to stop. (`axum::serve` sets none of these bounds.)

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

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

/// Serves the app until `stop` is ready and the open connections have ended.
pub(crate) async fn until(stop: impl Future<Output = ()>, listener: TcpListener, app: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(READ_AHEAD);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = &mut stop => break,
        };
        let service = TowerToHyperService::new(app.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection broke off: {error}");
            }
        });
    }
    info!("stopping");
    // New connections are refused from here on; idle ones are closed, the
    // others when they have answered the request they are at.
    drop(listener);
    if timeout(CONNECTIONS_END_WITHIN, connections.shutdown()).await.is_err() {
        warn!("some connections were still open after {CONNECTIONS_END_WITHIN:?}");
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and must not wait for more to send.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // Out of file descriptors, for one: some will be free again.
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
