//! What the program does about a `METRICS_BIND` that is wrong.

use std::net::TcpListener;

use webhook_tests::Example;

use crate::observed::command;

#[tokio::test]
async fn a_bad_address_of_the_page_is_named_and_exit_code_2() {
    for bind in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999"] {
        let mut program = Example::start(command().env("METRICS_BIND", bind));
        assert_eq!(program.ended().await.code(), Some(2), "{bind:?}");
        let log = program.log();
        let last = log.lines().last().unwrap_or_default();
        assert!(last.starts_with("observability: METRICS_BIND is "), "{log}");
    }
}

#[tokio::test]
async fn an_address_of_the_page_that_is_in_use_is_named_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let mut program = Example::start(command().env("METRICS_BIND", &bind));
    assert_eq!(program.ended().await.code(), Some(1));
    let log = program.log();
    assert!(log.contains("METRICS_BIND") && log.contains(&bind), "{log}");
}
