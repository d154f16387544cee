//! What a receiver does while its store is away or its process was stopped: the same
//! rules for every store that has a server, held by a real receiver process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflow_webhooks::testing::Sample;
use serde_json::Value;
use webhook_tests::{Answer, Request};

use crate::faults::Server;
use crate::fleet::{LEASE, Member, Setup};
use crate::history::{Record, Recorder, What, check, read};
use crate::kept::Folder;
use webhook_tests::Stopwatch;

/// A store's server, and the programs that use it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stage {
    setup: Setup,
    folder: Arc<Folder>,
    /// Where the faults of a test are written down.
    pub history: Recorder,
}

impl Stage {
    /// Receivers of this program (`env!("CARGO_BIN_EXE_fleet-receiver")`) with the store of
    /// this URL and the times that an endpoint has unless told.
    ///
    /// # Panics
    ///
    /// When there is no place for their histories.
    #[must_use]
    pub fn new(program: &str, store: &str) -> Self {
        let setup = Setup {
            program: program.to_owned(),
            store: store.to_owned(),
            seed: 0,
            calm_at: 0,
            answer_within: Duration::from_millis(4_500),
            anyway: false,
        };
        let folder = Arc::new(Folder::new("fleet-away"));
        let history = Recorder::open(&folder.path().join("faults.history")).expect("a history");
        Self { setup, folder, history }
    }

    /// A receiver.
    #[must_use]
    pub fn receiver(&self) -> Member {
        Member::start(&Arc::new(self.setup.clone()), &self.folder)
    }

    /// A receiver that handles events while the store is away.
    #[must_use]
    pub fn receiver_that_handles_anyway(&self) -> Member {
        let setup = Setup { anyway: true, ..self.setup.clone() };
        Member::start(&Arc::new(setup), &self.folder)
    }

    /// What these receivers have written down so far, and the faults.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn records(&self, receivers: &[&Member]) -> Vec<Record> {
        let of_receivers = receivers.iter().flat_map(|member| member.histories().to_vec());
        read(of_receivers.chain([self.folder.path().join("faults.history")])).expect("histories")
    }
}

/// Sends an authentic delivery of the event with this id, whose handler takes so many
/// milliseconds, and tells how long the answer took while the machine ran.
///
/// # Panics
///
/// When there is no answer.
pub async fn deliver(to: &Member, id: &str, takes: u64) -> (Answer, Duration) {
    let id = format!("{id}_takes_{takes}");
    let request = Request::signed(Sample::of("pipeline.run.completed").id(&id).body());
    let began = Stopwatch::start();
    let answer = request.send(to.address()).await.expect("an answer");
    (answer, began.ran())
}

/// What a receiver has counted under this name.
///
/// # Panics
///
/// When it does not answer.
pub async fn counted(receiver: &Member, name: &str) -> u64 {
    let counts = receiver.counts().await.expect("an answer");
    counts.get(name).and_then(Value::as_u64).expect("a count of this name")
}

