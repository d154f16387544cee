//! What the code base promises about its own shape, checked.
//!
//! Adapters stay small, arrows between crates point one way, the core knows
//! no runtime, no HTTP and no framework, every package is under the workspace's
//! lints, and what is published brings its licences along.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Outcome, Stop};
use crate::workspace::{Package, Workspace};

const CORE: &str = "dataflow-webhooks";
const ROAD: &str = "dataflow-webhooks-tokio";

/// An adapter is type conversion; past this, it has begun to decide.
const ADAPTER_LINES: usize = 300;

/// Crates that only an adapter, the road or a store may need.
const NOT_IN_CORE: [&str; 10] = [
    "actix-web",
    "axum",
    "axum-core",
    "http",
    "http-body",
    "hyper",
    "tokio",
    "tower",
    "tower-layer",
    "tower-service",
];

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    let mut broken = arrows(workspace);
    broken.extend(workspace.packages.iter().filter_map(lints));
    broken.extend(published(workspace).flat_map(|it| licences(&it.name, it.folder())));
    for package in adapters(workspace) {
        let lines = code_lines(&package.folder().join("src"))?;
        eprintln!("{}: {lines} of {ADAPTER_LINES} lines of code", package.name);
        if lines > ADAPTER_LINES {
            broken.push(format!(
                "{} has {lines} lines of code; an adapter has at most {ADAPTER_LINES}",
                package.name
            ));
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Stop::Failed(format!("\n  {}", broken.join("\n  "))))
}

/// The published crates that bring the road to a framework.
fn adapters(workspace: &Workspace) -> impl Iterator<Item = &Package> {
    published(workspace).filter(|package| workspace.reach(package).contains(ROAD))
}

fn published(workspace: &Workspace) -> impl Iterator<Item = &Package> {
    workspace.packages.iter().filter(|package| package.is_published())
}

/// The arrows that point the wrong way, each as a sentence.
fn arrows(workspace: &Workspace) -> Vec<String> {
    let is_adapter = |name: &str| adapters(workspace).any(|package| package.name == name);
    let is_store = |name: &str| name != CORE && name != ROAD && !is_adapter(name);
    let mut broken = Vec::new();
    for package in published(workspace) {
        let name = package.name.as_str();
        for needed in workspace.reach(package) {
            // A member that stays here cannot be needed by one that leaves.
            let stays = workspace.package(needed).is_some_and(|needed| !needed.is_published());
            let wrong = stays
                || is_store(needed)
                || (name == CORE || name == ROAD || is_store(name)) && needed != CORE;
            if wrong {
                broken.push(format!("{name} must not need {needed}"));
            }
        }
        if name == CORE {
            let foreign = package.needs().filter(|needed| NOT_IN_CORE.contains(needed));
            broken.extend(foreign.map(|needed| format!("{name} must not need {needed}")));
        }
    }
    broken
}

/// What a package's manifest leaves out.
fn lints(package: &Package) -> Option<String> {
    let name = &package.name;
    if package.rust_version.is_none() {
        return Some(format!("{name} states no rust-version"));
    }
    let manifest = fs::read_to_string(&package.manifest_path).unwrap_or_default();
    let mut lines = manifest.lines().map(str::trim);
    let inherits = lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true");
    (!inherits).then(|| format!("{name} does not inherit the workspace's lints"))
}

/// The licences that the package in this folder would be published without.
fn licences(name: &str, folder: &Path) -> Vec<String> {
    let missing = ["LICENSE-APACHE", "LICENSE-MIT"].into_iter();
    let missing = missing.filter(|licence| !folder.join(licence).is_file());
    missing.map(|licence| format!("{name} has no {licence}: link to that of the root")).collect()
}

/// Lines of code under a folder: no blank line, no comment, no test.
fn code_lines(folder: &Path) -> Outcome<usize> {
    let mut lines = 0;
    for file in sources(folder)? {
        lines += code_lines_in(&fs::read_to_string(&file).map_err(|error| unread(&file, error))?);
    }
    Ok(lines)
}

