//! Other forms of the body: what happens to one between the sender's MAC and
//! ours.

use dataflow_webhooks::{BodyChange as C, Finding};

use super::*;

/// What leads from `received` to `signed`, as it is found.
fn changes(signed: impl AsRef<[u8]>, received: impl AsRef<[u8]>) -> Vec<C> {
    let explanation = explain(&signed_now(signed.as_ref()), received.as_ref());
    assert!(!explanation.matches());
    match explanation.findings() {
        [Finding::OtherBody { key, changes }] if key == "current" => changes.clone(),
        other => panic!("{other:?}"),
    }
}

/// The documentation's example, shortened, as it would be sent.
const SENT: &str = concat!(
    r#"{"id":"evt_1","type":"pipeline.run.completed","created_at":"2025-01-24T10:30:00Z","#,
    r#""data":{"pipeline_id":"pipe_1","status":"completed","records_processed":15420},"#,
    r#""metadata":{"environment":"production","list":[],"of":{},"n":[1,2.50,1e400]}}"#,
);

const SPACED: &str = concat!(
    r#"{"id": "evt_1", "type": "pipeline.run.completed", "created_at": "2025-01-24T10:30:00Z", "#,
    r#""data": {"pipeline_id": "pipe_1", "status": "completed", "records_processed": 15420}, "#,
    r#""metadata": {"environment": "production", "list": [], "of": {}, "n": [1, 2.50, 1e400]}}"#,
);

const SORTED: &str = concat!(
    r#"{"created_at":"2025-01-24T10:30:00Z","#,
    r#""data":{"pipeline_id":"pipe_1","records_processed":15420,"status":"completed"},"#,
    r#""id":"evt_1","metadata":{"environment":"production","list":[],"n":[1,2.50,1e400],"#,
    r#""of":{}},"type":"pipeline.run.completed"}"#,
);

/// As `JSON.stringify(body, null, 2)` and `json.dumps(body, indent=2)` do.
const PRETTY: &str = r#"{
  "id": "evt_1",
  "data": {
    "list": [],
    "of": {},
    "n": [
      1,
      {
        "a": "x: y, z"
      }
    ]
  }
}"#;

const COMPACT: &str = r#"{"id":"evt_1","data":{"list":[],"of":{},"n":[1,{"a":"x: y, z"}]}}"#;

#[test]
fn a_minified_body_is_found_from_each_other_layout() {
    assert_eq!(changes(SENT, SPACED), [C::Minify]);
    assert_eq!(changes(COMPACT, PRETTY), [C::Minify]);
    assert_eq!(changes(COMPACT, PRETTY.replace("  ", "    ")), [C::Minify]);
    assert_eq!(changes(COMPACT, PRETTY.replace('\n', " \n ")), [C::Minify]);
}

#[test]
fn a_body_with_spaces_is_found() {
    assert_eq!(changes(SPACED, SENT), [C::SpaceOut]);
}

#[test]
fn an_indented_body_is_found() {
    assert_eq!(changes(PRETTY, COMPACT), [C::IndentBy2]);
    assert_eq!(changes(PRETTY.replace("  ", "    "), COMPACT), [C::IndentBy4]);
    assert_eq!(changes(PRETTY.replace("  ", "\t"), COMPACT), [C::IndentByTab]);
}

#[test]
fn an_indented_body_with_a_line_break_at_its_end_is_found() {
    assert_eq!(changes(format!("{PRETTY}\n"), COMPACT), [C::IndentBy2, C::AddLineBreak]);
    assert_eq!(changes(COMPACT, format!("{PRETTY}\n")), [C::RemoveLineBreak, C::Minify]);
    assert_eq!(changes(format!("{COMPACT}\n"), format!("{PRETTY}\n")), [C::Minify]);
}

#[test]
fn a_body_with_sorted_members_is_found() {
    assert_eq!(changes(SORTED, SENT), [C::SortMembers]);
    assert_eq!(changes(SORTED, SPACED), [C::SortMembers, C::Minify]);
}

