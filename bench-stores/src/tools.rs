//! What `redis-benchmark` and `pgbench` reach with the stores' own scripts and statements.

use std::fs;
use std::process::Command;
use std::time::Duration;

use dataflow_webhooks::dedup::BoxError;
use sqlx::Row as _;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::redis::Redis;

use crate::cpu;
use crate::sizes::number_in;
use crate::stores::{Servers, Stores};

const RECORD: &str = include_str!("../../crates/dataflow-webhooks-redis/src/scripts/record.lua");
const CLAIM: &str = include_str!("../../crates/dataflow-webhooks-redis/src/scripts/claim.lua");
const COMMIT: &str = include_str!("../../crates/dataflow-webhooks-redis/src/scripts/commit.lua");
const MAKE: &str = include_str!("../../crates/dataflow-webhooks-sqlx/src/postgres/make.sql");
const CHANGE: &str = include_str!("../../crates/dataflow-webhooks-sqlx/src/postgres/change.sql");

/// Keys as long as the stores', and calls of each script in one run.
const KEY: &str = "dfwh:tools:evt_0123456789abcdef__rand_int__";
const CALLS: u64 = 40_000;
/// Claims to commit: so many that few are committed twice, which is cheaper.
const CLAIMED: u64 = 200_000;

const LEASE: &str = "30000";
const RETENTION: &str = "86400000";

/// What a tool came to.
pub(crate) struct Pairs {
    pub(crate) per_second: f64,
    /// Microseconds of processor time for each pair, the server's and the tool's.
    pub(crate) server: f64,
    pub(crate) tool: f64,
}

/// The processor time between two moments.
struct Cpu {
    server: u32,
    at: (Duration, Duration),
}

impl Cpu {
    fn from_here(server: u32) -> Self {
        Self { server, at: (cpu::of_tree(server), cpu::of_programs()) }
    }

    fn until_here(&self, pairs: f64, per_second: f64) -> Pairs {
        let (server, tool) = self.at;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / pairs;
        Pairs {
            per_second,
            server: each(cpu::of_tree(self.server) - server),
            tool: each(cpu::of_programs() - tool),
        }
    }
}

/// Pairs of claim and commit a second with `redis-benchmark`, from so many clients. It can
/// repeat one command only, so claims and commits are measured apart.
pub(crate) fn redis_pairs(server: &Redis, clients: usize) -> Result<Pairs, BoxError> {
    let scripts = || number_in(&server.cli(&["INFO", "memory"]), "number_of_cached_scripts");
    let known = scripts()?;
    let [claim, commit] =
        [CLAIM, COMMIT].map(|script| server.cli(&["SCRIPT", "LOAD", &format!("{RECORD}{script}")]));
    if scripts()? > known {
        return Err("these are not the scripts that the store has loaded".into());
    }

    server.cli(&["FLUSHALL"]);
    let claims = run(server, clients, 2_000_000_000, &[&claim, "1", KEY, LEASE, RETENTION])?;
    let made: u64 = server.cli(&["DBSIZE"]).parse()?;
    if made < CALLS * 99 / 100 {
        return Err(format!("{made} of {CALLS} claims of redis-benchmark were new").into());
    }

    let prefix = KEY.replace("__rand_int__", "");
    let claim_all = "for i = 0, ARGV[1] - 1 do \
         redis.call('SET', KEYS[1] .. string.format('%012d', i), 'C|1|9999999999999', 'PX', ARGV[2]) \
         end return 'claimed'";
    server.cli(&["FLUSHALL"]);
    server.cli(&["EVAL", claim_all, "1", &prefix, &CLAIMED.to_string(), RETENTION]);
    let commits = run(server, clients, CLAIMED, &[&commit, "1", KEY, "1", RETENTION])?;
    let count = "local done = 0 for i = 0, ARGV[1] - 1 do \
         local record = redis.call('GET', KEYS[1] .. string.format('%012d', i)) \
         if record == 'D|1|0' then done = done + 1 end end return done";
    let done = server.cli(&["EVAL", count, "1", &prefix, &CLAIMED.to_string()]);
    if done.parse().unwrap_or(0) < CALLS * 85 / 100 {
        return Err(format!("{done} commits of redis-benchmark were made: too few").into());
    }
    server.cli(&["FLUSHALL"]);
    Ok(Pairs {
        per_second: 1.0 / (1.0 / claims.per_second + 1.0 / commits.per_second),
        server: claims.server + commits.server,
        tool: claims.tool + commits.tool,
    })
}

