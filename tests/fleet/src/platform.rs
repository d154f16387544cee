//! The platform's side of a run: it sends events by the rules of its documentation,
//! in less time. The longer a pause is there, the more it is shortened here: were all
//! shortened alike, a fault of half a second would meet the first four attempts at once,
//! and what is tested would be how the receivers stand the rush.
//!
//! "Error Handling": anything but 200, or no answer in time, and the event is sent
//! again 1, 5, 15, 60 and 360 minutes later. "Idempotency": an event may come several
//! times in any case.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::EventType;
use dataflow_webhooks::testing::Sample;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use webhook_tests::{Chance, Request, Wire};

use crate::calls::at_last;
use crate::history::{Recorder, What};

/// The pauses between attempts, in minutes ("Error Handling").
const PAUSES: [u64; 5] = [1, 5, 15, 60, 360];

/// The pauses between attempts, the first one being 1.
fn pauses() -> impl Iterator<Item = f64> {
    PAUSES.into_iter().map(|minutes| (minutes as f64).powf(0.75))
}

/// What is sent, to whom, and how fast.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "tests set it up")]
pub struct Platform {
    /// The receivers, as behind a load balancer: each attempt goes to any of them that
    /// takes its connection.
    pub receivers: Vec<SocketAddr>,
    /// How many events.
    pub events: usize,
    /// How many of them a second, at most.
    pub events_per_second: u32,
    /// So many events are under way at once, those that wait for their last retry apart. The next
    /// ones wait: where a slow machine answers late, retries would bury it.
    pub at_once: u32,
    /// When the last retry of an event comes.
    pub last_retry: LastRetry,
    /// How long an answer may take.
    pub patience: Duration,
    /// One in so many deliveries is sent twice at once.
    pub double_one_in: usize,
    /// What each event is, by its number. Its id is [`Platform::id`] in any case.
    pub sample: fn(usize) -> Sample,
    /// Where the ids, the order and the receivers come from.
    pub seed: u64,
}

/// How long the first pause is, the minute of the documentation: the fourth retry is 10 s away from the
/// first attempt.
const MINUTE: Duration = Duration::from_millis(300);

/// So many last retries are under way at once: few, for however slow the machine is, no more may come
/// after them.
const LAST_AT_ONCE: usize = 4;

/// The last retry is six hours away in life, when whatever was broken is whole again. Here it comes
/// after the pause of the retry before it, and waits for that.
#[derive(Debug, Clone)]
pub struct LastRetry {
    is_whole: watch::Receiver<bool>,
    turns: Arc<Semaphore>,
}

impl LastRetry {
    /// It comes when this is true.
    #[must_use]
    pub fn when(is_whole: watch::Receiver<bool>) -> Self {
        Self { is_whole, turns: Arc::new(Semaphore::new(LAST_AT_ONCE)) }
    }

    /// Comes to its turn, which ends when it is dropped: when everything is whole, and all other
    /// events are settled.
    async fn turn(&self, is_settled: watch::Receiver<bool>) -> Option<SemaphorePermit<'_>> {
        for mut is_so in [self.is_whole.clone(), is_settled] {
            // It is so as well when nobody is left who could say it.
            let _ = is_so.wait_for(|is_so| *is_so).await;
        }
        self.turns.acquire().await.ok()
    }
}

impl Platform {
    /// The id of one of the events.
    #[must_use]
    pub fn id(&self, number: usize) -> String {
        format!("evt_{:x}_{number}", self.seed)
    }

    /// A sample of each documented type in turn.
    #[must_use]
    pub fn any_type(number: usize) -> Sample {
        let types = EventType::DOCUMENTED;
        Sample::of(types[number % types.len()].clone())
    }

    /// Sends every event until it was answered 200 or given up, and writes down
    /// what was sent and answered.
    pub async fn run(self, history: Arc<Recorder>) {
        let mut chance = Chance::from_seed(self.seed);
        let between = Duration::from_secs(1) / self.events_per_second.max(1);
        let began = Instant::now();
        let places = Arc::new(Semaphore::new(self.at_once as usize));
        let (settled, is_settled) = watch::channel(false);
        let platform = Arc::new(self);
        let mut under_way = JoinSet::new();
        for number in 0..platform.events {
            sleep_until(began + between * u32::try_from(number).unwrap_or(u32::MAX)).await;
            let place = (places.clone().acquire_owned().await.ok(), is_settled.clone());
            let own = Chance::from_seed(chance.number());
            let (platform, history) = (Arc::clone(&platform), Arc::clone(&history));
            under_way.spawn(async move { platform.deliver(number, own, place, &history).await });
            while under_way.try_join_next().is_some() {}
        }
        // When all places are free, only those are left that wait for their last retry.
        drop(places.acquire_many(platform.at_once).await);
        settled.send_replace(true);
        under_way.join_all().await;
    }

    async fn deliver(
        &self,
        number: usize,
        mut chance: Chance,
        (mut place, is_settled): (Option<OwnedSemaphorePermit>, watch::Receiver<bool>),
        history: &Recorder,
    ) {
        let id = self.id(number);
        let body = (self.sample)(number).id(&id).body();
        let mut pauses = pauses().peekable();
        let mut before = Duration::ZERO;
        let mut _turn = None;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let first = self.attempt(&id, attempt, &body, self.order(&mut chance), history);
            let is_done = if chance.below(self.double_one_in) == 0 {
                attempt += 1;
                let order = self.order(&mut chance);
                let second = self.attempt(&id, attempt, &body, order, history);
                let (first, second) = tokio::join!(first, second);
                first && second
            } else {
                first.await
            };
            let Some(pause) = pauses.next() else { return };
            if is_done {
                return;
            }
            let pause = MINUTE.mul_f64(pause);
            if pauses.peek().is_some() {
                sleep(pause).await;
                before = pause;
            } else {
                drop(place.take());
                sleep(before).await;
                _turn = self.last_retry.turn(is_settled.clone()).await;
            }
        }
    }

    /// The receivers in the order in which one of them is looked for.
    fn order(&self, chance: &mut Chance) -> Vec<SocketAddr> {
        let mut order = self.receivers.clone();
        chance.shuffle(&mut order);
        order
    }

    /// Whether it was answered 200.
    async fn attempt(
        &self,
        id: &str,
        attempt: u32,
        body: &[u8],
        order: Vec<SocketAddr>,
        history: &Recorder,
    ) -> bool {
        history.record(What::Sent { id: id.into(), attempt });
        let answer = timeout(self.patience, async {
            let mut wire = connect(&order).await?;
            wire.send(&Request::signed(body.to_vec())).await?;
            wire.answer().await
        })
        .await;
        let status = answer.ok().and_then(Result::ok).map(|answer| answer.status);
        history.record(What::Answered { id: id.into(), attempt, status });
        status == Some(200)
    }
}

/// Sends a delivery, and again as long as it is answered 503, until it is answered 200.
///
/// # Panics
///
/// When it is answered otherwise, or not within a minute.
pub async fn deliver_at_last(request: &Request, to: SocketAddr) {
    at_last(async || {
        let answer = request.send(to).await.expect("an answer");
        if answer.status == 503 {
            return Err(answer);
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        Ok(())
    })
    .await;
}

async fn connect(order: &[SocketAddr]) -> io::Result<Wire> {
    let mut failure = io::ErrorKind::NotFound.into();
    for address in order {
        match Wire::connect(*address).await {
            Ok(wire) => return Ok(wire),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
