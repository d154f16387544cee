//! Which addresses may deliver: the list, the peer, the proxies' header.

mod common;

use std::cell::RefCell;
use std::net::IpAddr;

use common::{BODY, NOW, OTHER, SECRET, builder, good_header, header};
use dataflow_webhooks::{
    Endpoint, ForwardedHeader, IpNet, Rejection, RejectionKind, SourceAllowList, Verification,
};

const LISTED: &str = "203.0.113.7";
const PROXY: &str = "10.0.0.1";

fn list(text: &str) -> SourceAllowList {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn endpoint(list: SourceAllowList) -> Endpoint {
    builder().source(list).build().unwrap()
}

/// Begins an authentic request from this peer, with these lines in both headers.
fn begin(
    endpoint: &Endpoint,
    peer: Option<&str>,
    lines: &[&str],
) -> Result<Verification, Rejection> {
    endpoint.begin_from(peer.map(ip), |_| lines, "POST", [good_header()], None)
}

fn passes(list: &SourceAllowList, peer: &str) -> bool {
    match begin(&endpoint(list.clone()), Some(peer), &[]) {
        Ok(_) => true,
        Err(rejection) => {
            assert_eq!(rejection.kind(), RejectionKind::SourceNotAllowed);
            false
        }
    }
}

/// Behind proxies at 10.0.0.0/8 and 2001:db8:f::/48.
fn behind(header: ForwardedHeader) -> SourceAllowList {
    let proxies = [net("10.0.0.0/8"), net("2001:db8:f::/48")];
    list("203.0.113.0/24, 2001:db8:1::/48").behind(header, proxies)
}

/// Does a request that comes through a proxy with these header lines pass? If
/// not, the reason.
fn through(header: ForwardedHeader, lines: &[&str]) -> Result<(), String> {
    let begun = begin(&endpoint(behind(header)), Some(PROXY), lines);
    begun.map(drop).map_err(|rejection| {
        assert_eq!(rejection.kind(), RejectionKind::SourceNotAllowed);
        rejection.to_string()
    })
}

fn x_forwarded_for(lines: &[&str]) -> Result<(), String> {
    through(ForwardedHeader::XForwardedFor, lines)
}

fn forwarded(lines: &[&str]) -> Result<(), String> {
    through(ForwardedHeader::Forwarded, lines)
}

#[track_caller]
fn assert_unreadable(result: Result<(), String>, what: &str) {
    let reason = result.expect_err(what);
    assert!(reason.contains("cannot be read"), "{what}: {reason}");
}

#[test]
fn without_a_list_every_source_passes() {
    let endpoint = builder().build().unwrap();
    assert!(begin(&endpoint, None, &[]).is_ok());
    assert!(begin(&endpoint, Some("198.51.100.1"), &[]).is_ok());
    assert!(endpoint.begin("POST", [good_header()], None).is_ok());
}

#[test]
fn only_what_is_on_the_list_passes() {
    let list = list("203.0.113.0/24,198.51.100.9, 2001:db8:1::/48");
    for listed in ["203.0.113.0", "203.0.113.255", "198.51.100.9", "2001:db8:1::ffff"] {
        assert!(passes(&list, listed), "{listed}");
    }
    for other in ["203.0.112.255", "203.0.114.0", "198.51.100.8", "2001:db8:2::1", "::", "0.0.0.0"]
    {
        assert!(!passes(&list, other), "{other}");
    }
}

#[test]
fn an_ipv4_address_passes_in_its_mapped_form_too() {
    let list = list("203.0.113.0/24");
    assert!(passes(&list, "::ffff:203.0.113.7"));
    assert!(!passes(&list, "::ffff:203.0.114.7"));
    // The deprecated "compatible" form is another address.
    assert!(!passes(&list, "::203.0.113.7"));
}

#[test]
fn an_ipv6_network_holds_the_ipv4_addresses_whose_mapped_form_it_holds() {
    let mapped = list("::ffff:203.0.113.0/120");
    assert!(passes(&mapped, "203.0.113.7") && passes(&mapped, "::ffff:203.0.113.7"));
    assert!(!passes(&mapped, "203.0.114.7"));
    let all = list("::/0");
    assert!(passes(&all, "203.0.113.7") && passes(&all, "2001:db8::1"));
    let ipv4_only = list("0.0.0.0/0");
    assert!(passes(&ipv4_only, "203.0.113.7") && !passes(&ipv4_only, "2001:db8::1"));
}

#[test]
fn host_bits_of_a_network_do_not_matter() {
    assert!(passes(&list("203.0.113.99/24"), LISTED));
}

#[test]
fn an_entry_that_is_no_address_is_named() {
    let bad = ["", "203.0.113.0/33", "example.com", "203.0.113.1:80", "203.0.113", "::1/129"];
    for entry in bad {
        for text in [entry.to_owned(), format!("203.0.113.7,{entry}")] {
            let error = text.parse::<SourceAllowList>().unwrap_err().to_string();
            assert!(error.contains(&format!("{entry:?}")), "{error}");
        }
    }
}

#[test]
fn a_list_that_refuses_everything_is_an_error_at_construction() {
    let error = builder().source(SourceAllowList::empty()).build().unwrap_err();
    assert!(error.to_string().contains("report_only()"), "{error}");
    assert!(builder().source(SourceAllowList::empty().report_only()).build().is_ok());
}

#[test]
fn a_proxy_header_without_a_proxy_is_an_error_at_construction() {
    let list = list(LISTED).behind::<IpNet>(ForwardedHeader::Forwarded, []);
    let error = builder().source(list).build().unwrap_err();
    assert!(error.to_string().contains("no trusted proxy"), "{error}");
}

#[test]
fn a_peer_that_is_not_known_is_refused_with_the_fix() {
    let endpoint = endpoint(list("::/0"));
    let rejection = begin(&endpoint, None, &[]).unwrap_err();
    assert_eq!((rejection.kind(), rejection.status()), (RejectionKind::SourceNotAllowed, 403));
    assert!(rejection.to_string().contains("WebhookLayer::peer"), "{rejection}");
    let rejection = endpoint.begin("POST", [good_header()], None).unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::SourceNotAllowed);
}

