//! What a handler without the middleware around it answers.

use std::error::Error;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, ResponseError};
use dataflow_webhooks::Outcome;

/// There is no verified delivery in the request: the resource has no
/// [`WebhookMiddleware`](crate::WebhookMiddleware). Answered 500, and logged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MissingMiddleware;

impl MissingMiddleware {
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

impl fmt::Display for MissingMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no verified delivery in the request: put WebhookMiddleware around this resource, \
             with web::resource(path).wrap(WebhookMiddleware::new(endpoint))",
        )
    }
}

impl Error for MissingMiddleware {}

impl ResponseError for MissingMiddleware {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        response.insert_header(ContentType::plaintext()).body(self.body_text())
    }
}
