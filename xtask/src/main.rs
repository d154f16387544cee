//! The verbs of this repository: `cargo xtask --help` lists them.
//!
//! This file owns the command line and the exit codes; each verb has a file.

mod bench;
mod features;
mod fleet;
mod fuzz;
mod lint;
mod machine;
mod programs;
mod promises;
mod run;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::Outcome;
use crate::workspace::Workspace;

const EXIT_CODES: &str = "\
Exit codes:
  0  everything passed
  1  a step failed; the last lines say which and why
  2  nothing is wrong with the code, but the verb cannot run: a program is
     missing (the line that installs it is printed) or the command line is
     not understood

Colours are used on a terminal only, and never when NO_COLOR is set.";

const TEST_NEEDS: &str = "\
Needs node (18 or newer), python3, curl, promtool, redis-server (6 or newer),
redis-cli, postgres (13 or newer), nats-server, setpriv and cc. What is missing
is installed with apt-get when this runs as root on Debian; elsewhere the line
to run is printed and the exit code is 2. No test is skipped.

The tests see WEBHOOK_TESTS_BIN_DIR, the folder where the examples were built.";

const FLEET_NEEDS: &str = "\
A seed repeats what is sent, what is broken when, and what each run of a handler
does. It does not repeat how the processes take turns.

Needs what `cargo xtask test` needs; 10 000 events take a minute for each store.";

const BENCH_STORES_NEEDS: &str = "\
Needs redis-server, redis-cli, redis-benchmark, postgres, pgbench, setpriv and
cc, and provides them as `cargo xtask test` does. The picture in docs/ is drawn
anew.";

const BENCH_INBOX_NEEDS: &str = "\
Needs postgres, nats-server, setpriv and cc, and provides them as `cargo xtask
test` does.";

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The verbs of this repository.", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run every test, and the quickstart
    #[command(after_help = TEST_NEEDS)]
    Test,
    /// Check format, lints, features, docs, licences and promises
    Lint {
        /// Only these steps (all of them when none is named)
        steps: Vec<lint::Step>,
    },
    /// Run the fuzz targets on nightly; finds go to fuzz/artifacts
    Fuzz {
        /// Seconds for each target
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// Only this target
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// Kill and stop receivers that share a store, and break the store
    #[command(after_help = FLEET_NEEDS)]
    Fleet {
        /// So many events for each store
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        #[arg(value_parser = clap::value_parser!(u32).range(10_000..))]
        events: u32,
        /// Once more with the plan of this run, which it has printed
        #[arg(long, value_name = "SEED")]
        seed: Option<u64>,
        /// Only this store
        #[arg(long, value_name = "NAME")]
        store: Option<fleet::Store>,
    },
    /// Measure CPU per request against other handlers (release build)
    BenchHttp {
        /// Handed to the benchmark program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure the dedup stores on real servers (release build)
    #[command(after_help = BENCH_STORES_NEEDS)]
    BenchStores {
        /// Handed to the benchmark program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure how soon the inbox answers (release build)
    #[command(after_help = BENCH_INBOX_NEEDS)]
    BenchInbox {
        /// Handed to the benchmark program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("{} {}", run::red("xtask:"), stop.message());
            ExitCode::from(stop.exit_code())
        }
    }
}

fn dispatch(verb: Verb) -> Outcome {
    let workspace = Workspace::load()?;
    match verb {
        Verb::Test => test::run(&workspace),
        Verb::Lint { steps } => lint::run(&workspace, &steps),
        Verb::Fuzz { seconds, target } => fuzz::run(&workspace, seconds, target.as_deref()),
        Verb::Fleet { events, seed, store } => fleet::run(&workspace, events, seed, store),
        Verb::BenchHttp { args } => bench::http(&workspace, &args),
        Verb::BenchStores { args } => bench::stores(&workspace, &args),
        Verb::BenchInbox { args } => bench::inbox(&workspace, &args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_help_fits_into_80_columns() {
        let mut command = Cli::command();
        command.build();
        let mut pages = vec![command.render_long_help().to_string()];
        for verb in command.get_subcommands_mut() {
            pages.push(verb.render_long_help().to_string());
        }
        for line in pages.iter().flat_map(|page| page.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
