//! What the tests of verification share: a secret, a moment, a signer of its own, and a judge that
//! asks every way there is to verify and insists that they agree.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use dataflow_webhooks::dead_letters::DeadLetter;
use dataflow_webhooks::{
    Endpoint, EndpointBuilder, Rejection, RejectionKind, Secret, VerifiedSignature, Verifier,
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The secret of the documentation's example.
pub(crate) const SECRET: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";
/// Another platform-like secret.
pub(crate) const OTHER: &str = "whsec_9z8y7x6w5v4u3t2s1r0q";
/// The timestamp of the documentation's example header.
pub(crate) const NOW: i64 = 1_706_096_400;
pub(crate) const BODY: &[u8] = br#"{"id":"evt_1","type":"pipeline.run.completed"}"#;

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A verifier with [`SECRET`], whose clock stands at [`NOW`].
pub(crate) fn verifier() -> Verifier {
    Verifier::new(secret(SECRET)).clock(|| at(NOW))
}

/// A builder with [`SECRET`], whose clock stands at [`NOW`].
pub(crate) fn builder() -> EndpointBuilder {
    Endpoint::builder(secret(SECRET)).clock(|| at(NOW))
}

/// HMAC-SHA256 as RFC 2104 writes it down, slow and independent of the crate under test.
pub(crate) fn plain_hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = [&block.map(|byte| byte ^ 0x36), message].concat();
    let outer = [&block.map(|byte| byte ^ 0x5c)[..], &Sha256::digest(&inner)].concat();
    Sha256::digest(&outer).into()
}

/// The 64 hex digits that belong to a secret, to `t` as written, and to a body.
pub(crate) fn hex_mac(secret: &str, t: &str, body: &[u8]) -> String {
    let mac = plain_hmac(secret.as_bytes(), &[t.as_bytes(), b".", body].concat());
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header value for a body under a secret, for `t` as written.
pub(crate) fn header(secret: &str, t: impl ToString, body: &[u8]) -> String {
    let t = t.to_string();
    format!("t={t},v1={}", hex_mac(secret, &t, body))
}

/// The header value of [`BODY`] under [`SECRET`] at [`NOW`].
pub(crate) fn good_header() -> String {
    header(SECRET, NOW, BODY)
}

/// The dead letter of a body that was answered 500 in its third run.
pub(crate) fn dead_letter(body: &[u8]) -> DeadLetter {
    let kept = serde_json::json!({
        "failed_at": at(NOW), "runs": 3, "reason": "answered 500", "key": "current",
        "signed_at": at(NOW - 2), "received_at": at(NOW),
        "body": std::str::from_utf8(body).unwrap(),
    });
    DeadLetter::from_trusted_json(kept.to_string().as_bytes()).unwrap()
}

pub(crate) type Judged = Result<VerifiedSignature, RejectionKind>;

/// What the verifier says at `now`, whichever way it is asked.
#[track_caller]
pub(crate) fn judge(
    verifier: &Verifier,
    lines: &[impl AsRef<[u8]>],
    body: &[u8],
    now: Timestamp,
) -> Judged {
    let by_check_at = verifier.check_at(lines, body, now).map_err(kind);
    let verifier = verifier.clone().clock(move || now);
    let by_check = verifier.check(lines, body).map_err(kind);
    assert_eq!(by_check_at, by_check, "check_at and check differ");

    let by_chunks = by_chunks(&verifier, lines, body.chunks(7));
    assert_eq!(by_chunks, shown(&by_check), "the incremental verification and check differ");

    let by_verify = verifier.verify(lines, body.to_vec());
    let by_verify = by_verify.map(|d| (d.signed_at(), d.key().to_owned())).map_err(kind);
    assert_eq!(authentic(by_verify), shown(&by_check), "verify and check differ");
    by_check
}

/// What can be told of a verified signature from a delivery; `None` for an authentic body that is
/// no event, where there is no delivery to ask.
pub(crate) type Shown = Result<Option<(Timestamp, String)>, RejectionKind>;

fn shown(judged: &Judged) -> ShownOrNoEvent {
    ShownOrNoEvent(judged.clone().map(|s| Some((s.signed_at(), s.key().to_owned()))))
}

fn authentic(delivered: Result<(Timestamp, String), RejectionKind>) -> ShownOrNoEvent {
    ShownOrNoEvent(match delivered {
        Ok(signature) => Ok(Some(signature)),
        Err(RejectionKind::NotAnEvent) => Ok(None),
        Err(other) => Err(other),
    })
}

/// Equal when one side could not show what it verified.
#[derive(Debug)]
pub(crate) struct ShownOrNoEvent(Shown);

impl PartialEq for ShownOrNoEvent {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Ok(None), Ok(_)) | (Ok(_), Ok(None)) => true,
            (one, other) => one == other,
        }
    }
}

fn by_chunks<'a>(
    verifier: &Verifier,
    lines: &[impl AsRef<[u8]>],
    chunks: impl Iterator<Item = &'a [u8]>,
) -> ShownOrNoEvent {
    let delivered = (|| {
        let mut verification = verifier.begin(lines, None)?;
        for chunk in chunks {
            verification.update(chunk.to_vec())?;
        }
        verification.finish()
    })();
    authentic(delivered.map(|d| (d.signed_at(), d.key().to_owned())).map_err(kind))
}

pub(crate) fn kind(rejection: Rejection) -> RejectionKind {
    rejection.kind()
}
