//! The stacks that a rule is to hold on, and actix-web's side of what they share.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;
use std::{fmt, io};

use actix_web::rt::System;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpResponse, HttpServer, dev};
use tokio::net::TcpSocket;

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
    /// loopback port, on a thread of its own and on so many workers. As the
    /// documentation advises, the system holds back most of what the application
    /// has not asked for: a connection takes at most 160 KiB for that.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn start_actix(
        workers: usize,
        routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> Self {
        Self::run_actix(move || {
            let server = HttpServer::new(move || App::new().configure(routes.clone()))
                .workers(workers)
                .disable_signals()
                // Idle connections are to stay for as long as a test takes.
                .client_request_timeout(Duration::from_secs(60))
                .listen(listener().expect("a free port"))
                .expect("a socket that listens");
            let address = server.addrs()[0];
            (server.run(), address)
        })
    }

    /// Runs a server of actix-web's on a thread of its own, where `start` makes it,
    /// and says where it listens.
    ///
    /// # Panics
    ///
    /// When `start` does.
    pub fn run_actix(start: impl FnOnce() -> (dev::Server, SocketAddr) + Send + 'static) -> Self {
        let (starting, started) = mpsc::channel();
        std::thread::spawn(move || {
            System::new().block_on(async move {
                let (server, address) = start();
                let _ = starting.send((address, server.handle()));
                server.await
            })
        });
        let (address, server) = started.recv().expect("it starts");
        Self { address, server: Server::Actix(server) }
    }
}

/// Connections take their receive buffer over from the socket they come in at.
fn listener() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 * 1024)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(1024)?.into_std()
}

/// Status and body of an answer of axum's, as actix has them.
pub(crate) async fn as_actix(answer: axum::response::Response) -> HttpResponse {
    let (head, body) = answer.into_parts();
    let status = actix_web::http::StatusCode::from_u16(head.status.as_u16());
    let body = axum::body::to_bytes(body, usize::MAX).await;
    HttpResponse::build(status.expect("a status")).body(body.expect("a body that is there"))
}