#[test]
fn a_refused_source_is_named_to_people_and_not_to_the_sender() {
    let rejection = begin(&endpoint(list(LISTED)), Some("198.51.100.1"), &[]).unwrap_err();
    assert!(rejection.to_string().contains("198.51.100.1"), "{rejection}");
    assert_eq!(rejection.public_message(), "the source is not allowed\n");
}

/// Each request has every later fault as well.
#[test]
fn the_source_is_looked_at_after_method_and_draining_and_before_the_header() {
    let (one, drained) = (endpoint(list(LISTED)), endpoint(list(LISTED)));
    drop(drained.drain());
    let kind = |endpoint: &Endpoint, method, peer| {
        let begun = endpoint.begin_from(Some(ip(peer)), |_| [[]; 0], method, [[]; 0], None);
        begun.unwrap_err().kind()
    };
    assert_eq!(kind(&one, "GET", PROXY), RejectionKind::MethodNotAllowed);
    assert_eq!(kind(&drained, "POST", PROXY), RejectionKind::Draining);
    assert_eq!(kind(&one, "POST", PROXY), RejectionKind::SourceNotAllowed);
    assert_eq!(kind(&one, "POST", LISTED), RejectionKind::MissingSignature);
}

#[test]
fn a_listed_source_still_has_to_sign() {
    let endpoint = endpoint(list(LISTED));
    let line = header(OTHER, NOW, BODY);
    let mut body =
        endpoint.begin_from(Some(ip(LISTED)), |_| [[]; 0], "POST", [line], None).unwrap();
    body.update(BODY).unwrap();
    assert_eq!(body.finish().unwrap_err().kind(), RejectionKind::NoMatch);
}

/// The names of the headers that are read for a request from this peer.
fn headers_read(list: SourceAllowList, peer: &str) -> Vec<&'static str> {
    let read = RefCell::new(Vec::new());
    let lines = |name| {
        read.borrow_mut().push(name);
        ["for=203.0.113.7"]
    };
    let _ = endpoint(list).begin_from(Some(ip(peer)), lines, "POST", [good_header()], None);
    read.into_inner()
}

#[test]
fn only_the_named_header_of_a_trusted_proxy_is_read() {
    use ForwardedHeader as H;
    assert_eq!(headers_read(behind(H::Forwarded), PROXY), ["forwarded"]);
    assert_eq!(headers_read(behind(H::XForwardedFor), PROXY), ["x-forwarded-for"]);
    assert_eq!(headers_read(behind(H::Forwarded), "::ffff:10.0.0.1"), ["forwarded"]);
    assert_eq!(headers_read(list(LISTED), PROXY), [""; 0]);
}

