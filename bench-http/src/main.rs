//! `cargo xtask bench-http`: CPU time per request of receivers of one 400-byte
//! delivery, over an in-memory connection, side by side in the same run.
//!
//! This file owns the command line and the order in which things are measured.

mod apps;
mod deliveries;
mod figures;
mod report;
mod wire;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use apps::App;
use dataflow_webhooks::MemoryStore;
use deliveries::Batch;
use figures::Samples;

const USAGE: &str = "\
cargo xtask bench-http [--rounds N] [--seconds N] [--records N] [--only ROW]

  --rounds N    at most so many rounds of 256 requests per row; 1 to 100000,
                1000 unless told
  --seconds N   at most so long; 1 to 600 s, 40 s unless told
  --records N   so many events fill the dedup stores; 1000 to 1000000, 250000
                (the default of a MemoryStore) unless told
  --only ROW    one row alone, for a profiler; the rows are
";

/// Requests of each row in one round: short enough for a noisy neighbour to
/// spoil few rounds, long enough for the clock's own cost to vanish.
const REQUESTS: usize = 256;

/// Requests before the clock starts on a new connection.
const WARM_UP: usize = 16;

/// Rounds at the start that are not counted.
const WARM_UP_ROUNDS: usize = 5;

struct Options {
    rounds: usize,
    time: Duration,
    records: NonZeroUsize,
    only: Option<App>,
}

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", usage());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("{error}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(samples) => {
            print!("{}", report::table(&samples));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Every row once per round, each round in another order.
fn measure(options: &Options) -> Result<Samples, String> {
    let runtime = runtime()?;
    let apps: Vec<App> = match options.only {
        Some(app) => vec![app],
        None => App::ALL.to_vec(),
    };
    let mut rows: Vec<_> =
        apps.iter().map(|app| (*app, app.serve(&runtime, options.records))).collect();
    let mut samples = Samples::new(apps);
    let mut dice = Dice::new();
    let started = Instant::now();
    for round in 0..options.rounds + WARM_UP_ROUNDS {
        if started.elapsed() >= options.time {
            break;
        }
        let batch = Batch::sign(REQUESTS + WARM_UP);
        dice.shuffle(&mut rows);
        let mut times = Vec::new();
        for (app, service) in &rows {
            let time = runtime.block_on(service.drive(batch.requests(*app), WARM_UP));
            times.push((*app, time.map_err(|error| format!("{}: {error}", app.name()))?));
        }
        if round >= WARM_UP_ROUNDS {
            for (app, time) in times {
                samples.add(app, time.as_secs_f64() * 1e6 / REQUESTS as f64);
            }
        }
    }
    Ok(samples)
}

/// One thread, and no I/O driver: nothing here asks the kernel for anything.
fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())
}

impl Options {
    /// `None` where help was asked for.
    fn read(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            rounds: 1000,
            time: Duration::from_secs(40),
            records: MemoryStore::new().capacity(),
            only: None,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = number(&arg, &value()?, 1, 100_000)?,
                "--seconds" => {
                    let seconds = number(&arg, &value()?, 1, 600)?;
                    options.time = Duration::from_secs(seconds as u64);
                }
                "--records" => {
                    let records = number(&arg, &value()?, 1000, 1_000_000)?;
                    options.records = NonZeroUsize::new(records).unwrap_or(NonZeroUsize::MIN);
                }
                "--only" => {
                    let name = value()?;
                    let app = App::ALL.into_iter().find(|app| app.name() == name);
                    options.only = Some(app.ok_or(format!("there is no row \"{name}\""))?);
                }
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("what is {arg}?")),
            }
        }
        Ok(Some(options))
    }
}

fn number(name: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{name} is {text}; {least} to {most} are allowed")),
    }
}

fn usage() -> String {
    let names = App::ALL.map(|app| format!("                  \"{}\"\n", app.name()));
    USAGE.to_owned() + &names.concat()
}

/// Random numbers good enough to shuffle rows with (xorshift64).
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        Self(RandomState::new().hash_one(0) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allocations for one request, connection and client included.
    fn allocations(app: App) -> u64 {
        let runtime = runtime().unwrap();
        let service = app.serve(&runtime, NonZeroUsize::new(1000).unwrap());
        let batch = Batch::sign(2 * REQUESTS);
        let few = count(&runtime, &service, &batch.requests(app)[..REQUESTS]);
        let all = count(&runtime, &service, &batch.requests(app)[REQUESTS..]);
        // The second time around, nothing is set up for the first time.
        let _ = few;
        all / REQUESTS as u64
    }

    fn count(runtime: &Runtime, service: &wire::Served, requests: &[Vec<u8>]) -> u64 {
        let counted = allocation_counter::measure(|| {
            runtime.block_on(service.drive(requests, 0)).unwrap();
        });
        counted.count_total
    }

    #[test]
    fn print_the_allocations_of_every_row() {
        for app in App::ALL {
            println!("{:40} {}", app.name(), allocations(app));
        }
    }

    #[test]
    fn an_argument_out_of_its_range_is_refused_with_the_range() {
        let error = Options::read(["--seconds", "601"].map(String::from).into_iter());
        assert_eq!(error.err().unwrap(), "--seconds is 601; 1 to 600 are allowed");
    }
}
