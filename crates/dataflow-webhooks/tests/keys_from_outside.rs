//! Key rings from the environment and from files.
//!
//! Setting a variable of one's own process is unsafe while other threads run, so each case runs
//! this test binary again, as a child with the variables in question.

use std::path::{Path, PathBuf};
use std::process::Command;

use dataflow_webhooks::{Endpoint, KeyRing, SECRET_FILE_VAR, SECRET_VAR};

const A: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";
const B: &str = "whsec_9z8y7x6w5v4u3t2s1r0q";

/// What the child found: labels, or the error.
fn from_env(variables: &[(&str, &str)]) -> Result<String, String> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "say_what_the_environment_holds", "--ignored", "--nocapture"]);
    child.env_remove(SECRET_VAR).env_remove(SECRET_FILE_VAR);
    let output = child.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in ["1a2b3c4d", "9z8y7x6w"] {
        assert!(!text.contains(part), "a secret is printed: {text}");
    }
    let line = |mark: &str| {
        let found = text.split(mark).nth(1)?.lines().next()?;
        Some(found.to_owned())
    };
    match (line("LABELS "), line("ERROR ")) {
        (Some(labels), None) => Ok(labels),
        (None, Some(error)) => Err(error),
        _ => panic!("neither labels nor an error: {text}"),
    }
}

#[test]
#[ignore = "a helper of the tests below"]
fn say_what_the_environment_holds() {
    match (KeyRing::from_env(), Endpoint::from_env()) {
        (Ok(keys), Ok(endpoint)) => {
            assert_eq!(keys.labels(), endpoint.keys().labels());
            println!("\nLABELS {}", keys.labels().join(" "));
        }
        (Err(error), Err(same)) => {
            assert_eq!(error.to_string(), same.to_string());
            println!("\nERROR {error} / {error:?}");
        }
        (keys, endpoint) => panic!("they differ: {keys:?}, {endpoint:?}"),
    }
}

/// A file of this test's own.
fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn labels_of(name: &str, content: impl AsRef<[u8]>) -> Result<String, String> {
    let keys = KeyRing::from_file(file(name, content)).map_err(|error| error.to_string())?;
    Ok(keys.labels().join(" "))
}

#[track_caller]
fn says(result: Result<String, String>, words: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(words), "{error:?} does not say {words:?}");
}

#[test]
fn one_secret_is_current() {
    assert_eq!(from_env(&[(SECRET_VAR, A)]).as_deref(), Ok("current"));
}

#[test]
fn several_are_comma_separated_newest_first() {
    let list = format!("{A},{B}");
    assert_eq!(from_env(&[(SECRET_VAR, &list)]).as_deref(), Ok("current previous"));
}

#[test]
fn no_variable_is_an_error_that_names_both() {
    says(from_env(&[]), SECRET_VAR);
    says(from_env(&[]), SECRET_FILE_VAR);
}

#[test]
fn an_empty_variable_is_an_error() {
    says(from_env(&[(SECRET_VAR, "")]), "empty");
}

#[test]
fn both_variables_are_an_error_even_if_one_is_empty() {
    let path = file("both", A);
    let path = path.to_str().unwrap();
    says(from_env(&[(SECRET_VAR, A), (SECRET_FILE_VAR, path)]), "both set");
    says(from_env(&[(SECRET_VAR, ""), (SECRET_FILE_VAR, path)]), "both set");
    says(from_env(&[(SECRET_VAR, A), (SECRET_FILE_VAR, "")]), "both set");
}

#[test]
fn an_empty_entry_of_the_list_is_an_error() {
    says(from_env(&[(SECRET_VAR, &format!("{A},"))]), "secret 2");
    says(from_env(&[(SECRET_VAR, &format!(",{A}"))]), "secret 1");
    says(from_env(&[(SECRET_VAR, &format!("{A},,{B}"))]), "secret 2");
    says(from_env(&[(SECRET_VAR, ",")]), "secret 1");
}

#[test]
fn blanks_in_the_list_are_an_error() {
    says(from_env(&[(SECRET_VAR, &format!("{A}, {B}"))]), "secret 2 of the list");
    says(from_env(&[(SECRET_VAR, &format!("{A}\n"))]), "white space");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_utf8_is_an_error() {
    use std::os::unix::ffi::OsStrExt as _;

    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "say_what_the_environment_holds", "--ignored", "--nocapture"]);
    child.env_remove(SECRET_FILE_VAR);
    child.env(SECRET_VAR, std::ffi::OsStr::from_bytes(b"whsec_\xff\xfe\xfd\xfc_1a2b3c4d5e6f7g8h"));
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ERROR") && text.contains("not UTF-8"), "{text}");
    assert!(!text.contains("1a2b3c4d"), "{text}");
}

#[test]
fn the_file_variable_names_a_file_of_the_same_content() {
    let path = file("named", format!("{A},{B}\n"));
    let found = from_env(&[(SECRET_FILE_VAR, path.to_str().unwrap())]);
    assert_eq!(found.as_deref(), Ok("current previous"));
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_path() {
    says(from_env(&[(SECRET_FILE_VAR, "/nowhere/secret")]), "/nowhere/secret");
    let error = KeyRing::from_file("/nowhere/secret").unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.downcast_ref::<std::io::Error>().is_some());
}

#[test]
fn a_secret_in_place_of_the_path_is_an_error_that_does_not_show_it() {
    let quoted =
        [format!("'{A}'"), format!("\"{A}\""), format!(" {A}"), format!("{SECRET_VAR}={A}")];
    for mixed_up in [A.to_owned(), format!("{A},{B}")].into_iter().chain(quoted) {
        says(from_env(&[(SECRET_FILE_VAR, &mixed_up)]), "holds a secret");
    }
}

#[test]
fn a_path_may_have_the_prefix_of_secrets_in_it() {
    let path = file("whsec_current", A);
    let found = from_env(&[(SECRET_FILE_VAR, path.to_str().unwrap())]);
    assert_eq!(found.as_deref(), Ok("current"));
}

#[test]
fn one_trailing_line_break_of_a_file_is_dropped() {
    assert_eq!(labels_of("plain", A).as_deref(), Ok("current"));
    assert_eq!(labels_of("lf", format!("{A}\n")).as_deref(), Ok("current"));
    assert_eq!(labels_of("crlf", format!("{A}\r\n")).as_deref(), Ok("current"));
    says(labels_of("two", format!("{A}\n\n")), "white space");
    says(labels_of("before", format!("\n{A}")), "white space");
    says(labels_of("lines", format!("{A}\n{B}\n")), "white space");
}

#[test]
fn an_empty_file_is_an_error() {
    says(labels_of("empty", ""), "empty");
    says(labels_of("newline", "\n"), "empty");
}

#[test]
fn a_file_that_is_no_utf8_is_an_error() {
    says(labels_of("latin1", b"whsec_schl\xfcssel_1a2b3c4d".as_slice()), "not UTF-8");
}
