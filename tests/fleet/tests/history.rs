//! The checker itself: a history with one planted fault of each kind.

use std::io::Write as _;

use webhook_fleet_tests::history::{Record, Recorder, Violation, What, check, read, told};

const SECOND: u64 = 1_000_000_000;

/// A history that is made up line by line: a record a second.
#[derive(Default)]
struct Story(Vec<Record>);

impl Story {
    /// In process `process`, one second after what came before.
    fn then(self, process: u32, what: What) -> Self {
        let at = (self.0.len() as u64 + 1) * SECOND;
        self.at(at, process, what)
    }

    fn at(mut self, at: u64, process: u32, what: What) -> Self {
        self.0.push(Record { at, process, what });
        self
    }

    /// A claim with a lease of ten seconds, asked for half a second before.
    fn claimed(self, process: u32, epoch: u64) -> Self {
        let called = self.0.len() as u64 * SECOND + SECOND / 2;
        let lease = 10 * SECOND;
        self.then(process, What::Claimed { id: id(), epoch, called, lease })
    }

    fn began(self, process: u32, epoch: u64) -> Self {
        self.then(process, What::RunBegan { id: id(), epoch })
    }

    fn ended(self, process: u32, epoch: u64, ok: bool) -> Self {
        self.then(process, What::RunEnded { id: id(), epoch, ok })
    }

    fn releasing(self, process: u32, epoch: u64) -> Self {
        self.then(process, What::Releasing { id: id(), epoch })
    }

    fn committed(self, process: u32, epoch: u64) -> Self {
        self.then(process, What::Committed { id: id(), epoch })
    }

    fn sent(self, attempt: u32) -> Self {
        self.then(1, What::Sent { id: id(), attempt })
    }

    fn answered(self, attempt: u32, status: u16) -> Self {
        self.then(1, What::Answered { id: id(), attempt, status: Some(status) })
    }

    /// Eleven seconds in which nothing happens: every lease lapses.
    fn and_nothing_for_11_s(mut self) -> Self {
        let line = What::Fault { kind: "none".into(), of: Some(0), since: u64::MAX };
        for _ in 0..11 {
            self = self.then(0, line.clone());
        }
        self
    }

    fn violations(self) -> Vec<Violation> {
        check(&self.0)
    }
}

fn id() -> String {
    "evt_1".into()
}

/// Sent, claimed, run, committed, answered: nothing is wrong.
fn good() -> Story {
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1);
    story.ended(2, 1, true).committed(2, 1).answered(1, 200)
}

#[test]
fn a_delivery_that_went_well_breaks_no_rule() {
    assert_eq!(good().violations(), []);
    // The sender may ask again and be told 200 again.
    assert_eq!(good().sent(2).answered(2, 200).violations(), []);
    // A completion that is confirmed twice is one.
    assert_eq!(good().committed(2, 1).violations(), []);
}

#[test]
fn a_run_after_a_failure_breaks_no_rule() {
    let failed = Story::default().sent(1).claimed(2, 1).began(2, 1).ended(2, 1, false);
    let retried = failed.releasing(2, 1).answered(1, 500).sent(2).claimed(3, 2).began(3, 2);
    assert_eq!(retried.ended(3, 2, true).committed(3, 2).answered(2, 200).violations(), []);
}

#[test]
fn a_run_after_its_holder_was_killed_and_its_lease_lapsed_breaks_no_rule() {
    let killed = Story::default().sent(1).claimed(2, 1).began(2, 1);
    let killed =
        killed.then(1, What::Fault { kind: "SIGKILL".into(), of: Some(2), since: 3 * SECOND });
    let retried = killed.and_nothing_for_11_s().sent(2).claimed(3, 2).began(3, 2);
    assert_eq!(retried.ended(3, 2, true).committed(3, 2).answered(2, 200).violations(), []);
}

#[test]
fn a_200_before_the_handler_was_done_is_found() {
    let early = Story::default().sent(1).claimed(2, 1).began(2, 1).answered(1, 200);
    let early = early.ended(2, 1, true).committed(2, 1);
    assert_eq!(early.violations(), [Violation::AnsweredBeforeDone { id: id(), attempt: 1 }]);
}

