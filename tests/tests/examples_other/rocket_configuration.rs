//! rocket-receiver: what it is told by its environment.

use std::net::TcpListener;

use webhook_tests::{Example, SECRET};

use crate::rocket;

#[tokio::test]
async fn without_a_secret_it_ends_with_2_and_names_both_variables() {
    let (code, line) = Example::refusal(&mut Example::command("rocket-receiver")).await;
    assert_eq!(code, Some(2));
    assert!(line.contains("DATAFLOW_WEBHOOK_SECRET_FILE"), "{line}");
}

#[tokio::test]
async fn a_secret_file_that_is_not_there_is_named() {
    let missing = "/no/such/folder/secret";
    let mut command = Example::command("rocket-receiver");
    let (code, line) = Example::refusal(command.env("DATAFLOW_WEBHOOK_SECRET_FILE", missing)).await;
    assert_eq!(code, Some(2));
    assert!(line.contains(missing), "{line}");
}

#[tokio::test]
async fn a_bad_secret_is_refused_and_not_printed() {
    let (code, line) =
        Example::refusal(rocket().env("DATAFLOW_WEBHOOK_SECRET", "whsec_short")).await;
    assert_eq!(code, Some(2));
    assert!(!line.contains("whsec") && !line.contains(SECRET), "{line}");
}

#[tokio::test]
async fn a_bad_address_is_one_line_and_exit_code_2() {
    for bind in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999"] {
        let (code, line) = Example::refusal(rocket().env("BIND", bind)).await;
        assert_eq!(code, Some(2), "{line}");
        assert!(line.contains("BIND"), "{line}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let (code, line) = Example::refusal(rocket().env("BIND", &bind)).await;
    assert_eq!(code, Some(1));
    assert!(line.contains(&bind), "{line}");
}
