//! The platform's configuration of one webhook, as JSON ("Example
//! Configuration"): read, checked, and made into an endpoint's builder.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fluent_uri::Uri;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::endpoint::{Endpoint, EndpointBuilder};
use crate::event::{EventType, json};
use crate::secret::{Secret, SecretError};
use crate::telemetry;

/// A webhook's configuration, in the platform's own form ("Creating a Webhook",
/// "Example Configuration").
///
/// `url` and `secret` must be there. Without `active` the webhook is taken to be
/// active, without `description` it has none, and without `events` it has no
/// events. Members of other names are passed over, so that a platform which adds
/// one breaks nothing. `Debug` does not show the secret.
///
/// What loads but is worth a look, such as `"active": false`, is logged as a
/// warning and listed by [`warnings`](Self::warnings).
///
/// ```
/// use dataflow_webhooks::WebhookConfig;
///
/// let config = WebhookConfig::from_json(r#"{
///     "url": "https://yourapp.com/webhooks/dataflow",
///     "events": ["pipeline.run.completed", "pipeline.run.failed", "connection.status.changed"],
///     "secret": "whsec_1a2b3c4d5e6f7g8h9i0j",
///     "active": true
/// }"#)?;
/// assert_eq!(config.events().len(), 3);
/// assert!(config.warnings().is_empty());
///
/// let endpoint = config.endpoint_builder().build()?;
/// # let _ = endpoint;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    url: String,
    events: Vec<EventType>,
    secret: Secret,
    active: bool,
    description: Option<String>,
    warnings: Vec<ConfigWarning>,
}

impl WebhookConfig {
    /// Reads the JSON text. A byte order mark before it is passed over.
    ///
    /// # Errors
    ///
    /// It is no JSON object; a member that is needed is missing, is there twice
    /// or is of another type; the URL is not an `https` one (`http` is allowed
    /// for `localhost`, `127.0.0.0/8` and `[::1]`) or holds credentials; the
    /// secret is no [`Secret`]. The error says which, and never holds the
    /// secret or anything else of the text.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let members = Members::read(json.as_ref())?;
        // First, so that no other error leaves the text of the secret unwiped.
        let secret = Secret::new(members.needed("secret")?.text("secret")?)
            .map_err(|error| ConfigError(Flaw::Secret(error)))?;
        let url = members.needed("url")?.text("url")?;
        check_url(&url).map_err(ConfigError)?;
        let config = Self {
            url,
            events: members.optional("events").map_or(Ok(Vec::new()), |m| m.events())?,
            secret,
            active: members.optional("active").map_or(Ok(true), |m| m.flag("active"))?,
            description: (members.optional("description"))
                .map(|m| m.text("description"))
                .transpose()?,
            warnings: Vec::new(),
        };
        Ok(config.with_warnings())
    }

    /// Reads a file with the JSON text in it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, and as [`from_json`](Self::from_json).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| ConfigError(Flaw::File(path.to_owned(), Arc::new(error))))?;
        Self::from_json(Zeroizing::new(bytes).as_slice())
    }

    /// Where the platform delivers to, as it is written.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The events that are subscribed to, in order, names that the platform's
    /// documentation does not list and names listed twice included.
    #[must_use]
    pub fn events(&self) -> &[EventType] {
        &self.events
    }

    /// The signing secret.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Does the platform deliver at all? It switches this off by itself after
    /// five failed attempts ("Error Handling").
    #[must_use]
    pub fn active(&self) -> bool {
        self.active
    }

    /// What somebody wrote about it.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What is allowed, but worth a look. Each was logged when it was loaded.
    #[must_use]
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    /// An [`Endpoint`] with this secret, to be configured further.
    pub fn endpoint_builder(&self) -> EndpointBuilder {
        Endpoint::builder(self.secret.clone())
    }

    fn with_warnings(mut self) -> Self {
        if !self.active {
            self.warnings.push(ConfigWarning::Inactive);
        }
        if self.events.is_empty() {
            self.warnings.push(ConfigWarning::NoEvents);
        }
        for warning in &self.warnings {
            telemetry::config_warning(warning);
        }
        self
    }
}

/// Something in a [`WebhookConfig`] that is allowed, but worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigWarning {
    /// `active` is false: the platform delivers nothing.
    Inactive,
    /// `events` is empty or missing: there is nothing to deliver.
    NoEvents,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inactive => {
                "the webhook is not active, so nothing will be delivered: switch it on in the \
                 platform (it switches itself off after five failed attempts)"
            }
            Self::NoEvents => {
                "the webhook subscribes to no event, so nothing will be delivered: select some \
                 in the platform"
            }
        })
    }
}

/// The members of the object that have a meaning here.
struct Members<'a>(Vec<(&'static str, Member<'a>)>);

#[derive(Clone, Copy)]
struct Member<'a>(&'a RawValue);

