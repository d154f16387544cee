//! A sender that speaks HTTP/2 with prior knowledge.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sender::{Answer, Request, Wire};

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Http2 {
    requests: SendRequest<BoxBody<Bytes, Infallible>>,
    tasks: Tasks,
}

impl Http2 {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("a connection");
        let tasks = Tasks::default();
        let handshake = handshake(tasks.clone(), TokioIo::new(stream)).await;
        let (requests, connection) = handshake.expect("HTTP/2");
        tasks.execute(connection);
        Self { requests, tasks }
    }

    /// Sends a request on a stream of its own. Dropping the future before there
    /// is an answer resets the stream.
    ///
    /// # Panics
    ///
    /// When the request cannot be built, or there is no answer within 30 s.
    pub fn send(
        &mut self,
        request: &Request,
    ) -> impl Future<Output = hyper::Result<Answer>> + Send + 'static {
        self.send_body(request, Full::new(request.body.clone()).boxed())
    }

    /// The same, without a word on how long the body is.
    ///
    /// # Panics
    ///
    /// When the request cannot be built, or there is no answer within 30 s.
    pub fn send_undeclared(
        &mut self,
        request: &Request,
    ) -> impl Future<Output = hyper::Result<Answer>> + Send + 'static {
        let (frames, body) = Channel::new(1);
        self.send_frames(frames, request.body.clone(), true);
        self.send_body(request, body.boxed())
    }

    /// Sends so many bytes of the body, and then neither more nor its end.
    ///
    /// # Panics
    ///
    /// When the request cannot be built, the body is shorter, or there is no
    /// answer within 30 s.
    pub fn send_part(
        &mut self,
        request: &Request,
        bytes: usize,
    ) -> impl Future<Output = hyper::Result<Answer>> + Send + 'static {
        let (frames, body) = Channel::new(1);
        self.send_frames(frames, request.body.slice(..bytes), false);
        self.send_body(request, body.boxed())
    }

    /// Gives one piece of a body, and ends it or leaves it open for as long as
    /// the connection lives.
    fn send_frames(&self, mut frames: Sender<Bytes, Infallible>, piece: Bytes, end: bool) {
        self.tasks.execute(async move {
            let _ = frames.send_data(piece).await;
            if !end {
                std::future::pending::<()>().await;
            }
        });
    }

    fn send_body(
        &mut self,
        request: &Request,
        body: BoxBody<Bytes, Infallible>,
    ) -> impl Future<Output = hyper::Result<Answer>> + Send + 'static {
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("http://localhost{}", request.path));
        for (name, value) in &request.headers {
            builder = builder.header(name.as_str(), value.as_slice());
        }
        let answering = self.requests.send_request(builder.body(body).expect("a request"));
        async move {
            let answer = timeout(Wire::PATIENCE, answering).await.expect("an answer within 30 s");
            let (head, body) = answer?.into_parts();
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
            let headers: HashMap<String, String> =
                head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let body = body.collect().await?.to_bytes().to_vec();
            Ok(Answer { status: head.status.as_u16(), headers, body })
        }
    }

    /// Closes the connection, streams and all, without a word.
    pub async fn close(self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
    }
}

/// Spawns what a connection consists of, so that it can be ended: the socket is
/// closed when the last of it is gone.
#[derive(Debug, Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.lock().spawn(async move {
            task.await;
        });
    }
}
