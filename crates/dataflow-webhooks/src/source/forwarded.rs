//! The two headers in which proxies say whom they were called by.
//!
//! What stands left of the first address that no trusted proxy has was written
//! by whoever sent the request, and is worth nothing.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

const MISSING: &str = "the peer is a trusted proxy, and there is no line of the header that it \
                       should write; is it the other one?";
const UNREADABLE: &str = "the header of a trusted proxy cannot be read: an address is unknown, \
                          obfuscated or malformed where the source should stand";
const ALL_TRUSTED: &str = "the header of a trusted proxy names none but trusted proxies; does it \
                           append the address that it was called from?";

/// The header in which the trusted proxies name whom they were called by. It is read from
/// its name, in any case, as configuration has it.
///
/// ```
/// use dataflow_webhooks::ForwardedHeader;
///
/// assert_eq!("X-Forwarded-For".parse(), Ok(ForwardedHeader::XForwardedFor));
/// assert!("X-Real-IP".parse::<ForwardedHeader>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `Forwarded: for="[2001:db8::1]:4711";proto=https` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For: 203.0.113.7, 10.0.0.1`.
    XForwardedFor,
}

impl ForwardedHeader {
    /// Both of them.
    pub const ALL: &'static [Self] = &[Self::Forwarded, Self::XForwardedFor];

    /// The header's name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::XForwardedFor => "x-forwarded-for",
        }
    }

    /// The right-most address that is not trusted, of all lines in order.
    pub(super) fn source(
        self,
        lines: impl IntoIterator<Item: AsRef<[u8]>>,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Result<IpAddr, &'static str> {
        let mut joined = Vec::new();
        for (index, line) in lines.into_iter().enumerate() {
            if index > 0 {
                joined.push(b',');
            }
            joined.extend_from_slice(line.as_ref());
        }
        if joined.is_empty() {
            return Err(MISSING);
        }
        let nodes = match self {
            Self::Forwarded => for_nodes(&joined).ok_or(UNREADABLE)?,
            Self::XForwardedFor => joined.split(|byte| *byte == b',').map(Some).collect(),
        };
        for node in nodes.into_iter().rev() {
            let bare_ipv6 = self == Self::XForwardedFor;
            let address = node.and_then(|node| address(node, bare_ipv6)).ok_or(UNREADABLE)?;
            if !is_trusted(address) {
                return Ok(address.to_canonical());
            }
        }
        Err(ALL_TRUSTED)
    }
}

impl fmt::Display for ForwardedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ForwardedHeader {
    type Err = UnknownHeader;

    fn from_str(name: &str) -> Result<Self, UnknownHeader> {
        let found = Self::ALL.iter().find(|known| known.name().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| UnknownHeader(name.to_owned()))
    }
}

/// A header that proxies do not name their caller in, or not in a way that is read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownHeader(String);

impl fmt::Display for UnknownHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither Forwarded nor X-Forwarded-For", self.0)
    }
}

impl Error for UnknownHeader {}

/// The `for` of each element of a `Forwarded` header, `None` where an element has
/// none. No list at all where the header is malformed anywhere: a quotation mark
/// that a sender leaves open must not swallow what a proxy has appended.
fn for_nodes(mut rest: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let mut nodes = Vec::new();
    let mut node = None;
    loop {
        rest = rest.trim_ascii_start();
        if !matches!(rest.first(), None | Some(b';' | b',')) {
            let equals = rest.iter().position(|byte| *byte == b'=')?;
            let (name, text) = (&rest[..equals], &rest[equals + 1..]);
            if name.is_empty() || !name.iter().copied().all(is_token) {
                return None;
            }
            let (value, after) = value(text)?;
            if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
                return None;
            }
            rest = after.trim_ascii_start();
        }
        match rest.split_first() {
            None => {
                nodes.push(node);
                return Some(nodes);
            }
            Some((b';', after)) => rest = after,
            Some((b',', after)) => {
                nodes.push(node.take());
                rest = after;
            }
            Some(_) => return None,
        }
    }
}

/// A value, quoted or not, and what follows it. Escapes within quotes are left as
/// they are, for no address needs one. Outside of quotes the grammar allows no
/// brackets and colons; many proxies write them.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let mut escaped = false;
        let end = quoted.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        })?;
        return Some((&quoted[..end], &quoted[end + 1..]));
    }
    let ends = |byte: u8| !byte.is_ascii_graphic() || b"\",;".contains(&byte);
    let end = text.iter().position(|byte| ends(*byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `203.0.113.7`, `[2001:db8::1]`, either with a port, and perhaps an IPv6 address
/// without brackets.
fn address(node: &[u8], bare_ipv6: bool) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?.trim_matches([' ', '\t']);
    if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let has_port = port.is_empty() || is_port(port.strip_prefix(':')?);
        return has_port.then_some(IpAddr::V6(address.parse().ok()?));
    }
    if bare_ipv6 && let Ok(address) = node.parse::<Ipv6Addr>() {
        return Some(address.into());
    }
    let address = match node.split_once(':') {
        Some((address, port)) => is_port(port).then_some(address)?,
        None => node,
    };
    Some(IpAddr::V4(address.parse().ok()?))
}

/// A port, which may be obfuscated (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let is_obfuscated = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    match text.strip_prefix('_') {
        Some(rest) => is_obfuscated(rest),
        None => text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}
