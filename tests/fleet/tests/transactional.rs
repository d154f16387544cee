//! `examples/transactional`: its totals are right after any crash. Each rule on PostgreSQL
//! and on SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, PipeReader, Read as _, Write as _, pipe};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::{Claim, DedupStore, Held};
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_sqlx::{PostgresStore, SqliteStore};
use rustix::io::ioctl_fionbio;
use sqlx::{PgPool, Row as _, SqlitePool};
use tokio::time::sleep;
use webhook_fleet_tests::calls::{key, new_claim, terms};
use webhook_fleet_tests::history::{Recorder, What, read};
use webhook_fleet_tests::kept::{Folder, Kept, free_port, within};
use webhook_fleet_tests::platform::Platform;
use webhook_fleet_tests::postgres::Postgres;
use webhook_tests::{Chance, Example, Request, SECRET};

const PROGRAM: &str = "transactional";

/// The endpoint's name in the store.
const SCOPE: &str = "pipeline_totals";

/// Runs and records of each pipeline.
type Totals = BTreeMap<String, (i64, i64)>;

/// A database of either kind, seen from beside the program.
enum Place {
    Postgres(Box<Postgres>, PgPool),
    Sqlite(Folder, SqlitePool),
}

impl Place {
    fn postgres() -> Self {
        let server = Postgres::start(&[]);
        let pool = PgPool::connect_lazy(&server.url()).unwrap();
        Self::Postgres(Box::new(server), pool)
    }

    fn sqlite() -> Self {
        let folder = Folder::in_memory("fleet-totals");
        let options = SqliteStore::options(folder.path().join("totals.db"));
        Self::Sqlite(folder, SqlitePool::connect_lazy_with(options))
    }

    /// What `DATABASE_URL` says.
    fn url(&self) -> String {
        match self {
            Self::Postgres(server, _) => server.url(),
            Self::Sqlite(folder, _) => {
                format!("sqlite://{}", folder.path().join("totals.db").display())
            }
        }
    }

    /// The store that the program's endpoint has.
    fn store(&self) -> Arc<dyn DedupStore> {
        match self {
            Self::Postgres(_, pool) => Arc::new(PostgresStore::new(pool.clone(), SCOPE).unwrap()),
            Self::Sqlite(_, pool) => Arc::new(SqliteStore::new(pool.clone(), SCOPE).unwrap()),
        }
    }

