//! `cargo xtask fuzz`: the fuzz targets, for so many seconds each.
//!
//! Nothing is written into the repository: the inputs that a run keeps go to
//! the target folder, and the seeds in `fuzz/corpus` are only read. What made
//! a target fail is in `fuzz/artifacts`, which git ignores.

use std::path::Path;
use std::process::Command;

use crate::machine;
use crate::run::{Outcome, Steps, Stop, command, output_of, run as go};
use crate::tools;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, seconds: u32, only: Option<&str>) -> Outcome {
    let fuzz = Workspace::at(&workspace.root, "fuzz/Cargo.toml")?;
    let targets = chosen(&fuzz, only)?;

    let mut steps = Steps::of("fuzz");
    let tool = steps.step("machine", || {
        machine::provide(&workspace.root, machine::OF_FUZZ)?;
        nightly()?;
        tools::FUZZ.provide(workspace)
    })?;
    steps.step("build", || go(&mut cargo_fuzz(workspace, &tool, "build")))?;
    for target in targets {
        steps.step(target, || one(workspace, &tool, target, seconds))?;
    }
    steps.all_passed();
    Ok(())
}

/// All targets, or the named one.
fn chosen<'a>(fuzz: &'a Workspace, only: Option<&str>) -> Outcome<Vec<&'a str>> {
    let all: Vec<_> = fuzz.packages.iter().flat_map(|package| package.programs()).collect();
    let chosen: Vec<_> = match only {
        None => all.clone(),
        Some(name) => all.iter().copied().filter(|target| *target == name).collect(),
    };
    if chosen.is_empty() {
        let name = only.unwrap_or("at all");
        let known = all.join(", ");
        return Err(Stop::Cannot(format!("no fuzz target {name}; there are: {known}")));
    }
    Ok(chosen)
}

/// The sanitizers and the coverage that libFuzzer steers by are unstable.
fn nightly() -> Outcome {
    match output_of("rustup", &["run", "nightly", "rustc", "--version"]) {
        Some(version) => {
            eprint!("nightly: {version}");
            Ok(())
        }
        None => Err(Stop::Cannot(
            "fuzzing needs a nightly toolchain, and there is none here; run\n  \
             rustup toolchain install nightly --profile minimal"
                .to_owned(),
        )),
    }
}

/// cargo-fuzz on nightly, building into the target folder.
fn cargo_fuzz(workspace: &Workspace, tool: &Path, verb: &str) -> Command {
    let mut fuzzer = command("rustup", &workspace.root);
    // Else cargo-fuzz would take the stable cargo that runs this program.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        fuzzer.env_remove(variable);
    }
    fuzzer
        .args(["run", "nightly"])
        .arg(tool)
        .args([verb, "--target-dir"])
        .arg(workspace.target.join("fuzz/build"));
    fuzzer
}

fn one(workspace: &Workspace, tool: &Path, target: &str, seconds: u32) -> Outcome {
    let kept = workspace.target.join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&kept)
        .map_err(|error| Stop::Failed(format!("{}: {error}", kept.display())))?;

    let mut fuzzer = cargo_fuzz(workspace, tool, "run");
    // New inputs are written to the first folder; the others are read.
    fuzzer.arg(target).arg(kept);
    let seeds = Path::new("fuzz/corpus").join(target);
    if workspace.root.join(&seeds).is_dir() {
        fuzzer.arg(seeds);
    }
    go(fuzzer.arg("--").arg(format!("-max_total_time={seconds}")))
}
