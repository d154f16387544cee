//! SIGTERM: a handler whose sender waits and one whose sender is gone both
//! finish and commit before the process exits.
//!
//! Against a program of its own, `slow_receiver`, on both kinds of runtime.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use webhook_tests::{Answer, Wire, at_once, delivery};

at_once! {
    a_handler_that_is_in_time_is_answered_200,
    a_handler_slower_than_the_clock_finishes_after_its_503,
}

/// Neither a line of the program nor its end takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program, killed when this is dropped.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: std::net::SocketAddr,
}

impl Program {
    async fn start(run: Duration) -> Self {
        let kind = tokio::runtime::Handle::current().runtime_flavor();
        let kind = match kind {
            tokio::runtime::RuntimeFlavor::CurrentThread => "current-thread",
            _ => "multi-thread",
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_slow_receiver"))
            .args([&run.as_millis().to_string(), kind])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        let address = first.strip_prefix("listening ").unwrap().parse().unwrap();
        Self { child, lines, address }
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line").unwrap()
    }

    /// Sends an event and waits until its handler has begun.
    async fn begin(&mut self, id: &str) -> Wire {
        let mut wire = Wire::connect(self.address).await.unwrap();
        wire.send(&delivery(id)).await.unwrap();
        assert_eq!(self.line().await.unwrap(), format!("begun {id}"));
        wire
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// What it still says, and how it exits.
    async fn end(mut self) -> (Vec<String>, ExitStatus) {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        (lines, timeout(PATIENCE, self.child.wait()).await.expect("an end").unwrap())
    }
}

fn position(lines: &[String], line: &str) -> usize {
    let found = lines.iter().position(|other| other == line);
    found.unwrap_or_else(|| panic!("{line:?} is missing in {lines:?}"))
}

/// Two handlers run, the sender of the second is gone; then SIGTERM. Gives what
/// the first sender is answered.
async fn both_finish_and_commit(run: Duration) -> Answer {
    let mut program = Program::start(run).await;
    let mut attached = program.begin("evt_attached").await;
    let gone = program.begin("evt_gone").await;
    gone.reset().unwrap();
    program.terminate();
    let answer = attached.answer().await.unwrap();

    let (lines, status) = program.end().await;
    assert!(status.success(), "{status}");
    let stopping = position(&lines, "stopping");
    let drained = position(&lines, "drained");
    for id in ["evt_attached", "evt_gone"] {
        let ended = position(&lines, &format!("ended {id}"));
        let committed = position(&lines, &format!("committed id:{id} Yes"));
        assert!(stopping < ended && ended < committed && committed < drained, "{lines:?}");
    }
    assert_eq!(lines.len(), 6, "nothing else: {lines:?}");
    answer
}

async fn a_handler_that_is_in_time_is_answered_200() {
    let answer = both_finish_and_commit(Duration::from_secs(2)).await;
    assert_eq!(answer.status, 200);
}

async fn a_handler_slower_than_the_clock_finishes_after_its_503() {
    let answer = both_finish_and_commit(Duration::from_secs(7)).await;
    assert!(answer.is_try_again(), "{answer:?}");
}
