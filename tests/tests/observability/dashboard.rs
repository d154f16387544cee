//! The dashboard, as far as it can be seen without Grafana.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::observed::{after_a_delivery, file};
use crate::promql::{Selector, assert_answered, selectors};

fn dashboard() -> Value {
    serde_json::from_str(&file("dashboard.json")).expect("JSON")
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().expect("panels").iter().collect()
}

/// Each expression of each panel.
pub(crate) fn expressions() -> Vec<String> {
    let dashboard = dashboard();
    let targets = panels(&dashboard).into_iter().filter_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().map(|target| target["expr"].as_str().expect("an expr"));
    expressions.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_dashboard_asks_only_for_metrics_labels_and_values_that_are_on_the_page() {
    let page = after_a_delivery().await;
    for expression in expressions() {
        assert!(!selectors(&expression).is_empty(), "{expression}");
        assert_answered(&expression, &page);
    }
}

#[tokio::test]
async fn every_metric_of_the_page_is_on_the_dashboard() {
    let asked: Vec<Selector> = expressions().iter().flat_map(|text| selectors(text)).collect();
    let asked: BTreeSet<String> =
        asked.iter().map(|selector| selector.family().to_owned()).collect();
    assert_eq!(asked, after_a_delivery().await.families);
}

#[test]
fn the_dashboard_has_the_current_form_and_asks_the_source_that_is_chosen() {
    let dashboard = dashboard();
    assert_eq!(dashboard["schemaVersion"], 42);
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let chosen = variables.iter().find(|variable| variable["type"] == "datasource");
    assert_eq!(chosen.expect("a choice of the source")["name"], "datasource");
    for panel in panels(&dashboard).into_iter().filter(|panel| panel["type"] != "row") {
        let title = &panel["title"];
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

#[test]
fn no_panel_covers_another_or_has_its_number() {
    let dashboard = dashboard();
    let (mut numbers, mut covered) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(numbers.insert(panel["id"].as_u64().expect("a number")), "{title}");
        let at = |side: &str| panel["gridPos"][side].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(covered.insert((x, y)), "{title} covers another panel at {x}, {y}");
            }
        }
    }
}
