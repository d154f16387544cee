//! A run with faults from its beginning to its end: three receivers that share a store, a
//! sender that keeps the platform's rules, and whatever breaks meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use webhook_tests::{Chance, allow_open_files};

use crate::faults::{
    OnStore, Server, break_receiver, break_store, plan_for_receiver, plan_for_store,
};
use crate::fleet::{LONGEST_RUN, Member, Setup};
use crate::history::{Recorder, now, read, watch_for_stalls};
use crate::kept::Folder;
use crate::platform::{LastRetry, Platform};
use crate::proxy::Proxy;
use crate::report::Report;

const RECEIVERS: usize = 3;

/// The variable that asks for another number of events than 10 000.
const EVENTS: &str = "WEBHOOK_TESTS_EVENTS";

/// What a run is made of.
#[allow(missing_debug_implementations, reason = "a server need not have one")]
pub struct Trial {
    program: String,
    store: String,
    events_per_second: u32,
    way: Option<(Proxy, Box<dyn Server>)>,
}

impl Trial {
    /// Receivers of this program (`env!("CARGO_BIN_EXE_fleet-receiver")`) with the store of
    /// this URL.
    #[must_use]
    pub fn new(program: &str, store: &str) -> Self {
        let (program, store) = (program.to_owned(), store.to_owned());
        Self { program, store, events_per_second: 400, way: None }
    }

    /// The store is this server, and the URL leads to it through this proxy: both are
    /// broken now and then.
    #[must_use]
    pub fn through(mut self, proxy: Proxy, server: impl Server + 'static) -> Self {
        self.way = Some((proxy, Box::new(server)));
        self
    }

    /// So many events a second are sent. Unless told, 400: four times as many as the
    /// platform sends at most ("Rate Limits").
    #[must_use]
    pub fn events_per_second(mut self, events: u32) -> Self {
        self.events_per_second = events;
        self
    }

    /// Sends 10 000 events, or as many as `WEBHOOK_TESTS_EVENTS` says, and breaks things
    /// for three quarters of the time that this takes. In the last quarter only handlers
    /// misbehave, so that nothing else explains what follows. Each kind of fault comes at least
    /// once. The last retry of each event comes after all that: it is six hours away in life, and
    /// then whatever was broken is whole again.
    ///
    /// The seed, printed first, decides what is sent to whom, what is broken when, and what
    /// each run of a handler does. It does not decide how the threads of seven processes
    /// take turns: a failure may need several runs with its seed to come again.
    ///
    /// # Panics
    ///
    /// When a receiver or a server does not start or stop.
    pub async fn run(self) -> Report {
        let seed = Chance::seed_of_this_run();
        let mut chance = Chance::from_seed(seed);
        let events = std::env::var(EVENTS).ok().and_then(|events| events.parse().ok());
        let events: u32 = events.unwrap_or(10_000);
        allow_open_files(8_192);

        let folder = Arc::new(Folder::new("fleet"));
        let file = folder.path().join("sender.history");
        let history = Arc::new(Recorder::open(&file).expect("a history"));
        watch_for_stalls(history.clone(), None);
        let sending = Duration::from_secs(1) * events / self.events_per_second;
        // The store's faults come so close that they would explain whatever takes long.
        let faulty = sending * 3 / 4;
        let setup = Arc::new(Setup {
            program: self.program,
            store: self.store,
            seed,
            calm_at: now() + u64::try_from(sending.as_nanos()).unwrap_or(u64::MAX),
            answer_within: Duration::from_millis(500),
            anyway: false,
        });
        let members: Vec<_> = (0..RECEIVERS).map(|_| Member::start(&setup, &folder)).collect();
        let (whole, is_whole) = watch::channel(false);
        let platform = Platform {
            receivers: members.iter().map(Member::address).collect(),
            events: events as usize,
            events_per_second: self.events_per_second,
            at_once: self.events_per_second,
            last_retry: LastRetry::when(is_whole),
            patience: Duration::from_millis(700),
            double_one_in: 10,
            sample: Platform::any_type,
            seed,
        };

        let begin = Instant::now();
        let end = begin + faulty;
        let mut kinds = vec!["SIGKILL", "SIGSTOP"];
        if self.way.is_some() {
            kinds.extend(OnStore::KINDS);
        }
        let pauses_all = self.way.is_none();
        let mut breaking = JoinSet::new();
        for (number, mut member) in members.into_iter().enumerate() {
            // Only one of them: the others have to do its work. Once, where that may stop them too.
            let pauses = match number {
                0 if pauses_all => 1,
                0 => usize::MAX,
                _ => 0,
            };
            let plan = plan_for_receiver(&mut chance, faulty, pauses);
            let history = history.clone();
            breaking.spawn_blocking(move || {
                break_receiver(&plan, end, &mut member, &history, pauses_all);
                member
            });
        }
        let way = self.way.map(|(proxy, mut server)| {
            let plan = plan_for_store(&mut chance, faulty);
            let history = history.clone();
            spawn_blocking(move || {
                break_store(&plan, end, &proxy, &mut *server, &history);
                (proxy, server)
            })
        });
        let broken = async {
            let members = breaking.join_all().await;
            let way = match way {
                Some(way) => Some(way.await.expect("the store's faults end")),
                None => None,
            };
            let calm = begin + sending + LONGEST_RUN + Duration::from_secs(1);
            sleep(calm.saturating_duration_since(Instant::now())).await;
            whole.send_replace(true);
            (members, way)
        };
        // The way is needed until the receivers have drained.
        let ((), (members, _way)) = tokio::join!(platform.run(history), broken);

        let stopped = spawn_blocking(move || {
            let mut histories = vec![file];
            for mut member in members {
                member.stop();
                histories.extend_from_slice(member.histories());
            }
            histories
        });
        let histories = stopped.await.expect("receivers that drain");
        let report = Report::of(read(histories).expect("histories"), &kinds);
        eprintln!("{report}");
        report
    }
}
