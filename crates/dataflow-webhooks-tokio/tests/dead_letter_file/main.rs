//! The file of dead letters: the contract of sinks, what a crash leaves, a full disk,
//! and whoever else has the file.

mod children;
mod damage;
mod others;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod road;
mod support;

use dataflow_webhooks::testing::SinkContract;
use dataflow_webhooks_tokio::DeadLetterFile;

use support::{Folder, block_on, letter, letters_of, open};

/// The suite on files in a folder of their own.
fn contract()
-> SinkContract<impl AsyncFn() -> DeadLetterFile, impl AsyncFn(DeadLetterFile) -> DeadLetterFile> {
    let folder = Folder::new();
    SinkContract::new(
        async move || open(&folder.path("letters.jsonl")),
        async |file: DeadLetterFile| {
            let path = file.path().to_owned();
            drop(file);
            open(&path)
        },
    )
}

mod the_contract {
    use super::{block_on, contract};

    dataflow_webhooks::sink_contract_tests!(block_on, contract());
}

#[test]
fn a_letter_is_a_line_of_its_json_and_a_removal_is_one_more() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    let file = open(&path);
    let (one, other) = (letter("evt_1", "{}"), letter("evt_2", "\"\\n\""));
    letters_of(&file).store(&one).store(&other);
    letters_of(&file).remove(&one);

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], [one, other].map(|letter| serde_json::to_string(&letter).unwrap()));
    let removed = r#"{"removed":{"event_id":"evt_1","failed_at":"2025-01-24T10:30:00Z"}}"#;
    assert_eq!(lines[2..], [removed]);
    assert!(text.ends_with('\n'));
}

#[test]
fn with_its_last_letter_a_file_is_emptied() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    let file = open(&path);
    let (one, other) = (letter("evt_1", "1"), letter("evt_2", "2"));
    letters_of(&file).store(&one).store(&other).remove(&one);
    assert_ne!(path.metadata().unwrap().len(), 0);
    letters_of(&file).remove(&other);
    assert_eq!(path.metadata().unwrap().len(), 0);
    letters_of(&file).store(&one).are(&["evt_1"]);
    drop(file);
    letters_of(&open(&path)).are(&["evt_1"]);
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_alone_and_another_one_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let (new, old) = (folder.path("new"), folder.path("old"));
    drop(open(&new));
    assert_eq!(mode(&new), 0o600);
    std::fs::write(&old, "").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o640)).unwrap();
    drop(open(&old));
    assert_eq!(mode(&old), 0o640);
}

#[test]
fn bodies_stay_in_the_file() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    let file = open(&path);
    let data = format!("\"{}\"", "x".repeat(100 * 1024));
    for nth in 0..200 {
        letters_of(&file).store(&letter(&format!("evt_{nth:03}"), &data));
    }
    assert!(path.metadata().unwrap().len() > 20_000_000);
    drop(file);
    let opened = allocation_counter::measure(|| drop(open(&path)));
    assert!(opened.bytes_max < 1_500_000, "{} bytes at once", opened.bytes_max);
}

#[test]
fn without_a_runtime_a_call_fails() {
    let folder = Folder::new();
    let file = open(&folder.path("letters.jsonl"));
    let letter = letter("evt_1", "{}");
    let store =
        std::pin::pin!(dataflow_webhooks::dead_letters::DeadLetterSink::store(&file, &letter));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = store.poll(&mut context) else { panic!() };
    assert!(
        error.to_string().contains("reactor") || error.to_string().contains("runtime"),
        "{error}"
    );
}

#[test]
fn debug_and_errors_show_nothing_of_a_letter() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    std::fs::write(&path, "{\"hush\":1\n").unwrap();
    let file = open(&path);
    letters_of(&file).store(&letter("evt_1", "\"hush\""));
    assert!(!format!("{file:?} {}", file.unreadable()).contains("hush"));
    let again = DeadLetterFile::open(&path).unwrap_err();
    assert!(!format!("{again} {again:?}").contains("hush"));
}
