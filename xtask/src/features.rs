//! Which sets of features each package is checked with.

use std::collections::{BTreeMap, BTreeSet};

type Features = BTreeMap<String, Vec<String>>;

/// The arguments of cargo for: no feature, each one alone, the default, all.
///
/// A set that switches on the same things as an earlier one is left out, so
/// that nothing is checked twice.
pub(crate) fn sets(features: &Features) -> Vec<Vec<String>> {
    let alone = |names: &[&str]| {
        let mut args = vec!["--no-default-features".to_owned()];
        if !names.is_empty() {
            args.extend(["--features".to_owned(), names.join(",")]);
        }
        args
    };
    let mut candidates = vec![(Vec::new(), alone(&[]))];
    for name in features.keys().filter(|name| *name != "default") {
        candidates.push((vec![name.as_str()], alone(&[name.as_str()])));
    }
    candidates.push((vec!["default"], Vec::new()));
    let all = features.keys().map(String::as_str).collect();
    candidates.push((all, vec!["--all-features".to_owned()]));

    let mut seen = BTreeSet::new();
    candidates
        .into_iter()
        .filter(|(names, _)| seen.insert(switched_on(features, names)))
        .map(|(_, args)| args)
        .collect()
}

/// All that `names` switch on, through other features too.
fn switched_on<'a>(features: &'a Features, names: &[&'a str]) -> BTreeSet<&'a str> {
    let mut on = BTreeSet::new();
    let mut open = names.to_vec();
    while let Some(name) = open.pop() {
        if on.insert(name) {
            open.extend(features.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    // The name itself decides nothing: it stands for what it lists.
    on.remove("default");
    on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(list: &[(&str, &[&str])]) -> Features {
        list.iter()
            .map(|(name, on)| {
                let on = on.iter().map(|&name| name.to_owned()).collect();
                ((*name).to_owned(), on)
            })
            .collect()
    }

    fn lines(list: &[(&str, &[&str])]) -> Vec<String> {
        let sets = sets(&features(list));
        sets.iter().map(|args| args.join(" ")).collect()
    }

    #[test]
    fn a_package_without_features_is_checked_once() {
        assert_eq!(lines(&[]), ["--no-default-features"]);
    }

    #[test]
    fn each_feature_is_checked_alone() {
        let found = lines(&[("default", &["a"]), ("a", &["dep:a"]), ("b", &[]), ("c", &[])]);
        assert_eq!(
            found,
            [
                "--no-default-features",
                "--no-default-features --features a",
                "--no-default-features --features b",
                "--no-default-features --features c",
                "--all-features",
            ]
        );
    }

    #[test]
    fn the_default_is_checked_when_it_is_a_set_of_its_own() {
        let found = lines(&[("default", &["a", "b"]), ("a", &[]), ("b", &[]), ("c", &[])]);
        assert!(found.contains(&String::new()), "{found:?}");
    }

    #[test]
    fn a_set_reached_by_another_name_is_checked_once() {
        let found = lines(&[("default", &["a"]), ("a", &[])]);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
