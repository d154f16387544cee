//! One receiver of a fleet, made to be killed: it writes down what it and its store do.
//!
//! Arguments, as `name=value`: `store` (a URL), `bind` (the address to listen on),
//! `history` (the file to write into), `seed` and `calm_at` (what its handler does, and
//! until when on the clock of the histories), `answer_within` in milliseconds, and `anyway`
//! (`true`: events are handled while the store is away). On SIGTERM it stops as the
//! documentation advises. `GET /counts` tells what its endpoint has counted.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use dataflow_webhooks::{DedupStore, Delivery, OnStoreFailure, StoreOperation};
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use dataflow_webhooks_redis::RedisStore;
use dataflow_webhooks_sqlx::{PostgresStore, SqliteStore};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use webhook_fleet_tests::fleet::{LEASE, LONGEST_RUN, SCOPE};
use webhook_fleet_tests::history::{Recorder, What, now, watch_for_stalls};
use webhook_fleet_tests::recording::RecordingStore;
use webhook_tests::Chance;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_ansi(false)
        .init();
    let mut terminate = signal(SignalKind::terminate())?;
    let arguments = Arguments::read()?;
    let history = Arc::new(Recorder::open(arguments.text("history")?.as_ref())?);
    watch_for_stalls(history.clone(), Some(std::process::id()));

    let store = RecordingStore::new(store(&arguments).await?, history.clone(), LEASE);
    let answer_within = Duration::from_millis(arguments.get("answer_within")?);
    let on_failure = match arguments.get("anyway")? {
        true => OnStoreFailure::ProcessAnyway,
        false => OnStoreFailure::Refuse,
    };
    let endpoint = webhook_tests::endpoint()
        .dedup(store)
        .on_store_failure(on_failure)
        .lease(Duration::from_secs(5))
        .answer_within(answer_within)
        .body_within(answer_within)
        .build()?;

    let (seed, calm_at) = (arguments.get("seed")?, arguments.get("calm_at")?);
    let begun = Arc::new(AtomicU64::new(0));
    let begins = begun.clone();
    let handle = move |WebhookDelivery(delivery): WebhookDelivery| {
        let history = history.clone();
        begins.fetch_add(1, Ordering::Relaxed);
        async move { run(&delivery, &history, Conduct::of(&delivery, seed, calm_at)).await }
    };
    let counted = endpoint.clone();
    let counts = move || async move {
        let counts = counted.counts();
        Json(json!({
            "begun": begun.load(Ordering::Relaxed),
            "succeeded": counts.handlers_succeeded,
            "lease_lost": counts.lease_lost,
            "processed_anyway": counts.processed_anyway,
            "pending_commits": counts.pending_commits,
            "claims_failed": counts.store_errors(StoreOperation::Claim),
        }))
    };
    let layer = WebhookLayer::new(endpoint.clone());
    let app = Router::new()
        .route("/webhooks/dataflow", post(handle).route_layer(layer))
        .route("/counts", get(counts));

    let listener = listen(arguments.get("bind")?).await?;
    let stop = async move {
        terminate.recv().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    endpoint.drain().await;
    Ok(())
}

struct Arguments(HashMap<String, String>);

impl Arguments {
    fn read() -> Result<Self, Failure> {
        let pairs = std::env::args().skip(1).map(|argument| {
            let (name, value) = argument.split_once('=').ok_or(format!("{argument}: no ="))?;
            Ok((name.to_owned(), value.to_owned()))
        });
        pairs.collect::<Result<_, Failure>>().map(Self)
    }

    fn text(&self, name: &str) -> Result<&str, Failure> {
        Ok(self.0.get(name).ok_or(format!("{name} is missing"))?)
    }

    fn get<T: FromStr<Err: Into<Failure>>>(&self, name: &str) -> Result<T, Failure> {
        self.text(name)?.parse().map_err(Into::into)
    }
}

/// The store of this URL. It may be away for the moment.
async fn store(arguments: &Arguments) -> Result<Arc<dyn DedupStore>, Failure> {
    let url = arguments.text("store")?;
    let (scheme, rest) = url.split_once("://").ok_or("the store's URL has no scheme")?;
    Ok(match scheme {
        "redis" => Arc::new(RedisStore::connect_lazy(url, SCOPE)?),
        "postgres" => Arc::new(PostgresStore::connect_lazy(url, SCOPE)?),
        "sqlite" => Arc::new(SqliteStore::open(rest, SCOPE).await?),
        other => return Err(format!("no store has the scheme {other}").into()),
    })
}

/// What was before on this address may not be gone entirely.
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpListener::bind(address).await {
            Err(_) if Instant::now() < patience => sleep(Duration::from_millis(20)).await,
            done => return done,
        }
    }
}

/// What the handler does with one run of an event.
struct Conduct {
    takes: Duration,
    end: End,
}

enum End {
    Succeeds,
    Fails,
    Panics,
}

impl Conduct {
    /// An id that ends in `_takes_N` takes N milliseconds. With any other one, most runs
    /// are quick, and some of the first two are not; all are from `calm_at` on.
    fn of(delivery: &Delivery, seed: u64, calm_at: u64) -> Self {
        let (id, epoch) = (delivery.id(), delivery.epoch().unwrap_or_default());
        let told = id.rsplit_once("_takes_").and_then(|(_, time)| time.parse().ok());
        if let Some(time) = told {
            return Self { takes: Duration::from_millis(time), end: End::Succeeds };
        }
        let seed = id
            .bytes()
            .fold(seed ^ epoch, |seed, byte| Chance::from_seed(seed ^ u64::from(byte)).number());
        let mut chance = Chance::from_seed(seed);
        let mut between = |least: usize, most: usize| {
            Duration::from_millis((least + chance.below(most - least)) as u64)
        };
        let quick = between(0, 50);
        let is_odd = epoch <= 2 && now() < calm_at;
        let (takes, end) = match between(0, 100).as_millis() {
            0..8 if is_odd => (quick, End::Fails),
            8..9 if is_odd => (quick, End::Panics),
            // Longer than the sender is let wait.
            9..13 if is_odd => (between(600, 1_200), End::Succeeds),
            // Longer than the lease.
            13..14 if is_odd => (between(3_300, LONGEST_RUN.as_millis() as usize), End::Succeeds),
            _ => (quick, End::Succeeds),
        };
        Self { takes, end }
    }
}

async fn run(delivery: &Delivery, history: &Recorder, conduct: Conduct) -> StatusCode {
    let (id, epoch) = (delivery.id().to_owned(), delivery.epoch().unwrap_or_default());
    history.record(What::RunBegan { id: id.clone(), epoch });
    sleep(conduct.takes).await;
    let ok = matches!(conduct.end, End::Succeeds);
    history.record(What::RunEnded { id, epoch, ok });
    match conduct.end {
        End::Succeeds => StatusCode::OK,
        End::Fails => StatusCode::INTERNAL_SERVER_ERROR,
        End::Panics => panic!("as it was told to"),
    }
}