fn run(server: &Redis, clients: usize, keys: u64, call: &[&str]) -> Result<Pairs, BoxError> {
    let mut tool = Command::new("redis-benchmark");
    tool.args(["-p", &server.port().to_string(), "-c", &clients.to_string(), "--csv"]);
    tool.args(["-n", &CALLS.to_string(), "-r", &keys.to_string(), "EVALSHA"]).args(call);
    let cpu = Cpu::from_here(server.id());
    let said = output(&mut tool, "redis-tools")?;
    // "test","rps",…, and a line with their values.
    let line = said.lines().find(|line| line.starts_with("\"EVALSHA")).unwrap_or_default();
    let values: Vec<_> = line.split("\",\"").collect();
    let per_second = values.get(1).and_then(|value| value.parse().ok());
    let per_second = per_second.ok_or_else(|| format!("redis-benchmark said {said}"))?;
    Ok(cpu.until_here(CALLS as f64, per_second))
}

/// Pairs of claim and commit a second with `pgbench`, from so many clients for so many
/// seconds.
pub(crate) async fn postgres_pairs(
    servers: &Servers,
    stores: &Stores,
    clients: usize,
    seconds: u64,
) -> Result<Pairs, BoxError> {
    let folder = Folder::new("bench-stores-pgbench");
    let script = folder.path().join("pair.sql");
    let (make, change) = (
        with_names(MAKE, &["scope", "id", "lease", "retention"]),
        with_names(CHANGE, &["scope", "id", "epoch", "done", "lease", "retention"]),
    );
    let set = format!(
        "\\set id random(100000000000000000, 999999999999999999)\n\
         \\set epoch 1\n\\set done 2\n\\set lease {LEASE}\n\\set retention {RETENTION}\n"
    );
    fs::write(&script, format!("{set}{make};\n{change};\n"))?;
    let mut tool = Command::new("pgbench");
    tool.args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-j", "1"]);
    tool.args(["-p", &servers.postgres.port().to_string(), "-c", &clients.to_string()]);
    tool.args(["-T", &seconds.to_string(), "-D", "scope=tools", "-f"]).arg(&script);
    let done_before = done_by_pgbench(stores).await?;
    let cpu = Cpu::from_here(servers.postgres.id());
    let said = output(tool.arg("postgres"), "postgresql")?;
    let after = |words: &str| said.split_once(words)?.1.split_whitespace().next()?.parse().ok();
    let (tps, processed): (Option<f64>, Option<f64>) =
        (after("tps = "), after("transactions actually processed: "));
    let (Some(tps), Some(processed)) = (tps, processed) else {
        return Err(format!("pgbench said {said}").into());
    };
    let pairs = cpu.until_here(processed, tps);

    let done = done_by_pgbench(stores).await? - done_before;
    // What was under way at the end may be done and not counted.
    if (done as f64) < processed {
        return Err(format!("{done} of {processed} pairs of pgbench were done").into());
    }
    Ok(pairs)
}

/// How many events are done in the scope of pgbench, each in its first run.
async fn done_by_pgbench(stores: &Stores) -> Result<i64, BoxError> {
    let count = "SELECT count(*) FROM dataflow_webhooks_dedup \
                 WHERE scope = 'tools' AND state = 2 AND epoch = 1";
    Ok(sqlx::query(count).fetch_one(stores.postgres.pool()).await?.try_get(0)?)
}

/// The statement with pgbench's variables, without its comments: those would get
/// variables, too.
fn with_names(statement: &str, names: &[&str]) -> String {
    let lines = statement.lines().filter(|line| !line.starts_with("--"));
    let statement = lines.collect::<Vec<_>>().join("\n");
    names.iter().enumerate().fold(statement, |statement, (number, name)| {
        statement.replace(&format!("${}", number + 1), &format!(":{name}"))
    })
}

fn output(command: &mut Command, debian_package: &str) -> Result<String, BoxError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}; run `apt-get install {debian_package}`"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}: {said}{why}", output.status).into());
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_gets_the_names_of_its_parameters_and_no_comment() {
        let statement = "-- $1 of\nSELECT $1, $2::bigint,\n$1";
        assert_eq!(with_names(statement, &["a", "b"]), "SELECT :a, :b::bigint,\n:a");
    }
}
