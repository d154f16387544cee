//! TLS: which certificates are trusted, and which cryptography does the work.

use redis::TlsCertificates;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::{RedisStoreError, RedisStoreErrorKind};
use crate::manner::Manner;

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

/// The certificates to trust instead of the system's, if any were given. They are checked here: the
/// client would take a text without any, and then trust nobody.
pub(crate) fn certificates(manner: &Manner) -> Result<Option<TlsCertificates>, RedisStoreError> {
    let Some(pem) = &manner.root_certificates else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(&format!("not in PEM: {error}")))?;
        roots.add(certificate).map_err(|error| bad(&format!("of no use: {error}")))?;
    }
    if roots.is_empty() {
        return Err(bad("none: there is no CERTIFICATE in the text"));
    }
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) }))
}

fn bad(why: &str) -> RedisStoreError {
    let what = format!("the root certificates are {why}");
    RedisStoreError::new(RedisStoreErrorKind::InvalidOption, what)
}
