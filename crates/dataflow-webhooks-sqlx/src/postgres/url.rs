//! Owns the reading of a database's URL.

use sqlx::postgres::PgConnectOptions;
use tracing::subscriber::{NoSubscriber, with_default};

use super::server::from_sqlx;
use crate::error::SqlStoreError;

/// The options in a URL that sqlx knows, beside those of the server itself: `options[…]`.
const KNOWN: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// What the URL says. An option that nobody knows is named in the log, for it may be a slip of the
/// pen in `sslmode`; sqlx would print its value as well, and `sslpassword` is such a one.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, SqlStoreError> {
    let options = with_default(NoSubscriber::default(), || url.parse()).map_err(from_sqlx)?;
    for option in names(url).filter(|name| !KNOWN.contains(name) && !name.starts_with("options[")) {
        tracing::warn!(option = option.escape_debug().to_string(), "unknown option in the URL");
    }
    Ok(options)
}

fn names(url: &str) -> impl Iterator<Item = &str> {
    let url = url.split('#').next().unwrap_or_default();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|option| Some(option.split_once('=')?.0))
}