#[test]
fn a_body_whose_members_were_sorted_is_found_by_the_documented_order() {
    let sent = r#"{"id":"evt_1","type":"a","created_at":"b","data":{"run_id":"r","status":"s","started_at":"t"},"metadata":{"environment":"production","triggered_by":"schedule"}}"#;
    let sorted = r#"{"created_at":"b","data":{"run_id":"r","started_at":"t","status":"s"},"id":"evt_1","metadata":{"environment":"production","triggered_by":"schedule"},"type":"a"}"#;
    assert_eq!(changes(sent, sorted), [C::DocumentedOrder]);
}

#[test]
fn escaped_characters_are_found_both_ways() {
    let plain = r#"{"id":"evt_1","name":"Café 🦀"}"#;
    let ascii = r#"{"id":"evt_1","name":"Caf\u00e9 \ud83e\udd80"}"#;
    assert_eq!(changes(plain, ascii), [C::Unescape]);
    assert_eq!(changes(ascii, plain), [C::EscapeNonAscii]);
}

#[test]
fn escaped_slashes_are_found_both_ways() {
    let plain = r#"{"url":"https://x/é"}"#;
    let php = r#"{"url":"https:\/\/x\/\u00e9"}"#;
    assert_eq!(changes(plain, php), [C::Unescape]);
    assert_eq!(changes(php, plain), [C::EscapeNonAscii, C::EscapeSlashes]);
}

#[test]
fn escaped_html_is_found_both_ways() {
    let plain = r#"{"rule":"a < b && c"}"#;
    let go = r#"{"rule":"a \u003c b \u0026\u0026 c"}"#;
    assert_eq!(changes(plain, go), [C::Unescape]);
    assert_eq!(changes(go, plain), [C::EscapeHtml]);
}

#[test]
fn numbers_and_lone_surrogates_stay_as_they_are_written() {
    let spaced = r#"{"n": 1.50, "m": -0.0e+10, "s": "\ud800é\/"}"#;
    let sent = r#"{"n":1.50,"m":-0.0e+10,"s":"\ud800é\/"}"#;
    assert_eq!(changes(sent, spaced), [C::Minify]);
}

#[test]
fn a_line_break_at_the_end_is_found_both_ways() {
    assert_eq!(changes(COMPACT, format!("{COMPACT}\n")), [C::RemoveLineBreak]);
    assert_eq!(changes(COMPACT, format!("{COMPACT}\r\n")), [C::RemoveLineBreak]);
    assert_eq!(changes(format!("{COMPACT}\n"), COMPACT), [C::AddLineBreak]);
    assert_eq!(changes(format!("{COMPACT}\r\n"), COMPACT), [C::AddCrLf]);
}

#[test]
fn white_space_around_the_body_is_found() {
    assert_eq!(changes(COMPACT, format!(" {COMPACT}\n\n")), [C::Trim]);
}

#[test]
fn a_byte_order_mark_is_found_both_ways() {
    assert_eq!(changes(COMPACT, format!("\u{feff}{COMPACT}")), [C::RemoveByteOrderMark]);
    assert_eq!(changes(format!("\u{feff}{COMPACT}"), COMPACT), [C::AddByteOrderMark]);
    let both = [C::RemoveByteOrderMark, C::Minify];
    assert_eq!(changes(COMPACT, format!("\u{feff}{PRETTY}")), both);
}

#[test]
fn changed_line_breaks_are_found_both_ways() {
    let crlf = PRETTY.replace('\n', "\r\n");
    assert_eq!(changes(PRETTY.replace(": ", ":"), crlf.replace(": ", ":")), [C::CrLfToLf]);
    assert_eq!(changes(crlf, PRETTY), [C::LfToCrLf]);
}

#[test]
fn a_sender_that_signs_decoded_text_is_found() {
    assert_eq!(changes("{\"a\":\"\u{fffd}\"}", b"{\"a\":\"\xff\"}"), [C::ReplaceInvalid]);
}

