//! The steps that the server takes: one Lua script for each operation, on one key.

use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind};

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(crate) static $name: LazyLock<Lua> = LazyLock::new(|| {
            Lua::new(concat!(include_str!("scripts/record.lua"), include_str!($file)))
        });
    };
}

script!(CLAIM, "scripts/claim.lua");
script!(RENEW, "scripts/renew.lua");
script!(COMMIT, "scripts/commit.lua");
script!(RELEASE, "scripts/release.lua");
script!(FORGET, "scripts/forget.lua");

/// The third argument of a commit that is to write even what is done already: `WAIT` waits for what
/// its own connection has written.
pub(crate) const WRITE_ANYWAY: &str = "1";

/// A script, and the SHA-1 under which a server keeps it.
pub(crate) struct Lua {
    code: &'static str,
    sha1: String,
}

impl Lua {
    fn new(code: &'static str) -> Self {
        Self { code, sha1: Script::new(code).get_hash().to_owned() }
    }
}

/// How many replicas must have a write, and for how long to wait for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) replicas: u32,
    pub(crate) timeout: Duration,
}

/// One call of a script.
pub(crate) struct Call {
    pub(crate) lua: &'static Lua,
    pub(crate) key: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) wait: Option<Wait>,
}

/// What came back.
#[derive(Clone, Copy)]
pub(crate) struct Reply {
    /// What the script answered.
    pub(crate) answer: i64,
    /// How many replicas have the write, when that was asked for.
    pub(crate) replicas: Option<u32>,
}

impl Call {
    /// Makes the call on this connection: by the script's name, and with its text where the server
    /// does not know it (any more: `SCRIPT FLUSH`, a restart, a failover).
    pub(crate) async fn on(&self, connection: &mut impl ConnectionLike) -> RedisResult<Reply> {
        if self.wait.is_some() {
            // With its text at once: after an unknown name, WAIT would use up the time all the same.
            return self.send(connection, "EVAL", self.lua.code).await;
        }
        match self.send(connection, "EVALSHA", &self.lua.sha1).await {
            Err(error) if is_unknown_script(&error) => {
                self.send(connection, "EVAL", self.lua.code).await
            }
            done => done,
        }
    }

    async fn send(
        &self,
        connection: &mut impl ConnectionLike,
        command: &str,
        script: &str,
    ) -> RedisResult<Reply> {
        let mut step = Cmd::new();
        step.arg(command).arg(script).arg(1).arg(&self.key).arg(&self.arguments);
        let Some(wait) = self.wait else {
            let answer = step.query_async(connection).await?;
            return Ok(Reply { answer, replicas: None });
        };
        // One after the other on one connection, with nobody's call in between.
        let mut both = redis::pipe();
        both.add_command(step).cmd("WAIT").arg(wait.replicas).arg(milliseconds(wait.timeout));
        let (answer, replicas) = both.query_async(connection).await?;
        Ok(Reply { answer, replicas: Some(replicas) })
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// A time as Redis and Lua can count it: at least 1 ms, rounded up, at most some 140 000 years.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    const MOST: u128 = 1 << 52;
    let rounded = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(rounded.clamp(1, MOST)).unwrap_or(1 << 52)
}
