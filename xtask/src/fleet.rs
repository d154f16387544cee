//! `cargo xtask fleet`: the runs of a fleet with faults, longer than in `cargo test`, or
//! once more with the seed of a run that failed.

use crate::machine;
use crate::run::{Outcome, Steps, cargo, run as go};
use crate::workspace::Workspace;

const PACKAGE: &str = "webhook-fleet-tests";

pub(crate) fn run(
    workspace: &Workspace,
    events: u32,
    seed: Option<u64>,
    only: Option<Store>,
) -> Outcome {
    let package = workspace.require(PACKAGE)?;
    let stores = [Store::Redis, Store::Postgres, Store::Sqlite];
    let mut steps = Steps::of("fleet");
    steps.step("machine", || machine::provide(&workspace.root, machine::OF_TESTS))?;
    for store in stores.into_iter().filter(|store| only.is_none_or(|only| only == *store)) {
        let mut command = cargo(&workspace.root);
        command
            .args(["test", "--locked", "--all-features", "-p", &package.name])
            .args(["--test", store.test(), "--", "--nocapture"])
            .env("WEBHOOK_TESTS_EVENTS", events.to_string());
        if let Some(seed) = seed {
            command.env("WEBHOOK_TESTS_SEED", seed.to_string());
        }
        steps.step(store.test(), || go(&mut command))?;
    }
    steps.all_passed();
    Ok(())
}

/// A store that processes can share.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Store {
    Redis,
    Postgres,
    Sqlite,
}

impl Store {
    /// The test of a fleet on it.
    fn test(self) -> &'static str {
        match self {
            Self::Redis => "faults_redis",
            Self::Postgres => "faults_postgres",
            Self::Sqlite => "faults_sqlite",
        }
    }
}
