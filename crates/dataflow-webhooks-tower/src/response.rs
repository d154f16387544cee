//! The answers: the inner service's own, or a fixed text.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use dataflow_webhooks::{Answer, Outcome};
use dataflow_webhooks_tokio::{Refusal, Reply};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of an answer: the inner service's, or one of the fixed texts.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Fixed { text: Full<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) const fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    const fn fixed(text: Full<Bytes>) -> Self {
        Self { kind: Kind::Fixed { text } }
    }
}

/// Empty: what a time-out layer outside answers with.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::fixed(Full::default())
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Inner { body } => body.poll_frame(cx),
            KindProjection::Fixed { text } => {
                Pin::new(text).poll_frame(cx).map_err(|never| match never {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Fixed { text } => text.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Fixed { text } => text.size_hint(),
        }
    }
}

/// What the road makes of an `http` response.
pub(crate) struct HttpReply<B>(pub(crate) Response<ResponseBody<B>>);

impl<B> Reply for HttpReply<B> {
    fn fixed(answer: Answer, outcome: Outcome) -> Self {
        let mut response = fixed(answer);
        response.extensions_mut().insert(outcome);
        Self(response)
    }

    fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    fn acknowledge(&mut self) {
        *self.0.status_mut() = StatusCode::OK;
    }
}

/// The answer to a refused request.
pub(crate) fn refuse<B>(refusal: Refusal, version: Version) -> Response<ResponseBody<B>> {
    let mut response = fixed(refusal.rejection.answer());
    // HTTP/2 has no such header: a stream ends by itself there.
    if refusal.close && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.extensions_mut().insert(Outcome::Rejected(refusal.rejection.kind()));
    response.extensions_mut().insert(refusal.rejection);
    response
}

fn fixed<B>(answer: Answer) -> Response<ResponseBody<B>> {
    let text = Full::new(Bytes::from_static(answer.body().as_bytes()));
    let mut response = Response::new(ResponseBody::fixed(text));
    // Core's statuses are all valid.
    *response.status_mut() =
        StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in answer.headers() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
