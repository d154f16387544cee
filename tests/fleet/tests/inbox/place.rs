//! A queue of either kind, and workers on it.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::BoxError;
use dataflow_webhooks::dedup::{DedupKey, DedupStore as _};
use futures_util::TryStreamExt as _;
use inbox::queue::{Dead, Item, Queue};
use inbox::{Job, Limits, Settings, Work, Worker};
use sqlx::{PgPool, SqlitePool};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use webhook_fleet_tests::calls::{key, terms};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::nats::Nats;
use webhook_fleet_tests::postgres::Postgres;
use webhook_tests::SECRET;

/// The program with the job that does what its event says.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-inbox");

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

/// A queue of either kind. Its tests have it for themselves.
pub(crate) enum Place {
    Sqlite(Folder),
    /// A database of a server that all tests share.
    Postgres(String),
    PostgresOfItsOwn(Box<Postgres>),
    Nats(Nats),
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(Folder::in_memory("fleet-inbox"))
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(POSTGRES.url_of("postgres", &POSTGRES.create_database()))
    }

    /// For tests that kill it.
    pub(crate) fn postgres_of_its_own() -> Self {
        Self::PostgresOfItsOwn(Box::new(Postgres::start(&[])))
    }

    pub(crate) fn nats() -> Self {
        Self::Nats(Nats::start())
    }

    /// What `QUEUE_URL` says.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/inbox.db", folder.path().display()),
            Self::Postgres(url) => url.clone(),
            Self::PostgresOfItsOwn(server) => server.url(),
            Self::Nats(server) => server.url(),
        }
    }

    /// Its server's port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Postgres(_) => POSTGRES.port(),
            Self::PostgresOfItsOwn(server) => server.port(),
            Self::Nats(server) => server.port(),
            Self::Sqlite(_) => panic!("it has no server"),
        }
    }

    /// SIGKILL to its server.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::PostgresOfItsOwn(server) => server.kill(),
            Self::Nats(server) => server.kill(),
            Self::Sqlite(_) | Self::Postgres(_) => panic!("it has no server of its own"),
        }
    }

    pub(crate) fn restart(&mut self) {
        match self {
            Self::PostgresOfItsOwn(server) => server.restart(),
            Self::Nats(server) => server.restart(),
            Self::Sqlite(_) | Self::Postgres(_) => panic!("it has no server of its own"),
        }
    }

    /// One job at a time, tried three times without a pause.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::of(&self.url());
        let limits = &mut settings.limits;
        (limits.workers, limits.max_attempts) = (1, 3);
        (limits.retry_after, limits.lease) = (Duration::ZERO, Duration::from_secs(2));
        settings
    }

    /// The queue, ready to be used.
    pub(crate) async fn queue(&self) -> Queue {
        self.queue_with(&self.settings()).await
    }

    /// A queue with these settings, ready to be used.
    pub(crate) async fn queue_with(&self, settings: &Settings) -> Queue {
        let queue = Queue::open(settings).await.unwrap();
        let end = Instant::now() + PATIENCE;
        while let Err(error) = is_made(&queue).await {
            assert!(Instant::now() < end, "{error}");
            sleep(Duration::from_millis(20)).await;
        }
        queue
    }

    /// How many events are in it, those included that were processed.
    pub(crate) async fn kept(&self) -> i64 {
        match self {
            Self::Sqlite(_) => {
                let pool = SqlitePool::connect(&self.url()).await.unwrap();
                let count = sqlx::query_scalar("SELECT count(*) FROM Jobs");
                count.fetch_one(&pool).await.unwrap()
            }
            Self::Postgres(_) | Self::PostgresOfItsOwn(_) => {
                let pool = PgPool::connect(&self.url()).await.unwrap();
                let count = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs");
                count.fetch_one(&pool).await.unwrap()
            }
            Self::Nats(server) => {
                let client = async_nats::connect(server.url()).await.unwrap();
                let stream = async_nats::jetstream::new(client).get_stream("webhooks").await;
                stream.unwrap().cached_info().state.messages.try_into().unwrap()
            }
        }
    }

    /// How many events its dedup store remembers.
    pub(crate) async fn remembered(&self) -> i64 {
        const COUNT: &str = "SELECT count(*) FROM dataflow_webhooks_dedup";
        match self {
            Self::Sqlite(_) => {
                let pool = SqlitePool::connect(&self.url()).await.unwrap();
                sqlx::query_scalar(COUNT).fetch_one(&pool).await.unwrap()
            }
            _ => {
                let pool = PgPool::connect(&self.url()).await.unwrap();
                sqlx::query_scalar(COUNT).fetch_one(&pool).await.unwrap()
            }
        }
    }

    /// The program with these arguments, on this queue, with the settings of this place.
    pub(crate) fn program(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).env_clear().env("DATAFLOW_WEBHOOK_SECRET", SECRET);
        command.env("BIND", "127.0.0.1:0").env("QUEUE_URL", self.url());
        command.env("MAX_ATTEMPTS", "3").env("RETRY_AFTER", "0").env("LEASE", "2");
        command
    }
}

