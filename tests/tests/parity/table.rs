//! The table: its rows, and one play of all of them on all stacks.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex, PoisonError};

use webhook_tests::{Request, on_one_thread, secret, undisturbed};

use crate::came_to::Expected;
use crate::logs::OUTPUT;
use crate::play::{Play, Sent};
use crate::scene::Scene;
use crate::stack::Stack;

/// So many rows are in play at once.
const AT_ONCE: usize = 16;

type Script = Box<dyn FnOnce(Play) -> Pin<Box<dyn Future<Output = Play>>>>;

/// What the sender does to which receiver, and what must come of it.
pub(crate) struct Row {
    scene: Scene,
    script: Script,
    expected: Expected,
}

impl Scene {
    /// The sender does this.
    pub(crate) fn play(self, script: impl AsyncFnOnce(&mut Play) + 'static) -> Unfinished {
        let script: Script = Box::new(|mut play| {
            Box::pin(async move {
                script(&mut play).await;
                play
            })
        });
        Unfinished { scene: self, script }
    }

    /// The sender sends this request and reads the answer.
    pub(crate) fn sent(self, request: Request) -> Unfinished {
        self.all_sent([request])
    }

    /// The sender sends these requests over one connection, each when it has the
    /// answer to the one before.
    pub(crate) fn all_sent(self, requests: impl Into<Vec<Request>>) -> Unfinished {
        let requests = requests.into();
        self.play(async move |play| {
            for request in &requests {
                play.ask(request).await;
            }
        })
    }
}

/// A row without what must come of it.
pub(crate) struct Unfinished {
    scene: Scene,
    script: Script,
}

impl Unfinished {
    /// This must come of it, and nothing else.
    pub(crate) fn comes_to(self, expected: Expected) -> Row {
        Row { scene: self.scene, script: self.script, expected }
    }
}

/// A row, made anew for each stack, and its name.
pub(crate) type Named = (&'static str, fn() -> Row);

/// Makes rows of the functions named: a list, and a test on each stack.
macro_rules! rows {
    ($($row:ident),+ $(,)?) => {
        pub(crate) const ROWS: &[$crate::table::Named] = &[
            $((concat!(module_path!(), "::", stringify!($row)), $row)),+
        ];

        $(mod $row {
            const NAME: &str = module_path!();

            #[test]
            fn tower() {
                $crate::table::assert_holds(NAME, $crate::stack::Stack::Tower);
            }

            #[test]
            fn axum() {
                $crate::table::assert_holds(NAME, $crate::stack::Stack::Axum);
            }

            #[test]
            fn actix() {
                $crate::table::assert_holds(NAME, $crate::stack::Stack::Actix);
            }
        })+
    };
}
pub(crate) use rows;

/// What is known after a row was played.
pub(crate) struct Played {
    /// How often it was: more than once where the machine stood still.
    pub(crate) times: usize,
    /// What is not as it must be, in words.
    failure: Option<String>,
    /// What the sender wrote.
    pub(crate) sent: Sent,
    /// All that can be printed of the receiver afterwards.
    pub(crate) printed: String,
}

/// The whole table, played once.
pub(crate) static PLAYED: LazyLock<HashMap<(&'static str, Stack), Played>> =
    LazyLock::new(play_all);

/// Fails when this row does not hold on this stack.
pub(crate) fn assert_holds(name: &'static str, stack: Stack) {
    let played = PLAYED.get(&(name, stack)).expect("left out by WEBHOOK_TESTS_ROWS");
    if let Some(failure) = &played.failure {
        panic!("{failure}");
    }
}

fn play_all() -> HashMap<(&'static str, Stack), Played> {
    LazyLock::force(&OUTPUT);
    let only = std::env::var("WEBHOOK_TESTS_ROWS").unwrap_or_default();
    let rows = crate::ROWS.iter().copied().flatten().filter(|(name, _)| name.contains(&only));
    let all: Vec<_> = rows.flat_map(|row| Stack::ALL.map(|stack| (*row, stack))).collect();
    let (next, played) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(((name, row), stack)) = all.get(next.fetch_add(1, SeqCst)) {
                    let failed = |played: &Played| played.failure.is_some();
                    let mut times = 0;
                    let again = || {
                        times += 1;
                        Played { times, ..play(name, *row, *stack) }
                    };
                    let came = undisturbed(again, failed);
                    let mut played = played.lock().unwrap_or_else(PoisonError::into_inner);
                    played.insert((*name, *stack), came);
                }
            });
        }
    });
    played.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Plays one row, on a runtime of its own.
fn play(name: &str, row: fn() -> Row, stack: Stack) -> Played {
    let mut played =
        Played { times: 1, failure: None, sent: Sent::default(), printed: String::new() };
    let playing = catch_unwind(AssertUnwindSafe(|| {
        on_one_thread(async {
            let Row { scene, script, expected } = row();
            let must = expected.on(stack);
            let served = scene.build();
            let receiver = stack.serve(&served).await;
            let play = script(Play::new(stack, served.clone(), receiver)).await;
            let (came_to, sent) = play.came_to(&must).await;
            played.sent = sent;
            played.printed = format!(
                "{served:?} {:?} {:?} {:?} {came_to:?}",
                served.endpoint.counts(),
                served.endpoint.keys(),
                secret(),
            );
            let mut differences = came_to.differences(&must.came_to);
            if !differences.is_empty() {
                differences.extend(must.whys.iter().map(|why| format!("where {why}")));
                let all = differences.join("\n  ");
                played.failure = Some(format!("row {name} on {stack:?}:\n  {all}"));
            }
        });
    }));
    if let Err(panic) = playing {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        let words = words.unwrap_or_default();
        played.failure = Some(format!("row {name} on {stack:?} came to no end: {words}"));
    }
    played
}
