//! `cargo xtask bench-http`: CPU time per request of receivers of one 400-byte
//! delivery, over an in-memory connection, side by side in the same run.
//!
//! This file owns the command line and the order in which things are measured.

mod deliveries;
mod figures;
mod report;
mod rows;
mod stacks;
mod wire;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use dataflow_webhooks::MemoryStore;
use deliveries::Batch;
use figures::Samples;
use rows::{Receiver, Row, Stack};
use stacks::{Endpoints, serve};

const USAGE: &str = "\
cargo xtask bench-http [--rounds N] [--seconds N] [--records N]
                      [--stack STACK] [--only ROW]

  --rounds N    at most so many rounds of 256 requests per row; 1 to 100000,
                1000 unless told
  --seconds N   at most so long; 1 to 600 s, 120 s unless told
  --records N   so many events fill the dedup store; 1000 to 1000000, 250000
                (the default of a MemoryStore) unless told
  --stack STACK the rows of one stack alone: tower, axum or actix
  --only ROW    one row of each stack alone, for a profiler; the rows are
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
    stack: Option<Stack>,
    only: Option<Receiver>,
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
    let endpoints = Endpoints::new(&runtime, options.records);
    let mut served: Vec<_> = options.rows().map(|row| (row, serve(row, &endpoints))).collect();
    let mut samples = Samples::new(options.rows());
    let mut dice = Dice::new();
    let started = Instant::now();
    for round in 0..options.rounds + WARM_UP_ROUNDS {
        if started.elapsed() >= options.time {
            break;
        }
        // The stacks share a store: what one has delivered is a duplicate for the
        // next.
        let stacks =
            Stack::ALL.into_iter().filter(|stack| options.stack.is_none_or(|it| it == *stack));
        let batches: Vec<_> =
            stacks.map(|stack| (stack, Batch::sign(REQUESTS + WARM_UP))).collect();
        dice.shuffle(&mut served);
        let mut times = Vec::new();
        for (row, service) in &served {
            let Some((_, batch)) = batches.iter().find(|(stack, _)| *stack == row.stack) else {
                continue;
            };
            let time = service.drive(&runtime, batch.requests(*row), WARM_UP);
            times.push((*row, time.map_err(|error| format!("{row}: {error}"))?));
        }
        if round >= WARM_UP_ROUNDS {
            for (row, time) in times {
                samples.add(row, time.as_secs_f64() * 1e6 / REQUESTS as f64);
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
    /// The rows that are asked for.
    fn rows(&self) -> impl Iterator<Item = Row> {
        Row::all()
            .filter(|row| self.stack.is_none_or(|stack| row.stack == stack))
            .filter(|row| self.only.is_none_or(|only| row.receiver == only))
    }

    /// `None` where help was asked for.
    fn read(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            rounds: 1000,
            time: Duration::from_secs(120),
            records: MemoryStore::new().capacity(),
            stack: None,
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
                "--stack" => {
                    let name = value()?;
                    let stack = Stack::ALL.into_iter().find(|stack| stack.name() == name);
                    options.stack = Some(stack.ok_or(format!("there is no stack \"{name}\""))?);
                }
                "--only" => {
                    let name = value()?;
                    let row = Receiver::ALL.into_iter().find(|row| row.name() == name);
                    options.only = Some(row.ok_or(format!("there is no row \"{name}\""))?);
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
    let names = Receiver::ALL.map(|row| format!("                  \"{}\"\n", row.name()));
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
    fn allocations(row: Row, endpoints: &Endpoints<'_>) -> u64 {
        let service = serve(row, endpoints);
        let batch = Batch::sign(2 * REQUESTS);
        let (first, second) = batch.requests(row).split_at(REQUESTS);
        // The second time around, nothing is set up for the first time.
        let _ = count(endpoints, &service, first);
        count(endpoints, &service, second) / REQUESTS as u64
    }

    fn count(endpoints: &Endpoints<'_>, service: &wire::Served, requests: &[Vec<u8>]) -> u64 {
        let counted = allocation_counter::measure(|| {
            service.drive(endpoints.runtime, requests, 0).unwrap();
        });
        counted.count_total
    }

    fn few_records() -> NonZeroUsize {
        NonZeroUsize::new(1000).unwrap()
    }

    #[test]
    fn print_the_allocations_of_every_row() {
        let runtime = runtime().unwrap();
        let endpoints = Endpoints::new(&runtime, few_records());
        for row in Row::all() {
            println!("{:40} {}", row.to_string(), allocations(row, &endpoints));
        }
    }

    #[test]
    fn every_row_but_the_bare_ones_refuses_a_body_that_was_not_signed() {
        let runtime = runtime().unwrap();
        let endpoints = Endpoints::new(&runtime, few_records());
        for row in Row::all() {
            let mut request = Batch::sign(1).requests(row)[0].clone();
            let position = request.len() - 4;
            request[position] ^= 1;
            let answer = serve(row, &endpoints).drive(&runtime, &[request], 0);
            let is_bare = matches!(row.receiver, Receiver::Bare | Receiver::Control);
            assert_eq!(answer.is_ok(), is_bare, "{row}: {answer:?}");
            if let Err(answer) = answer {
                assert!(answer.contains("HTTP/1.1 401 "), "{row}: {answer}");
            }
        }
    }

    #[test]
    fn a_stack_and_a_receiver_narrow_the_rows() {
        let args = ["--stack", "actix", "--only", "ours, dedup"].map(String::from);
        let options = Options::read(args.into_iter()).unwrap().unwrap();
        let rows: Vec<_> = options.rows().collect();
        assert_eq!(rows, [Stack::Actix.row(Receiver::WithDedup)]);
    }

    #[test]
    fn an_argument_out_of_its_range_is_refused_with_the_range() {
        let error = Options::read(["--seconds", "601"].map(String::from).into_iter());
        assert_eq!(error.err().unwrap(), "--seconds is 601; 1 to 600 are allowed");
    }
}
