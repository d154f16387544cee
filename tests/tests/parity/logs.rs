//! What a play of the whole table leaves behind: the log of everything at the
//! most talkative level, the metrics, what can be printed of each receiver, and the
//! answers. No secret is in it, and nothing of any body's data; what the sender chose is
//! escaped and cut.
//!
//! CVE-2018-1000089, RUSTSEC-2022-0087.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{RejectionKind, Secret};
use metrics_util::debugging::{DebuggingRecorder, Snapshotter};
use webhook_tests::{Log, Request, SECRET, hex};

use crate::came_to::{Claim, ID, Said, handled, refusal, refused};
use crate::scene::{plain, receiver, says};
use crate::stack::Stack;
use crate::table::{PLAYED, Row, rows};

rows![
    a_body_that_was_changed_on_the_way_is_refused,
    what_is_no_event_is_refused,
    what_comes_from_somebody_else_is_refused,
    an_id_and_a_type_with_control_characters_are_handled,
    data_that_does_not_fit_its_type_is_handled,
];

/// Everything that is logged and measured while the table is played, from when this
/// is asked for.
pub(crate) static OUTPUT: LazyLock<(Log, Snapshotter)> = LazyLock::new(|| {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    recorder.install().expect("the only recorder");
    (Log::capture_all(), metrics)
});

/// The log of the whole table.
fn log() -> String {
    LazyLock::force(&PLAYED);
    OUTPUT.0.text()
}

/// Its metrics, as `Debug` shows them. To read them takes them out.
static METRICS: LazyLock<String> = LazyLock::new(|| {
    LazyLock::force(&PLAYED);
    format!("{:?}", OUTPUT.1.snapshot().into_vec())
});

/// In bodies, and nowhere else.
const MARK: &str = "mark-of-the-body";

const OTHER_SECRET: &str = "whsec_someone_elses_9z8y7x6w";

fn marked() -> Bytes {
    Sample::of("pipeline.run.completed").id(ID).data("note", MARK).body()
}

/// All of these were refused for this.
fn all_refused(requests: Vec<Request>, kind: RejectionKind, more: &[(&'static str, u64)]) -> Row {
    let times = requests.len();
    let counts = [&[(kind.as_str(), times as u64)], more].concat();
    let answers = vec![refusal(kind); times];
    plain().all_sent(requests).comes_to(refused(kind).answers(answers).counts(&counts))
}

/// What the explanation of a signature that does not match goes into. An endpoint
/// explains one of them in ten seconds, so that each has a row's receiver.
fn a_body_that_was_changed_on_the_way_is_refused() -> Row {
    let body = marked();
    // As Python writes JSON: a space after each colon and comma.
    let spaced = String::from_utf8_lossy(&body).replace("\":", "\": ").replace(",\"", ", \"");
    let changed = Request { body: spaced.into(), ..Request::signed(body) };
    all_refused(vec![changed], RejectionKind::NoMatch, &[])
}

fn what_is_no_event_is_refused() -> Row {
    let bodies = [
        format!("\"{MARK}\""),
        format!("{{\"id\":\"{MARK}\",\"id\":1}}"),
        format!("{{\"note\":\"{MARK}\""),
        format!("{{\"{MARK}\":nonsense}}"),
        format!("{MARK} {{}}"),
    ];
    let requests = bodies.map(Request::signed).into();
    let more = [("authentic_refused", 5), ("authentic_refused_in_a_row", 5)];
    all_refused(requests, RejectionKind::NotAnEvent, &more)
}

fn what_comes_from_somebody_else_is_refused() -> Row {
    let other = Secret::new(OTHER_SECRET).unwrap();
    all_refused(vec![Request::signed_with(&other, 0, marked())], RejectionKind::NoMatch, &[])
}

/// An id and a type that would change a terminal, forge a line and flood the log.
const ODD_ID: &str = "evt_\u{1b}[31mred\u{7}\nforged: a line\r\u{202e}";
const ODD_TYPE: &str = "type.\u{1b}]0;title\u{7}\u{0}\nforged: another";
const LONG: usize = 200;

fn an_id_and_a_type_with_control_characters_are_handled() -> Row {
    let id = format!("{ODD_ID}{}", "x".repeat(LONG));
    let event_type = format!("{ODD_TYPE}{}", "y".repeat(LONG));
    let body = Sample::of("pipeline.created").id(&id).event_type(&event_type).body();
    receiver(says(500)).sent(Request::signed(body)).comes_to(
        handled().says(Said::new(500, "")).claims(&[(&id, Claim::Free)]).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("failed", 1),
            ("handlers_failed", 1),
        ]),
    )
}

