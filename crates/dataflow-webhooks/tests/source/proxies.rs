//! The header of trusted proxies: which is read, whose, and what it says.

use std::cell::RefCell;

use dataflow_webhooks::adapter::Head;
use dataflow_webhooks::{ForwardedHeader, RejectionKind, SourceAllowList};
use proptest::prelude::*;

use crate::common::good_header;
use crate::{LISTED, PROXY, begin, endpoint, ip, list, net};

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

/// The names of the headers that are read for a request from this peer.
fn headers_read(list: SourceAllowList, peer: &str) -> Vec<&'static str> {
    let read = RefCell::new(Vec::new());
    let lines = |name| {
        read.borrow_mut().push(name);
        ["for=203.0.113.7"]
    };
    let head = Head::new("POST", [good_header()]).with_peer(Some(ip(peer)), lines);
    let _ = endpoint(list).begin_from(head);
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

proptest! {
    #[test]
    fn nothing_that_a_sender_writes_hides_what_a_proxy_appended(
        begun in r#"([for=";,\\ 2037x:.\[\]]|for=|203\.0\.113\.7|=")*"#,
        appended in prop::sample::select(vec!["198.51.100.1", "\"198.51.100.1:1\""]),
    ) {
        let appended = format!("for={appended}");
        let one_line = format!("{begun}, {appended}");
        prop_assert!(forwarded(&[&one_line]).is_err());
        prop_assert!(forwarded(&[&begun, &appended]).is_err());
        prop_assert!(x_forwarded_for(&[&begun, "198.51.100.1"]).is_err());
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

#[test]
fn a_forwarded_header_is_read_from_its_name_in_any_case() {
    for known in ForwardedHeader::ALL {
        assert_eq!(known.name().parse(), Ok(*known));
        assert_eq!(known.to_string().to_uppercase().parse(), Ok(*known));
    }
    for other in ["", "X-Real-IP", "x-forwarded", "forwarded "] {
        let error = other.parse::<ForwardedHeader>().unwrap_err().to_string();
        assert!(error.contains("Forwarded") && error.contains(&format!("{other:?}")), "{error}");
    }
}
