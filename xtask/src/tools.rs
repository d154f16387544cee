//! Cargo's extra subcommands, at versions this repository was checked with.

use std::path::PathBuf;

use crate::run::{Outcome, Stop, cargo, output_of, run};
use crate::workspace::Workspace;

/// A subcommand of cargo that is not part of Rust.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// What is installed. Another patch of the same minor version will do.
    pub(crate) version: &'static str,
}

pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

pub(crate) const FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2" };

impl Tool {
    /// Where the tool is: on PATH, or in the target folder, where it is built
    /// when it is nowhere (in under a minute on two cores).
    pub(crate) fn provide(&self, workspace: &Workspace) -> Outcome<PathBuf> {
        let own = workspace.target.join("tools");
        let built = own.join("bin").join(self.name);
        for place in [PathBuf::from(self.name), built.clone()] {
            let version = output_of(&place, &["--version"]);
            if version.is_some_and(|text| self.accepts(&text)) {
                return Ok(place);
            }
        }
        // Not optimized: the build takes longer than all that it will do here.
        eprintln!("building {} {}, once; about a minute", self.name, self.version);
        let mut install = cargo(&workspace.root);
        install
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .args(["install", "--locked", "--quiet", "--debug", "--force"])
            .args(["--version", self.version])
            .arg("--root")
            .arg(&own)
            .arg(self.name);
        run(&mut install).map_err(|stop| {
            let name = self.name;
            Stop::Cannot(format!("{name} could not be installed: {}", stop.message()))
        })?;
        Ok(built)
    }

    /// Whether `cargo-x 1.2.3` is of the wanted minor version.
    fn accepts(&self, said: &str) -> bool {
        let minor = |version: &str| {
            let mut parts = version.trim().split('.').map(str::to_owned);
            (parts.next(), parts.next())
        };
        said.split_whitespace().nth(1).is_some_and(|version| minor(version) == minor(self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_patch_of_a_tool_will_do_but_no_other_minor_version() {
        assert!(DENY.accepts("cargo-deny 0.20.2\n"));
        assert!(DENY.accepts("cargo-deny 0.20.9"));
        assert!(!DENY.accepts("cargo-deny 0.19.2"));
        assert!(!DENY.accepts("cargo-deny 1.20.2"));
        assert!(!DENY.accepts(""));
    }
}
