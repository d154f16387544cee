//! Replays the fuzzer's corpus, and the nearest neighbours of each file in it.

use std::path::{Path, PathBuf};

use webhook_fuzz_targets::TARGETS;

fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    assert!(files.len() >= 5, "only {} seeds of {target}", files.len());
    files
}

#[test]
fn every_file_of_the_corpus_passes() {
    for (target, run) in TARGETS {
        for (path, input) in files(target) {
            println!("{}", path.display());
            run(&input);
        }
    }
}

#[test]
fn every_prefix_of_every_file_passes() {
    for (target, run) in TARGETS {
        for (path, input) in files(target) {
            println!("{}", path.display());
            (0..input.len().min(300)).for_each(|length| run(&input[..length]));
        }
    }
}

#[test]
fn every_file_with_one_byte_changed_passes() {
    for (target, run) in TARGETS {
        for (path, input) in files(target) {
            println!("{}", path.display());
            for place in 0..input.len().min(300) {
                for change in [0x01, 0x20, 0x80] {
                    let mut changed = input.clone();
                    changed[place] ^= change;
                    run(&changed);
                }
            }
        }
    }
}

/// A corpus that is always refused would find nothing.
#[test]
fn the_corpus_of_check_is_accepted_and_refused_in_every_way() {
    use webhook_fuzz_targets::case::Case;
    use webhook_fuzz_targets::naive::{Verdict, verify};

    let verdicts: Vec<_> = files("check")
        .iter()
        .map(|(_, input)| Case::read(input))
        .map(|case| verify(&case.secrets, case.clock, &case.lines, &case.body))
        .collect();
    for expected in [
        Verdict::By(0),
        Verdict::By(1),
        Verdict::By(2),
        Verdict::NoMatch,
        Verdict::TooOld,
        Verdict::TooNew,
        Verdict::Malformed,
        Verdict::Repeated,
        Verdict::Missing,
    ] {
        assert!(verdicts.contains(&expected), "no seed is {expected:?}");
    }
}
