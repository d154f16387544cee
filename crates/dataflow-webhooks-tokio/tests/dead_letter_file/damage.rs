//! What crashes leave in the file, and that it costs no other letter.

use dataflow_webhooks_tokio::DeadLetterFile;

use crate::support::{Folder, letter, letters_of, open};

/// A file of this content.
fn holding(folder: &Folder, content: &[u8]) -> DeadLetterFile {
    let path = folder.path("letters.jsonl");
    std::fs::write(&path, content).unwrap();
    open(&path)
}

fn line(id: &str) -> Vec<u8> {
    let mut line = serde_json::to_vec(&letter(id, "\"é\\n\"")).unwrap();
    line.push(b'\n');
    line
}

/// The file opened again.
fn reopened(file: DeadLetterFile) -> DeadLetterFile {
    let path = file.path().to_owned();
    drop(file);
    open(&path)
}

#[test]
fn a_last_line_torn_at_any_byte_costs_no_other_letter() {
    let (first, second) = (line("evt_1"), line("evt_2"));
    for cut in 0..second.len() {
        let folder = Folder::new();
        let file = holding(&folder, &[&first, &second[..cut]].concat());
        // Without its line break it is a letter all the same.
        let is_whole = cut == second.len() - 1;
        let torn = u64::from(cut > 0 && !is_whole);
        assert_eq!(file.unreadable().count(), torn, "cut at {cut}");
        assert_eq!(file.unreadable().first(), &[2_u64][..torn as usize], "cut at {cut}");
        let before: &[&str] = if is_whole { &["evt_1", "evt_2"] } else { &["evt_1"] };
        letters_of(&file).are(before).store(&letter("evt_3", "3"));
        let after = [before, &["evt_3"]].concat();
        letters_of(&file).are(&after);

        let file = reopened(file);
        assert_eq!(file.unreadable().count(), torn, "cut at {cut}");
        letters_of(&file).are(&after).store(&letter("evt_4", "4"));
        letters_of(&reopened(file)).are(&[&after[..], &["evt_4"]].concat());
    }
}

#[test]
fn a_torn_removal_has_not_happened() {
    let folder = Folder::new();
    let removal = br#"{"removed":{"event_id":"evt_1","failed_at":"2025-01-24T10:30:00Z""#;
    let file = holding(&folder, &[&line("evt_1"), &removal[..]].concat());
    letters_of(&file).are(&["evt_1"]).remove(&letter("evt_1", "1")).are(&[]);
    letters_of(&reopened(file)).are(&[]);
}

#[test]
fn a_removal_of_an_earlier_letter_leaves_the_later_one() {
    let folder = Folder::new();
    let removal = "{\"removed\":{\"event_id\":\"evt_1\",\"failed_at\":\"2025-01-24T10:29:00Z\"}}\n";
    let file = holding(&folder, &[&line("evt_1"), removal.as_bytes()].concat());
    assert!(letters_of(&file).are(&["evt_1"]).get("evt_1").is_some());
    assert_eq!(file.unreadable().count(), 0);
}

#[test]
fn unreadable_lines_are_passed_over_and_the_first_16_named() {
    let folder = Folder::new();
    let mut content = line("evt_1");
    for nth in 0..20 {
        // Zeros, as a file system leaves them after a loss of power; no UTF-8; nothing;
        // JSON that is no letter.
        content.extend([&[0; 700][..], &[0xff, 0xfe], b"", b"{\"body\":\"{}\"}"][nth % 4]);
        content.push(b'\n');
    }
    content.extend(line("evt_2"));
    let file = holding(&folder, &content);
    letters_of(&file).are(&["evt_1", "evt_2"]);
    assert_eq!(file.unreadable().count(), 20);
    assert_eq!(file.unreadable().first(), (2..18).collect::<Vec<_>>());
    assert!(file.unreadable().to_string().starts_with("20 lines hold no dead letter: 2, 3, "));
    assert!(file.unreadable().to_string().ends_with("16, 17, …"));
}

#[test]
fn a_file_with_unreadable_lines_is_not_emptied() {
    let folder = Folder::new();
    let file = holding(&folder, &[b"half a line\n", &line("evt_1")[..]].concat());
    letters_of(&file).remove(&letter("evt_1", "1")).are(&[]);
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert!(text.starts_with("half a line\n"), "{text}");
}

#[test]
fn a_sound_file_has_no_unreadable_lines() {
    let folder = Folder::new();
    let file = holding(&folder, &[line("evt_1"), line("evt_2")].concat());
    letters_of(&file).remove(&letter("evt_1", "1"));
    let file = reopened(file);
    assert_eq!((file.unreadable().count(), file.unreadable().first()), (0, &[][..]));
    assert_eq!(file.unreadable().to_string(), "each line can be read");
}
