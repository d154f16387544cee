//! Which addresses may deliver: the list, and where a request comes from.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::rejection::{Rejection, RejectionKind};

mod forwarded;

pub use forwarded::{ForwardedHeader, UnknownHeader};

/// The addresses that deliveries may come from ("Security Considerations":
/// "Whitelist DataFlow IP addresses if possible"). Handed to
/// [`EndpointBuilder::source`](crate::EndpointBuilder::source).
///
/// It is looked at before the signature; a source that is not on the list is
/// answered 403. It takes nothing away from verification, which follows.
///
/// The source is the **peer**, the other end of the connection, as the server
/// says. A server or layer that does not say who the peer is lets nothing
/// through. Behind proxies the peer is a proxy: name yours, and the one header
/// that they write, with [`behind`](Self::behind).
///
/// An IPv4 address that a dual-stack socket shows as `::ffff:203.0.113.7` is the
/// IPv4 address. An IPv6 network holds IPv4 addresses only where it holds their
/// mapped form: `::/0` is everything.
///
/// ```
/// use dataflow_webhooks::{Endpoint, ForwardedHeader, IpNet, KeyRing, Secret, SourceAllowList};
///
/// let proxies: [IpNet; 1] = ["10.0.0.0/8".parse()?];
/// let sources = "203.0.113.0/24, 2001:db8::7"
///     .parse::<SourceAllowList>()?
///     .behind(ForwardedHeader::XForwardedFor, proxies);
///
/// let keys = KeyRing::new(Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?);
/// let endpoint = Endpoint::builder(keys).source(sources).build()?;
/// # let _ = endpoint;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Learning the list
///
/// The platform publishes no list. [`report_only`](Self::report_only) lets
/// everything through and logs each address that an **authentic** delivery came
/// from and that is not on the list: begin with [`empty`](Self::empty), let some
/// weeks pass, and put on the list what the log names.
///
/// ```
/// use dataflow_webhooks::SourceAllowList;
///
/// let learning = SourceAllowList::empty().report_only();
/// # let _ = learning;
/// ```
#[derive(Debug, Clone)]
pub struct SourceAllowList {
    listed: Vec<IpNet>,
    proxies: Option<Proxies>,
    report_only: bool,
}

#[derive(Debug, Clone)]
struct Proxies {
    header: ForwardedHeader,
    trusted: Vec<IpNet>,
}

impl SourceAllowList {
    /// A list of these networks. A single address is a network, too.
    pub fn new<N: Into<IpNet>>(networks: impl IntoIterator<Item = N>) -> Self {
        let listed = networks.into_iter().map(Into::into).collect();
        Self { listed, proxies: None, report_only: false }
    }

    /// No address at all: to [learn](Self::report_only) the list with. An
    /// endpoint that would refuse everything is not built.
    #[must_use]
    pub fn empty() -> Self {
        Self::new::<IpNet>([])
    }

