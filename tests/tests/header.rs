//! The decisions on the signature header ("Signature Header"), as a sender on
//! the other end of a socket sees them.

use bytes::Bytes;
use dataflow_webhooks::{Endpoint, KeyRing, RejectionKind, SIGNATURE_HEADER, Secret, sign};
use jiff::Timestamp;
use webhook_tests::{Answer, Request, Served, delivery, endpoint, event, secret};

const NOW: i64 = 1_706_096_400;

/// A receiver whose clock stands at [`NOW`], one event, and its good signature.
struct Case {
    served: Served,
    body: Bytes,
    hex: String,
}

impl Case {
    async fn new() -> Self {
        let now = Timestamp::from_second(NOW).unwrap();
        let served = Served::start(endpoint().clock(move || now), |_| async {}).await;
        let body = event("evt_1");
        let hex = hex_of(&secret(), NOW, &body);
        Self { served, body, hex }
    }

    /// The answer to the event under these header lines.
    async fn answer(&self, lines: &[&[u8]]) -> Answer {
        let request = Request::unsigned(self.body.clone());
        let with_line = |request: Request, line: &&[u8]| request.header(SIGNATURE_HEADER, *line);
        self.served.send(&lines.iter().fold(request, with_line)).await
    }

    async fn passes(self, line: impl AsRef<[u8]>) {
        let line = line.as_ref();
        let answer = self.answer(&[line]).await;
        assert_eq!((answer.status, self.served.runs.ended("evt_1")), (200, 1), "{}", shown(line));
    }

    /// All refusals look the same from outside; the counts say which one it was.
    async fn refused(self, kind: RejectionKind, lines: &[&[u8]]) {
        let answer = self.answer(lines).await;
        let mut headers: Vec<_> =
            answer.headers.iter().filter(|(name, _)| *name != "date").collect();
        headers.sort_unstable();
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let expected = [
            ("content-length", "31"),
            ("content-type", "text/plain; charset=utf-8"),
            ("www-authenticate", "DataFlow-Signature"),
        ];
        assert_eq!((answer.status, headers.as_slice()), (401, expected.as_slice()));
        assert_eq!(answer.text(), "the signature was not accepted\n");
        assert_eq!(self.served.endpoint.counts().rejected(kind), 1, "refused as {kind}");
        assert_eq!((self.served.store.all_calls(), self.served.runs.begun("evt_1")), (0, 0));
    }

    async fn malformed(self, line: impl AsRef<[u8]>) {
        self.refused(RejectionKind::MalformedSignature, &[line.as_ref()]).await;
    }

    async fn no_match(self, line: impl AsRef<[u8]>) {
        self.refused(RejectionKind::NoMatch, &[line.as_ref()]).await;
    }
}

fn hex_of(secret: &Secret, at: i64, body: &[u8]) -> String {
    let value = sign(secret, Timestamp::from_second(at).unwrap(), body);
    value.split_once(",v1=").unwrap().1.to_owned()
}

fn shown(line: &[u8]) -> String {
    line.escape_ascii().to_string()
}

/// Each test is one line: what it is called is the rule.
macro_rules! rules {
    ($($verdict:ident $rule:ident($hex:ident) $line:expr;)+) => {$(
        #[tokio::test]
        async fn $rule() {
            let case = Case::new().await;
            let $hex = case.hex.clone();
            case.$verdict($line).await;
        }
    )+};
}

