//! The memory of a refused body, counted allocation by allocation: the service
//! is called here, without a server around it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use dataflow_webhooks::{SIGNATURE_HEADER, sign};
use dataflow_webhooks_tower::{WebhookBody, WebhookLayer};
use http::{Request, Response};
use http_body::Frame;
use jiff::Timestamp;
use tower::{Layer as _, ServiceExt as _, service_fn};
use webhook_tests::{endpoint, secret};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The longest body, by default.
const LIMIT: u64 = MIB;

/// A body without a declared length, which says how much was taken of it.
struct Endless {
    chunk: u64,
    left: u64,
    taken: Arc<AtomicU64>,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left < self.chunk {
            return Poll::Ready(None);
        }
        self.left -= self.chunk;
        self.taken.fetch_add(self.chunk, Relaxed);
        let chunk = Bytes::from(vec![b' '; self.chunk as usize]);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

/// The status of the answer to a GiB in chunks of this many bytes, how much of
/// it was taken, and the most memory that was allocated at any time.
fn a_gibibyte(chunk: u64) -> (u16, u64, u64) {
    let handle = service_fn(async |_: Request<WebhookBody>| {
        Ok::<_, Infallible>(Response::new(WebhookBody::default()))
    });
    let service = WebhookLayer::new(endpoint().build().unwrap()).layer(handle);
    let taken = Arc::new(AtomicU64::new(0));
    let body = Endless { chunk, left: 1024 * MIB, taken: taken.clone() };
    let request = Request::post("/")
        .header(SIGNATURE_HEADER, sign(&secret(), Timestamp::now(), b""))
        .body(body)
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut status = 0;
    let allocated = allocation_counter::measure(|| {
        let answer = runtime.block_on(service.oneshot(request));
        status = answer.unwrap_or_else(|never| match never {}).status().as_u16();
    });
    (status, taken.load(Relaxed), allocated.bytes_max)
}

#[test]
fn a_gibibyte_costs_no_more_than_the_limit_and_one_chunk() {
    for chunk in [1, 16, 64, 1024].map(|kib| kib * KIB) {
        let (status, taken, most) = a_gibibyte(chunk);
        eprintln!("chunks of {chunk} bytes: {taken} taken, {most} allocated at the most");
        assert_eq!(status, 413);
        // The futures, and where the pieces of the body are listed.
        let beside = 32 * KIB;
        assert!(most <= LIMIT + chunk + beside, "{most} bytes for chunks of {chunk}");
        // It reads on for 16 MiB, so that the sender can read the answer.
        assert!(taken <= LIMIT + 16 * MIB + 2 * chunk, "{taken} bytes taken");
    }
}
