//! The stacks: how each serves a scene.

mod actix;
mod axum;
mod tower;
mod unready;

use webhook_tests::Receiver;

use crate::scene::Served;

pub(crate) const PATH: &str = "/webhooks/dataflow";

/// A server and the adapter that fits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stack {
    /// The tower crate alone, under plain hyper.
    Tower,
    /// axum, under the same hyper.
    Axum,
    /// actix-web, under its own server.
    Actix,
}

impl Stack {
    pub(crate) const ALL: [Self; 3] = [Self::Tower, Self::Axum, Self::Actix];

    /// Does the server drop a request whose sender is gone like this, so that the
    /// layer hears of it? Otherwise the handler is answered for, whether anybody
    /// reads it or not.
    pub(crate) fn tells(self, gone: Gone) -> bool {
        match self {
            Self::Tower | Self::Axum => true,
            Self::Actix => gone == Gone::Reset,
        }
    }

    /// Serves this until the server is dropped.
    pub(crate) async fn serve(self, served: &Served) -> Receiver {
        match self {
            Self::Tower => tower::serve(served).await,
            Self::Axum => axum::serve(served).await,
            Self::Actix => actix::serve(served),
        }
    }
}

/// How a sender is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It has closed its half of the connection: FIN. It may still read.
    Half,
    /// It has closed the connection: FIN as well.
    Closed,
    /// It has reset the connection: RST.
    Reset,
    /// Over HTTP/2, it has reset the stream.
    Stream,
}

/// What an application may well do with an answer on its way out: log it, and why
/// it was a refusal.
macro_rules! log_answer {
    ($response:expr, $extensions:expr) => {{
        let extensions = $extensions;
        let refused = extensions.get::<dataflow_webhooks::Rejection>();
        let outcome = extensions.get::<dataflow_webhooks::Outcome>();
        let source = refused.and_then(|it| it.source()).map(|it| format!("{it:?} {it}"));
        let words = refused.map(ToString::to_string);
        tracing::trace!("answered {:?}: {outcome:?} {refused:?} {words:?} {source:?}", $response);
    }};
}
use log_answer;
