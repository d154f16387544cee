//! SIGTERM: a handler whose sender waits and one whose sender is gone both
//! finish and commit before the process exits.
//!
//! Against a program of its own, `slow_receiver`: axum on the kind of runtime
//! that the test has; actix with one worker beside the current-thread runtime,
//! and with four beside the other.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{sleep, timeout};
use webhook_tests::{Answer, Wire, at_once, delivery};

at_once! {
    under_axum_a_handler_that_is_in_time_is_answered_200,
    under_axum_a_handler_slower_than_the_clock_finishes_after_its_503,
    under_actix_a_handler_that_is_in_time_is_answered_200,
    under_actix_a_handler_slower_than_the_clock_finishes_after_its_503,
}

/// The program's arguments beside the time that its handler takes.
type Server = &'static [&'static str];

fn axum() -> Server {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => &["axum", "current-thread"],
        _ => &["axum", "multi-thread"],
    }
}

fn actix() -> Server {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => &["actix-1"],
        _ => &["actix-4"],
    }
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
    async fn start(server: Server, run: Duration) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_slow_receiver"))
            .arg(run.as_millis().to_string())
            .args(server)
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

/// Two handlers run, the sender of the second is gone; a second later, SIGTERM.
/// Gives what the first sender is answered.
async fn both_finish_and_commit(server: Server, run: Duration) -> Answer {
    let mut program = Program::start(server, run).await;
    let mut attached = program.begin("evt_attached").await;
    let gone = program.begin("evt_gone").await;
    gone.reset().unwrap();
    sleep(Duration::from_secs(1)).await;
    program.terminate();
    let answer = attached.answer().await.unwrap();

    let (lines, status) = program.end().await;
    assert!(status.success(), "{server:?}: {status}");
    let stopping = position(&lines, "stopping");
    let drained = position(&lines, "drained");
    for id in ["evt_attached", "evt_gone"] {
        let ended = position(&lines, &format!("ended {id}"));
        let committed = position(&lines, &format!("committed id:{id} Yes"));
        assert!(
            stopping < ended && ended < committed && committed < drained,
            "{server:?}: {lines:?}"
        );
    }
    assert_eq!(lines.len(), 6, "{server:?} says nothing else: {lines:?}");
    answer
}

async fn in_time(server: Server) {
    let answer = both_finish_and_commit(server, Duration::from_secs(2)).await;
    assert_eq!(answer.status, 200, "{server:?}");
}

async fn slower_than_the_clock(server: Server) {
    let answer = both_finish_and_commit(server, Duration::from_secs(6)).await;
    assert!(answer.is_try_again(), "{server:?}: {answer:?}");
}

async fn under_axum_a_handler_that_is_in_time_is_answered_200() {
    in_time(axum()).await;
}

async fn under_axum_a_handler_slower_than_the_clock_finishes_after_its_503() {
    slower_than_the_clock(axum()).await;
}

async fn under_actix_a_handler_that_is_in_time_is_answered_200() {
    in_time(actix()).await;
}

async fn under_actix_a_handler_slower_than_the_clock_finishes_after_its_503() {
    slower_than_the_clock(actix()).await;
}