#[test]
fn the_header_of_a_peer_that_is_no_trusted_proxy_is_not_read() {
    for header in [ForwardedHeader::Forwarded, ForwardedHeader::XForwardedFor] {
        assert_eq!(headers_read(behind(header), "11.0.0.1"), [""; 0]);
        assert!(begin(&endpoint(behind(header)), Some("11.0.0.1"), &[LISTED]).is_err());
        // Itself on the list, it may deliver.
        assert!(begin(&endpoint(behind(header)), Some(LISTED), &["11.0.0.1"]).is_ok());
    }
}

#[test]
fn the_right_most_address_that_is_no_trusted_proxy_is_the_source() {
    assert_eq!(x_forwarded_for(&["203.0.113.7"]), Ok(()));
    assert_eq!(x_forwarded_for(&["203.0.113.7, 10.0.0.2, 2001:db8:f::9"]), Ok(()));
    assert_eq!(x_forwarded_for(&["198.51.100.1, 203.0.113.7"]), Ok(()));
    assert_eq!(forwarded(&["for=203.0.113.7, for=10.0.0.2"]), Ok(()));
    assert_eq!(forwarded(&["for=198.51.100.1, for=203.0.113.7"]), Ok(()));
    for refused in [
        x_forwarded_for(&["203.0.113.7, 198.51.100.1"]),
        x_forwarded_for(&["203.0.113.7, 198.51.100.1, 10.0.0.2"]),
        forwarded(&["for=203.0.113.7, for=198.51.100.1, for=10.0.0.2"]),
    ] {
        assert!(refused.unwrap_err().contains("198.51.100.1"));
    }
}

#[test]
fn all_lines_of_the_header_are_joined_in_order() {
    assert_eq!(x_forwarded_for(&["198.51.100.1", "203.0.113.7, 10.0.0.2", "10.0.0.3"]), Ok(()));
    assert!(x_forwarded_for(&["203.0.113.7", "198.51.100.1"]).is_err());
    assert_eq!(forwarded(&["for=198.51.100.1", "for=203.0.113.7", "for=10.0.0.3"]), Ok(()));
    assert!(forwarded(&["for=203.0.113.7", "for=198.51.100.1"]).is_err());
}

#[test]
fn what_stands_left_of_the_source_is_not_judged() {
    for garbage in ["unknown", "", "_hidden", "::1::", "\u{e9}", "\""] {
        assert_eq!(x_forwarded_for(&[garbage, "203.0.113.7"]), Ok(()), "{garbage}");
    }
    assert_eq!(forwarded(&["for=unknown, for=_hidden, proto=http, for=203.0.113.7"]), Ok(()));
}

#[test]
fn ports_and_brackets_are_accepted() {
    for node in [
        "203.0.113.7:443",
        "203.0.113.7:0",
        "203.0.113.7:65535",
        "203.0.113.7:_port-1.a",
        "[2001:db8:1::7]",
        "[2001:db8:1::7]:443",
        "[2001:db8:1::7]:_a",
        "[::ffff:203.0.113.7]:443",
    ] {
        assert_eq!(x_forwarded_for(&[node]), Ok(()), "{node}");
        assert_eq!(forwarded(&[&format!("for=\"{node}\"")]), Ok(()), "{node}");
        assert_eq!(forwarded(&[&format!("for={node}")]), Ok(()), "{node}, as many proxies write");
    }
    assert_eq!(x_forwarded_for(&["2001:db8:1::7"]), Ok(()));
    assert_unreadable(forwarded(&["for=\"2001:db8:1::7\""]), "RFC 7239 wants brackets");
}

