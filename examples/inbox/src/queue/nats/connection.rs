//! The way to the server: what its URL says, and why there is none just now.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use receiver::{Failure, in_full};

use super::ANSWER;
use crate::settings::wrong_url;

/// The address without the credentials, and those as options: the client reads none out of a
/// URL, and logs all of it at level debug.
pub(super) fn apart(url: &str) -> Result<(ConnectOptions, ServerAddr), Failure> {
    let wrong = |error| wrong_url(in_full(&error));
    let server: ServerAddr = url.parse().map_err(wrong)?;
    let plain = |text| match percent_decode_str(text).decode_utf8() {
        Ok(plain) => Ok(plain.into_owned()),
        Err(_) => Err(wrong_url("the credentials must be UTF-8")),
    };
    let options = match (server.username(), server.password()) {
        (None, None) => ConnectOptions::new(),
        (Some(token), None) => ConnectOptions::with_token(plain(token)?),
        (user, Some(password)) => {
            let user = plain(user.unwrap_or_default())?;
            ConnectOptions::with_user_and_password(user, plain(password)?)
        }
    };
    let options = options
        // Its own 10 s would keep a worker that long from its end.
        .request_timeout(Some(ANSWER))
        // Also of servers that this one tells of.
        .require_tls(server.tls_required());
    let mut url = server.into_inner();
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
    if !is_bare || url.fragment().is_some() {
        // A password that is written as it is ends the host's place: a piece of it is the port.
        return Err(wrong_url(
            "nothing may follow its host and port: in the credentials /, ? and # are %2F, %3F and %23",
        ));
    }
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return Err(wrong_url("it must name a host"));
    }
    Ok((options, ServerAddr::from_url(url).map_err(wrong)?))
}

/// Why the last try to connect has failed, in words: the client itself says only that there is
/// no connection, whether nobody listens or the certificate is not trusted.
#[derive(Debug, Clone, Default)]
pub(super) struct WhyAway(Arc<Mutex<Option<String>>>);

impl WhyAway {
    /// Listens to a client of these options.
    pub(super) fn kept_by(&self, options: ConnectOptions) -> ConnectOptions {
        let this = self.clone();
        // It is asked before each try which server to take, and lets the client choose.
        options.reconnect_to_server_callback(move |servers, _| {
            let why = servers.into_iter().find_map(|server| server.last_error);
            if why.is_some() {
                *this.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
            }
            async { None }
        })
    }
}

impl fmt::Display for WhyAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no connection to the server")?;
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}
