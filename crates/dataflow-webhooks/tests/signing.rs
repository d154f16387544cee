//! Signing for an endpoint, as tests of handlers do it.

use dataflow_webhooks::testing::{Sample, SignedBody, Signer, sign_for};
use dataflow_webhooks::{Endpoint, KeyRing, RejectionKind, Secret, sign};
use jiff::{SignedDuration, Timestamp};

const NOW: &str = "2025-01-24T10:30:00Z";

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// With two keys, and a clock that stands still.
fn endpoint() -> Endpoint {
    let keys = [secret("whsec_current_0123456789"), secret("whsec_previous_0123456789")];
    Endpoint::builder(KeyRing::from_secrets(keys).unwrap()).clock(now).build().unwrap()
}

/// The label of the key that the endpoint takes it for signed by.
fn receive(endpoint: &Endpoint, sent: &SignedBody) -> Result<String, RejectionKind> {
    let mut verification =
        endpoint.begin("POST", [&sent.header_value], None).map_err(|r| r.kind())?;
    verification.update(sent.body.clone()).map_err(|r| r.kind())?;
    verification.finish().map(|delivery| delivery.key().to_owned()).map_err(|r| r.kind())
}

#[test]
fn every_signed_sample_passes() {
    let endpoint = endpoint();
    for sample in Sample::all() {
        let sent = sample.sign(&endpoint);
        assert_eq!(sent.body, sample.body());
        assert_eq!(receive(&endpoint, &sent), Ok("current".to_owned()));
    }
}

#[test]
fn it_is_signed_by_the_newest_key_at_the_endpoints_present() {
    let body = br#"{"id":"evt_1"}"#;
    let expected = sign(&secret("whsec_current_0123456789"), now(), body);
    assert_eq!(sign_for(&endpoint(), body), expected);
    assert_eq!(Signer::for_endpoint(&endpoint()).header_value(body), expected);
}

#[test]
fn another_key_signs_by_its_label() {
    let endpoint = endpoint();
    let sent = Signer::for_endpoint(&endpoint).key("previous").sign("{}");
    assert_eq!(receive(&endpoint, &sent), Ok("previous".to_owned()));
}

#[test]
fn another_moment_is_signed() {
    let endpoint = endpoint();
    let signer = |seconds| {
        let at = now() + SignedDuration::from_secs(seconds);
        Signer::for_endpoint(&endpoint).at(at).sign("{}")
    };
    assert_eq!(receive(&endpoint, &signer(-300)), Ok("current".to_owned()));
    assert_eq!(receive(&endpoint, &signer(-301)), Err(RejectionKind::TooOld));
    assert_eq!(receive(&endpoint, &signer(301)), Err(RejectionKind::TooNew));
}

#[test]
fn a_rotation_is_followed() {
    let endpoint = endpoint();
    let signer = Signer::for_endpoint(&endpoint);
    let before = signer.sign("{}");
    endpoint.keys().replace([secret("whsec_new_0123456789")]).unwrap();
    assert_eq!(receive(&endpoint, &before), Err(RejectionKind::NoMatch));
    assert_eq!(receive(&endpoint, &signer.sign("{}")), Ok("current".to_owned()));
}

#[test]
#[should_panic(expected = "no key \"retired\"")]
fn a_label_that_is_not_there_panics() {
    let _ = Signer::for_endpoint(&endpoint()).key("retired").sign("{}");
}

#[test]
fn the_header_is_given_as_a_pair() {
    let sent = Sample::of("pipeline.created").sign(&endpoint());
    assert_eq!(sent.header(), ("x-dataflow-signature", sent.header_value.as_str()));
    assert_eq!(sent.header_name, dataflow_webhooks::SIGNATURE_HEADER);
}
