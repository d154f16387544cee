//! Requests as the platform sends them, in memory and over a socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{ServerHandle, ServiceResponse};
use actix_web::test::TestRequest;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpServer};
use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_actix::{Endpoint, Outcome, Secret, WebhookMiddleware, sign};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub(crate) const PATH: &str = "/webhooks/dataflow";

/// No answer takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn secret() -> Secret {
    Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap()
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::builder(secret()).build().unwrap()
}

pub(crate) fn middleware() -> WebhookMiddleware {
    WebhookMiddleware::new(endpoint())
}

pub(crate) fn sample() -> Sample {
    Sample::of("pipeline.run.completed").id("evt_1")
}

/// An event whose body has about this many KiB.
pub(crate) fn event_of(kib: usize) -> Bytes {
    Sample::of("pipeline.created").data("name", "x".repeat(kib * 1024)).body()
}

/// An authentic delivery of this body.
pub(crate) fn signed(body: &Bytes) -> TestRequest {
    TestRequest::post()
        .uri(PATH)
        .insert_header(("x-dataflow-signature", sign(&secret(), Timestamp::now(), body)))
        .insert_header(("content-type", "application/json"))
        .insert_header(("x-request-id", "req_1"))
        .insert_header(("content-length", body.len()))
        .set_payload(body.clone())
}

/// Status and body.
pub(crate) async fn read<B: MessageBody>(response: ServiceResponse<B>) -> (u16, String) {
    let status = response.status().as_u16();
    let Ok(body) = to_bytes(response.into_body()).await else { panic!("the body of an answer") };
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) fn outcome<B>(response: &ServiceResponse<B>) -> Option<Outcome> {
    response.response().extensions().get::<Outcome>().copied()
}

/// How many handlers began and ended, and how many may end.
#[derive(Clone)]
pub(crate) struct Runs(Arc<(AtomicUsize, AtomicUsize, Semaphore)>);

impl Default for Runs {
    fn default() -> Self {
        Self(Arc::new((AtomicUsize::default(), AtomicUsize::default(), Semaphore::new(0))))
    }
}

impl Runs {
    /// One more, which this is the number of, from 1.
    pub(crate) fn start(&self) -> usize {
        self.0.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn end(&self) {
        self.0.1.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until one more may end.
    pub(crate) async fn gate(&self) {
        self.0.2.acquire().await.unwrap().forget();
    }

    /// One more may end.
    pub(crate) fn let_go(&self) {
        self.0.2.add_permits(1);
    }

    pub(crate) fn started(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    pub(crate) fn ended(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// A server with one worker, on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
}

impl Server {
    /// Serves what `routes` sets up, until it is dropped.
    pub(crate) fn start(routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> Self {
        let app = move || App::new().configure(routes.clone());
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { address, handle }
    }

    /// A server that somebody else has started.
    pub(crate) fn at(address: SocketAddr, handle: ServerHandle) -> Self {
        Self { address, handle }
    }

    /// Serves this handler behind the middleware.
    pub(crate) fn of<H, A>(endpoint: &Endpoint, handler: H) -> Self
    where
        H: actix_web::Handler<A> + Send,
        A: actix_web::FromRequest + 'static,
        H::Output: actix_web::Responder + 'static,
    {
        let endpoint = endpoint.clone();
        Self::start(move |config| {
            let resource = web::resource(PATH).wrap(WebhookMiddleware::new(endpoint.clone()));
            config.service(resource.to(handler.clone()));
        })
    }

    pub(crate) async fn connect(&self) -> Wire {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, read: Vec::new() }
    }

    /// Sends one delivery over a connection of its own.
    pub(crate) async fn deliver(&self, body: &Bytes) -> Answer {
        let mut wire = self.connect().await;
        wire.deliver(body).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// A head with these lines beside `Host`.
pub(crate) fn head(lines: &[&str]) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n", lines.join("\r\n"))
}

pub(crate) fn signature(body: &[u8]) -> String {
    format!("X-DataFlow-Signature: {}", sign(&secret(), Timestamp::now(), body))
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.lines().any(|has| has == line)
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Writes an authentic delivery of this body.
    pub(crate) async fn send(&mut self, body: &Bytes) {
        let length = format!("Content-Length: {}", body.len());
        let head = head(&[&signature(body), &length]);
        // In one piece: a body that is due soon must not come after its head.
        self.write([head.as_bytes(), body].concat()).await.unwrap();
    }

    pub(crate) async fn deliver(&mut self, body: &Bytes) -> Answer {
        self.send(body).await;
        self.answer().await
    }

    /// Reads one answer with a declared length.
    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer()).await.expect("in time").expect("an answer")
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        while self.read.len() < end + 4 + length {
            self.read_more().await?;
        }
        let body = String::from_utf8_lossy(&self.read[end + 4..end + 4 + length]).into_owned();
        self.read.drain(..end + 4 + length);
        Ok(Answer { status, head, body })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Whether the other side ends the connection in this time.
    pub(crate) async fn is_closed_within(&mut self, time: Duration) -> bool {
        matches!(timeout(time, self.read_more()).await, Ok(Err(_)))
    }

    /// Closes the sending half: FIN.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// Waits until this is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "not in time: {what}");
}
