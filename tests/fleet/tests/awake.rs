//! What a stall of the machine costs a test, with this very process stopped for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use webhook_fleet_tests::awake::unless_stalled;
use webhook_fleet_tests::kept::within;
use webhook_tests::Stopwatch;

/// One at a time: a stop is for all of them.
static TURN: Mutex<()> = Mutex::new(());

const STALL: Duration = Duration::from_millis(600);

fn stand_still() {
    let script = "kill -STOP $PPID; sleep 0.6; kill -CONT $PPID";
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success());
}

/// How often a test ran that fails the first `fails` times, and how it ended.
fn runs(fails: u32, stalls: bool) -> (u32, bool) {
    let runs = AtomicU32::new(0);
    let test = async || {
        if stalls {
            stand_still();
        }
        assert!(runs.fetch_add(1, Relaxed) >= fails, "a panic that a test asked for");
    };
    let passed = catch_unwind(AssertUnwindSafe(|| unless_stalled(test))).is_ok();
    (runs.into_inner(), passed)
}

#[test]
fn a_test_that_fails_while_the_machine_stands_still_runs_again() {
    let _turn = TURN.lock();
    assert_eq!(runs(1, true), (2, true));
}

#[test]
fn a_test_that_fails_in_each_stall_fails() {
    let _turn = TURN.lock();
    assert_eq!(runs(u32::MAX, true), (6, false));
}

#[test]
fn a_test_that_fails_while_the_machine_runs_fails() {
    let _turn = TURN.lock();
    let awake = Stopwatch::start();
    let (runs, passed) = runs(1, false);
    let was_stalled = awake.stood_still() >= Duration::from_millis(100);
    assert!((runs, passed) == (1, false) || was_stalled, "{runs} runs");
}

#[test]
fn the_time_in_which_the_machine_ran_leaves_stalls_out_and_goes_on() {
    let _turn = TURN.lock();
    let (awake, began) = (Stopwatch::start(), Instant::now());
    stand_still();
    let (ran, stalled, all) = (awake.ran(), awake.stood_still(), began.elapsed());
    assert!(stalled + Duration::from_millis(50) >= STALL, "{stalled:?}");
    assert!(
        ran + stalled <= all + Duration::from_millis(200),
        "{ran:?} and {stalled:?} of {all:?}"
    );
    let goes_on = within(Duration::from_secs(60), || awake.ran() > ran + STALL);
    assert!(goes_on, "{:?}", awake.ran());
}
