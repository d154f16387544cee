//! `cargo xtask lint`: everything that can be said without running the code.

use clap::ValueEnum;

use crate::run::{Outcome, Steps, cargo, command, env, run as go};
use crate::workspace::Workspace;
use crate::{features, promises, tools};

/// One step of the lint, in the order they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// cargo fmt
    Fmt,
    /// The size of the adapters, and which crate may need which
    Promises,
    /// clippy, package by package, without lent features
    Clippy,
    /// Each feature of each package alone, without its tests
    Features,
    /// rustdoc without a warning
    Docs,
    /// cargo deny: licences, banned and doubled crates, sources
    Deny,
    /// The fuzz crate, which is outside the workspace
    Fuzz,
}

pub(crate) fn run(workspace: &Workspace, only: &[Step]) -> Outcome {
    let mut steps = Steps::of("lint");
    for &step in Step::value_variants() {
        if only.is_empty() || only.contains(&step) {
            let name = format!("{step:?}").to_lowercase();
            steps.step(&name, || one(workspace, step))?;
        }
    }
    steps.all_passed();
    Ok(())
}

fn one(workspace: &Workspace, step: Step) -> Outcome {
    match step {
        Step::Fmt => go(cargo(&workspace.root).args(["fmt", "--all", "--check"])),
        Step::Promises => promises::check(workspace),
        Step::Clippy => clippy(workspace),
        Step::Features => each_feature(workspace),
        Step::Docs => docs(workspace),
        Step::Deny => deny(workspace),
        Step::Fuzz => fuzz(workspace),
    }
}

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

fn clippy(workspace: &Workspace) -> Outcome {
    for package in &workspace.packages {
        go(cargo(&workspace.root)
            .args(["clippy", "--locked", "-p", &package.name])
            .args(["--all-targets", "--all-features"])
            .args(DENY_WARNINGS))?;
    }
    Ok(())
}

/// What a user's build sees: no dev-dependency lends it a feature.
fn each_feature(workspace: &Workspace) -> Outcome {
    for package in &workspace.packages {
        if !package.is_published() && package.features.is_empty() {
            continue;
        }
        for set in features::sets(&package.features) {
            go(cargo(&workspace.root)
                .args(["clippy", "--locked", "-p", &package.name])
                .args(set)
                .args(DENY_WARNINGS))?;
        }
    }
    Ok(())
}

fn docs(workspace: &Workspace) -> Outcome {
    let mut flags = env("RUSTDOCFLAGS").unwrap_or_default();
    if !flags.is_empty() {
        flags.push(" ");
    }
    flags.push("-D warnings");
    go(cargo(&workspace.root)
        .env("RUSTDOCFLAGS", flags)
        .args(["doc", "--locked", "--workspace"])
        .args(["--no-deps", "--all-features"]))
}

/// Advisories are left out: their database is not in the repository, and a
/// lint must not turn red on a day when nothing here has changed.
fn deny(workspace: &Workspace) -> Outcome {
    let tool = tools::DENY.provide(workspace)?;
    go(command(tool, &workspace.root).args(["--locked", "--all-features", "check"]).args([
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn fuzz(workspace: &Workspace) -> Outcome {
    let manifest = "fuzz/Cargo.toml";
    Workspace::at(&workspace.root, manifest)?;
    go(cargo(&workspace.root).args(["fmt", "--manifest-path", manifest]).args(["--", "--check"]))?;
    // Nothing is linked here, so libFuzzer need not be compiled either: its
    // build script takes our word that it is in this place.
    go(cargo(&workspace.root)
        .env("CUSTOM_LIBFUZZER_PATH", workspace.root.join("fuzz/none.a"))
        .args(["clippy", "--locked", "--manifest-path", manifest])
        .arg("--target-dir")
        .arg(&workspace.target)
        .args(DENY_WARNINGS))
}
