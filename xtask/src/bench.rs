//! `cargo xtask bench-http`: what one request costs, against other handlers.

use crate::run::{Outcome, cargo, run as go};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Outcome {
    let package = workspace.require("bench-http")?;
    go(cargo(&workspace.root)
        .args(["run", "--release", "--locked", "-p", &package.name, "--"])
        .args(args))
}
