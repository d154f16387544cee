//! How soon `examples/inbox` answers while the work of each event takes long.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::BoxError;
use dataflow_webhooks::testing::Sample;
use inbox::Job;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::nats::Nats;
use webhook_fleet_tests::postgres::Postgres;
use webhook_tests::{Example, Request, SECRET};

use crate::figures::Figures;

/// The argument that makes this program measure that, and the one that makes it the inbox.
pub(crate) const MEASURE: &str = "inbox";
pub(crate) const RUN: &str = "run-inbox";

const USAGE: &str = "\
cargo xtask bench-inbox [--seconds N]

  --seconds N    so long for each queue; 1 to 3600, 60 unless told
";

/// The most that the platform sends ("Rate Limits").
const EVENTS_PER_SECOND: u32 = 100;

/// What one job takes.
const JOB: Duration = Duration::from_secs(10);

/// As many jobs as are under way when the workers keep up.
const WORKERS: &str = "1000";

/// The inbox, with a job that takes long.
pub(crate) async fn run(arguments: impl Iterator<Item = String>) -> ! {
    inbox::run("bench-stores", arguments, async |_: Job| {
        tokio::time::sleep(JOB).await;
        Ok(())
    })
    .await
}

/// What the command line says, measured and printed.
pub(crate) fn measure(arguments: &[String]) -> Result<ExitCode, BoxError> {
    let seconds = match arguments {
        [] => Some(60),
        [name, value] if name == "--seconds" => value.parse().ok(),
        _ => None,
    };
    let Some(seconds) = seconds.filter(|seconds| (1..=3_600).contains(seconds)) else {
        eprint!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let events = seconds * EVENTS_PER_SECOND;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = Folder::new("bench-inbox");
    let (postgres, nats) = (Postgres::start(&["fsync=on"]), Nats::start());
    let file = format!("sqlite://{}/inbox.db", folder.path().display());
    println!(
        "{events} events, {EVENTS_PER_SECOND} a second; a job takes {JOB:?}, {WORKERS} at once, \
         in the receiver's own process"
    );
    println!("queue        answered 200   not   median    99 %     all (ms)");
    for (name, url) in [("SQLite", file), ("PostgreSQL", postgres.url()), ("NATS", nats.url())] {
        let (times, others) = runtime.block_on(answers(&url, events))?;
        let [median, most, all] = [0.5, 0.99, 1.0].map(|share| times.at(share));
        let count = times.count();
        println!("{name:<12} {count:>12} {others:>5} {median:>8.1} {most:>7.1} {all:>8.1}");
    }
    Ok(ExitCode::SUCCESS)
}

/// How long each answer took, in milliseconds, and how many were not 200.
async fn answers(url: &str, events: u32) -> Result<(Figures, u32), BoxError> {
    // It ends with this process, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe()?).arg(RUN);
    command.env("BIND", "127.0.0.1:0").env("DATAFLOW_WEBHOOK_SECRET", SECRET);
    command.env("QUEUE_URL", url).env("WORKERS", WORKERS).env("RUST_LOG", "info");
    let mut program = Example::start_with_stdout(&mut command, Stdio::null());
    let address = program.address().await;
    let first = Request::signed(Sample::of("pipeline.created").body());
    while first.send(address).await?.status != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let mut ticks = interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    for _ in 0..events {
        ticks.tick().await;
        under_way.spawn(async move {
            let request = Request::signed(Sample::of("pipeline.run.completed").body());
            let began = Instant::now();
            let answer = request.send(address).await?;
            Ok::<_, BoxError>((began.elapsed(), answer.status))
        });
    }
    let (mut times, mut others) = (Figures::default(), 0);
    while let Some(answer) = under_way.join_next().await {
        match answer? {
            Ok((time, 200)) => times.add(time.as_secs_f64() * 1_000.0),
            Ok(_) | Err(_) => others += 1,
        }
    }
    Ok((times, others))
}
