//! Verification against a bare, precomputed `hmac`.

use bytes::Bytes;
use dataflow_webhooks::{KeyRing, Secret, Verification, Verifier, sign};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use crate::rounds::{Effort, compare};
use crate::table;

const SECRET: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";
const PREFIX: &[u8] = b"1706096400.";
const KIB: usize = 1024;

pub(crate) fn now() -> Timestamp {
    Timestamp::constant(1_706_096_400, 0)
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(KeyRing::new(Secret::new(SECRET).unwrap())).clock(now)
}

/// The HMAC state after the key, which a verification may start from.
fn precomputed() -> Hmac<Sha256> {
    Hmac::new_from_slice(SECRET.as_bytes()).unwrap()
}

/// An event of so many bytes, most of them in its `data`.
pub(crate) fn body(bytes: usize) -> Bytes {
    let mut text = String::from(
        r#"{"id":"evt_1a2b3c4d5e6f","type":"pipeline.run.completed","data":{"pipeline_id":""#,
    );
    while text.len() < bytes - 3 {
        text.push(char::from(b'a' + (text.len() % 26) as u8));
    }
    text.push_str("\"}}");
    text.into()
}

pub(crate) fn header(body: &[u8]) -> String {
    sign(&Secret::new(SECRET).unwrap(), now(), body)
}

/// The ratios of the budget.
pub(crate) fn ratios(effort: Effort) {
    table::head(
        "Verification, by a bare precomputed hmac (median of the rounds' ratios)",
        "what                        size      time  ratio    quartiles   best limit     ",
    );
    let (verifier, mac) = (verifier(), precomputed());
    for (size, name, budget) in [
        (400, "400 B", 1.18),
        (2 * KIB, "2 KiB", 1.05),
        (16 * KIB, "16 KiB", 1.02),
        (256 * KIB, "256 KiB", 1.02),
    ] {
        let body = body(size);
        let header = header(&body);
        let ours = || verifier.check([&header], &body).is_ok();
        assert!(ours(), "the benchmark measures a refusal");
        let compared = compare(effort, ours, || bare(&mac, [&body]));
        table::ratio("Verifier::check", name, &compared, Some(budget));
    }

    let body = body(KIB * KIB);
    let header = header(&body);
    let chunks: Vec<_> =
        (0..64).map(|n| Bytes::copy_from_slice(&body[n * 16 * KIB..(n + 1) * 16 * KIB])).collect();
    let hashed = || {
        let mut mac = mac.clone();
        mac.update(PREFIX);
        chunks.iter().for_each(|chunk| mac.update(chunk));
        mac
    };
    let copied = || {
        let mut mac = mac.clone();
        mac.update(PREFIX);
        let mut kept = Vec::with_capacity(body.len());
        for chunk in &chunks {
            mac.update(chunk);
            kept.extend_from_slice(chunk);
        }
        (mac, kept)
    };
    let declared = Some(body.len() as u64);
    let compared = compare(effort, || received(&verifier, &header, &chunks, declared), hashed);
    table::ratio("begin, update", "1 MiB", &compared, Some(1.03));
    let compared = compare(effort, || received(&verifier, &header, &chunks, None), hashed);
    table::ratio("  undeclared length", "1 MiB", &compared, Some(1.03));
    let compared = compare(effort, || received(&verifier, &header, &chunks, declared), copied);
    table::ratio("  by hmac and a copy", "1 MiB", &compared, None);
    let finished = || received(&verifier, &header, &chunks, declared).finish().is_ok();
    assert!(finished(), "the benchmark measures a refusal");
    let compared = compare(effort, finished, || bare(&mac, &chunks));
    table::ratio("begin, update, finish", "1 MiB", &compared, None);
    let compared = compare(effort, || bare(&mac, &chunks), || bare(&mac, &chunks));
    table::ratio("bare by bare (control)", "1 MiB", &compared, None);
}

fn bare<'a>(
    mac: &Hmac<Sha256>,
    chunks: impl IntoIterator<Item = &'a Bytes>,
) -> hmac::digest::Output<Hmac<Sha256>> {
    let mut mac = mac.clone();
    mac.update(PREFIX);
    for chunk in chunks {
        mac.update(chunk);
    }
    mac.finalize().into_bytes()
}

fn received(
    verifier: &Verifier,
    header: &str,
    chunks: &[Bytes],
    declared: Option<u64>,
) -> Verification {
    let mut body = verifier.begin([header], declared).unwrap();
    for chunk in chunks {
        body.update(chunk.clone()).unwrap();
    }
    body
}

/// The allocations of the budget.
pub(crate) fn allocations() {
    table::head(
        "Allocations",
        "what                                                 figure          limit     ",
    );
    let verifier = verifier();
    let body = body(400);
    let header = header(&body);
    let count = |work: &dyn Fn()| allocation_counter::measure(work).count_total;

    let check = count(&|| assert!(verifier.check([&header], &body).is_ok()));
    table::figure("Verifier::check", &check.to_string(), "0", check == 0);
    let verify = count(&|| assert!(verifier.verify([&header], body.clone()).is_ok()));
    let envelope = verify.saturating_sub(1);
    table::figure(
        "the envelope (verify, less the Delivery)",
        &envelope.to_string(),
        "2",
        envelope <= 2,
    );
    let refused = count(&|| assert!(verifier.begin([&header[1..]], None).is_err()));
    table::figure("a refused head", &refused.to_string(), "0", refused == 0);
}