#[test]
fn an_unknown_obfuscated_or_unreadable_source_is_refused() {
    for node in [
        "unknown",
        "Unknown",
        "_hidden",
        "_203.0.113.7",
        "203.0.113",
        "203.0.113.07",
        "203.0.113.7.",
        "203.0.113.7:",
        "203.0.113.7:65536",
        "203.0.113.7:+1",
        "203.0.113.7:_",
        "203.0.113.7:80:80",
        "203.0.113.7/24",
        "[203.0.113.7]",
        "[2001:db8:1::7",
        "2001:db8:1::7]",
        "[2001:db8:1::7]443",
        "[2001:db8:1::7]:",
        "[2001:db8:1::7%eth0]",
        "[]",
        "0xcb007107",
        "3405803783",
        "example.com",
        "\u{e9}",
    ] {
        // Neither by itself nor with a listed address further left.
        assert_unreadable(x_forwarded_for(&[node]), node);
        assert_unreadable(x_forwarded_for(&[&format!("203.0.113.7, {node}, 10.0.0.2")]), node);
        assert_unreadable(forwarded(&[&format!("for=\"{node}\"")]), node);
        assert_unreadable(forwarded(&[&format!("for=203.0.113.7, for=\"{node}\"")]), node);
    }
}

#[test]
fn an_empty_entry_is_refused_where_the_source_should_stand() {
    for line in ["203.0.113.7,", "203.0.113.7, ,10.0.0.2", ",", " "] {
        assert_unreadable(x_forwarded_for(&[line]), line);
    }
    assert_unreadable(x_forwarded_for(&["203.0.113.7", ""]), "an empty line");
    for line in ["for=203.0.113.7,", "for=203.0.113.7, ,for=10.0.0.2", ",", " ", ";"] {
        assert_unreadable(forwarded(&[line]), line);
    }
}

#[test]
fn a_trusted_proxy_that_names_no_address_but_proxies_is_refused() {
    let only_proxies = [
        x_forwarded_for(&["10.0.0.2, ::ffff:10.0.0.3"]),
        forwarded(&["for=10.0.0.2, for=\"[2001:db8:f::1]\""]),
    ];
    for refused in only_proxies {
        let reason = refused.unwrap_err();
        assert!(reason.contains("none but trusted proxies"), "{reason}");
    }
}

#[test]
fn a_trusted_proxy_without_its_header_is_refused() {
    for refused in [x_forwarded_for(&[]), x_forwarded_for(&[""]), forwarded(&[])] {
        let reason = refused.unwrap_err();
        assert!(reason.contains("there is no line"), "{reason}");
    }
}

#[test]
fn an_element_of_forwarded_may_have_more_than_its_for() {
    for line in [
        "FOR=203.0.113.7",
        "proto=https;for=203.0.113.7;by=10.0.0.1",
        "proto=https; for=203.0.113.7 ;host=\"a.example:443\"",
        "for=203.0.113.7;",
        ";for=203.0.113.7;;by=_a",
        "for=203.0.113.7;host=a.example/b=c",
        "for=203.0.113.7;x=\"a, for=198.51.100.1;\\\" \\\\\"",
    ] {
        assert_eq!(forwarded(&[line]), Ok(()), "{line}");
    }
}

#[test]
fn an_element_of_forwarded_without_its_for_is_refused() {
    assert_unreadable(forwarded(&["for=203.0.113.7, proto=https"]), "no for");
    assert_unreadable(forwarded(&["for=203.0.113.7, by=10.0.0.1, for=10.0.0.2"]), "no for");
}

#[test]
fn a_forwarded_header_that_is_malformed_anywhere_is_refused() {
    for line in [
        "for=203.0.113.7;for=203.0.113.7",
        "for=\"203.0.113.7",
        "for=203.0.113.7\"",
        "for=\"203.0.113.7\"x",
        "for=\"203.0.113.7\\\"",
        "for",
        "for=",
        "=203.0.113.7",
        "203.0.113.7",
        "for = 203.0.113.7",
        "for= 203.0.113.7",
        "for =203.0.113.7",
        "f\u{e9}r=1, for=203.0.113.7",
        "nonsense, for=203.0.113.7",
    ] {
        assert_unreadable(forwarded(&[line]), line);
    }
}

/// A sender may write what it likes left of what the proxy appends; it must not
/// reach over it.
#[test]
fn a_quotation_mark_left_open_does_not_hide_what_a_proxy_appended() {
    for begun in ["for=203.0.113.7;x=\"", "for=203.0.113.7;x=\"\\", "x=\"\\\"", "for=\""] {
        for appended in ["for=198.51.100.1", "for=\"198.51.100.1:1\"", "for=198.51.100.1;by=\"\""] {
            let one_line = format!("{begun}, {appended}");
            assert_unreadable(forwarded(&[&one_line]), &one_line);
            assert_unreadable(forwarded(&[begun, appended]), &one_line);
        }
    }
}

