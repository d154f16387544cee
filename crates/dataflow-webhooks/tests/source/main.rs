//! Which addresses may deliver: the list, the peer, the proxies' header.

#[path = "../common/mod.rs"]
mod common;

mod list;
mod proxies;
mod report;

use std::net::IpAddr;

use common::{builder, good_header};
use dataflow_webhooks::adapter::Head;
use dataflow_webhooks::{Endpoint, IpNet, Rejection, SourceAllowList, Verification};

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
    let head = Head::new("POST", [good_header()]).with_peer(peer.map(ip), |_| lines);
    endpoint.begin_from(head)
}
