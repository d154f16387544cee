//! `cargo xtask bench-http`, `bench-stores` and `bench-inbox`: programs of their own,
//! measured as release builds.

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

/// How soon `examples/inbox` answers, on each of its queues.
pub(crate) fn inbox(workspace: &Workspace, args: &[String]) -> Outcome {
    machine::provide(&workspace.root, machine::OF_BENCH_INBOX)?;
    let args: Vec<_> = std::iter::once("inbox".to_owned()).chain(args.iter().cloned()).collect();
    measure(workspace, "bench-stores", &args)
}

fn measure(workspace: &Workspace, package: &str, args: &[String]) -> Outcome {
    let package = workspace.require(package)?;
    go(cargo(&workspace.root)
        .args(["run", "--release", "--locked", "-p", &package.name, "--"])
        .args(args))
}
