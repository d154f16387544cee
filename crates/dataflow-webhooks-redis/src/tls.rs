//! TLS: which certificates are trusted, and which cryptography does the work.

use redis::{RedisError, TlsCertificates};

use crate::error::{RedisStoreError, RedisStoreErrorKind};
use crate::place::Manner;

/// Makes ring the process's cryptography, if the process has not chosen one.
///
/// The client asks rustls for the process's provider, and rustls panics where a build holds two and
/// nobody chose.
pub(crate) fn choose_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been first, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// The certificates to trust instead of the system's, if any were given.
pub(crate) fn certificates(manner: &Manner) -> Option<TlsCertificates> {
    let root_cert = manner.root_certificates.clone()?;
    Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
}

pub(crate) fn bad_certificates(error: RedisError) -> RedisStoreError {
    let what = "the root certificates are not in PEM, or cannot be used";
    RedisStoreError::new(RedisStoreErrorKind::InvalidOption, what).with_source(error)
}
