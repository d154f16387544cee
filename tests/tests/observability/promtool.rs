//! Prometheus's own tool on the rules, on the dashboard's expressions and on the
//! page.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;
use webhook_tests::TemporaryFile;

use crate::dashboard::expressions;
use crate::observed::{Observed, path_of};

/// Runs it to its end; all it said, where it found something.
fn promtool(set: impl FnOnce(&mut Command), input: &[u8]) {
    let mut command = Command::new("promtool");
    set(&mut command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("the feature `peers` needs promtool: {error}"));
    // Closed behind the last byte; it need not read what it was not asked to.
    let _ = child.stdin.take().expect("its input is a pipe").write_all(input);
    let output = child.wait_with_output().expect("its end");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

#[test]
fn promtool_accepts_the_rules() {
    promtool(|command| _ = command.args(["check", "rules"]).arg(path_of("alerts.yml")), b"");
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    promtool(|command| _ = command.args(["test", "rules"]).arg(path_of("alerts.test.yml")), b"");
}

#[test]
fn promtool_accepts_each_expression_of_the_dashboard() {
    // Each as a rule, for that is what it checks; JSON is YAML.
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (index, expression) in expressions().iter().enumerate() {
        let expression = json!(expression.replace("$__rate_interval", "5m"));
        let _ = writeln!(rules, "      - {{ record: panel:{index}, expr: {expression} }}");
    }
    let file = TemporaryFile::new("dashboard-rules.yml", rules);
    promtool(|command| _ = command.args(["check", "rules"]).arg(&file), b"");
}

#[tokio::test]
async fn promtool_has_no_fault_to_find_with_the_page() {
    let page = Observed::start().await.read().await;
    // It is silent about a page that is empty.
    assert!(page.body.len() > 10_000);
    promtool(|command| _ = command.args(["check", "metrics"]), &page.body);
}