rules! {
    passes the_platforms_own_form_passes(hex) format!("t={NOW},v1={hex}");
    passes white_space_around_an_element_is_dropped(hex) format!("t={NOW} ,\t v1={hex}");
    passes the_order_of_elements_does_not_matter(hex) format!("v1={hex},t={NOW}");
    passes a_trailing_comma_is_ignored(hex) format!("t={NOW},v1={hex},");
    passes a_leading_comma_is_ignored(hex) format!(",t={NOW},v1={hex}");
    passes an_empty_element_is_ignored(hex) format!("t={NOW},, ,v1={hex}");
    passes a_bare_word_is_ignored(hex) format!("t={NOW},sha256,v1={hex}");
    passes unknown_elements_are_ignored(hex) format!("t={NOW},v0={hex},none=,v2=x,v1={hex}");
    passes an_unknown_element_may_hold_any_bytes(hex)
        [format!("t={NOW},v1={hex},v2=").as_bytes(), b"\xff\xfe\x80"].concat();
    passes upper_case_hex_matches(hex) format!("t={NOW},v1={}", hex.to_uppercase());
    passes a_candidate_that_is_no_hex_does_not_spoil_a_good_one(hex)
        format!("t={NOW},v1=potato,v1={hex}");
    passes a_wrong_candidate_does_not_spoil_a_good_one(hex)
        format!("t={NOW},v1={},v1={hex}", "0".repeat(64));
    passes the_sixteenth_candidate_may_match(hex)
        format!("t={NOW},{}v1={hex}", "v1=potato,".repeat(15));
    passes a_header_of_4096_bytes_passes(hex)
        format!("t={NOW},v1={hex},{}", "x".repeat(4096 - 81));

    no_match no_v1_at_all_does_not_match(_hex) format!("t={NOW}");
    no_match v1_in_upper_case_is_another_element(hex) format!("t={NOW},V1={hex}");
    no_match an_empty_v1_does_not_match(_hex) format!("t={NOW},v1=");
    no_match a_prefix_of_the_signature_does_not_match(hex) format!("t={NOW},v1={}", &hex[..62]);
    no_match an_extended_signature_does_not_match(hex) format!("t={NOW},v1={hex}00");
    no_match a_trailing_equals_sign_does_not_match(hex) format!("t={NOW},v1={hex}=");
    no_match a_space_inside_an_element_does_not_match(hex) format!("t={NOW},v1= {hex}");
    no_match quotes_do_not_match(hex) format!("t={NOW},v1=\"{hex}\"");
    no_match another_t_than_the_signed_one_does_not_match(hex) format!("t={},v1={hex}", NOW + 1);
    no_match a_leading_zero_of_t_was_not_signed(hex) format!("t=0{NOW},v1={hex}");
    no_match the_documentations_example_value_is_no_hex(_hex)
        format!("t={NOW},v1=5f4d8c9a2b1e3f7g6h8i9j0k1l2m3n4o5p6q7r8s9t0u1v2w3x4y5z6");
    no_match a_list_of_wrong_signatures_does_not_match(_hex)
        format!("t={NOW}{}", format!(",v1={}", "a".repeat(64)).repeat(16));

    malformed an_empty_header_is_malformed(_hex) "";
    malformed garbage_is_malformed(_hex) b"\xff\xfe garbage";
    malformed no_t_is_malformed(hex) format!("v1={hex}");
    malformed two_ts_are_malformed(hex) format!("t={NOW},t={NOW},v1={hex}");
    malformed t_in_upper_case_is_another_element(hex) format!("T={NOW},v1={hex}");
    malformed an_empty_t_is_malformed(hex) format!("t=,v1={hex}");
    malformed a_plus_before_t_is_malformed(hex) format!("t=+{NOW},v1={hex}");
    malformed a_minus_before_t_is_malformed(hex) format!("t=-{NOW},v1={hex}");
    malformed a_fraction_of_t_is_malformed(hex) format!("t={NOW}.0,v1={hex}");
    malformed an_exponent_of_t_is_malformed(hex) format!("t=1e9,v1={hex}");
    malformed letters_after_t_are_malformed(hex) format!("t={NOW}abc,v1={hex}");
    malformed milliseconds_are_malformed(hex) format!("t={NOW}000,v1={hex}");
    malformed digits_of_another_script_are_malformed(hex) format!("t=١٧٠٦٠٩٦٤٠٠,v1={hex}");
    malformed seventeen_candidates_are_malformed(hex)
        format!("t={NOW},{}v1={hex}", "v1=potato,".repeat(16));
    malformed a_header_over_4096_bytes_is_malformed(hex)
        format!("t={NOW},v1={hex},{}", "x".repeat(4097 - 81));
}