fn data_that_does_not_fit_its_type_is_handled() -> Row {
    let body = Sample::of("pipeline.created").id(ID).field("data", [MARK]).body();
    plain().sent(Request::signed(body)).comes_to(handled().counts(&[
        ("authentic", 1),
        ("handled", 1),
        ("handlers_succeeded", 1),
        ("mismatched", 1),
    ]))
}

/// Everything that a play of the whole table has put out, each line once.
fn all_output() -> String {
    let log = log();
    let printed = PLAYED.values().map(|played| played.printed.as_str());
    let lines: HashSet<&str> = log.lines().chain(printed).chain([METRICS.as_str()]).collect();
    lines.into_iter().fold(String::new(), |text, line| text + line + "\n")
}

/// The line of a text around this place.
fn line_at(text: &str, at: usize) -> &str {
    let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let to = text[at..].find('\n').map_or(text.len(), |end| at + end);
    &text[from..to]
}

#[test]
fn the_whole_table_puts_out_no_secret() {
    let text = all_output();
    // Or nothing has been tested.
    let lines = ["was not answered 200", "answered 422", "no signature matches", "answered 401"];
    for line in lines.into_iter().chain(["dataflow_webhooks_deliveries_total"]) {
        assert!(text.contains(line), "there is no {line:?} in what was put out");
    }
    let secrets = [SECRET, OTHER_SECRET];
    let parts = secrets.map(|it| [it.to_owned(), it[6..].to_owned(), it[..12].to_owned()]).concat();
    let hexes = secrets.map(|it| hex(it.as_bytes()));
    let bytes = secrets.map(|it| in_decimals(it.as_bytes()));
    // What the sender of a refused request would have had to write.
    let macs = PLAYED.values().flat_map(|played| played.sent.macs.iter().cloned());
    for needle in parts.into_iter().chain(hexes).chain(bytes).chain(macs) {
        if let Some(at) = text.find(&needle) {
            panic!("{needle:?} was put out: {}", line_at(&text, at));
        }
    }
}

/// A list of bytes as `Debug` shows it.
fn in_decimals(bytes: &[u8]) -> String {
    let list = format!("{bytes:?}");
    list[1..list.len() - 1].to_owned()
}

/// So many bytes of a body in a row are no coincidence.
const SLICE: usize = 16;

#[test]
fn the_whole_table_puts_out_nothing_of_any_body_s_data() {
    let bodies: HashSet<&Bytes> = PLAYED.values().flat_map(|played| &played.sent.bodies).collect();
    let secret_parts: Vec<_> = bodies.iter().filter_map(|body| data_of(body)).collect();
    assert!(secret_parts.len() > 10, "bodies were sent");
    let slices: HashSet<&[u8]> = secret_parts
        .iter()
        .flat_map(|data| data.windows(SLICE))
        .filter(|slice| slice.iter().any(|byte| !b" -0123456789:TZ\",".contains(byte)))
        .collect();
    let lists: HashSet<String> =
        secret_parts.iter().map(|data| in_decimals(&data[..SLICE])).collect();
    let hexes: HashSet<String> = secret_parts.iter().map(|data| hex(&data[..SLICE])).collect();

    // `Debug` of a text puts a backslash before each quotation mark.
    let text = all_output().replace('\\', "");
    for (at, slice) in text.as_bytes().windows(SLICE).enumerate() {
        if slices.contains(slice) {
            let slice = String::from_utf8_lossy(slice);
            panic!("{slice:?} was put out: {}", line_around(&text, at));
        }
    }
    for needle in lists.iter().chain(&hexes) {
        assert!(!text.contains(needle), "{needle:?} was put out");
    }
}