impl<'a> Members<'a> {
    const NAMES: [&'static str; 5] = ["url", "events", "secret", "active", "description"];

    fn read(json: &'a [u8]) -> Result<Self, ConfigError> {
        let text = std::str::from_utf8(json).map_err(|_| ConfigError(Flaw::NotUtf8))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut members: Vec<(&'static str, Member<'a>)> = Vec::new();
        let mut twice = None;
        json::members(text, |name, value| {
            let Some(name) = Self::NAMES.into_iter().find(|known| *known == name) else { return };
            if members.iter().any(|(known, _)| *known == name) {
                twice.get_or_insert(name);
            }
            members.push((name, Member(value)));
        })
        // serde_json's words may quote the text; its position does not.
        .map_err(|error| match error.is_data() {
            true => ConfigError(Flaw::NotAnObject),
            false => ConfigError(Flaw::NotJson { line: error.line(), column: error.column() }),
        })?;
        match twice {
            Some(name) => Err(ConfigError(Flaw::Twice(name))),
            None => Ok(Self(members)),
        }
    }

    /// `null` counts as missing.
    fn optional(&self, name: &str) -> Option<Member<'a>> {
        let (_, member) = self.0.iter().find(|(known, _)| *known == name)?;
        (member.0.get() != "null").then_some(*member)
    }

    fn needed(&self, name: &'static str) -> Result<Member<'a>, ConfigError> {
        self.optional(name).ok_or(ConfigError(Flaw::Missing(name)))
    }
}

impl Member<'_> {
    fn text(self, name: &'static str) -> Result<String, ConfigError> {
        match json::string(self.0.get()) {
            Some(text) => Ok(text.into_owned()),
            None => Err(ConfigError(Flaw::WrongType(name, "a string"))),
        }
    }

    fn flag(self, name: &'static str) -> Result<bool, ConfigError> {
        match self.0.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(ConfigError(Flaw::WrongType(name, "true or false"))),
        }
    }

    fn events(self) -> Result<Vec<EventType>, ConfigError> {
        let flaw = || ConfigError(Flaw::WrongType("events", "a list of strings"));
        let names: Vec<&RawValue> = serde_json::from_str(self.0.get()).map_err(|_| flaw())?;
        let name = |name: &RawValue| Some(EventType::from(&*json::string(name.get())?));
        names.into_iter().map(name).collect::<Option<_>>().ok_or_else(flaw)
    }
}

/// "Endpoint Requirements": https. Plain http stays on this machine.
fn check_url(url: &str) -> Result<(), Flaw> {
    let url = Uri::parse(url).map_err(|_| Flaw::NotAUrl)?;
    let scheme = url.scheme().as_str();
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return Err(Flaw::NotHttps);
    }
    let authority = url.authority().ok_or(Flaw::NoHost)?;
    if authority.host().is_empty() {
        return Err(Flaw::NoHost);
    }
    if authority.has_userinfo() {
        return Err(Flaw::Credentials);
    }
    if !is_https && !is_loopback(authority.host()) {
        return Err(Flaw::NotHttps);
    }
    match authority.port_to_u16() {
        Ok(Some(0)) | Err(_) => Err(Flaw::Port),
        Ok(_) => Ok(()),
    }
}

fn is_loopback(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

/// Why a [`WebhookConfig`] could not be loaded. Says what and where, and never
/// holds anything of the text.
#[derive(Debug, Clone)]
pub struct ConfigError(Flaw);

#[derive(Debug, Clone)]
enum Flaw {
    File(PathBuf, Arc<std::io::Error>),
    NotUtf8,
    NotJson { line: usize, column: usize },
    NotAnObject,
    Missing(&'static str),
    Twice(&'static str),
    WrongType(&'static str, &'static str),
    NotAUrl,
    NotHttps,
    NoHost,
    Credentials,
    Port,
    Secret(SecretError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Flaw::File(path, error) => {
                write!(f, "cannot read the webhook configuration {}: {error}", path.display())
            }
            Flaw::NotUtf8 => f.write_str("the webhook configuration is not UTF-8 text"),
            Flaw::NotJson { line, column } => {
                write!(f, "the webhook configuration is not JSON: see line {line}, column {column}")
            }
            Flaw::NotAnObject => f.write_str(
                "the webhook configuration is not a JSON object with url, events and secret",
            ),
            Flaw::Missing(name) => write!(f, "the webhook configuration has no {name}; add it"),
            Flaw::Twice(name) => {
                write!(f, "the webhook configuration has {name} twice; remove one of them")
            }
            Flaw::WrongType(name, wanted) => {
                write!(f, "{name} in the webhook configuration must be {wanted}")
            }
            Flaw::NotAUrl => f.write_str(
                "url in the webhook configuration is no URL; write it as in \
                 https://yourapp.com/webhooks/dataflow, a host in ASCII, no blanks",
            ),
            Flaw::NotHttps => f.write_str(
                "url in the webhook configuration must begin with https://; http:// is allowed \
                 only for localhost, 127.0.0.0/8 and [::1]",
            ),
            Flaw::NoHost => f.write_str("url in the webhook configuration has no host"),
            Flaw::Credentials => f.write_str(
                "url in the webhook configuration holds a user name or password; remove it: the \
                 signature is what authenticates a delivery",
            ),
            Flaw::Port => {
                f.write_str("the port of url in the webhook configuration is not 1 to 65535")
            }
            Flaw::Secret(error) => write!(f, "secret in the webhook configuration: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Flaw::File(_, error) => Some(&**error),
            Flaw::Secret(error) => Some(error),
            _ => None,
        }
    }
}
