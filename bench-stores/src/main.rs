//! `cargo xtask bench-stores`: what the dedup stores cost, on real servers that this starts
//! itself: time and size of a record, and deliveries a second beside what the servers'
//! own tools reach. And `cargo xtask bench-inbox`: how soon `examples/inbox` answers.
//!
//! This file owns the command line and the order in which things are measured.

mod cpu;
mod deliveries;
mod disk;
mod figures;
mod inbox;
mod operations;
mod plot;
mod report;
mod results;
mod sizes;
mod stores;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dataflow_webhooks::dedup::BoxError;
use tokio::runtime::{Builder, Runtime};

use crate::deliveries::Receiver;
use crate::operations::Keys;
use crate::results::Results;
use crate::stores::{Kind, Servers, Stores};
use crate::tools::Pairs;

const USAGE: &str = "\
cargo xtask bench-stores [--rounds N] [--plot FILE]

  --rounds N    so many rounds, each of about 20 s; 1 to 100, 6 unless told
  --plot FILE   where the picture goes; docs/stores-latency.svg unless told
";

/// How many deliveries, or clients of a tool, are under way at once.
const AT_ONCE: usize = 32;
/// What a round gives to each store: four times this.
const SLICE: Duration = Duration::from_millis(400);
/// What a round gives to each receiver, and to pgbench.
const DELIVERIES: Duration = Duration::from_millis(1_500);
const PGBENCH_SECONDS: u64 = 2;

struct Options {
    rounds: usize,
    plot: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == inbox::MEASURE => {
            return inbox::measure(rest).unwrap_or_else(|error| failed(&error));
        }
        Some((first, rest)) if first == inbox::RUN || first == deliveries::RECEIVE => {
            return match Builder::new_multi_thread().enable_all().build() {
                Ok(runtime) if first == inbox::RUN => {
                    runtime.block_on(inbox::run(rest.iter().cloned()))
                }
                Ok(runtime) => runtime.block_on(deliveries::receive()),
                Err(error) => failed(&error.into()),
            };
        }
        _ => {}
    }
    let options = match Options::read(arguments.into_iter()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(results) => {
            print!("{}", report::text(&results));
            match plot::draw(&results, &options.plot) {
                Ok(()) => println!("\nDrawn: {}", options.plot.display()),
                Err(error) => return failed(&error.to_string().into()),
            }
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &BoxError) -> ExitCode {
    eprintln!("bench-stores: {error}");
    ExitCode::FAILURE
}

fn measure(options: &Options) -> Result<Results, BoxError> {
    let runtime = runtime()?;
    let servers = Servers::start();
    let mut keys = Keys::new();
    let mut results = Results::new(AT_ONCE);
    runtime.block_on(async {
        let stores = Stores::connect(&servers).await?;
        eprintln!("bytes for each record …");
        for (kind, of) in results.stores_mut() {
            of.bytes = sizes::measure(kind, &servers, &stores, &mut keys).await?;
        }
        let receivers = [
            (Kind::Memory, Receiver::start("memory:").await?),
            (Kind::Redis, Receiver::start(&servers.redis.url()).await?),
            (Kind::Postgres, Receiver::start(&servers.postgres.url()).await?),
        ];
        for round in 1..=options.rounds {
            eprintln!("round {round} of {} …", options.rounds);
            disk::measure(servers.folder.path(), &mut results.sync)?;
            let mut order: Vec<_> = results.stores_mut().collect();
            order.rotate_left(round % Kind::ALL.len());
            for (kind, of) in order {
                of.times.measure(&stores.get(kind), &mut keys, SLICE, AT_ONCE).await?;
            }
            for (kind, of) in results.receivers_mut() {
                let Some((_, receiver)) = receivers.iter().find(|(other, _)| *other == kind) else {
                    continue;
                };
                let tool = tool(kind, &servers, &stores).await?;
                let cpu = server_cpu(kind, &servers);
                let run = receiver.deliver(&mut keys, AT_ONCE, DELIVERIES).await?;
                of.add(&run, server_cpu(kind, &servers) - cpu, tool);
            }
        }
        Ok(results)
    })
}

/// One thread: that many calls are under way does not mean that many processors work.
fn runtime() -> Result<Runtime, BoxError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn tool(kind: Kind, servers: &Servers, stores: &Stores) -> Result<Option<Pairs>, BoxError> {
    match kind {
        Kind::Redis => tools::redis_pairs(&servers.redis, AT_ONCE).map(Some),
        Kind::Postgres => {
            tools::postgres_pairs(servers, stores, AT_ONCE, PGBENCH_SECONDS).await.map(Some)
        }
        _ => Ok(None),
    }
}

fn server_cpu(kind: Kind, servers: &Servers) -> Duration {
    match kind {
        Kind::Redis => cpu::of_tree(servers.redis.id()),
        Kind::Postgres => cpu::of_tree(servers.postgres.id()),
        _ => Duration::ZERO,
    }
}

impl Options {
    /// `None` where help was asked for.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self { rounds: 6, plot: PathBuf::from("docs/stores-latency.svg") };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => {
                    let text = value()?;
                    let rounds = text.parse().ok().filter(|rounds| (1..=100).contains(rounds));
                    options.rounds =
                        rounds.ok_or(format!("--rounds is {text}; 1 to 100 are allowed"))?;
                }
                "--plot" => options.plot = value()?.into(),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("what is {argument}?")),
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_out_of_its_range_is_refused_with_the_range() {
        let error = Options::read(["--rounds", "101"].map(String::from).into_iter());
        assert_eq!(error.err().unwrap(), "--rounds is 101; 1 to 100 are allowed");
    }

    #[test]
    fn the_usage_fits_into_80_columns() {
        assert!(USAGE.lines().all(|line| line.chars().count() <= 80));
    }
}
