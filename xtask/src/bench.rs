//! `cargo xtask bench-http` and `cargo xtask bench-stores`: each is a program of its own,
//! measured as a release build.

use crate::machine;
use crate::run::{Outcome, cargo, run as go};
use crate::workspace::Workspace;

/// What one request costs, against other handlers.
pub(crate) fn http(workspace: &Workspace, args: &[String]) -> Outcome {
    measure(workspace, "bench-http", args)
}

/// What the dedup stores cost, on real servers.
pub(crate) fn stores(workspace: &Workspace, args: &[String]) -> Outcome {
    machine::provide(&workspace.root, machine::OF_BENCH_STORES)?;
    measure(workspace, "bench-stores", args)
}

fn measure(workspace: &Workspace, package: &str, args: &[String]) -> Outcome {
    let package = workspace.require(package)?;
    go(cargo(&workspace.root)
        .args(["run", "--release", "--locked", "-p", &package.name, "--"])
        .args(args))
}
