//! Calls whose question or answer is lost on the way to Redis.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_redis::{RedisStore, RedisStoreErrorKind as Kind};
use tokio::time::timeout;
use webhook_fleet_tests::calls::{key, new_claim, redis_error, terms};
use webhook_fleet_tests::redis::Redis;
use webhook_tests::Stopwatch;

/// What `RedisStoreBuilder::call_timeout` allows.
const LONGEST_CALL: Duration = Duration::from_millis(1_900);

static SERVER: LazyLock<Redis> = LazyLock::new(|| Redis::start(&[]));

/// What happens to the next script that is called; connections made later are not touched.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Fate {
    Passes,
    /// The connection is closed before Redis has the call.
    QuestionLost,
    /// Redis takes the step, and the connection is closed before the answer is through.
    AnswerLost,
    /// Nothing comes back on this connection any more, and it stays open.
    Silence,
}

/// A proxy before the server that decides a call's fate.
struct Between {
    url: String,
    next: Arc<AtomicU8>,
}

impl Between {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let next = Arc::new(AtomicU8::new(Fate::Passes as u8));
        let decided = Arc::clone(&next);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let decided = Arc::clone(&decided);
                thread::spawn(move || serve(client, &decided));
            }
        });
        Self { url, next }
    }

    fn next(&self, fate: Fate) {
        self.next.store(fate as u8, Ordering::SeqCst);
    }
}

/// One question, one answer, as the store asks when nobody else does.
fn serve(mut client: TcpStream, next: &AtomicU8) {
    let mut server = TcpStream::connect(("127.0.0.1", SERVER.port())).unwrap();
    let (mut question, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    while let Ok(length @ 1..) = client.read(&mut question) {
        let question = &question[..length];
        let is_call = question.windows(4).any(|word| word == b"EVAL");
        let fate = if is_call { next.swap(0, Ordering::SeqCst) } else { 0 };
        if fate == Fate::QuestionLost as u8 {
            return;
        }
        server.write_all(question).unwrap();
        let Ok(length @ 1..) = server.read(&mut answer) else { return };
        if fate == Fate::AnswerLost as u8 {
            return;
        }
        if fate == Fate::Silence as u8 {
            // Until the store lets go of it.
            while let Ok(1..) = client.read(&mut answer) {}
            return;
        }
        if client.write_all(&answer[..length]).is_err() {
            return;
        }
    }
}

async fn store(between: &Between, scope: &str) -> RedisStore {
    let store = RedisStore::connect(&between.url, scope).await.unwrap();
    // The server knows the scripts by now, and each call is one question.
    let claim = new_claim(&store, "evt_warm").await;
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
    assert_eq!(store.renew(&claim, terms()).await.unwrap(), Held::No);
    assert_eq!(store.release(&claim, terms()).await.unwrap(), Held::No);
    store
}

async fn ask(store: &RedisStore, claim: &Claim, what: &str) -> Held {
    match what {
        "renew" => store.renew(claim, terms()).await.unwrap(),
        "commit" => store.commit(claim, terms()).await.unwrap(),
        _ => store.release(claim, terms()).await.unwrap(),
    }
}

#[tokio::test]
async fn a_call_whose_question_is_lost_is_asked_again() {
    let between = Between::start();
    let store = store(&between, "question").await;
    for (number, what) in ["renew", "commit", "release"].into_iter().enumerate() {
        between.next(Fate::QuestionLost);
        let claim = new_claim(&store, &format!("evt_{number}")).await;
        between.next(Fate::QuestionLost);
        assert_eq!(ask(&store, &claim, what).await, Held::Yes, "{what}");
    }
}

#[tokio::test]
async fn a_step_whose_answer_is_lost_is_held_all_the_same() {
    let between = Between::start();
    let store = store(&between, "answer").await;
    for (number, what) in ["renew", "commit", "release"].into_iter().enumerate() {
        let claim = new_claim(&store, &format!("evt_{number}")).await;
        between.next(Fate::AnswerLost);
        assert_eq!(ask(&store, &claim, what).await, Held::Yes, "{what}");
    }
}

/// Nobody knows whose claim it was, so nobody runs the event until its lease has lapsed.
#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_in_flight() {
    let between = Between::start();
    let store = store(&between, "claim").await;
    between.next(Fate::AnswerLost);
    let answer = store.claim(&key("evt_1"), terms()).await.unwrap();
    assert_eq!(answer, ClaimOutcome::InFlight);
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_left_behind() {
    let between = Between::start();
    let store = store(&between, "silence").await;
    between.next(Fate::Silence);
    let begin = Stopwatch::start();
    let error = redis_error(store.claim(&key("evt_1"), terms()).await);
    assert_eq!(error.kind(), Kind::TimedOut, "{error:?}");
    assert!(begin.ran() < Duration::from_millis(2_500), "{:?}", begin.ran());
    new_claim(&store, "evt_2").await;
}

/// The road gives a call 2 s, which have begun a moment before, and then drops it: what the store
/// would do after that is not done.
#[tokio::test]
async fn a_silent_connection_is_left_before_the_caller_gives_the_longest_call_up() {
    let between = Between::start();
    let builder = RedisStore::builder("longest").call_timeout(LONGEST_CALL);
    let store = builder.connect(&between.url).await.unwrap();
    new_claim(&store, "evt_warm").await;
    between.next(Fate::Silence);
    let id = key("evt_1");
    let _ = timeout(Duration::from_millis(1_950), store.claim(&id, terms())).await;
    new_claim(&store, "evt_2").await;
}
