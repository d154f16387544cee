//! The allow-list of sources: looked at before the signature, and behind proxies
//! in the one header that they write.

use dataflow_webhooks::{ForwardedHeader, IpNet, RejectionKind, SourceAllowList};
use webhook_tests::{Request, delivery};

use crate::came_to::{Claim, Expected, ID, Said, handled, refusal, refused, refused_and_handled};
use crate::play::event_1;
use crate::scene::{Scene, plain};
use crate::table::{Row, rows};

rows![
    a_source_that_is_not_listed_is_answered_403_whatever_the_signature,
    a_source_that_is_listed_is_let_through_to_verification,
    the_method_is_looked_at_before_the_source,
    a_peer_that_nobody_knows_is_answered_403,
    from_an_untrusted_peer_no_header_is_read,
    behind_a_trusted_proxy_the_source_is_what_its_header_says,
    behind_a_trusted_proxy_all_lines_are_read_in_order,
    behind_a_trusted_proxy_a_source_that_cannot_be_told_is_answered_403,
    behind_a_trusted_proxy_the_other_header_is_never_read,
    a_forwarded_header_of_a_trusted_proxy_is_read,
    report_only_lets_all_through_and_counts_what_is_authentic,
];

const LISTED: &str = "203.0.113.0/24";

fn listing(list: &str) -> SourceAllowList {
    list.parse().unwrap()
}

fn from(list: SourceAllowList) -> Scene {
    plain().with(|builder| builder.source(list))
}

/// Every peer here is a trusted proxy that writes this header.
fn behind(header: ForwardedHeader) -> Scene {
    let proxies: [IpNet; 2] = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    from(listing(LISTED).behind(header, proxies))
}

fn with(name: &str, lines: &[&str]) -> Request {
    lines.iter().fold(event_1(), |request, line| request.header(name, *line))
}

/// All of these were refused.
fn all_refused(times: usize) -> Expected {
    let kind = RejectionKind::SourceNotAllowed;
    refused(kind).answers(vec![refusal(kind); times]).counts(&[(kind.as_str(), times as u64)])
}

fn a_source_that_is_not_listed_is_answered_403_whatever_the_signature() -> Row {
    from(listing(LISTED)).all_sent([event_1(), Request::unsigned("{}")]).comes_to(all_refused(2))
}

fn a_source_that_is_listed_is_let_through_to_verification() -> Row {
    let missing = RejectionKind::MissingSignature;
    from(listing("127.0.0.0/8"))
        .all_sent([Request::unsigned("{}"), event_1()])
        .comes_to(refused_and_handled(missing))
}

fn the_method_is_looked_at_before_the_source() -> Row {
    from(listing(LISTED))
        .sent(event_1().method("PUT"))
        .comes_to(refused(RejectionKind::MethodNotAllowed))
}

fn a_peer_that_nobody_knows_is_answered_403() -> Row {
    // A header does not say who the peer is; `logs` looks for the line that names the
    // remedy.
    let proxy: IpNet = "127.0.0.0/8".parse().unwrap();
    from(listing("0.0.0.0/0, ::/0").behind(ForwardedHeader::XForwardedFor, [proxy]))
        .peer_unknown()
        .all_sent([event_1(), with("X-Forwarded-For", &["203.0.113.7"])])
        .comes_to(all_refused(2))
}

fn from_an_untrusted_peer_no_header_is_read() -> Row {
    let proxy: IpNet = "10.0.0.0/8".parse().unwrap();
    let list = listing(LISTED).behind(ForwardedHeader::XForwardedFor, [proxy]);
    let request = with("X-Forwarded-For", &["203.0.113.7"]).header("Forwarded", "for=203.0.113.7");
    from(list).sent(request).comes_to(all_refused(1))
}

fn behind_a_trusted_proxy_the_source_is_what_its_header_says() -> Row {
    behind(ForwardedHeader::XForwardedFor)
        .all_sent([
            with("X-Forwarded-For", &["203.0.113.7, 198.51.100.1"]),
            with("x-forwarded-for", &["198.51.100.1, 203.0.113.7:4711, 10.0.0.1"]),
        ])
        .comes_to(refused_and_handled(RejectionKind::SourceNotAllowed))
}

fn behind_a_trusted_proxy_all_lines_are_read_in_order() -> Row {
    behind(ForwardedHeader::XForwardedFor)
        .all_sent([
            with("X-Forwarded-For", &["203.0.113.7", "198.51.100.1"]),
            with("X-Forwarded-For", &["198.51.100.1", "203.0.113.7"]),
        ])
        .comes_to(refused_and_handled(RejectionKind::SourceNotAllowed))
}

fn behind_a_trusted_proxy_a_source_that_cannot_be_told_is_answered_403() -> Row {
    behind(ForwardedHeader::XForwardedFor)
        .all_sent([
            event_1(),
            with("X-Forwarded-For", &[""]),
            with("X-Forwarded-For", &["203.0.113.7, unknown"]),
            with("X-Forwarded-For", &["203.0.113.7, somewhere"]),
            with("X-Forwarded-For", &["10.0.0.1, 127.0.0.1"]),
            event_1().header("X-Forwarded-For", *b"203.0.113.7, \xff"),
        ])
        .comes_to(all_refused(6))
}

fn behind_a_trusted_proxy_the_other_header_is_never_read() -> Row {
    behind(ForwardedHeader::XForwardedFor)
        .sent(with("Forwarded", &["for=203.0.113.7"]))
        .comes_to(all_refused(1))
}

fn a_forwarded_header_of_a_trusted_proxy_is_read() -> Row {
    behind(ForwardedHeader::Forwarded)
        .all_sent([
            with("Forwarded", &["for=203.0.113.7, for=_hidden"]),
            with("X-Forwarded-For", &["203.0.113.7"]),
            with("Forwarded", &["for=198.51.100.1", "For=\"203.0.113.7:4711\";proto=https"]),
        ])
        .comes_to(
            handled()
                .answers([
                    refusal(RejectionKind::SourceNotAllowed),
                    refusal(RejectionKind::SourceNotAllowed),
                    Said::new(200, ""),
                ])
                .counts(&[
                    ("authentic", 1),
                    ("handled", 1),
                    ("handlers_succeeded", 1),
                    ("source_not_allowed", 2),
                ]),
        )
}

fn report_only_lets_all_through_and_counts_what_is_authentic() -> Row {
    let missing = RejectionKind::MissingSignature;
    from(listing(LISTED).report_only())
        .all_sent([event_1(), Request::unsigned("{}"), delivery("evt_2")])
        .comes_to(
            handled()
                .answers([Said::new(200, ""), refusal(missing), Said::new(200, "")])
                .runs(2, 2)
                .claims(&[(ID, Claim::Done), ("evt_2", Claim::Done)])
                .counts(&[
                    ("authentic", 2),
                    ("authentic_from_unlisted", 2),
                    ("handled", 2),
                    ("handlers_succeeded", 2),
                    ("missing_signature", 1),
                ]),
        )
}