#[tokio::test]
async fn no_header_is_refused() {
    Case::new().await.refused(RejectionKind::MissingSignature, &[]).await;
}

#[tokio::test]
async fn two_good_header_lines_are_refused() {
    let case = Case::new().await;
    let line = format!("t={NOW},v1={}", case.hex);
    case.refused(RejectionKind::RepeatedSignature, &[line.as_bytes(), line.as_bytes()]).await;
}

#[tokio::test]
async fn a_good_header_line_beside_an_empty_one_is_refused() {
    let case = Case::new().await;
    let line = format!("t={NOW},v1={}", case.hex);
    case.refused(RejectionKind::RepeatedSignature, &[line.as_bytes(), b""]).await;
}

#[tokio::test]
async fn a_signature_of_another_secret_is_refused() {
    let case = Case::new().await;
    let other = Secret::new("whsec_somebody_elses_secret").unwrap();
    let line = format!("t={NOW},v1={}", hex_of(&other, NOW, &case.body));
    case.no_match(line).await;
}

#[tokio::test]
async fn a_body_changed_by_one_byte_is_refused() {
    let mut case = Case::new().await;
    case.body = [&case.body[..], b"\n"].concat().into();
    let line = format!("t={NOW},v1={}", case.hex);
    case.no_match(line).await;
}

async fn signed_at(at: i64) -> (Case, String) {
    let case = Case::new().await;
    let line = format!("t={at},v1={}", hex_of(&secret(), at, &case.body));
    (case, line)
}

#[tokio::test]
async fn five_minutes_past_and_future_pass() {
    for at in [NOW - 300, NOW + 300] {
        let (case, line) = signed_at(at).await;
        case.passes(line).await;
    }
}

#[tokio::test]
async fn more_than_five_minutes_in_the_past_is_refused() {
    for at in [NOW - 301, NOW - 86_400, 0] {
        let (case, line) = signed_at(at).await;
        case.refused(RejectionKind::TooOld, &[line.as_bytes()]).await;
    }
}

#[tokio::test]
async fn more_than_five_minutes_in_the_future_is_refused() {
    for at in [NOW + 301, NOW + 3600, 253_402_207_200] {
        let (case, line) = signed_at(at).await;
        case.refused(RejectionKind::TooNew, &[line.as_bytes()]).await;
    }
}

#[tokio::test]
async fn the_header_has_its_name_in_any_case() {
    let served = Served::start(endpoint(), |_| async {}).await;
    for name in ["X-DataFlow-Signature", "x-dataflow-signature", "X-DATAFLOW-SIGNATURE"] {
        let mut request = delivery(name);
        request.headers.last_mut().unwrap().0 = name.into();
        assert_eq!(served.send(&request).await.status, 200);
        assert_eq!(served.runs.ended(name), 1);
    }
}

#[tokio::test]
async fn a_signature_by_the_previous_key_passes_and_says_so() {
    let newest = Secret::new("whsec_the_one_just_made").unwrap();
    let keys = KeyRing::from_secrets([newest, secret()]).unwrap();
    let served = Served::start(
        Endpoint::builder(keys),
        |delivery: dataflow_webhooks::Delivery| async move { delivery.key().to_owned() },
    )
    .await;
    let answer = served.deliver("evt_1").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "previous"));
}

#[tokio::test]
async fn a_stale_replay_of_an_authentic_delivery_is_refused() {
    let served = Served::start(endpoint(), |_| async {}).await;
    let request = Request::signed_with(&secret(), -310, event("evt_1"));
    assert_eq!(served.send(&request).await.status, 401);
    assert_eq!(served.endpoint.counts().rejected(RejectionKind::TooOld), 1);
    assert!(served.endpoint.counts().last_authentic.is_none());
    // As of 310 s ago it would have been one.
    let fresh = Request::signed_with(&secret(), -290, event("evt_1"));
    assert_eq!(served.send(&fresh).await.status, 200);
}
