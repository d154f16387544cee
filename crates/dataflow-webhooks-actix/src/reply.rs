//! The answers: the inner service's own, or a fixed text.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::ContentType;
use actix_web::http::{ConnectionType, Method, StatusCode, Uri};
use actix_web::test::TestRequest;
use bytes::Bytes;
use dataflow_webhooks::{Answer, Outcome};
use dataflow_webhooks_tokio::{Refusal, Reply};

/// What the road makes of a response of actix's.
pub(crate) enum ActixReply<B> {
    Handlers(ServiceResponse<B>),
    /// A response needs its request, which the handler may have.
    Fixed(Outcome),
}

impl<B> Reply for ActixReply<B> {
    fn fixed(_: Answer, outcome: Outcome) -> Self {
        Self::Fixed(outcome)
    }

    fn status(&self) -> u16 {
        match self {
            Self::Handlers(response) => response.status().as_u16(),
            Self::Fixed(outcome) => outcome.answer().status(),
        }
    }

    fn acknowledge(&mut self) {
        if let Self::Handlers(response) = self {
            let head = response.response_mut().head_mut();
            (head.status, head.reason) = (StatusCode::OK, None);
        }
    }
}

/// A stand-in for a request that the handler still has: an answer that goes out
/// before needs one, and middleware outside may ask it for method and URI.
///
/// A clone of the request is no way: actix wants it alone when it routes it on.
pub(crate) fn stand_in(method: Method, uri: Uri) -> ServiceRequest {
    let mut request = TestRequest::default().to_srv_request();
    (request.head_mut().method, request.head_mut().uri) = (method, uri);
    request
}

/// The answer to a refused request. `unread` is what is left of its body.
pub(crate) fn refuse(refusal: Refusal, unread: Payload) -> HttpResponse {
    let mut response = fixed(Outcome::Rejected(refusal.rejection.kind()));
    if refusal.close {
        response.head_mut().set_connection_type(ConnectionType::Close);
        response = response.map_body(|_, text| BoxBody::new(Closing { text, _unread: unread }));
    }
    response.extensions_mut().insert(refusal.rejection);
    response
}

/// An outcome's fixed answer.
pub(crate) fn fixed(outcome: Outcome) -> HttpResponse {
    let answer = outcome.answer();
    // Core's statuses are all valid.
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header(ContentType::plaintext());
    answer.headers().iter().for_each(|header| _ = response.insert_header(*header));
    let mut response = response.body(answer.body());
    response.extensions_mut().insert(outcome);
    response
}

/// The text after which the connection ends.
///
/// It keeps what is unread of the request: a chunked body that nobody holds any
/// more is read by actix to its end, however long that takes.
struct Closing {
    text: BoxBody,
    _unread: Payload,
}

impl MessageBody for Closing {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.text.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.text).poll_next(cx)
    }
}
