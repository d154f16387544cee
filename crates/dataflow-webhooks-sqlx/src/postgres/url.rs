//! Owns the reading of a database's URL.

use sqlx::postgres::PgConnectOptions;
use tracing::subscriber::{NoSubscriber, with_default};

use super::server::from_sqlx;
use crate::error::{SqlStoreError, SqlStoreErrorKind};

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

/// Options of libpq that sqlx ignores.
const OF_LIBPQ: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "passfile",
    "require_auth",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// What the URL says. Of what follows a `?` only names that are known are ever shown: what a person
/// takes for an option may be a piece of a password.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, SqlStoreError> {
    if may_split_a_password(url) {
        return Err(invalid(
            "the database's URL has an @ after its first /, ? or #: if these are in the password, \
             write them as %2F, %3F and %23, and the @ as %40",
        ));
    }
    let options = parse(url).map_err(|error| why(url, error))?;
    for (number, (name, _)) in (1..).zip(pairs(url)) {
        if KNOWN.contains(&name) || name.starts_with("options[") {
            continue;
        }
        if OF_LIBPQ.contains(&name) {
            tracing::warn!(option = name, "an option in the URL is ignored");
        } else {
            // It may be a slip of the pen in `sslmode`.
            tracing::warn!(number, known = KNOWN.join(" "), "an option in the URL is unknown");
        }
    }
    Ok(options)
}

/// Without a word from sqlx: it would log what it does not know, values and all.
fn parse(url: &str) -> sqlx::Result<PgConnectOptions> {
    with_default(NoSubscriber::default(), || url.parse())
}

/// Whoever writes a password as it is ends the host's place with its first `/`, `?` or `#`: then a
/// piece of it is the port, and another the name of an option.
fn may_split_a_password(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    place.find(['/', '?', '#']).is_some_and(|end| place[end..].contains('@'))
}

/// What is wrong with the URL. sqlx's own error quotes an option's value.
fn why(url: &str, error: sqlx::Error) -> SqlStoreError {
    let without_options = url.split('?').next().unwrap_or_default();
    if parse(without_options).is_err() {
        // Fixed texts, whatever the URL is.
        return from_sqlx(error);
    }
    let is_wrong = |(_, pair): &(&str, &str)| parse(&format!("{without_options}?{pair}")).is_err();
    match pairs(url).find(is_wrong) {
        Some((name, _)) if KNOWN.contains(&name) => {
            invalid(format!("the option {name} in the database's URL has no valid value"))
        }
        _ => invalid("an option in the database's URL has no valid value"),
    }
}

fn invalid(what: impl Into<String>) -> SqlStoreError {
    SqlStoreError::new(SqlStoreErrorKind::InvalidUrl, what)
}

/// The name of each option, and all of it.
fn pairs(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let url = url.split('#').next().unwrap_or_default();
    let options = url.split_once('?').map_or("", |(_, options)| options);
    let pairs = options.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| (pair.split('=').next().unwrap_or_default(), pair))
}