/// What a receiver would put.
pub(crate) fn item(id: &str, body: impl Into<Bytes>) -> Item {
    let key = DedupKey::from_event_id(id);
    Item { key, body: body.into(), signed_with: "current".to_owned() }
}

/// Puts an event of this id.
pub(crate) async fn put(queue: &Queue, id: &str) {
    let body = dataflow_webhooks::testing::Sample::of("pipeline.created").id(id).body();
    queue.put(&item(id, body), None).await.unwrap();
}

/// The runs of a worker: the event's id, and which attempt it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<Vec<(String, u32)>>>);

impl Runs {
    pub(crate) fn note(&self, job: &Job) {
        self.0.lock().unwrap().push((job.event.id.clone(), job.attempt));
    }

    pub(crate) fn so_far(&self) -> Vec<(String, u32)> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for so many runs. Events that wait may be taken out in any order.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<(String, u32)> {
        let end = Instant::now() + PATIENCE;
        while self.so_far().len() < count {
            assert!(Instant::now() < end, "not {count} runs: {:?}", self.so_far());
            sleep(Duration::from_millis(5)).await;
        }
        self.so_far()
    }
}

/// Asks for what is made last of a queue: the table of its dedup store, where it has one.
async fn is_made(queue: &Queue) -> Result<(), BoxError> {
    match queue.dedup() {
        Some(store) => store.claim(&key("evt_first"), terms()).await.map(drop),
        None => all_dead(queue).await.map(drop),
    }
}

/// All events that were given up on.
pub(crate) async fn all_dead(queue: &Queue) -> Result<Vec<Dead>, BoxError> {
    queue.dead().try_collect().await
}

/// Waits until so many events were given up on.
pub(crate) async fn wait_for_dead(queue: &Queue, count: usize) -> Vec<Dead> {
    let end = Instant::now() + PATIENCE;
    loop {
        let dead = all_dead(queue).await.unwrap();
        if dead.len() == count {
            return dead;
        }
        assert!(Instant::now() < end, "{count} are not {dead:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A worker in this process.
pub(crate) struct Working {
    pub(crate) runs: Runs,
    stopping: CancellationToken,
    task: JoinHandle<Result<(), BoxError>>,
}

impl Working {
    /// Works on this queue: a job is this function of the event's id and its attempt.
    pub(crate) fn start(
        queue: &Queue,
        limits: Limits,
        job: impl Fn(&str, u32) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        let runs = Runs::default();
        let (job, written) = (Arc::new(job), runs.clone());
        let work = move |run: Job| {
            let (job, written) = (Arc::clone(&job), written.clone());
            let run = async move {
                written.note(&run);
                job(&run.event.id, run.attempt)
            };
            Box::pin(run) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        };
        Self::with(queue, limits, runs, Arc::new(work))
    }

    /// The same, with any function, which notes its runs by itself.
    pub(crate) fn with(queue: &Queue, limits: Limits, runs: Runs, work: Work) -> Self {
        let stopping = CancellationToken::new();
        let worker = Worker::new(work, limits);
        let (queue, stop) = (queue.clone(), stopping.clone());
        let task = tokio::spawn(async move {
            loop {
                match queue.work(&worker, &stop).await {
                    // As the program does: a server may be away for a while.
                    Err(error) if !stop.is_cancelled() => eprintln!("the queue: {error}"),
                    done => return done,
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
        Self { runs, stopping, task }
    }

    /// Lets its jobs end.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A run.
pub(crate) fn run(id: &str, attempt: u32) -> (String, u32) {
    (id.to_owned(), attempt)
}
