//! The head of a request, as far as an endpoint looks at it.

use std::fmt;
use std::net::IpAddr;

/// The lines of a header, where nobody has said how to find them.
type NoLines = fn(&'static str) -> [&'static str; 0];

/// What there is to know of a request's head, for
/// [`Endpoint::begin_from`](crate::Endpoint::begin_from). For adapters.
///
/// ```
/// use dataflow_webhooks::adapter::Head;
///
/// let lines = ["t=1737714600,v1=…"];
/// let peer: std::net::IpAddr = "203.0.113.7".parse()?;
/// let head = Head::new("POST", lines)
///     .with_peer(Some(peer), |_name| [""; 0])
///     .with_content_length(Some(400));
/// assert_eq!(head.content_length(), Some(400));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct Head<'a, L, F = NoLines> {
    pub(super) method: &'a str,
    pub(super) signature_lines: L,
    pub(super) peer: Option<IpAddr>,
    pub(super) forwarded_lines: F,
    pub(super) content_length: Option<u64>,
    expects_continue: bool,
}

impl<'a, L> Head<'a, L> {
    /// The method, as on the wire, and the values of all `X-DataFlow-Signature` lines.
    ///
    /// The peer and the body's length are not known, and the sender waits for nothing.
    pub const fn new(method: &'a str, signature_lines: L) -> Self {
        Self {
            method,
            signature_lines,
            peer: None,
            forwarded_lines: |_| [""; 0],
            content_length: None,
            expects_continue: false,
        }
    }
}

impl<'a, L, F> Head<'a, L, F> {
    /// The other end of the connection, where the server says who it is. `forwarded_lines`
    /// gives the values of all lines of the header with this name (in lower case), in
    /// order. It is asked at most once, and only for what a trusted proxy wrote.
    #[must_use]
    pub fn with_peer<G, I>(self, peer: Option<IpAddr>, forwarded_lines: G) -> Head<'a, L, G>
    where
        G: FnOnce(&'static str) -> I,
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let Self { method, signature_lines, content_length, expects_continue, .. } = self;
        Head { method, signature_lines, peer, forwarded_lines, content_length, expects_continue }
    }

    /// The body's declared length in bytes; 0 where there is no body, `None` where it is
    /// not known.
    #[must_use]
    pub fn with_content_length(mut self, bytes: Option<u64>) -> Self {
        self.content_length = bytes;
        self
    }

    /// Does the sender wait for `100 Continue` before it sends the body?
    #[must_use]
    pub fn with_expect_continue(mut self, expects: bool) -> Self {
        self.expects_continue = expects;
        self
    }

    /// The body's declared length in bytes, where it is known.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Does the sender wait for `100 Continue`?
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }
}

impl<L, F> fmt::Debug for Head<'_, L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("peer", &self.peer)
            .field("content_length", &self.content_length)
            .field("expects_continue", &self.expects_continue)
            .finish_non_exhaustive()
    }
}
