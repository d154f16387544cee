//! The receivers: what they do about variables that are missing or wrong.

use std::net::TcpListener;

use webhook_tests::{Example, SECRET, TemporaryFile};

use crate::receivers::{Receiver, each_receiver};

each_receiver! {
    without_a_secret_it_exits_with_2_and_says_what_to_set,
    a_bad_secret_is_one_line_without_it_and_exit_code_2,
    a_secret_file_that_is_not_there_is_named,
    a_secret_in_place_of_its_files_path_is_not_printed,
    a_secret_and_a_file_at_once_are_refused,
    a_bad_address_is_one_line_and_exit_code_2,
    an_address_in_use_is_one_line_and_exit_code_1,
}

async fn without_a_secret_it_exits_with_2_and_says_what_to_set(receiver: Receiver) {
    let (code, line) = Example::refusal(&mut receiver.command()).await;
    assert_eq!(code, Some(2));
    assert!(line.contains("set DATAFLOW_WEBHOOK_SECRET"), "{line}");
}

async fn a_bad_secret_is_one_line_without_it_and_exit_code_2(receiver: Receiver) {
    let bad = [
        "",
        "whsec_short",
        "whsec_with a blank in it",
        "whsec_with_a_line_break\nin_it",
        "whsec_good_enough_by_itself,",
        "whsec_the_same_one_twice,whsec_the_same_one_twice",
    ];
    for secret in bad {
        let (code, line) =
            Example::refusal(receiver.command().env("DATAFLOW_WEBHOOK_SECRET", secret)).await;
        assert_eq!(code, Some(2), "{line}");
        assert!(!line.contains("whsec"), "{line}");

        let file = TemporaryFile::new("bad-secret", secret);
        let (code, line) =
            Example::refusal(receiver.command().env("DATAFLOW_WEBHOOK_SECRET_FILE", &file)).await;
        assert_eq!(code, Some(2), "{line}");
        assert!(!line.contains("whsec"), "{line}");
    }
}

async fn a_secret_file_that_is_not_there_is_named(receiver: Receiver) {
    let missing = "/no/such/folder/secret";
    let (code, line) =
        Example::refusal(receiver.command().env("DATAFLOW_WEBHOOK_SECRET_FILE", missing)).await;
    assert_eq!(code, Some(2));
    assert!(line.contains(missing), "{line}");
}

async fn a_secret_in_place_of_its_files_path_is_not_printed(receiver: Receiver) {
    let (code, line) =
        Example::refusal(receiver.command().env("DATAFLOW_WEBHOOK_SECRET_FILE", SECRET)).await;
    assert_eq!(code, Some(2));
    assert!(line.contains("DATAFLOW_WEBHOOK_SECRET_FILE") && !line.contains(SECRET), "{line}");
}

async fn a_secret_and_a_file_at_once_are_refused(receiver: Receiver) {
    let file = TemporaryFile::new("both", SECRET);
    let command = &mut receiver.with_secret();
    let (code, line) = Example::refusal(command.env("DATAFLOW_WEBHOOK_SECRET_FILE", &file)).await;
    assert_eq!(code, Some(2));
    assert!(!line.contains(SECRET), "{line}");
}

async fn a_bad_address_is_one_line_and_exit_code_2(receiver: Receiver) {
    for bind in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999", "two\nlines"] {
        let (code, line) = Example::refusal(receiver.with_secret().env("BIND", bind)).await;
        assert_eq!(code, Some(2), "{line}");
        assert!(line.contains("BIND"), "{line}");
    }
}

async fn an_address_in_use_is_one_line_and_exit_code_1(receiver: Receiver) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let (code, line) = Example::refusal(receiver.with_secret().env("BIND", &bind)).await;
    assert_eq!(code, Some(1));
    assert!(line.contains(&bind), "{line}");
}