/// As [`line_at`], for a place that may be inside of a character.
fn line_around(text: &str, at: usize) -> &str {
    let start = (0..=at).rev().find(|at| text.is_char_boundary(*at));
    line_at(text, start.unwrap_or(0))
}

/// What of a body nobody may see: all from the event's data on, or from the mark
/// on where it is no event.
fn data_of(body: &[u8]) -> Option<&[u8]> {
    let after = |text: &[u8], part: &[u8]| {
        text.windows(part.len()).position(|it| it == part).map(|at| at + part.len())
    };
    let data = after(body, b"\"data\":").map(|from| &body[from..]);
    let data = data.or_else(|| after(body, MARK.as_bytes()).map(|to| &body[to - MARK.len()..]))?;
    // The next request begins there, where several were written at once.
    let data = &data[..after(data, b"POST /").unwrap_or(data.len())];
    (data.len() >= SLICE).then_some(data)
}

#[test]
fn where_the_peer_is_not_known_the_log_names_the_remedy() {
    let text = log();
    let warned = text.lines().filter(|line| line.contains("WARN") && line.contains("who the peer"));
    let warned: Vec<_> = warned.collect();
    // By the endpoint of one row on each stack, once in each play of it.
    let of_row = |name: &str| name.ends_with("a_peer_that_nobody_knows_is_answered_403");
    let plays = PLAYED.iter().filter(|((name, _), _)| of_row(name)).map(|(_, row)| row.times);
    let plays: usize = plays.sum();
    assert!((Stack::ALL.len()..=plays).contains(&warned.len()), "{plays} plays: {warned:#?}");
    for remedy in ["WebhookLayer::peer", "into_make_service_with_connect_info", "Unix socket"] {
        assert!(warned.iter().all(|line| line.contains(remedy)), "{remedy}: {warned:#?}");
    }
}

#[test]
fn no_id_and_no_type_of_the_sender_s_own_is_a_label() {
    for chosen in ["evt_", "forged", "pipeline.run.cancelled"] {
        assert!(!METRICS.contains(chosen), "{chosen:?} is in the metrics: {}", *METRICS);
    }
}

#[test]
fn ids_and_types_are_escaped_and_cut_in_the_log() {
    let text = log();
    for raw in ['\u{1b}', '\u{7}', '\u{0}', '\r', '\u{202e}'] {
        if let Some(at) = text.find(raw) {
            panic!("{raw:?} was logged: {:?}", line_at(&text, at));
        }
    }
    assert!(!text.lines().any(|line| line.starts_with("forged")), "a line was forged");
    // Cut at 64 characters, this many of them in escapes.
    let cut = |odd: &str, more: char| {
        let rest = 64 - odd.chars().count();
        format!("{}{}…", odd.escape_debug(), more.to_string().repeat(rest))
    };
    let (id, event_type) = (cut(ODD_ID, 'x'), cut(ODD_TYPE, 'y'));
    let warned = format!("{id} ({event_type}) was not answered 200");
    let in_span = format!("event_id={id} event_type={event_type}");
    for shown in [warned, in_span] {
        assert!(text.contains(&shown), "there is no {shown:?} in the log");
    }
    for more in ["x", "y"].map(|it| it.repeat(LONG)) {
        if let Some(at) = text.find(&more) {
            panic!("it is not cut: {}", line_at(&text, at));
        }
    }
}
