//! Who called: what the gateway says of its peer.

use std::net::IpAddr;

use lambda_http::request::RequestContext;

/// The address at the other end of the gateway's connection. AWS writes it beside
/// the request, so no sender can.
///
/// A load balancer does not say it, but in a header, and that one's last entry is
/// to be trusted only where the load balancer is set to append to it. So there is
/// none for it: an allow-list belongs into its security group.
pub(crate) fn address(context: &RequestContext) -> Option<IpAddr> {
    let source_ip = match context {
        RequestContext::ApiGatewayV1(context) => &context.identity.source_ip,
        // Function URLs, too.
        RequestContext::ApiGatewayV2(context) => &context.http.source_ip,
        _ => return None,
    };
    source_ip.as_deref()?.parse().ok()
}
