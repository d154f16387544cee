//! A sender that speaks HTTP/2 with prior knowledge.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::sender::{Answer, Request};

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Http2 {
    requests: SendRequest<Full<Bytes>>,
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
    /// When the request cannot be built.
    pub fn send(
        &mut self,
        request: &Request,
    ) -> impl Future<Output = hyper::Result<Answer>> + Send + 'static {
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("http://localhost{}", request.path));
        for (name, value) in &request.headers {
            builder = builder.header(name.as_str(), value.as_slice());
        }
        let request = builder.body(Full::new(request.body.clone())).expect("a request");
        let answering = self.requests.send_request(request);
        async move {
            let (head, body) = answering.await?.into_parts();
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