    /// Reads networks or single addresses, separated by commas:
    /// `203.0.113.0/24, ::1`. For the trusted proxies of [`behind`](Self::behind)
    /// as well, where they come from a variable or a file.
    ///
    /// # Errors
    ///
    /// An entry, which the error shows, is neither; an empty one is not either.
    pub fn parse_networks(text: &str) -> Result<Vec<IpNet>, SourceError> {
        let one = |entry: &str| {
            let entry = entry.trim();
            let network = entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| SourceError(entry.to_owned()))
        };
        text.split(',').map(one).collect()
    }

    /// Requests come through these proxies, which write this header.
    ///
    /// Of a request whose peer is one of them, all lines of the header are
    /// joined in order, and the right-most address that is not one of them is
    /// the source. Where that cannot be said (no such line, `unknown`, an
    /// obfuscated or unreadable address, none but proxies), the request is
    /// refused. The header of any other peer is not read, and the other header
    /// never is: anyone can write both.
    ///
    /// Every trusted proxy must append to this header the address that it was
    /// called from, or drop what was in it.
    #[must_use]
    pub fn behind<N: Into<IpNet>>(
        mut self,
        header: ForwardedHeader,
        proxies: impl IntoIterator<Item = N>,
    ) -> Self {
        let trusted = proxies.into_iter().map(Into::into).collect();
        self.proxies = Some(Proxies { header, trusted });
        self
    }

    /// Lets everything through, and counts and logs authentic deliveries whose
    /// source is not on the list, or not known:
    /// [`Counts::authentic_from_unlisted`](crate::Counts::authentic_from_unlisted).
    #[must_use]
    pub fn report_only(mut self) -> Self {
        self.report_only = true;
        self
    }

    /// What makes the list useless, if anything.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        if self.listed.is_empty() && !self.report_only {
            return Some(
                "the allow-list of sources is empty and would refuse everything; name a network, \
                 or learn them with report_only()",
            );
        }
        let without = self.proxies.as_ref().is_some_and(|proxies| proxies.trusted.is_empty());
        without.then_some(
            "the allow-list of sources names a proxy header and no trusted proxy, so that the \
             header would never be read; name the proxies' networks",
        )
    }

    /// Is a request from this peer let through, and is it worth a report?
    pub(crate) fn judge<I>(
        &self,
        peer: Option<IpAddr>,
        lines: impl FnOnce(&'static str) -> I,
    ) -> Result<Option<Unlisted>, Rejection>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let unlisted = match self.source(peer, lines) {
            Ok(source) if holds(&self.listed, source) => return Ok(None),
            Ok(source) => Unlisted::Address(source),
            Err(why) => Unlisted::Unknown(why),
        };
        if self.report_only { Ok(Some(unlisted)) } else { Err(unlisted.into()) }
    }

    /// Where a request comes from, or why that cannot be said.
    fn source<I>(
        &self,
        peer: Option<IpAddr>,
        lines: impl FnOnce(&'static str) -> I,
    ) -> Result<IpAddr, &'static str>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let peer = peer.ok_or(
            "the server does not say who the peer is: tell the layer where it finds the peer's \
             address (WebhookLayer::peer; axum::serve needs into_make_service_with_connect_info); \
             nobody has one who comes through a Unix socket",
        )?;
        match &self.proxies {
            Some(proxies) if holds(&proxies.trusted, peer) => {
                let is_trusted = |address| holds(&proxies.trusted, address);
                proxies.header.source(lines(proxies.header.name()), is_trusted)
            }
            _ => Ok(peer.to_canonical()),
        }
    }
}

/// Is the address in one of the networks, in any of its forms?
fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| match (network, address) {
        (IpNet::V4(network), IpAddr::V4(address)) => network.contains(&address),
        (IpNet::V6(network), IpAddr::V6(address)) => network.contains(&address),
        (IpNet::V6(network), IpAddr::V4(address)) => network.contains(&address.to_ipv6_mapped()),
        (IpNet::V4(_), IpAddr::V6(_)) => false,
    })
}

/// A source that is not on the list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unlisted {
    Address(IpAddr),
    /// It is not known, for this reason.
    Unknown(&'static str),
}

impl From<Unlisted> for Rejection {
    fn from(unlisted: Unlisted) -> Self {
        match unlisted {
            Unlisted::Address(address) => Self::of_source(address),
            Unlisted::Unknown(why) => Self::in_words(RejectionKind::SourceNotAllowed, why),
        }
    }
}

/// As [`SourceAllowList::parse_networks`].
impl FromStr for SourceAllowList {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        Self::parse_networks(text).map(Self::new)
    }
}

/// An entry of a list that is neither a network nor an address.
#[derive(Debug, Clone)]
pub struct SourceError(String);

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither an address nor a network such as 203.0.113.0/24 or 2001:db8::/32",
            self.0
        )
    }
}

impl Error for SourceError {}

type PeerOf<P> = dyn Fn(&P) -> Option<IpAddr> + Send + Sync;

/// How an adapter finds the peer's address in a request's head of the type `P`.
/// Without being told it finds none.
pub struct FindPeer<P>(Option<Arc<PeerOf<P>>>);

impl<P> FindPeer<P> {
    /// It is never known.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// With this function.
    pub fn by(find: impl Fn(&P) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    /// The peer's address, where it is known.
    pub fn in_head(&self, head: &P) -> Option<IpAddr> {
        self.0.as_ref().and_then(|find| find(head))
    }
}

impl<P> Clone for FindPeer<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P> fmt::Debug for FindPeer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "FindPeer" } else { "FindPeer::never" })
    }
}
