//! The stacks that a rule is to hold on, and actix-web's side of what they share.

use std::fmt;
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use actix_web::rt::System;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpResponse, HttpServer};

use crate::receiver::{Receiver, Server};

/// What receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "tests match it")]
pub enum Stack {
    /// axum under hyper, on the caller's runtime.
    Axum,
    /// actix-web, on threads of its own.
    Actix {
        /// How many of them.
        workers: usize,
    },
}

/// `axum`, `actix-2` (with two workers): as programs are told.
impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Axum => f.write_str("axum"),
            Self::Actix { workers } => write!(f, "actix-{workers}"),
        }
    }
}

impl FromStr for Stack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let workers = text.strip_prefix("actix-").and_then(|workers| workers.parse().ok());
        match workers {
            Some(workers) => Ok(Self::Actix { workers }),
            None if text == "axum" => Ok(Self::Axum),
            None => Err(format!("{text:?} is neither axum nor actix-N")),
        }
    }
}

/// Makes a test on each stack of every `async fn(Stack)` named. The attribute is
/// that of the tests.
#[macro_export]
macro_rules! on_each_stack {
    ($($(#[$test:meta])+ $case:ident),+ $(,)?) => {
        mod under_axum {$(
            $(#[$test])+
            async fn $case() {
                super::$case($crate::Stack::Axum).await;
            }
        )+}

        mod under_actix {$(
            $(#[$test])+
            async fn $case() {
                super::$case($crate::Stack::Actix { workers: 2 }).await;
            }
        )+}
    };
}

impl Receiver {
    /// Serves the routes that `routes` sets up under actix-web, HTTP/1, on a free
    /// loopback port, on a thread of its own and on so many workers.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn start_actix(
        workers: usize,
        routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> Self {
        let (starting, started) = mpsc::channel();
        std::thread::spawn(move || {
            System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().configure(routes.clone()))
                    .workers(workers)
                    .disable_signals()
                    // Idle connections are to stay for as long as a test takes.
                    .client_request_timeout(Duration::from_secs(60))
                    .bind("127.0.0.1:0")
                    .expect("a free port");
                let address = server.addrs()[0];
                let server = server.run();
                let _ = starting.send((address, server.handle()));
                server.await
            })
        });
        let (address, server) = started.recv().expect("it starts");
        Self { address, server: Server::Actix(server) }
    }
}

/// Status and body of an answer of axum's, as actix has them.
pub(crate) async fn as_actix(answer: axum::response::Response) -> HttpResponse {
    let (head, body) = answer.into_parts();
    let status = actix_web::http::StatusCode::from_u16(head.status.as_u16());
    let body = axum::body::to_bytes(body, usize::MAX).await;
    HttpResponse::build(status.expect("a status")).body(body.expect("a body that is there"))
}
