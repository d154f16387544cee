//! `verify` and `Verifier` take what the header maps of either major version of
//! the `http` crate give, or plain text, without a conversion.

use dataflow_webhooks::{
    Delivery, Rejection, RejectionKind, SIGNATURE_HEADER, Verifier, sign, verify,
};
use jiff::Timestamp;
use webhook_tests::secret;

fn signature() -> String {
    sign(&secret(), Timestamp::now(), &event_1())
}

fn event_1() -> Vec<u8> {
    br#"{"id":"evt_1","type":"pipeline.created"}"#.to_vec()
}

fn assert_passes(judged: Result<Delivery, Rejection>) {
    assert_eq!(judged.unwrap().id(), "evt_1");
}

fn assert_missing(judged: Result<Delivery, Rejection>) {
    assert_eq!(judged.unwrap_err().kind(), RejectionKind::MissingSignature);
}

fn assert_repeated(judged: Result<Delivery, Rejection>) {
    assert_eq!(judged.unwrap_err().kind(), RejectionKind::RepeatedSignature);
}

/// The same for both, whose types have nothing in common but their names.
macro_rules! header_map_of {
    ($test:ident, $http:ident) => {
        #[test]
        fn $test() {
            let (secret, verifier) = (secret(), Verifier::new(secret()));
            let mut headers = $http::HeaderMap::new();
            assert_missing(verify(&secret, headers.get(SIGNATURE_HEADER), event_1()));
            assert_missing(verifier.verify(headers.get_all(SIGNATURE_HEADER), event_1()));

            let value = $http::HeaderValue::try_from(signature()).unwrap();
            headers.insert("X-DataFlow-Signature", value.clone());
            assert_passes(verify(&secret, headers.get(SIGNATURE_HEADER), event_1()));
            assert_passes(verifier.verify(headers.get_all(SIGNATURE_HEADER), event_1()));

            headers.append(SIGNATURE_HEADER, value);
            assert_repeated(verifier.verify(headers.get_all(SIGNATURE_HEADER), event_1()));
        }
    };
}

header_map_of!(a_header_map_of_http_1_is_taken_as_it_is, http);
header_map_of!(a_header_map_of_http_0_2_is_taken_as_it_is, http_02);

#[test]
fn text_in_some_is_taken_as_it_is() {
    let value = signature();
    assert_passes(verify(&secret(), Some(value.as_str()), event_1()));
    assert_missing(verify(&secret(), None::<&str>, event_1()));
}
