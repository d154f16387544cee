//! The metrics that an expression asks for, as far as it takes to look them up.

use std::collections::BTreeSet;

use crate::observed::{Metrics, Sampled};

const PREFIX: &str = "dataflow_webhooks_";

/// What Prometheus adds to each series by itself.
const OF_THE_TARGET: [&str; 2] = ["job", "instance"];

/// A metric that an expression asks for.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) name: String,
    matchers: Vec<Matcher>,
}

/// A label, and each value that a matcher names.
#[derive(Debug)]
struct Matcher {
    label: String,
    values: Vec<String>,
}

/// All of them in a text.
pub(crate) fn selectors(text: &str) -> Vec<Selector> {
    text.match_indices(PREFIX)
        .map(|(start, _)| {
            let rest = &text[start..];
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = inside.map_or(Vec::new(), |(matchers, _)| {
                matchers.split(',').map(Matcher::parse).collect()
            });
            Selector { name: name.to_owned(), matchers }
        })
        .collect()
}

/// The labels in all of a text's `by (…)`.
pub(crate) fn grouped_by(text: &str) -> BTreeSet<&str> {
    let lists = text.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',').map(str::trim)).collect()
}

impl Matcher {
    /// `label="value"`, or with another operator; no value holds a comma or a brace.
    fn parse(matcher: &str) -> Self {
        let (label, value) = matcher.split_once('"').expect("a quoted value");
        let value = value.trim_end_matches('"').replace("\\\\", "\\");
        let label = label.trim_end_matches(['=', '!', '~']).to_owned();
        // A bound is `4` here and `4.0` as Prometheus 3 stores it.
        let value = value.replace("(\\.0)?", "");
        Self { label, values: value.split('|').map(str::to_owned).collect() }
    }

    fn fits(&self, sample: &Sampled) -> bool {
        let found = sample.labels.get(&self.label);
        // A variable of the dashboard stands for any value.
        found.is_some_and(|found| self.values.iter().any(|v| v == found || v.starts_with('$')))
    }
}

impl Selector {
    /// Whether the page has the metric, with each label and each value that is named.
    pub(crate) fn is_on(&self, page: &Metrics) -> bool {
        let of_name = || page.samples.iter().filter(|sample| sample.name == self.name);
        let each_value = |matcher: &Matcher| {
            OF_THE_TARGET.contains(&&*matcher.label)
                || matcher.values.iter().all(|value| {
                    let one = Matcher { label: matcher.label.clone(), values: vec![value.clone()] };
                    of_name().any(|sample| one.fits(sample))
                })
        };
        of_name().next().is_some() && self.matchers.iter().all(each_value)
    }

    /// The metric whose sample this is.
    pub(crate) fn family(&self) -> &str {
        let histogram = self.name.strip_suffix("_bucket").or(self.name.strip_suffix("_count"));
        histogram.unwrap_or(&self.name)
    }
}

/// Everything that a text asks for has to be on the page.
pub(crate) fn assert_answered(text: &str, page: &Metrics) {
    for selector in selectors(text) {
        assert!(selector.is_on(page), "nothing on the page for {selector:?} of\n{text}");
    }
    for label in grouped_by(text) {
        let known = OF_THE_TARGET.contains(&label)
            || page.samples.iter().any(|sample| sample.labels.contains_key(label));
        assert!(known, "nothing on the page has the label {label} of\n{text}");
    }
}

#[test]
fn a_name_a_label_or_a_value_that_is_not_there_is_found() {
    let page = r#"dataflow_webhooks_x_bucket{endpoint="a",kind="k",le="4"} 1"#;
    let page = Metrics::of(page);
    let is_on = |text: &str| selectors(text).iter().all(|selector| selector.is_on(&page));
    for right in [
        "dataflow_webhooks_x_bucket",
        r#"rate(dataflow_webhooks_x_bucket{job=~"$job",endpoint=~"$endpoint"}[5m])"#,
        r#"dataflow_webhooks_x_bucket{kind="k",le=~"4(\\.0)?"}"#,
    ] {
        assert!(is_on(right), "{right}");
    }
    for wrong in [
        "dataflow_webhooks_x",
        r#"dataflow_webhooks_x_bucket{kind!~"k|other"}"#,
        r#"dataflow_webhooks_x_bucket{outcome="k"}"#,
        r#"dataflow_webhooks_x_bucket{le=~"4.5(\\.0)?"}"#,
        r#"dataflow_webhooks_x_bucket{outcome=~"$outcome"}"#,
    ] {
        assert!(!is_on(wrong), "{wrong}");
    }
}