    async fn execute(&self, sql: &'static str) {
        match self {
            Self::Postgres(_, pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
            Self::Sqlite(_, pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
        }
    }

    /// One number, when the tables are there.
    async fn number(&self, sql: &'static str) -> Option<i64> {
        match self {
            Self::Postgres(_, pool) => sqlx::query_scalar(sql).fetch_one(pool).await.ok(),
            Self::Sqlite(_, pool) => sqlx::query_scalar(sql).fetch_one(pool).await.ok(),
        }
    }

    async fn totals(&self) -> Totals {
        let sql = "SELECT pipeline_id, runs, records FROM pipeline_totals";
        macro_rules! read {
            ($pool:expr) => {{
                let rows = sqlx::query(sql).fetch_all($pool).await.unwrap();
                rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
            }};
        }
        match self {
            Self::Postgres(_, pool) => read!(pool),
            Self::Sqlite(_, pool) => read!(pool),
        }
    }

    /// The program on this database; its tables are there.
    async fn start(&self, stdout: Stdio) -> (Example, SocketAddr) {
        let mut command = Example::with_secret(PROGRAM);
        let mut program =
            Example::start_with_stdout(command.env("DATABASE_URL", self.url()), stdout);
        let address = program.address().await;
        self.until_it_is(1, "SELECT count(*) + 1 FROM dataflow_webhooks_dedup").await;
        (program, address)
    }

    /// Waits until the answer to this question is at least so much.
    async fn until_it_is(&self, least: i64, sql: &'static str) {
        let patience = Instant::now() + Duration::from_secs(60);
        while self.number(sql).await.is_none_or(|number| number < least) {
            assert!(Instant::now() < patience, "{sql} is not {least}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Makes of `async fn rule(place: Place)` a test on each kind of database.
macro_rules! on_each_database {
    ($($rule:ident),+ $(,)?) => { $(
        mod $rule {
            use super::{Place, $rule};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                $rule(Place::postgres()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                $rule(Place::sqlite()).await;
            }
        }
    )+ };
}

on_each_database! {
    the_totals_are_right_after_any_crash,
    a_run_whose_claim_was_lost_leaves_no_trace_and_a_later_one_counts_once,
    a_transaction_that_fails_at_its_end_leaves_nothing_and_the_event_comes_again,
}

const EVENTS: usize = 1_000;
const EVENTS_PER_SECOND: u32 = 100;

/// A minute of the platform's: between the first attempt at an event and the last one there
/// are 441 of them, and in these 44 s a lease of 30 s lapses after the last crash.
const MINUTE: Duration = Duration::from_millis(100);

/// A completed run whose records no other set of events adds up to by chance.
fn completed_run(number: usize) -> Sample {
    Sample::of("pipeline.run.completed")
        .data("pipeline_id", format!("pipe_{}", number % 7))
        .data("records_processed", 1 + number * number % 9_973)
}

fn expected() -> Totals {
    let mut totals = Totals::new();
    for number in 0..EVENTS {
        let total = totals.entry(format!("pipe_{}", number % 7)).or_default();
        total.0 += 1;
        total.1 += i64::try_from(1 + number * number % 9_973).unwrap();
    }
    totals
}

async fn the_totals_are_right_after_any_crash(mut place: Place) {
    let seed = Chance::seed_of_this_run();
    let mut chance = Chance::from_seed(seed);
    let folder = Folder::new("fleet-transactional");
    let mut program = Killed::start(&place, &folder);
    let file = folder.path().join("sender.history");
    let history = Arc::new(Recorder::open(&file).unwrap());
    let platform = Platform {
        receivers: vec![program.address],
        events: EVENTS,
        events_per_second: EVENTS_PER_SECOND,
        minute: MINUTE,
        patience: Duration::from_millis(700),
        double_one_in: 4,
        sample: completed_run,
        seed,
    };
    let ids: BTreeSet<String> = (0..EVENTS).map(|number| platform.id(number)).collect();

    let end = Instant::now() + Duration::from_secs(1) * EVENTS as u32 / EVENTS_PER_SECOND;
    let mut kills = 0;
    let breaking = tokio::task::spawn_blocking(move || {
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20 + chance.below(400) as u64));
            kills += 1;
            if let (Place::Postgres(server, _), 5) = (&mut place, kills) {
                server.kill();
                server.restart();
            } else {
                program.kill();
                program.restart();
            }
        }
        (place, program, kills)
    });
    platform.clone().run(history).await;
    let (place, program, kills) = breaking.await.unwrap();
    assert!(kills > 10, "{kills}");

    let records = read([file]).unwrap();
    let said_done = |what: &What| match what {
        What::Answered { id, status: Some(200), .. } => Some(id.clone()),
        _ => None,
    };
    let done: BTreeSet<_> = records.iter().filter_map(|record| said_done(&record.what)).collect();
    let attempts = records.iter().filter(|record| matches!(record.what, What::Sent { .. }));
    eprintln!("{kills} kills, {} attempts at {EVENTS} events", attempts.count());
    assert_eq!(ids.difference(&done).collect::<Vec<_>>(), [""; 0], "{}", program.log());
    assert_eq!(place.totals().await, expected(), "{}", program.log());

    for number in 0..EVENTS {
        let body = completed_run(number).id(&platform.id(number)).body();
        let answer = Request::signed(body).send(program.address).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(place.totals().await, expected(), "duplicates were counted");
}

/// The program, killed and started again on an address that it keeps.
struct Killed {
    address: SocketAddr,
    arguments: Vec<String>,
    log: std::path::PathBuf,
    process: Option<Kept>,
}

impl Killed {
    fn start(place: &Place, folder: &Folder) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let arguments = vec![
            "-i".to_owned(),
            format!("BIND={address}"),
            format!("DATABASE_URL={}", place.url()),
            format!("DATAFLOW_WEBHOOK_SECRET={SECRET}"),
            "RUST_LOG=warn".to_owned(),
            Example::path(PROGRAM).to_str().unwrap().to_owned(),
        ];
        let log = folder.path().join("log");
        let mut program = Self { address, arguments, log, process: None };
        program.restart();
        program
    }

    fn kill(&mut self) {
        self.process = None;
    }

    fn restart(&mut self) {
        self.kill();
        let mut process = Kept::start("env", &self.arguments, &self.log, "coreutils");
        let is_up = || std::net::TcpStream::connect(self.address).is_ok();
        let patience = Duration::from_secs(60);
        assert!(within(patience, || process.has_ended() || is_up()), "{}", self.log());
        assert!(!process.has_ended(), "{}", self.log());
        self.process = Some(process);
    }

    /// The end of what it has written.
    fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4_000)..]).into_owned()
    }
}