fn deliver(endpoint: &Endpoint, secret: &str, peer: Option<&str>) -> Result<(), RejectionKind> {
    let line = header(secret, NOW, BODY);
    let begun = endpoint.begin_from(peer.map(ip), |_| [[]; 0], "POST", [line], None);
    let mut body = begun.map_err(|rejection| rejection.kind())?;
    body.update(BODY).map_err(|rejection| rejection.kind())?;
    body.finish().map(drop).map_err(|rejection| rejection.kind())
}

#[test]
fn report_only_lets_everything_through_and_counts_what_is_authentic_and_unlisted() {
    let endpoint = endpoint(list(LISTED).report_only());
    let unlisted = || endpoint.counts().authentic_from_unlisted;
    assert_eq!(deliver(&endpoint, SECRET, Some(LISTED)), Ok(()));
    assert_eq!(unlisted(), 0);
    assert_eq!(deliver(&endpoint, SECRET, Some("198.51.100.1")), Ok(()));
    assert_eq!(unlisted(), 1);
    assert_eq!(deliver(&endpoint, SECRET, None), Ok(()));
    assert_eq!(unlisted(), 2);
    // Anybody can send what is not authentic: it says nothing of the platform.
    let forged = deliver(&endpoint, OTHER, Some("198.51.100.2"));
    assert_eq!((forged, unlisted()), (Err(RejectionKind::NoMatch), 2));
    assert_eq!(endpoint.counts().authentic, 3);
}

#[test]
fn a_list_that_is_enforced_counts_no_unlisted_delivery() {
    let endpoint = endpoint(list(LISTED));
    let refused = deliver(&endpoint, SECRET, Some("198.51.100.1"));
    assert_eq!(refused, Err(RejectionKind::SourceNotAllowed));
    assert_eq!(deliver(&endpoint, SECRET, Some(LISTED)), Ok(()));
    let counts = endpoint.counts();
    assert_eq!((counts.authentic, counts.authentic_from_unlisted), (1, 0));
}

#[test]
fn a_peer_with_an_allow_list_and_no_proxy_costs_no_allocation() {
    let endpoint = endpoint(list("203.0.113.0/24, 2001:db8:1::/48"));
    let info = allocation_counter::measure(|| {
        assert!(begin_without_header(&endpoint, "198.51.100.1"));
        assert!(begin_without_header(&endpoint, LISTED));
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

/// Refused either way: for its source, or for its header.
fn begin_without_header(endpoint: &Endpoint, peer: &str) -> bool {
    endpoint.begin_from(Some(ip(peer)), |_| [[]; 0], "POST", [[]; 0], None).is_err()
}

#[cfg(feature = "tracing")]
mod logs {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The lines logged meanwhile.
    fn logged(work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Capture(Arc<Mutex<Vec<u8>>>);
        impl Write for Capture {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let capture = Capture::default();
        let writer = capture.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = capture.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn report_only_logs_each_unlisted_address_of_an_authentic_delivery() {
        let endpoint = endpoint(SourceAllowList::empty().report_only());
        let lines = logged(|| {
            for source in ["198.51.100.1", "198.51.100.2"] {
                deliver(&endpoint, SECRET, Some(source)).unwrap();
            }
            deliver(&endpoint, OTHER, Some("198.51.100.3")).unwrap_err();
        });
        assert!(lines.contains("198.51.100.1") && lines.contains("198.51.100.2"), "{lines}");
        assert!(!lines.contains("198.51.100.3"), "{lines}");
    }

    #[test]
    fn a_peer_that_is_not_known_is_logged_with_the_fix() {
        let enforced = endpoint(list(LISTED));
        let report_only = endpoint(list(LISTED).report_only());
        let lines = logged(|| {
            let rejection = begin(&enforced, None, &[]).unwrap_err();
            enforced.telemetry().rejected(&rejection);
        });
        assert!(lines.contains("answered 403") && lines.contains("WebhookLayer::peer"), "{lines}");
        let lines = logged(|| {
            for _ in 0..100 {
                deliver(&report_only, SECRET, None).unwrap();
            }
        });
        assert!(lines.contains("WebhookLayer::peer"), "{lines}");
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }
}