#[test]
fn a_200_without_any_run_is_found() {
    let lost = Story::default().sent(1).answered(1, 200);
    assert_eq!(lost.violations(), [Violation::AnsweredBeforeDone { id: id(), attempt: 1 }]);
}

#[test]
fn a_200_to_a_run_that_failed_is_found() {
    let failed = Story::default().sent(1).claimed(2, 1).began(2, 1).ended(2, 1, false);
    let answered = failed.releasing(2, 1).answered(1, 200);
    assert_eq!(answered.violations(), [Violation::AnsweredBeforeDone { id: id(), attempt: 1 }]);
}

#[test]
fn an_event_that_was_given_up_is_found() {
    let given_up = Story::default().sent(1).answered(1, 503);
    assert_eq!(given_up.violations(), [Violation::NeverAnswered200 { id: id() }]);
}

#[test]
fn two_commits_are_found() {
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1).ended(2, 1, false);
    let story = story.releasing(2, 1).claimed(3, 2).began(3, 2).ended(3, 2, true);
    let story = story.ended(2, 1, true).committed(2, 1).committed(3, 2).answered(1, 200);
    assert_eq!(
        story.violations(),
        [
            Violation::CommittedTwice { id: id(), epochs: vec![1, 2] },
            Violation::ClaimedBesideCommit { id: id(), committed: 1, granted: 2 },
        ]
    );
}

#[test]
fn a_commit_before_the_handler_was_done_is_found() {
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1).committed(2, 1);
    assert_eq!(
        story.violations(),
        [
            Violation::NeverAnswered200 { id: id() },
            Violation::CommittedBeforeDone { id: id(), epoch: 1 },
        ]
    );
}

#[test]
fn a_completion_that_was_never_recorded_is_found() {
    let story = || Story::default().sent(1).claimed(2, 1).began(2, 1).ended(2, 1, true);
    let found = Violation::NeverCommitted { id: id(), epoch: 1 };
    assert_eq!(story().answered(1, 200).violations(), [found]);
    // Unless its process was killed before it could be.
    let kill = What::Fault { kind: "SIGKILL".into(), of: Some(2), since: 5 * SECOND };
    assert_eq!(story().then(1, kill).answered(1, 200).violations(), []);
}

/// It is tried again and again then, which the end of its process ends.
#[test]
fn a_completion_that_failed_is_found_unless_its_process_was_killed() {
    let failed = What::CommitFailed { id: id(), epoch: 1 };
    let story = || {
        let begun = Story::default().sent(1).claimed(2, 1).began(2, 1).ended(2, 1, true);
        begun.then(2, failed.clone()).answered(1, 200)
    };
    let found = Violation::NeverCommitted { id: id(), epoch: 1 };
    assert_eq!(story().violations(), std::slice::from_ref(&found));
    let killed = |process| {
        let kill = What::Fault { kind: "SIGKILL".into(), of: Some(process), since: 89 * SECOND };
        story().at(90 * SECOND, 1, kill).violations()
    };
    assert_eq!(killed(2), []);
    assert_eq!(killed(3), [found]);
}

#[test]
fn a_broken_promise_is_told_with_the_history_of_its_event() {
    let fault = |since| What::Fault { kind: "SIGSTOP".into(), of: Some(4), since };
    let story = good().claimed(3, 2).began(3, 2).at(5 * SECOND, 4, fault(4 * SECOND));
    let story = story.at(90 * SECOND, 4, fault(89 * SECOND));
    let other = What::RunBegan { id: "evt_other".into(), epoch: 7 };
    let records = story.then(9, other).0;
    let mut violations = check(&records);
    violations.retain(|violation| violation.id() == id());
    let text = told(&violations, &records);
    for part in ["TwoLiveLeases", "1000.000", "Sent { attempt: 1 }", "Committed { epoch: 1 }"] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    assert_eq!(text.matches("SIGSTOP of 4").count(), 1, "{text}");
    assert!(!text.contains("epoch: 7"), "{text}");
}

