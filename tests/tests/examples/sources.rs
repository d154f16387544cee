//! The receivers: which addresses may deliver, as their variables say.

use std::net::SocketAddr;

use dataflow_webhooks::testing::Sample;
use webhook_tests::{Example, Request};

use crate::receivers::{Receiver, each_receiver};

each_receiver! {
    only_a_listed_source_may_deliver,
    behind_trusted_proxies_the_source_is_what_their_header_says,
    what_anyone_but_a_trusted_proxy_writes_is_not_read,
    report_only_lets_everything_through_and_the_log_names_what_is_not_listed,
    the_list_is_learned_without_one_to_begin_with,
    settings_that_cannot_be_meant_are_one_line_and_exit_code_2,
}

const LOOPBACK: &str = "127.0.0.0/8, ::1";
const LISTED: &str = "203.0.113.0/24";

/// The program with these variables, and its address.
async fn start(receiver: Receiver, variables: &[(&str, &str)]) -> (Example, SocketAddr) {
    let mut program = Example::start(receiver.with_secret().envs(variables.iter().copied()));
    let address = program.address().await;
    (program, address)
}

/// The answer to an authentic delivery with these header lines.
async fn answer(address: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::signed(Sample::of("pipeline.created").body());
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.send(address).await.unwrap().status
}

async fn only_a_listed_source_may_deliver(receiver: Receiver) {
    for (listed, status) in [(LOOPBACK, 200), (LISTED, 403)] {
        let (_program, address) = start(receiver, &[("ALLOWED_SOURCES", listed)]).await;
        assert_eq!(answer(address, &[]).await, status, "{listed}");
    }
}

async fn behind_trusted_proxies_the_source_is_what_their_header_says(receiver: Receiver) {
    let headers = [
        ("X-Forwarded-For", "203.0.113.7", "198.51.100.1"),
        ("forwarded", "for=203.0.113.7", "for=198.51.100.1"),
    ];
    for (name, from_listed, from_elsewhere) in headers {
        let variables = [
            ("ALLOWED_SOURCES", LISTED),
            ("TRUSTED_PROXIES", LOOPBACK),
            ("FORWARDED_HEADER", name),
        ];
        let (_program, address) = start(receiver, &variables).await;
        assert_eq!(answer(address, &[(name, from_listed)]).await, 200, "{name}");
        assert_eq!(answer(address, &[(name, from_elsewhere)]).await, 403, "{name}");
        // Lines in order: the last one is the proxy's own.
        let both = [(name, from_listed), (name, from_elsewhere)];
        assert_eq!(answer(address, &both).await, 403, "{name}");
        assert_eq!(answer(address, &[]).await, 403, "{name}");
    }
}

async fn what_anyone_but_a_trusted_proxy_writes_is_not_read(receiver: Receiver) {
    let variables = [
        ("ALLOWED_SOURCES", LISTED),
        ("TRUSTED_PROXIES", "10.0.0.0/8"),
        ("FORWARDED_HEADER", "X-Forwarded-For"),
    ];
    let (_program, address) = start(receiver, &variables).await;
    assert_eq!(answer(address, &[("X-Forwarded-For", "203.0.113.7")]).await, 403);
}

async fn report_only_lets_everything_through_and_the_log_names_what_is_not_listed(
    receiver: Receiver,
) {
    let variables = [("ALLOWED_SOURCES", LISTED), ("ALLOWED_SOURCES_REPORT_ONLY", "1")];
    let (mut program, address) = start(receiver, &variables).await;
    assert_eq!(answer(address, &[]).await, 200);
    program.logged("came from 127.0.0.1, which is not on the allow-list").await;
}

async fn the_list_is_learned_without_one_to_begin_with(receiver: Receiver) {
    let (mut program, address) = start(receiver, &[("ALLOWED_SOURCES_REPORT_ONLY", "1")]).await;
    assert_eq!(answer(address, &[]).await, 200);
    program.logged("came from 127.0.0.1, which is not on the allow-list").await;
}

async fn settings_that_cannot_be_meant_are_one_line_and_exit_code_2(receiver: Receiver) {
    let listed = ("ALLOWED_SOURCES", LISTED);
    let proxies = ("TRUSTED_PROXIES", "10.0.0.0/8");
    let header = ("FORWARDED_HEADER", "Forwarded");
    // What is set, and what the line says.
    let cases: &[(&[_], &str)] = &[
        (&[("ALLOWED_SOURCES", "")], "ALLOWED_SOURCES: \"\" is neither"),
        (&[("ALLOWED_SOURCES", "203.0.113.7,\nx")], "ALLOWED_SOURCES: \"x\" is neither"),
        (&[("ALLOWED_SOURCES_REPORT_ONLY", "yes")], "it must be 1"),
        (&[listed, proxies], "set it to the one header that they write"),
        (&[listed, header], "set it to the addresses of those that write the header"),
        (&[listed, proxies, ("FORWARDED_HEADER", "X-Real-IP")], "Forwarded nor X-Forwarded-For"),
        (&[listed, header, ("TRUSTED_PROXIES", "10.0.0.0/33")], "TRUSTED_PROXIES: \"10.0.0.0/33\""),
        (&[proxies, header], "set ALLOWED_SOURCES, or ALLOWED_SOURCES_REPORT_ONLY=1"),
    ];
    for (variables, says) in cases {
        let mut command = receiver.with_secret();
        let (code, line) = Example::refusal(command.envs(variables.iter().copied())).await;
        assert_eq!(code, Some(2), "{line}");
        assert!(line.contains(says), "{says:?} is not in {line:?}");
    }
}
