//! The decisions on the signature header ("Signature Header"), as a sender on
//! the other end of a socket sees them.

use bytes::Bytes;
use dataflow_webhooks::{KeyRing, RejectionKind, SIGNATURE_HEADER, Secret, sign};
use jiff::Timestamp;
use webhook_tests::{Request, delivery, event, secret};

use crate::came_to::{Claim, Expected, ID, Said, handled, refusal, refused, refused_and_handled};
use crate::play::event_1;
use crate::scene::{Scene, plain, receiver, tells};
use crate::table::{Row, rows};

const NOW: i64 = 1_706_096_400;

/// The good signature of the event, made at this time.
fn hex_at(at: i64) -> String {
    hex_of(&secret(), at, &event(ID))
}

fn hex_of(secret: &Secret, at: i64, body: &[u8]) -> String {
    let value = sign(secret, Timestamp::from_second(at).unwrap(), body);
    value.split_once(",v1=").unwrap().1.to_owned()
}

/// A receiver whose clock stands at [`NOW`].
fn at_now() -> Scene {
    let now = Timestamp::from_second(NOW).unwrap();
    plain().with(|builder| builder.clock(move || now))
}

/// The event under these header lines.
fn under(body: Bytes, lines: &[&[u8]]) -> Request {
    let request = Request::unsigned(body);
    lines.iter().fold(request, |request, line| request.header(SIGNATURE_HEADER, *line))
}

/// The event under this one.
fn is_sent_with(line: impl AsRef<[u8]>, expected: Expected) -> Row {
    at_now().sent(under(event(ID), &[line.as_ref()])).comes_to(expected)
}

fn passes() -> Expected {
    handled()
}

fn no_match() -> Expected {
    refused(RejectionKind::NoMatch)
}

fn malformed() -> Expected {
    refused(RejectionKind::MalformedSignature)
}

/// Rows that are functions below, and rows of one line each: what it is called is
/// the rule.
macro_rules! rules {
    ([$($more:ident),+ $(,)?] $($verdict:ident $rule:ident($hex:ident) $line:expr;)+) => {
        rows![$($rule,)+ $($more),+];

        $(fn $rule() -> Row {
            let $hex = hex_at(NOW);
            is_sent_with($line, $verdict())
        })+
    };
}

rules! {
    [
        no_header_is_refused,
        two_good_header_lines_are_refused,
        a_good_header_line_beside_an_empty_one_is_refused,
        a_signature_of_another_secret_is_refused,
        a_body_changed_by_one_byte_is_refused,
        five_minutes_past_and_future_pass,
        more_than_five_minutes_in_the_past_is_refused,
        more_than_five_minutes_in_the_future_is_refused,
        a_replay_after_five_minutes_of_the_system_s_clock_is_refused,
        the_header_has_its_name_in_any_case,
        a_signature_by_the_previous_key_passes_and_says_so,
    ]
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

fn no_header_is_refused() -> Row {
    at_now().sent(Request::unsigned(event(ID))).comes_to(refused(RejectionKind::MissingSignature))
}

fn good_line() -> String {
    format!("t={NOW},v1={}", hex_at(NOW))
}

fn two_good_header_lines_are_refused() -> Row {
    let line = good_line();
    at_now()
        .sent(under(event(ID), &[line.as_bytes(), line.as_bytes()]))
        .comes_to(refused(RejectionKind::RepeatedSignature))
}

fn a_good_header_line_beside_an_empty_one_is_refused() -> Row {
    at_now()
        .sent(under(event(ID), &[good_line().as_bytes(), b""]))
        .comes_to(refused(RejectionKind::RepeatedSignature))
}

fn a_signature_of_another_secret_is_refused() -> Row {
    let other = Secret::new("whsec_somebody_elses_secret").unwrap();
    is_sent_with(format!("t={NOW},v1={}", hex_of(&other, NOW, &event(ID))), no_match())
}

fn a_body_changed_by_one_byte_is_refused() -> Row {
    let changed = [&event(ID)[..], b"\n"].concat();
    at_now().sent(under(changed.into(), &[good_line().as_bytes()])).comes_to(no_match())
}

/// The event, signed at each of these times.
fn signed_at(times: &[i64]) -> Vec<Request> {
    let line = |at: &i64| format!("t={at},v1={}", hex_at(*at));
    times.iter().map(|at| under(event(ID), &[line(at).as_bytes()])).collect()
}

fn five_minutes_past_and_future_pass() -> Row {
    at_now().without_dedup().all_sent(signed_at(&[NOW - 300, NOW + 300])).comes_to(
        handled()
            .answers([Said::new(200, ""), Said::new(200, "")])
            .runs(2, 2)
            .claim(Claim::Untouched)
            .counts(&[("authentic", 2), ("handled", 2), ("handlers_succeeded", 2)]),
    )
}

fn more_than_five_minutes_in_the_past_is_refused() -> Row {
    at_now().all_sent(signed_at(&[NOW - 301, NOW - 86_400, 0])).comes_to(
        refused(RejectionKind::TooOld)
            .answers([(); 3].map(|()| refusal(RejectionKind::TooOld)))
            .counts(&[("too_old", 3)]),
    )
}

fn more_than_five_minutes_in_the_future_is_refused() -> Row {
    at_now().all_sent(signed_at(&[NOW + 301, NOW + 3600, 253_402_207_200])).comes_to(
        refused(RejectionKind::TooNew)
            .answers([(); 3].map(|()| refusal(RejectionKind::TooNew)))
            .counts(&[("too_new", 3)]),
    )
}

fn a_replay_after_five_minutes_of_the_system_s_clock_is_refused() -> Row {
    // As of 310 s ago it would have passed, as the one of 290 s ago does.
    let signed = |seconds| Request::signed_with(&secret(), seconds, event(ID));
    plain()
        .all_sent([signed(-310), signed(-290)])
        .comes_to(refused_and_handled(RejectionKind::TooOld))
}

fn the_header_has_its_name_in_any_case() -> Row {
    let names = ["X-DataFlow-Signature", "x-dataflow-signature", "X-DATAFLOW-SIGNATURE"];
    let named = |name: &str| {
        let mut request = delivery(name);
        request.headers.last_mut().unwrap().0 = name.into();
        request
    };
    plain().all_sent(names.map(named)).comes_to(
        handled()
            .answers(names.map(|_| Said::new(200, "")))
            .runs(3, 3)
            .claims(&names.map(|name| (name, Claim::Done)))
            .counts(&[("authentic", 3), ("handled", 3), ("handlers_succeeded", 3)]),
    )
}

fn a_signature_by_the_previous_key_passes_and_says_so() -> Row {
    let newest = Secret::new("whsec_the_one_just_made").unwrap();
    let keys = KeyRing::from_secrets([newest, secret()]).unwrap();
    receiver(tells(|delivery| delivery.key().to_owned())).keys(keys).sent(event_1()).comes_to(
        handled().says(Said::new(200, "previous")).counts(&[
            ("authentic", 1),
            ("authentic_by_older_key", 1),
            ("handled", 1),
            ("handlers_succeeded", 1),
        ]),
    )
}
