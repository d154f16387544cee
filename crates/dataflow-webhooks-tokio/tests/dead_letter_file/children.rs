//! A disk that is full and a process that is killed, for real: the writer is this test
//! binary, run again.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use dataflow_webhooks_tokio::DeadLetterFile;

use crate::road::scene::{Said, Scene, State};
use crate::support::{Folder, block_on, letter, letters_of, open};

const PATH_VAR: &str = "DEAD_LETTER_FILE";
const BEGIN_VAR: &str = "DEAD_LETTER_BEGIN";

/// A child that does this helper's work on this file, by way of a line of `sh`.
fn child(helper: &str, path: &Path, shell: &str) -> Command {
    let mut child = Command::new("sh");
    child.arg("-c").arg(format!(r#"{shell} exec "$0" "$@""#));
    child.arg(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("children::{helper}"), "--ignored", "--nocapture"]);
    child.env(PATH_VAR, path);
    child
}

fn path_of_the_parent() -> std::path::PathBuf {
    std::env::var_os(PATH_VAR).unwrap().into()
}

#[test]
#[ignore = "a helper of the test below"]
fn fill_the_disk() {
    let path = path_of_the_parent();
    let file = open(&path);
    let data = format!("\"{}\"", "x".repeat(5_000));
    let mut stored = Vec::new();
    let error = loop {
        let id = format!("evt_{}", stored.len());
        match letters_of(&file).try_store(&letter(&id, &data)) {
            Ok(()) => stored.push(id),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert!(!stored.is_empty());
    // What there was is there, and nothing of the one that had no room.
    let mut ids: Vec<_> = stored.iter().map(String::as_str).collect();
    letters_of(&file).are(&ids);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), stored.len());
    // A smaller one has room.
    letters_of(&file).store(&letter("small", "1"));
    letters_of(&file).try_store(&letter("large", &data)).unwrap_err();
    ids.push("small");
    letters_of(&file).are(&ids);
    println!("\nSTORED {} FILLERS {}", stored.len(), on_the_road(file));
}

/// A delivery whose handler fails in its last run, with no room for its letter: the
/// handler's answer stands, and the event comes again.
///
/// Gives the number of letters that have filled the rest.
fn on_the_road(file: DeadLetterFile) -> usize {
    let mut fillers = 0;
    while letters_of(&file).try_store(&letter(&format!("filler_{fillers:02}"), "1")).is_ok() {
        fillers += 1;
    }
    // Longer than what is left.
    let id = "i".repeat(250);
    block_on(async {
        let scene = Scene::with(|builder| builder.dead_letters(file, 1));
        for _ in 0..2 {
            let answer = scene.send(&id, scene.says(500)).await.unwrap();
            assert_eq!(answer, Said::by_handler(500));
            assert!(matches!(scene.state(&id).await, State::Free { .. }));
        }
        assert_eq!((scene.counts().dead_letters, scene.counts().dead_letter_errors), (0, 2));
    });
    fillers
}

#[test]
fn a_letter_that_the_disk_has_no_room_for_is_not_stored_and_costs_no_other_one() {
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    // No file longer than 32 KiB, and no signal about it: a write falls short, and the
    // next one fails.
    let filled = child("fill_the_disk", &path, "trap '' XFSZ; ulimit -f 64;").output().unwrap();
    let text = String::from_utf8_lossy(&filled.stdout).into_owned();
    assert!(filled.status.success(), "{text} {}", String::from_utf8_lossy(&filled.stderr));
    let number = |mark: &str| -> usize {
        let after = text.split(mark).nth(1).unwrap();
        after.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (stored, fillers) = (number("STORED "), number("FILLERS "));
    assert!((3..7).contains(&stored), "{stored}");

    // There is room again.
    let file = open(&path);
    assert_eq!(file.unreadable().count(), 0);
    letters_of(&file).store(&letter("large", "1"));
    let mut ids: Vec<_> = (0..stored).map(|nth| format!("evt_{nth}")).collect();
    ids.extend((0..fillers).map(|nth| format!("filler_{nth:02}")));
    ids.extend(["large", "small"].map(str::to_owned));
    letters_of(&file).are(&ids.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The `data` of the letter with this number: a size that a kill may fall into.
fn data_of(number: u64) -> String {
    format!("[{number},\"{}\"]", "\\\"x\\n".repeat(1 + (number as usize * 7919) % 8_000))
}

fn id_of(number: u64) -> String {
    format!("evt_{number:06}")
}

#[test]
#[ignore = "a helper of the test below"]
fn store_until_killed() {
    let file = open(&path_of_the_parent());
    let begin: u64 = std::env::var(BEGIN_VAR).unwrap().parse().unwrap();
    for number in begin.. {
        println!("\nSTORING {number}");
        letters_of(&file).store(&letter(&id_of(number), &data_of(number)));
        println!("\nSTORED {number}");
        if number % 3 == 2 {
            let third = number - 2;
            println!("\nREMOVING {third}");
            letters_of(&file).remove(&letter(&id_of(third), "0"));
            println!("\nREMOVED {third}");
        }
    }
}

/// Ended should the test fail.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_kill() {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let folder = Folder::new();
    let path = folder.path("letters.jsonl");
    // Whether it is there, for each letter; None where nobody heard the end of it.
    let mut known: Vec<Option<bool>> = Vec::new();
    let mut torn = 0;
    for round in 0..4 {
        let mut writer = child("store_until_killed", &path, "");
        let begin = known.len().next_multiple_of(3);
        writer.env(BEGIN_VAR, begin.to_string()).stdout(Stdio::piped());
        let mut writer = Owned(writer.spawn().unwrap());
        let mut lines = BufReader::new(writer.0.stdout.take().unwrap()).lines();
        let mut left = 1 + (seed >> round) % 20;
        while let Some(Ok(line)) = lines.next() {
            let Some((word, number)) = line.split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            if known.len() <= number {
                known.resize(number + 1, None);
            }
            match word {
                "STORED" => known[number] = Some(true),
                "REMOVING" => known[number] = None,
                "REMOVED" => known[number] = Some(false),
                _ => {}
            }
            // What it has said meanwhile is still read, to the end of the pipe.
            if word == "STORED" && left > 0 {
                left -= 1;
                if left == 0 {
                    let fraction = (seed >> (round + 20)) % 3000;
                    std::thread::sleep(std::time::Duration::from_micros(fraction));
                    writer.0.kill().unwrap();
                }
            }
        }
        drop(writer);

        let file = open(&path);
        torn = file.unreadable().count();
        for (number, is_there) in known.iter().enumerate() {
            let Some(is_there) = is_there else { continue };
            let number = number as u64;
            let expected = letter(&id_of(number), &data_of(number));
            match letters_of(&file).get(&id_of(number)) {
                Some(found) => {
                    assert!(is_there, "{number} was removed");
                    assert!(found.body() == expected.body(), "{number} is not what was stored");
                }
                None => assert!(!is_there, "{number} was stored, and is gone"),
            }
        }
    }
    println!("{} letters, {torn} torn lines", known.len());
}
