//! The fixed answers of the core, as Rocket sends them.

use std::io::Cursor;

use dataflow_webhooks::{Answer, Outcome, Rejection, RejectionKind};
use rocket::http::{ContentType, Method, Status};
use rocket::response::{self, Responder, Response};
use rocket::{Request, catch};

/// One of the core's answers: status, headers and body.
pub(crate) struct Fixed(pub(crate) Answer);

impl<'r> Responder<'r, 'static> for Fixed {
    fn respond_to(self, _request: &'r Request<'_>) -> response::Result<'static> {
        let Self(answer) = self;
        let mut response = Response::build();
        response
            .status(Status::new(answer.status()))
            .header(ContentType::Plain)
            .sized_body(answer.body().len(), Cursor::new(answer.body()));
        for &(name, value) in answer.headers() {
            response.raw_header(name, value);
        }
        Ok(response.finalize())
    }
}

/// What is answered where no handler did. The sender is told what the rejection
/// says to the public, and the log has the reason.
#[catch(default)]
pub(crate) fn refused(
    status: Status,
    request: &Request<'_>,
) -> Result<Fixed, (Status, &'static str)> {
    match (request.local_cache(|| None::<Rejection>), status) {
        (Some(rejection), _) => Ok(Fixed(rejection.answer())),
        // Rocket knows no 405: for another method there is no route.
        (None, Status::NotFound) if request.method() != Method::Post => {
            Ok(Fixed(Outcome::Rejected(RejectionKind::MethodNotAllowed).answer()))
        }
        (None, status) => Err((status, status.reason_lossy())),
    }
}