fn sources(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| unread(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| unread(folder, error))?.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn unread(path: &Path, error: std::io::Error) -> Stop {
    Stop::Failed(format!("{}: {error}", path.display()))
}

/// Counts one file, which rustfmt has formatted: an item ends with a brace
/// (or a semicolon) at the indentation it began with.
fn code_lines_in(text: &str) -> usize {
    let mut count = 0;
    let mut in_comment = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim();
        if in_comment || code.starts_with("/*") {
            in_comment = !code.contains("*/");
        } else if code == "#[cfg(test)]" {
            let indent = line.len() - line.trim_start().len();
            skip_item(&mut lines, indent);
        } else if !code.is_empty() && !code.starts_with("//") {
            count += 1;
        }
    }
    count
}

fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>, indent: usize) {
    for line in lines {
        let at = line.len() - line.trim_start().len();
        if at == indent && (line.ends_with('}') || line.ends_with(';')) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, needs: &[&str]) -> Package {
        let dependencies =
            needs.iter().map(|&name| Dependency { name: name.to_owned(), kind: None });
        Package {
            name: name.to_owned(),
            dependencies: dependencies.collect(),
            ..Package::default()
        }
    }

    fn workspace(extra: Vec<Package>) -> Workspace {
        let mut packages = vec![
            package(CORE, &["bytes"]),
            package(ROAD, &[CORE, "tokio"]),
            package("dataflow-webhooks-tower", &[ROAD, CORE, "http"]),
        ];
        packages.extend(extra);
        Workspace { packages, root: PathBuf::new(), target: PathBuf::new() }
    }

    #[test]
    fn arrows_that_point_one_way_pass() {
        let found = arrows(&workspace(vec![
            package("dataflow-webhooks-axum", &["dataflow-webhooks-tower", CORE]),
            package("dataflow-webhooks-redis", &[CORE, "redis", "tokio"]),
        ]));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_adapter_that_names_a_store_is_refused() {
        let found = arrows(&workspace(vec![
            package("dataflow-webhooks-axum", &[ROAD, "dataflow-webhooks-redis"]),
            package("dataflow-webhooks-redis", &[CORE]),
        ]));
        let wrong = "dataflow-webhooks-axum must not need dataflow-webhooks-redis";
        assert_eq!(found, [wrong]);
    }

    #[test]
    fn a_core_that_needs_a_runtime_or_the_road_is_refused() {
        let mut workspace = workspace(Vec::new());
        workspace.packages[0] = package(CORE, &["tokio"]);
        assert_eq!(arrows(&workspace), ["dataflow-webhooks must not need tokio"]);
    }

    #[test]
    fn a_dev_dependency_is_no_arrow() {
        let mut workspace = workspace(Vec::new());
        workspace.packages[0]
            .dependencies
            .push(Dependency { name: "tokio".to_owned(), kind: Some("dev".to_owned()) });
        assert_eq!(arrows(&workspace), Vec::<String>::new());
    }

    #[test]
    fn every_crate_on_the_road_is_an_adapter_except_the_road() {
        let workspace = workspace(vec![package("dataflow-webhooks-redis", &[CORE])]);
        let names: Vec<_> = adapters(&workspace).map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["dataflow-webhooks-tower"]);
    }

    #[test]
    fn a_package_without_its_licences_is_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(licences("one", &root), Vec::<String>::new());
        assert_eq!(licences("one", &root.join("xtask")).len(), 2);
    }

    #[test]
    fn blank_lines_comments_and_tests_are_no_code() {
        let text = "\
//! Docs.

/* A block
   comment. */
fn one() {
    // Why.
    two(); // counted
}

#[cfg(test)]
mod tests {
    fn not_counted() {
    }
}

#[cfg(test)]
mod more;

fn three() {}
";
        assert_eq!(code_lines_in(text), 4);
    }
}
