//! The memory of a refused body, counted allocation by allocation: tower's service
//! and actix's are called here, without a server around them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use actix_web::dev::{Payload, Service as _, ServiceRequest, Transform as _, fn_service};
use actix_web::test::TestRequest;
use bytes::Bytes;
use dataflow_webhooks::{SIGNATURE_HEADER, sign};
use dataflow_webhooks_actix::WebhookMiddleware;
use dataflow_webhooks_tower::{WebhookBody, WebhookLayer};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyDataStream, BodyExt as _};
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

/// The status of tower's answer to this body.
async fn under_tower(signature: String, body: Endless) -> u16 {
    let handle = service_fn(async |_: Request<WebhookBody>| {
        Ok::<_, Infallible>(Response::new(WebhookBody::default()))
    });
    let service = WebhookLayer::new(endpoint().build().unwrap()).layer(handle);
    let request = Request::post("/").header(SIGNATURE_HEADER, signature).body(body).unwrap();
    let answer = service.oneshot(request).await.unwrap_or_else(|never| match never {});
    answer.status().as_u16()
}

/// The status of actix's answer to this body.
async fn under_actix(signature: String, body: Endless) -> u16 {
    let handle = fn_service(async |request: ServiceRequest| {
        Ok::<_, actix_web::Error>(request.into_response(actix_web::HttpResponse::Ok().finish()))
    });
    let middleware = WebhookMiddleware::new(endpoint().build().unwrap());
    let service = middleware.new_transform(handle).await.unwrap();
    let request = TestRequest::post().insert_header((SIGNATURE_HEADER, signature));
    let mut request = request.to_srv_request();
    let stream = BodyDataStream::new(body.map_err(|never| match never {}));
    request.set_payload(Payload::Stream { payload: Box::pin(stream) });
    service.call(request).await.unwrap().status().as_u16()
}

/// A GiB in chunks of so many bytes is answered 413, and costs no more than that.
fn holds<F: Future<Output = u16>>(answer: impl Fn(String, Endless) -> F) {
    for chunk in [1, 16, 64, 1024].map(|kib| kib * KIB) {
        let taken = Arc::new(AtomicU64::new(0));
        let body = Endless { chunk, left: 1024 * MIB, taken: taken.clone() };
        let signature = sign(&secret(), Timestamp::now(), b"");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut status = 0;
        let allocated = allocation_counter::measure(|| {
            status = runtime.block_on(answer(signature, body));
        });
        assert_eq!(status, 413);
        let (taken, most) = (taken.load(Relaxed), allocated.bytes_max);
        eprintln!("chunks of {chunk} bytes: {taken} taken, {most} allocated at the most");
        // The endpoint, the futures, and where the pieces of the body are listed.
        let beside = 48 * KIB;
        assert!(most <= LIMIT + chunk + beside, "{most} bytes for chunks of {chunk}");
        // It reads on for 16 MiB, so that the sender can read the answer.
        assert!(taken <= LIMIT + 16 * MIB + 2 * chunk, "{taken} bytes taken");
    }
}

mod a_gibibyte_costs_no_more_than_the_limit_and_one_chunk {
    #[test]
    fn under_tower() {
        super::holds(super::under_tower);
    }

    #[test]
    fn under_actix() {
        super::holds(super::under_actix);
    }
}