#[test]
fn utf8_on_top_of_utf8_is_found_both_ways() {
    let (once, twice) = (r#"{"a":"é"}"#, "{\"a\":\"\u{c3}\u{a9}\"}");
    assert_eq!(changes(once, twice), [C::UndoDoubleUtf8]);
    assert_eq!(changes(twice, once), [C::DoubleUtf8]);
}

#[test]
fn a_body_inside_a_json_string_is_found() {
    let quoted = serde_json::to_string(COMPACT).unwrap();
    assert_eq!(changes(COMPACT, quoted), [C::Unquote]);
}

#[test]
fn a_body_in_base64_is_found() {
    use base64::Engine as _;
    assert_eq!(
        changes(COMPACT, base64::prelude::BASE64_STANDARD.encode(COMPACT)),
        [C::DecodeBase64]
    );
}

#[test]
fn another_form_is_found_under_each_key() {
    let explanation = explain(&sign(&secret(OLD_KEY), at(NOW), SENT.as_bytes()), SPACED.as_bytes());
    let (key, changes) = ("previous".into(), vec![C::Minify]);
    assert_eq!(explanation.findings(), [Finding::OtherBody { key, changes }]);
}

#[test]
fn another_form_of_a_stale_delivery_is_found_beside_its_age() {
    let header = sign(&secret(KEY), at(NOW - 1000), SENT.as_bytes());
    assert_eq!(kinds(&explain(&header, SPACED.as_bytes())), ["clock_off", "other_body"]);
}

#[test]
fn a_changed_value_fits_nothing() {
    let tampered = SENT.replace("15420", "15421");
    let explanation = explain(&signed_now(SENT.as_bytes()), tampered.as_bytes());
    assert_eq!(explanation.findings(), [Finding::NothingFits { keys: 2 }]);
}

#[test]
fn an_empty_body_is_pointed_out() {
    let explanation = explain(&signed_now(SENT.as_bytes()), b"");
    assert_eq!(kinds(&explanation), ["body_empty", "nothing_fits"]);
}

#[test]
fn sorted_members_are_pointed_out() {
    let explanation = explain(&signed_now(b"something else"), SORTED.as_bytes());
    assert_eq!(kinds(&explanation), ["body_sorted", "nothing_fits"]);
    let explanation = explain(&signed_now(b"something else"), SENT.as_bytes());
    assert_eq!(kinds(&explanation), ["nothing_fits"]);
}

#[test]
fn decoded_text_is_pointed_out() {
    let explanation = explain(&signed_now(b"{\"a\":\"\xff\"}"), "{\"a\":\"\u{fffd}\"}".as_bytes());
    assert_eq!(kinds(&explanation), ["body_was_decoded", "nothing_fits"]);
}

#[test]
fn a_body_over_a_mebibyte_is_checked_but_not_taken_apart() {
    let body = vec![b' '; 1024 * 1024 + 1];
    assert!(explain(&signed_now(&body), &body).matches());
    let explanation = explain(&signed_now(b""), &body);
    assert_eq!(kinds(&explanation), ["body_too_long", "nothing_fits"]);
}

#[test]
fn a_deeply_nested_body_is_not_written_out_at_length() {
    let body = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(kinds(&explain(&signed_now(b""), body.as_bytes())), ["nothing_fits"]);
}

#[test]
fn a_large_body_is_told_to_have_been_tried_in_part() {
    // Every order and every escaping makes another form of it.
    let member = r#""é/<":[0,1],"é/>":[0,1],"#.repeat(20_000);
    let body = format!(r#"{{{member}"created_at":0,"id":0}}"#);
    let kinds = kinds(&explain(&signed_now(b""), body.as_bytes()));
    assert_eq!(kinds, ["search_cut_short", "nothing_fits"]);
}

#[test]
fn what_is_written_stays_within_a_few_times_the_body() {
    // Indented, it would be a hundred times as long.
    let body = format!("{}{}1{}", "[".repeat(50), "1,".repeat(30_000), "]".repeat(50));
    let header = signed_now(b"");
    let used = allocation_counter::measure(|| drop(explain(&header, body.as_bytes())));
    assert!(used.bytes_max < 5_000_000, "{used:?}");
}
