//! What a handler without the layer around it answers.

use std::error::Error;
use std::fmt;

use axum_core::response::{IntoResponse, Response};
use dataflow_webhooks::Outcome;
use http::StatusCode;

/// There is no verified delivery in the request: the route has no
/// [`WebhookLayer`](crate::WebhookLayer). Answered 500, and logged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MissingLayer;

impl MissingLayer {
    pub(crate) fn found() -> Self {
        let this = Self;
        dataflow_webhooks::adapter::log_missing_layer(&this);
        this
    }

    /// 500.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// What the sender reads: nothing about the mistake.
    #[must_use]
    pub const fn body_text(&self) -> &'static str {
        Outcome::WrongEndpoint.answer().body()
    }
}

impl fmt::Display for MissingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no verified delivery in the request: put WebhookLayer around this route, with \
             post(handler).route_layer(WebhookLayer::new(endpoint))",
        )
    }
}

impl Error for MissingLayer {}

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        (self.status(), self.body_text()).into_response()
    }
}
