//! Events that no run gets through: in the file, on the page, or neither.

use std::fs;
use std::process::Command;

use dataflow_webhooks::testing::Sample;
use webhook_tests::{Example, Request, TemporaryFile};

use crate::observed::{Observed, command};

/// The program, whose handlers fail: no line can be written.
async fn failing(command: &mut Command) -> Observed {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Observed::start_with(command, writer.into()).await
}

/// What each of four attempts of one event is answered.
async fn answers(observed: &Observed) -> [u16; 4] {
    let event = Sample::of("pipeline.created").id("evt_1").body();
    let mut answers = [0; 4];
    for answer in &mut answers {
        *answer = observed.deliver(&Request::signed(event.clone())).await;
    }
    answers
}

#[tokio::test]
async fn an_event_that_has_failed_three_times_is_in_the_file_and_answered_200() {
    let file = TemporaryFile::new("dead-letters.jsonl", "");
    let observed = failing(command().env("DEAD_LETTER_FILE", &file)).await;
    assert_eq!(answers(&observed).await, [500, 500, 200, 200]);

    let page = observed.metrics().await;
    assert_eq!(page.sum("dead_letters_total", &[]), 1.0);
    assert_eq!(page.sum("dead_letter_errors_total", &[]), 0.0);
    assert_eq!(page.sum("outcomes_total", &[("outcome", "dead_lettered")]), 1.0);
    assert_eq!(page.sum("outcomes_total", &[("outcome", "duplicate")]), 1.0);
    let lines = fs::read_to_string(file.as_ref()).unwrap();
    let letters: Vec<serde_json::Value> =
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let said = |member: &str| letters.iter().map(|it| it[member].clone()).collect::<Vec<_>>();
    assert_eq!(said("event_id"), ["evt_1"]);
    assert_eq!(said("reason"), ["answered 500"]);
    assert_eq!(said("runs"), [3]);
}

#[tokio::test]
async fn without_the_variable_an_event_fails_as_often_as_it_comes() {
    let observed = failing(&mut command()).await;
    assert_eq!(answers(&observed).await, [500; 4]);
    assert_eq!(observed.metrics().await.sum("dead_letters_total", &[]), 0.0);
}

#[tokio::test]
async fn a_letter_that_the_file_does_not_take_is_counted_where_the_alert_looks() {
    let file = TemporaryFile::new("dead-letters-gone", "");
    let folder = std::path::Path::new(file.as_ref()).with_extension("folder");
    fs::create_dir(&folder).unwrap();
    let observed = failing(command().env("DEAD_LETTER_FILE", folder.join("letters"))).await;
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(answers(&observed).await, [500; 4]);
    let page = observed.metrics().await;
    assert_eq!(page.sum("dead_letter_errors_total", &[]), 2.0);
    assert_eq!(page.sum("dead_letters_total", &[]), 0.0);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_one_line_and_exit_code_1() {
    let (code, line) =
        Example::refusal(command().env("DEAD_LETTER_FILE", "/no/such/folder/f")).await;
    assert_eq!(code, Some(1));
    assert!(line.starts_with("observability: DEAD_LETTER_FILE: "), "{line}");
    assert!(line.contains("/no/such/folder/f"), "{line}");
}

#[tokio::test]
async fn an_empty_path_is_one_line_and_exit_code_2() {
    let (code, line) = Example::refusal(command().env("DEAD_LETTER_FILE", "")).await;
    assert_eq!(code, Some(2));
    assert!(line.starts_with("observability: DEAD_LETTER_FILE is empty"), "{line}");
}