#[test]
fn two_live_leases_are_found() {
    // The process was hit, so the second run is no wonder; but its lease still ran.
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1);
    let story =
        story.then(1, What::Fault { kind: "SIGKILL".into(), of: Some(2), since: 3 * SECOND });
    let story = story.claimed(3, 2).began(3, 2).ended(3, 2, true).committed(3, 2).answered(1, 200);
    let found = Violation::TwoLiveLeases { id: id(), running: 1, granted: 2 };
    assert_eq!(story.violations(), [found]);
}

#[test]
fn a_lease_that_was_renewed_counts_from_then() {
    let hit = What::Fault { kind: "SIGSTOP".into(), of: Some(2), since: 0 };
    let claimed = || Story::default().sent(1).claimed(2, 1).began(2, 1).then(1, hit.clone());
    let renewed = What::Renewed { id: id(), epoch: 1, called: 9 * SECOND, lease: 10 * SECOND };
    let end = |story: Story| {
        let story = story.and_nothing_for_11_s().claimed(3, 2).began(3, 2).ended(3, 2, true);
        story.committed(3, 2).answered(1, 200).violations()
    };
    assert_eq!(end(claimed()), []);
    let found = Violation::TwoLiveLeases { id: id(), running: 1, granted: 2 };
    assert_eq!(end(claimed().then(2, renewed)), [found]);
}

#[test]
fn epochs_that_begin_again_are_found() {
    let failed = Story::default().sent(1).claimed(2, 1).began(2, 1).ended(2, 1, false);
    let again = failed.releasing(2, 1).claimed(3, 1).began(3, 1).ended(3, 1, true);
    let found = again.committed(3, 1).answered(1, 200).violations();
    assert!(
        found.contains(&Violation::EpochNotRising { id: id(), earlier: 1, later: 1 }),
        "{found:?}"
    );
}

#[test]
fn epochs_that_fall_are_found() {
    let failed = Story::default().sent(1).claimed(2, 5).began(2, 5).ended(2, 5, false);
    let lower = failed.releasing(2, 5).claimed(3, 4).began(3, 4).ended(3, 4, true);
    let found = lower.committed(3, 4).answered(1, 200).violations();
    assert!(
        found.contains(&Violation::EpochNotRising { id: id(), earlier: 5, later: 4 }),
        "{found:?}"
    );
}

#[test]
fn a_second_run_that_nothing_explains_is_found() {
    // Its lease has lapsed, although nobody had stopped its process.
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1).and_nothing_for_11_s();
    let story = story.claimed(3, 2).began(3, 2).ended(3, 2, true).committed(3, 2);
    let found = story.answered(1, 200).violations();
    assert_eq!(found, [Violation::UnexplainedRun { id: id(), epoch: 2 }]);
}

#[test]
fn a_second_run_after_a_success_is_found() {
    let story = good().claimed(3, 2).began(3, 2).ended(3, 2, true);
    let found = story.violations();
    assert!(found.contains(&Violation::UnexplainedRun { id: id(), epoch: 2 }), "{found:?}");
}

#[test]
fn a_fault_of_another_process_or_another_time_explains_nothing() {
    for (of, since) in [(Some(4), 3 * SECOND), (Some(2), u64::MAX)] {
        let story = Story::default().sent(1).claimed(2, 1).began(2, 1);
        let story = story.then(1, What::Fault { kind: "SIGKILL".into(), of, since });
        let story = story.and_nothing_for_11_s().claimed(3, 2).began(3, 2).ended(3, 2, true);
        let found = story.committed(3, 2).answered(1, 200).violations();
        assert_eq!(found, [Violation::UnexplainedRun { id: id(), epoch: 2 }]);
    }
}

#[test]
fn a_fault_of_the_store_explains_a_run_in_any_process() {
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1);
    let story = story.then(1, What::Fault { kind: "cut".into(), of: None, since: 3 * SECOND });
    let story = story.and_nothing_for_11_s().claimed(3, 2).began(3, 2).ended(3, 2, true);
    assert_eq!(story.committed(3, 2).answered(1, 200).violations(), []);
}

