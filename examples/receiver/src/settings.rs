//! What a program is told by its environment. Every variable is read here, but
//! for those of the log.

use std::env::{self, VarError};
use std::net::SocketAddr;

use dataflow_webhooks::{
    Endpoint, EndpointBuilder, ForwardedHeader, IpNet, KeyRing, SourceAllowList,
};

use crate::failure::Failure;

const BIND: &str = "BIND";
const SOURCES: &str = "ALLOWED_SOURCES";
const REPORT_ONLY: &str = "ALLOWED_SOURCES_REPORT_ONLY";
const PROXIES: &str = "TRUSTED_PROXIES";
const HEADER: &str = "FORWARDED_HEADER";

/// What a program is told by its environment.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// With the keys of `DATAFLOW_WEBHOOK_SECRET`, or of the file that
    /// `DATAFLOW_WEBHOOK_SECRET_FILE` names, the allow-list of sources, and the store
    /// that `DEDUP_URL` names (feature `stores`).
    pub endpoint: Endpoint,
    /// The address to listen on.
    pub bind: SocketAddr,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// A variable is missing, wrong, or without one that it needs. The failure
    /// says what to do, in one line and without any secret; exit code 2.
    pub async fn from_env() -> Result<Self, Failure> {
        let endpoint = endpoint_builder_with_store().await?;
        let endpoint = endpoint.build().map_err(Failure::in_configuration)?;
        Ok(Self { endpoint, bind: bind()? })
    }
}

/// Reads all but where to listen and where events are remembered: the endpoint
/// remembers them in memory.
///
/// # Errors
///
/// As [`Settings::from_env`].
pub fn endpoint() -> Result<Endpoint, Failure> {
    endpoint_builder()?.build().map_err(Failure::in_configuration)
}

/// The same, for a program with a dedup store of its own.
///
/// # Errors
///
/// As [`Settings::from_env`].
pub fn endpoint_builder() -> Result<EndpointBuilder, Failure> {
    let keys = KeyRing::from_env().map_err(Failure::in_configuration)?;
    let mut endpoint = Endpoint::builder(keys);
    if let Some(sources) = sources().map_err(Failure::in_configuration)? {
        endpoint = endpoint.source(sources);
    }
    Ok(endpoint)
}

/// The same, with the store that `DEDUP_URL` names (feature `stores`): for a program that
/// adds to the endpoint.
///
/// # Errors
///
/// As [`Settings::from_env`].
pub async fn endpoint_builder_with_store() -> Result<EndpointBuilder, Failure> {
    let endpoint = endpoint_builder()?;
    #[cfg(feature = "stores")]
    let endpoint = match crate::dedup::store().await? {
        Some(store) => endpoint.dedup(store),
        None => endpoint,
    };
    Ok(endpoint)
}

/// The address to listen on.
pub(crate) fn bind() -> Result<SocketAddr, Failure> {
    address(BIND, SocketAddr::from(([127, 0, 0, 1], 3000)))
}

/// Reads an address to listen on from this variable; `default` where it is not set.
///
/// # Errors
///
/// It is no address with a port. Exit code 2.
pub fn address(variable: &str, default: SocketAddr) -> Result<SocketAddr, Failure> {
    let Some(bind) = env::var_os(variable) else { return Ok(default) };
    bind.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Failure::in_configuration(format!(
            "{variable} is {bind:?}; it must be an address and a port, such as {default}"
        ))
    })
}

/// Which addresses may deliver; `None` for any.
fn sources() -> Result<Option<SourceAllowList>, String> {
    let report_only = match text(REPORT_ONLY)?.as_deref() {
        Some("1") => true,
        None | Some("0") => false,
        Some(other) => {
            return Err(format!("{REPORT_ONLY} is {other:?}; it must be 1, or 0 as without it"));
        }
    };
    let proxies = proxies()?;
    let mut list = match text(SOURCES)? {
        Some(listed) => listed.parse().map_err(|error| format!("{SOURCES}: {error}"))?,
        None if report_only => SourceAllowList::empty(),
        None if proxies.is_some() => {
            return Err(format!(
                "{PROXIES} is set, and nothing asks where deliveries come from; set {SOURCES}, \
                 or {REPORT_ONLY}=1 to learn it, or unset {PROXIES}"
            ));
        }
        None => return Ok(None),
    };
    if let Some((header, proxies)) = proxies {
        list = list.behind(header, proxies);
    }
    Ok(Some(if report_only { list.report_only() } else { list }))
}

/// The trusted proxies, and the header that they write.
fn proxies() -> Result<Option<(ForwardedHeader, Vec<IpNet>)>, String> {
    let header = match text(HEADER)? {
        None => None,
        Some(name) => Some(name.parse().map_err(|error| format!("{HEADER}: {error}"))?),
    };
    match (text(PROXIES)?, header) {
        (None, None) => Ok(None),
        (Some(proxies), Some(header)) => {
            let proxies = SourceAllowList::parse_networks(&proxies);
            Ok(Some((header, proxies.map_err(|error| format!("{PROXIES}: {error}"))?)))
        }
        (Some(_), None) => Err(format!(
            "{PROXIES} is set without {HEADER}; set it to the one header that they write, \
             Forwarded or X-Forwarded-For"
        )),
        (None, Some(_)) => Err(format!(
            "{HEADER} is set without {PROXIES}; set it to the addresses of those that write the \
             header, for anyone else can write it too"
        )),
    }
}

/// A variable's text, `None` where it is not set.
///
/// # Errors
///
/// It is no text. The message is for [`Failure::in_configuration`].
pub fn text(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(VarError::NotPresent) => Ok(None),
        // Not a byte of it: it may hold a password.
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8; it must be text")),
    }
}
