//! The alert rules, their tests and the runbook, as texts: each speaks of the same
//! alerts, and of metrics that there are. (`promtool.rs` has the rules run.)

use crate::observed::{after_a_delivery, file};
use crate::promql::assert_answered;

/// The names of all alerts, in the order of the file, each once.
fn alerts() -> Vec<String> {
    let rules = file("alerts.yml");
    let mut names: Vec<String> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 10, "{names:?}");
    names.dedup();
    names
}

#[tokio::test]
async fn alerts_ask_only_for_metrics_labels_and_values_that_are_on_the_page() {
    assert_answered(&file("alerts.yml"), &after_a_delivery().await);
}

#[test]
fn each_alert_has_its_section_in_the_runbook_and_each_section_its_alert() {
    let runbook = file("RUNBOOK.md");
    let sections: Vec<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|title| title.starts_with("DataflowWebhooks"))
        .collect();
    assert_eq!(sections, alerts());
}

#[test]
fn each_section_of_the_runbook_tells_of_the_attempts_and_says_what_to_do() {
    let runbook = file("RUNBOOK.md");
    let sections = runbook.split("\n## ").filter(|section| section.starts_with("DataflowWebhooks"));
    for section in sections {
        for part in ["\n**The attempts.** ", "\n**Look at** ", "\n**Do.** "] {
            assert_eq!(section.matches(part).count(), 1, "{part:?} in\n{section}");
        }
    }
}

#[test]
fn each_rule_has_a_severity_its_texts_and_the_anchor_of_its_section() {
    let rules = file("alerts.yml");
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap_or_default();
        let parts = ["summary: \"".to_owned(), "description: >-".to_owned()];
        for part in parts.into_iter().chain([runbook_of(name)]) {
            assert_eq!(rule.matches(&part).count(), 1, "{part:?} in\n{rule}");
        }
        let severities = ["severity: critical\n", "severity: warning\n"];
        let said: usize = severities.iter().map(|one| rule.matches(one).count()).sum();
        assert_eq!(said, 1, "the severity of\n{rule}");
    }
}

/// GitHub's anchor of a heading of one word is that word in lower case.
fn runbook_of(alert: &str) -> String {
    format!("runbook: \"RUNBOOK.md#{}\"", alert.to_lowercase())
}

#[test]
fn each_link_inside_the_runbook_leads_to_a_section() {
    let runbook = file("RUNBOOK.md");
    let alerts = alerts().iter().map(|alert| alert.to_lowercase()).collect::<Vec<_>>();
    let links: Vec<&str> =
        runbook.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        assert!(alerts.iter().any(|alert| alert == link), "#{link} leads nowhere");
    }
}

#[test]
fn each_alert_is_seen_to_fire_in_the_tests_of_the_rules() {
    let tests = file("alerts.test.yml");
    for alert in alerts() {
        let fires = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"");
        assert!(tests.contains(&fires), "nothing makes {alert} fire");
    }
}
