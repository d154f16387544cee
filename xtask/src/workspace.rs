//! What this repository consists of, as `cargo metadata` tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use crate::run::{Outcome, Stop, cargo};

/// The workspace, or the fuzz crate beside it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Every member, by name.
    pub(crate) packages: Vec<Package>,
    /// Absolute.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Absolute; honours `CARGO_TARGET_DIR`.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    /// The registries it may be published to; `[]` for `publish = false`.
    pub(crate) publish: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) rust_version: Option<String>,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    #[serde(default)]
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub(crate) fn load() -> Outcome<Workspace> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.parent().unwrap_or(own);
        Self::at(root, "Cargo.toml")
    }

    /// The workspace of a manifest, `manifest` being relative to `root`.
    pub(crate) fn at(root: &Path, manifest: &str) -> Outcome<Workspace> {
        let broken = |why: &str| Stop::Failed(format!("cargo metadata of {manifest}: {why}"));
        if !root.join(manifest).is_file() {
            return Err(Stop::Failed(format!("there is no {manifest}")));
        }
        let output = cargo(root)
            .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
            .args(["--manifest-path", manifest])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| broken(&error.to_string()))?;
        if !output.status.success() {
            return Err(broken(&output.status.to_string()));
        }
        let mut workspace: Workspace =
            serde_json::from_slice(&output.stdout).map_err(|error| broken(&error.to_string()))?;
        workspace.packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(workspace)
    }

    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The member of this name, or a failure that says it is gone.
    pub(crate) fn require(&self, name: &str) -> Outcome<&Package> {
        self.package(name)
            .ok_or_else(|| Stop::Failed(format!("the workspace has no package `{name}`")))
    }

    /// The members that `package` needs at run time, however far away.
    pub(crate) fn reach<'a>(&'a self, package: &'a Package) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![package];
        while let Some(package) = open.pop() {
            for needed in package.needs().filter_map(|name| self.package(name)) {
                if reached.insert(needed.name.as_str()) {
                    open.push(needed);
                }
            }
        }
        reached
    }
}

impl Package {
    /// Whether it may go to a registry.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|to| !to.is_empty())
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// The names of its ordinary dependencies, optional ones included.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none())
            .map(|dependency| dependency.name.as_str())
    }

    /// The names of its programs.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &str> {
        self.targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .map(|target| target.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_published_unless_it_says_otherwise() {
        let mut package = Package::default();
        assert!(package.is_published());
        package.publish = Some(vec!["crates-io".to_owned()]);
        assert!(package.is_published());
        package.publish = Some(Vec::new());
        assert!(!package.is_published());
    }

    #[test]
    fn this_workspace_is_read_with_its_members() {
        let workspace = Workspace::load().unwrap();
        let own = workspace.require("xtask").unwrap();
        assert!(!own.is_published());
        assert!(own.programs().any(|name| name == "xtask"));
        assert!(workspace.require("dataflow-webhooks").unwrap().is_published());
        assert!(workspace.require("no-such-package").is_err());
    }
}
