//! The program, running, and what its page says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dataflow_webhooks::testing::Sample;
use webhook_tests::{Answer, Example, Request};

/// A file beside the program's sources.
pub(crate) fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observability").join(name)
}

/// What stands in it.
pub(crate) fn file(name: &str) -> String {
    let path = path_of(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program with the secret of the tests and a free port for the page.
pub(crate) fn command() -> Command {
    let mut command = Example::with_secret("observability");
    command.env("METRICS_BIND", "127.0.0.1:0");
    command
}

/// The program, running.
pub(crate) struct Observed {
    pub(crate) program: Example,
    /// Where deliveries go.
    pub(crate) address: SocketAddr,
    /// Where the page is.
    pub(crate) page: SocketAddr,
}

impl Observed {
    pub(crate) async fn start() -> Self {
        Self::start_with(&mut command(), Stdio::piped()).await
    }

    pub(crate) async fn start_with(command: &mut Command, stdout: Stdio) -> Self {
        let mut program = Example::start_with_stdout(command, stdout);
        let address = program.address().await;
        let line = program.logged("metrics on ").await;
        let page = line.rsplit_once("http://").and_then(|(_, rest)| rest.split_once('/'));
        let page = page.and_then(|(address, _)| address.parse().ok());
        Self { program, address, page: page.unwrap_or_else(|| panic!("no address: {line}")) }
    }

    /// The status that a delivery is answered with.
    pub(crate) async fn deliver(&self, request: &Request) -> u16 {
        request.send(self.address).await.unwrap().status
    }

    /// The answer to a reading of the page.
    pub(crate) async fn read(&self) -> Answer {
        get("/metrics", self.page).await
    }

    /// What the page says now.
    pub(crate) async fn metrics(&self) -> Metrics {
        let answer = self.read().await;
        assert_eq!(answer.status, 200);
        Metrics::of(&answer.text())
    }
}

pub(crate) async fn get(path: &str, from: SocketAddr) -> Answer {
    let mut request = Request::unsigned("").method("GET");
    request.path = path.into();
    request.send(from).await.unwrap()
}

/// What the page says once there was a delivery: the names that files ask for are
/// looked up here.
pub(crate) async fn after_a_delivery() -> Metrics {
    let observed = Observed::start().await;
    let delivery = Request::signed(Sample::of("pipeline.run.completed").body());
    assert_eq!(observed.deliver(&delivery).await, 200);
    observed.metrics().await
}

/// What a page of metrics says.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) families: BTreeSet<String>,
    pub(crate) samples: Vec<Sampled>,
}

/// One line of it.
#[derive(Debug)]
pub(crate) struct Sampled {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text format, for pages whose label values hold no quotes.
    pub(crate) fn of(page: &str) -> Self {
        let (mut families, mut samples) = (BTreeSet::new(), Vec::new());
        for line in page.lines().filter(|line| !line.is_empty()) {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                families.extend(family.split(' ').next().map(str::to_owned));
            }
            if line.starts_with('#') {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect("the end of the labels").split(',');
            let pair = |label: &str| {
                let (name, value) = label.split_once('=').expect("a label");
                (name.to_owned(), value.trim_matches('"').to_owned())
            };
            let labels = labels.filter(|label| !label.is_empty()).map(pair).collect();
            let value = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            samples.push(Sampled { name: name.to_owned(), labels, value });
        }
        Self { families, samples }
    }

    /// The sum of all samples of this name, without its `dataflow_webhooks_`, that
    /// have these labels. There has to be one.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let name = format!("dataflow_webhooks_{name}");
        let fits = |sample: &&Sampled| {
            let has = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|found| found == value)
            };
            sample.name == name && labels.iter().all(has)
        };
        let found: Vec<f64> = self.samples.iter().filter(fits).map(|sample| sample.value).collect();
        assert!(!found.is_empty(), "no {name} with {labels:?}");
        found.iter().sum()
    }
}
