//! The page of metrics: what is recorded in which buckets, and where it is read.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use receiver::Failure;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

/// The variable with the address and port of the page.
const BIND: &str = "METRICS_BIND";

/// The upper bounds of the histograms' buckets, in seconds. Without any, there
/// would be quantiles of this one process, which cannot be added up.
const BUCKETS: [(&str, &[f64]); 4] = [
    // At 4.5 s the sender is told to come again, at 4 s it is time to worry; the
    // longest run is 5 minutes.
    (
        "dataflow_webhooks_handler_seconds",
        &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 30.0, 300.0],
    ),
    // A call is given up after 2 s.
    ("dataflow_webhooks_store_seconds", &[0.000_1, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0]),
    // 59, 359, 1259, 4859 and 26459 s end a second before an attempt that follows
    // a failure, so each attempt has a range of its own.
    ("dataflow_webhooks_lag_seconds", &[1.0, 5.0, 15.0, 59.0, 359.0, 1259.0, 4859.0, 26459.0]),
    // Both ends of the tolerance are 300 s.
    (
        "dataflow_webhooks_skew_seconds",
        &[-120.0, -60.0, -30.0, -5.0, -1.0, 1.0, 5.0, 30.0, 60.0, 120.0, 240.0],
    ),
];

/// How often the values of the histograms are put into their buckets when nobody
/// reads the page: they would pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// What is recorded can be read with this, unless it could not be set up.
pub(crate) type Recording = Result<PrometheusHandle, BuildError>;

/// Records all metrics of this process from now on.
pub(crate) fn record() -> Recording {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)?;
    }
    builder.install_recorder()
}

/// Serves `/metrics` from now on and until the process ends, so that the last
/// readings tell of the drain.
///
/// It has a listener of its own: how many deliveries fail, and under which key they
/// are signed, is nothing for the public.
pub(crate) async fn serve(recording: Recording) -> Result<(), Failure> {
    let recording = recording.map_err(Failure::at_run_time)?;
    let bind = receiver::address(BIND, SocketAddr::from(([127, 0, 0, 1], 9000)))?;
    let cannot = |error| Failure::at_run_time(format!("{BIND}: cannot listen on {bind}: {error}"));
    let listener = TcpListener::bind(bind).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    info!("metrics on http://{address}/metrics");

    tokio::spawn(upkeep(recording.clone()));
    let read = async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4")], recording.render());
    let page = Router::new().route("/metrics", get(read));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, page).await {
            error!("the page of metrics is no longer served: {error}");
        }
    });
    Ok(())
}

async fn upkeep(recording: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        recording.run_upkeep();
    }
}
