//! The in-memory connection: an HTTP/1 server at one end, bytes at the other.

use std::rc::Rc;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::map_config;
use actix_web::App;
use actix_web::dev::{AppConfig, HttpServiceFactory, Service as _, ServiceFactory as _};
use bytes::Bytes;
use cpu_time::ThreadTime;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, LocalSet};
use webhook_verify::tower::BoxError;

/// Bytes on their way in either direction, at the most.
const BUFFER: usize = 64 * 1024;

/// What a row serves: opens a connection to it, and puts its task on the
/// runtime.
pub(crate) struct Served {
    open: Box<dyn Fn() -> (DuplexStream, JoinHandle<()>)>,
    /// Where actix's tasks are, which stay on their thread.
    local: Option<LocalSet>,
}

impl Served {
    /// A tower service, on hyper's connections.
    pub(crate) fn by_hyper<S, B>(service: S) -> Self
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>>,
        S: Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let open = move || {
            let (client, server) = duplex(BUFFER);
            let service = TowerToHyperService::new(service.clone());
            let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
            let task = tokio::spawn(async move {
                // The client sees what is wrong.
                let _ = connection.await;
            });
            (client, task)
        };
        Self { open: Box::new(open), local: None }
    }

    /// An actix application of one resource, on its own connections: the same
    /// service that `HttpServer` gives to its workers, with the same time-outs.
    pub(crate) fn by_actix<R>(runtime: &Runtime, resource: R) -> Self
    where
        R: HttpServiceFactory + 'static,
    {
        let local = LocalSet::new();
        let service = local.block_on(runtime, async {
            let app = map_config(App::new().service(resource), |()| AppConfig::default());
            let factory = HttpService::build()
                .client_request_timeout(Duration::from_secs(5))
                .client_disconnect_timeout(Duration::from_secs(1))
                .h1(app);
            factory.new_service(()).await.expect("there is nothing in it that fails")
        });
        let service = Rc::new(service);
        let open = move || {
            let (client, server) = duplex(BUFFER);
            let connection = service.call((server, None));
            let task = tokio::task::spawn_local(async move {
                let _ = connection.await;
            });
            (client, task)
        };
        Self { open: Box::new(open), local: Some(local) }
    }

    /// Sends these requests one after another over a new connection, and says
    /// how much CPU time this thread spent on all but the first few: client,
    /// connection and receiver together.
    ///
    /// Never inlined, so that a profiler can be told to look at nothing else
    /// (`valgrind --tool=callgrind --toggle-collect="*Served*drive*"`).
    #[inline(never)]
    pub(crate) fn drive(
        &self,
        runtime: &Runtime,
        requests: &[Vec<u8>],
        warm_up: usize,
    ) -> Result<Duration, String> {
        let driving = self.exchange_all(requests, warm_up);
        match &self.local {
            Some(local) => local.block_on(runtime, driving),
            None => runtime.block_on(driving),
        }
    }

    async fn exchange_all(&self, requests: &[Vec<u8>], warm_up: usize) -> Result<Duration, String> {
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