/// A stdout that is full: whoever prints waits until it is read.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    let full = loop {
        if let Err(error) = writer.write(&[b'\n'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer.into())
}

async fn a_run_whose_claim_was_lost_leaves_no_trace_and_a_later_one_counts_once(place: Place) {
    let (mut reader, stdout) = full_pipe();
    let (_program, address) = place.start(stdout).await;
    let request = Request::signed(completed_run(1).id("evt_1").body());
    let first = tokio::spawn(async move { request.send(address).await.unwrap() });
    // It has its claim, and waits with its line: the transaction has not begun.
    place.until_it_is(1, "SELECT count(*) FROM dataflow_webhooks_dedup").await;

    // Another process takes over, as if the lease had lapsed.
    let store = place.store();
    let lost = Claim::new(key("evt_1"), 1);
    assert_eq!(store.release(&lost, terms()).await.unwrap(), Held::Yes);
    let taken = new_claim(&store, "evt_1").await;
    assert_eq!(taken.epoch(), 2);

    std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    let answer = first.await.unwrap();
    assert!(answer.status >= 500, "{answer:?}");
    assert_eq!(place.totals().await, Totals::new());
    assert_eq!(store.release(&taken, terms()).await.unwrap(), Held::Yes);
    for _ in 0..2 {
        let request = Request::signed(completed_run(1).id("evt_1").body());
        assert_eq!(request.send(address).await.unwrap().status, 200);
        assert_eq!(place.totals().await, Totals::from([("pipe_1".to_owned(), (1, 2))]));
    }
}

async fn a_transaction_that_fails_at_its_end_leaves_nothing_and_the_event_comes_again(
    place: Place,
) {
    // A foreign key that is looked at when the transaction ends: both of its writes are in it.
    place
        .execute(
            "CREATE TABLE pipelines (id text PRIMARY KEY);
             CREATE TABLE pipeline_totals (
                pipeline_id text PRIMARY KEY
                    REFERENCES pipelines (id) DEFERRABLE INITIALLY DEFERRED,
                runs bigint NOT NULL,
                records bigint NOT NULL
             )",
        )
        .await;
    let (program, address) = place.start(Stdio::piped()).await;
    let request = Request::signed(completed_run(1).id("evt_1").body());
    assert_eq!(request.send(address).await.unwrap().status, 500);
    assert!(program.log().contains("comes again"), "{}", program.log());
    assert_eq!(place.totals().await, Totals::new());

    place.execute("INSERT INTO pipelines VALUES ('pipe_1')").await;
    for _ in 0..2 {
        assert_eq!(request.send(address).await.unwrap().status, 200);
        assert_eq!(place.totals().await, Totals::from([("pipe_1".to_owned(), (1, 2))]));
    }
}
