//! What is on the list, and when it is looked at.

use dataflow_webhooks::adapter::Head;
use dataflow_webhooks::{Endpoint, ForwardedHeader, IpNet, RejectionKind, SourceAllowList};

use crate::common::{BODY, NOW, OTHER, builder, good_header, header};
use crate::{LISTED, PROXY, begin, endpoint, ip, list};

fn passes(list: &SourceAllowList, peer: &str) -> bool {
    match begin(&endpoint(list.clone()), Some(peer), &[]) {
        Ok(_) => true,
        Err(rejection) => {
            assert_eq!(rejection.kind(), RejectionKind::SourceNotAllowed);
            false
        }
    }
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
fn networks_are_read_from_text_in_order_and_an_address_is_a_network() {
    let networks =
        SourceAllowList::parse_networks(" 10.0.0.0/8,203.0.113.7 ,2001:db8::/32").unwrap();
    let shown: Vec<String> = networks.iter().map(IpNet::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "203.0.113.7/32", "2001:db8::/32"]);
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
        let head = Head::new(method, [[]; 0]).with_peer(Some(ip(peer)), |_| [[]; 0]);
        endpoint.begin_from(head).unwrap_err().kind()
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
    let head = Head::new("POST", [line]).with_peer(Some(ip(LISTED)), |_| [[]; 0]);
    let mut body = endpoint.begin_from(head).unwrap();
    body.update(BODY).unwrap();
    assert_eq!(body.finish().unwrap_err().kind(), RejectionKind::NoMatch);
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
    let head = Head::new("POST", [[]; 0]).with_peer(Some(ip(peer)), |_| [[]; 0]);
    endpoint.begin_from(head).is_err()
}
