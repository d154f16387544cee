//! How Redis is connected to: what the builder says beside the URL.

use std::time::Duration;

/// The times that calls and connecting have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) call: Duration,
    pub(crate) connect: Duration,
}

/// What a URL is read with.
pub(crate) struct Manner {
    /// The client of a Cluster makes its connections by itself, and has to be told.
    #[cfg(feature = "cluster")]
    pub(crate) times: Times,
    #[cfg(feature = "tls")]
    pub(crate) root_certificates: Option<Vec<u8>>,
}
