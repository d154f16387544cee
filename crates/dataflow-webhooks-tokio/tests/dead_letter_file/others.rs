//! Whoever else has the file, moves it, or writes to it.

use std::io::Write as _;
use std::path::Path;

use dataflow_webhooks_tokio::DeadLetterFile;

use crate::support::{Folder, letter, letters_of, open};

fn refused(path: &Path, words: &str) {
    let error = DeadLetterFile::open(path).unwrap_err().to_string();
    assert!(error.contains(words) && error.contains(&path.display().to_string()), "{error}");
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_dropped() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    let file = open(&path);
    refused(&path, "is open already, here or in another process");
    letters_of(&file).store(&letter("evt_1", "1"));
    drop(file);
    letters_of(&open(&path)).are(&["evt_1"]);
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new();
    refused(&folder.path(""), "is not a file");
    if cfg!(unix) {
        refused(Path::new("/dev/null"), "is not a file");
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error_with_the_systems_reason() {
    let folder = Folder::new();
    let path = folder.path("nowhere/letters.jsonl");
    refused(&path, "cannot be opened");
    let error = DeadLetterFile::open(&path).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let source = source.downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn a_letter_is_stored_where_the_path_leads_when_the_file_was_moved_or_removed() {
    let folder = Folder::new();
    let (path, moved) = (folder.path("letters.jsonl"), folder.path("letters.1"));
    let file = open(&path);
    letters_of(&file).store(&letter("evt_1", "1"));
    std::fs::rename(&path, &moved).unwrap();
    letters_of(&file).store(&letter("evt_2", "2")).are(&["evt_2"]);
    std::fs::remove_file(&path).unwrap();
    letters_of(&file).store(&letter("evt_3", "3")).are(&["evt_3"]);
    // As logrotate does it: the next file is there already.
    std::fs::rename(&path, folder.path("letters.2")).unwrap();
    std::fs::write(&path, "").unwrap();
    letters_of(&file).store(&letter("evt_4", "4")).are(&["evt_4"]);
    drop(file);
    letters_of(&open(&path)).are(&["evt_4"]);
    letters_of(&open(&moved)).are(&["evt_1"]);
}

#[cfg(unix)]
#[test]
fn a_letter_that_finds_no_folder_any_more_is_not_stored() {
    let folder = Folder::new();
    let inner = folder.path("inner");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("letters.jsonl");
    let file = open(&path);
    std::fs::remove_dir_all(&inner).unwrap();
    letters_of(&file).try_store(&letter("evt_1", "1")).unwrap_err();
    std::fs::create_dir(&inner).unwrap();
    letters_of(&file).store(&letter("evt_1", "1")).are(&["evt_1"]);
}

#[test]
fn a_file_that_somebody_has_shortened_or_written_to_is_read_anew() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    let file = open(&path);
    letters_of(&file).store(&letter("evt_1", "1"));
    let first = std::fs::read(&path).unwrap();
    letters_of(&file).store(&letter("evt_2", "2"));

    let other = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    other.set_len(first.len() as u64).unwrap();
    letters_of(&file).are(&["evt_1"]).store(&letter("evt_3", "3")).are(&["evt_1", "evt_3"]);
    other.set_len(0).unwrap();
    letters_of(&file).are(&[]);
    (&other).write_all(&first).unwrap();
    letters_of(&file).store(&letter("evt_4", "4")).are(&["evt_1", "evt_4"]);
}

#[test]
fn a_line_that_somebody_has_written_over_is_an_error_and_no_other_letter() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    let file = open(&path);
    letters_of(&file).store(&letter("evt_1", "1"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("failed_at", "spoilt_at")).unwrap();
    let error =
        crate::support::block_on(dataflow_webhooks::dead_letters::DeadLetters::get(&file, "evt_1"));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("somebody else has written to the file"), "{error}");
}
