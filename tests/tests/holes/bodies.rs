//! Bodies without an end, and bodies that say two things at once.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use dataflow_webhooks::{SIGNATURE_HEADER, sign};
use http_body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use tokio::net::TcpStream;
use webhook_tests::{Request, Wire, secret};

use super::Watched;

/// CVE-2022-3212 (axum-core), CVE-2026-42294 (Argo).
mod an_endless_chunked_body_ends_at_the_limit_with_413 {
    use super::*;

    /// The limit, what is read on after it, and what the system holds between.
    const MOST: usize = 32 * 1024 * 1024;

    async fn holds(to: SocketAddr) {
        let mut wire = Wire::connect(to).await.unwrap();
        let request = Request { body: Bytes::from(vec![b' '; 64 * 1024]), ..Request::signed("") };
        let request = request.chunked(64 * 1024);
        wire.write(&request.head_bytes()).await.unwrap();
        let written = request.body_bytes();
        let endless = written.strip_suffix(b"0\r\n\r\n").unwrap();
        // Until the other side has had enough.
        let mut sent = 0;
        while wire.write(endless).await.is_ok() {
            sent += endless.len();
        }
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (413, true), "{}", answer.text());
        assert!(sent < MOST, "it has read {sent} bytes");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn under_axum() {
        let watched = Watched::start().await;
        holds(watched.receiver.address()).await;
        assert_eq!(watched.journal.take(), [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn under_hyper_alone() {
        holds(crate::under_hyper_alone().await).await;
    }

    #[derive(Clone, Default)]
    struct Endless(Arc<AtomicUsize>);

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            const CHUNK: &[u8] = &[b' '; 16 * 1024];
            self.0.fetch_add(CHUNK.len(), SeqCst);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(CHUNK)))))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn over_http_2() {
        let watched = Watched::start().await;
        let stream = TcpStream::connect(watched.receiver.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let endless = Endless::default();
        let request = http::Request::post("http://localhost/webhooks/dataflow")
            .header(SIGNATURE_HEADER, sign(&secret(), Timestamp::now(), b""))
            .body(endless.clone())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 413);
        let sent = endless.0.load(SeqCst);
        assert!(sent < MOST, "it has read {sent} bytes");
        assert_eq!(watched.journal.take(), [""; 0]);
    }
}

/// Bishop Fox, "JSON interoperability": which of two is meant is anybody's
/// guess, and the handler's parser may guess otherwise.
#[tokio::test]
async fn a_body_with_two_ids_or_two_types_is_refused() {
    let watched = Watched::start().await;
    let bodies = [
        r#"{"id":"evt_1","id":"evt_2","type":"pipeline.created"}"#,
        r#"{"id":"evt_1","type":"pipeline.created","type":"pipeline.deleted"}"#,
        r#"{"id":"evt_1","type":"pipeline.created","\u0069d":"evt_2"}"#,
    ];
    for body in bodies {
        assert_eq!(watched.status_of(Request::signed(body)).await, 422, "{body}");
    }
    assert_eq!(watched.journal.take(), [""; 0]);
}
