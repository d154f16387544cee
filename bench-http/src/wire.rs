//! The in-memory connection: hyper's HTTP/1 server at one end, bytes at the
//! other.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use cpu_time::ThreadTime;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use webhook_verify::tower::BoxError;

/// What a row serves: opens a connection to it, and puts its task on the
/// runtime.
pub(crate) struct Served {
    open: Box<dyn Fn() -> (DuplexStream, JoinHandle<()>)>,
}

impl Served {
    pub(crate) fn new<S, E>(service: S) -> Self
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<Body>, Error = E>,
        S: Clone + Send + 'static,
        S::Future: Send,
        E: Into<BoxError>,
    {
        let open = move || {
            let (client, server) = duplex(64 * 1024);
            let service = TowerToHyperService::new(service.clone());
            let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
            let task = tokio::spawn(async move {
                // The client sees what is wrong.
                let _ = connection.await;
            });
            (client, task)
        };
        Self { open: Box::new(open) }
    }

    /// Sends these requests one after another over a new connection, and says
    /// how much CPU time this thread spent on all but the first few: client,
    /// connection and receiver together.
    pub(crate) async fn drive(
        &self,
        requests: &[Vec<u8>],
        warm_up: usize,
    ) -> Result<Duration, String> {
        let (mut client, task) = (self.open)();
        let mut buffer = vec![0; 4096];
        let (first, timed) = requests.split_at(warm_up);
        for request in first {
            exchange(&mut client, request, &mut buffer).await?;
        }
        let started = ThreadTime::now();
        for request in timed {
            exchange(&mut client, request, &mut buffer).await?;
        }
        let time = started.elapsed();
        drop(client);
        task.await.map_err(|error| error.to_string())?;
        Ok(time)
    }
}

/// One request, and its answer: 200 without a body, which is what the handlers
/// answer and no layer does.
async fn exchange(
    client: &mut DuplexStream,
    request: &[u8],
    buffer: &mut [u8],
) -> Result<(), String> {
    client.write_all(request).await.map_err(|error| error.to_string())?;
    let length = client.read(buffer).await.map_err(|error| error.to_string())?;
    let answer = &buffer[..length];
    if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"\r\n\r\n") {
        return Ok(());
    }
    Err(format!("an unexpected answer: {}", String::from_utf8_lossy(answer)))
}