/// Waits until the receiver has counted so many.
///
/// # Panics
///
/// When it has not within half a minute.
pub async fn until_counted(receiver: &Member, name: &str, count: u64) {
    let patience = Instant::now() + Duration::from_secs(30);
    while counted(receiver, name).await != count {
        assert!(Instant::now() < patience, "{name}: {:?}", receiver.counts().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An event is refused within 2.5 s, however often it is sent.
///
/// # Panics
///
/// When it is not so.
pub async fn is_refused_in_time(receiver: &Member, id: &str) {
    for _ in 0..3 {
        let (answer, time) = deliver(receiver, id, 0).await;
        assert!(answer.is_try_again(), "{answer:?}");
        assert!(time < Duration::from_millis(2_500), "{time:?}");
    }
}

/// While the store is down, each delivery is refused within 2.5 s; the first one after its return
/// passes.
///
/// # Panics
///
/// When it is not so.
pub async fn a_store_that_is_down_costs_a_refusal_in_time(stage: &Stage, server: &mut dyn Server) {
    let receiver = stage.receiver();
    assert_eq!(deliver(&receiver, "evt_before", 0).await.0.status, 200);
    for outage in 0..3 {
        server.kill();
        let id = format!("evt_{outage}");
        is_refused_in_time(&receiver, &id).await;
        server.restart();
        let (answer, _) = deliver(&receiver, &id, 0).await;
        assert_eq!(answer.status, 200, "the first after outage {outage}: {}", receiver.log());
    }
    let records = stage.records(&[&receiver]);
    let runs = records.iter().filter(|record| matches!(record.what, What::RunBegan { .. }));
    assert_eq!(runs.count(), 4, "each event ran once");
}

/// A handler that is done while the store is down is answered 200, and its completion is
/// recorded once the store is back.
///
/// # Panics
///
/// When it is not so.
pub async fn a_commit_waits_for_the_store(stage: &Stage, server: &mut dyn Server) {
    let (one, other) = (stage.receiver(), stage.receiver());
    let delivery = deliver(&one, "evt_1", 1_000);
    let outage = async {
        until_counted(&one, "begun", 1).await;
        server.kill();
    };
    let ((answer, _), ()) = tokio::join!(delivery, outage);
    assert_eq!(answer.status, 200);
    until_counted(&one, "pending_commits", 1).await;
    server.restart();
    until_counted(&one, "pending_commits", 0).await;
    assert_eq!(deliver(&other, "evt_1", 1_000).await.0.status, 200);
    assert_eq!(counted(&other, "succeeded").await, 0, "it ran again");
    assert_eq!(counted(&one, "lease_lost").await, 0);
}

/// A process that was stopped past its lease finds the event taken over and done: its own
/// completion is refused and counted.
///
/// # Panics
///
/// When it is not so.
pub async fn a_late_commit_is_refused(stage: &Stage) {
    let (paused, other) = (stage.receiver(), stage.receiver());
    let since = crate::history::now();
    let late = deliver(&paused, "evt_1", 600);
    let takeover = async {
        until_counted(&paused, "begun", 1).await;
        paused.pause();
        tokio::time::sleep(LEASE).await;
        let answer = deliver(&other, "evt_1", 600).await.0;
        paused.resume();
        answer
    };
    let ((late, _), takeover) = tokio::join!(late, takeover);
    let (kind, of) = ("SIGSTOP".into(), Some(paused.id()));
    stage.history.record(What::Fault { kind, of, since });
    assert_eq!(takeover.status, 200);
    // Its handler has succeeded as well, if its clock let it: the sender hears either.
    assert!(late.status == 200 || late.is_try_again(), "{late:?}");
    until_counted(&paused, "lease_lost", 1).await;
    assert_eq!(counted(&paused, "succeeded").await, 1);
    assert_eq!(counted(&other, "lease_lost").await, 0);
    let records = stage.records(&[&paused, &other]);
    let commits: Vec<_> = records
        .iter()
        .filter_map(|record| match record.what {
            What::Committed { epoch, .. } => Some((record.process, epoch)),
            _ => None,
        })
        .collect();
    assert_eq!(commits, [(other.id(), 2)]);
    assert_eq!(check(&records), []);
}

/// A receiver that is to handle events anyway does so while the store is down, each one
/// once; it says so in its log and in a counter, and asks the store again when it is back.
///
/// # Panics
///
/// When it is not so.
pub async fn events_are_handled_anyway_once_in_a_process(stage: &Stage, server: &mut dyn Server) {
    let receiver = stage.receiver_that_handles_anyway();
    server.kill();
    for _ in 0..3 {
        assert_eq!(deliver(&receiver, "evt_1", 0).await.0.status, 200);
    }
    assert_eq!(counted(&receiver, "succeeded").await, 1, "a duplicate ran");
    // At once, as well: while the first one runs.
    let (one, two) =
        tokio::join!(deliver(&receiver, "evt_2", 200), deliver(&receiver, "evt_2", 200));
    assert_eq!((one.0.status, two.0.status), (200, 200));
    assert_eq!(counted(&receiver, "succeeded").await, 2, "a duplicate ran");
    assert_eq!(counted(&receiver, "processed_anyway").await, 2);
    let log = receiver.log();
    let lines = log.lines().filter(|line| line.contains("without the dedup store"));
    assert_eq!(lines.count(), 2, "{log}");

    server.restart();
    assert_eq!(deliver(&receiver, "evt_3", 0).await.0.status, 200);
    assert_eq!(counted(&receiver, "processed_anyway").await, 2);
    let other = stage.receiver();
    assert_eq!(deliver(&other, "evt_3", 0).await.0.status, 200);
    assert_eq!(counted(&other, "succeeded").await, 0, "the store was not asked");
}