#[test]
fn a_run_without_a_claim_is_found() {
    let story = Story::default().sent(1).began(2, 1);
    assert_eq!(
        story.violations(),
        [
            Violation::NeverAnswered200 { id: id() },
            Violation::RunWithoutClaim { id: id(), epoch: 1 },
        ]
    );
}

#[test]
fn a_second_run_under_one_claim_is_found() {
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1).began(2, 1).ended(2, 1, true);
    let found = story.committed(2, 1).answered(1, 200).violations();
    assert_eq!(found, [Violation::RanTwice { id: id(), epoch: 1 }]);
}

#[test]
fn a_run_in_a_process_that_has_not_the_claim_is_found() {
    let story = Story::default().sent(1).claimed(2, 1).began(3, 1).ended(3, 1, true);
    let found = story.committed(3, 1).answered(1, 200).violations();
    assert!(found.contains(&Violation::RunWithoutClaim { id: id(), epoch: 1 }), "{found:?}");
}

/// Whatever was broken: what the store has accepted it has to remember.
#[test]
fn a_claim_after_an_accepted_completion_is_found() {
    let cut = What::Fault { kind: "cut".into(), of: None, since: 3 * SECOND };
    let story = good().then(1, cut).and_nothing_for_11_s().claimed(3, 2).began(3, 2);
    let found = story.ended(3, 2, false).releasing(3, 2).violations();
    assert_eq!(found, [Violation::ClaimedBesideCommit { id: id(), committed: 1, granted: 2 }]);
}

#[test]
fn a_late_commit_that_was_accepted_after_a_takeover_is_found() {
    let stop = What::Fault { kind: "SIGSTOP".into(), of: Some(2), since: 3 * SECOND };
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1).and_nothing_for_11_s();
    let story = story.claimed(3, 2).began(3, 2).then(1, stop).ended(2, 1, true).committed(2, 1);
    let found = story.ended(3, 2, true).answered(1, 200).violations();
    assert!(
        found.contains(&Violation::ClaimedBesideCommit { id: id(), committed: 1, granted: 2 }),
        "{found:?}"
    );
}

#[test]
fn a_renewal_of_a_claim_that_was_taken_over_is_found() {
    // It was given back, so that only its holder's fence keeps it from being renewed.
    let story = Story::default().sent(1).claimed(2, 1).began(2, 1).ended(2, 1, false);
    let story = story.releasing(2, 1).claimed(3, 2).began(3, 2).ended(3, 2, true);
    let renewed = What::Renewed { id: id(), epoch: 1, called: 9 * SECOND, lease: 10 * SECOND };
    let found = story.committed(3, 2).then(2, renewed).answered(1, 200).violations();
    assert_eq!(found, [Violation::TwoLiveLeases { id: id(), running: 1, granted: 2 }]);
}

#[test]
fn a_history_is_read_back_in_order_of_time_and_a_torn_last_line_is_left_out() {
    let folder = std::env::temp_dir().join(format!("webhook-history-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = [folder.join("one"), folder.join("two")];
    let [one, two] = files.each_ref().map(|file| Recorder::open(file).unwrap());
    one.record(What::Sent { id: id(), attempt: 1 });
    two.record(What::RunBegan { id: id(), epoch: 1 });
    one.record(What::Answered { id: id(), attempt: 1, status: None });
    let mut torn = std::fs::OpenOptions::new().append(true).open(&files[1]).unwrap();
    torn.write_all(br#"{"at":1,"process":1,"what":"sent","id":"evt"#).unwrap();
    let read = read(&files);
    std::fs::remove_dir_all(&folder).unwrap();
    let whats: Vec<_> = read.unwrap().into_iter().map(|record| record.what).collect();
    assert_eq!(
        whats,
        [
            What::Sent { id: id(), attempt: 1 },
            What::RunBegan { id: id(), epoch: 1 },
            What::Answered { id: id(), attempt: 1, status: None },
        ]
    );
}
