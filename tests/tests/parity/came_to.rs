//! All that a row's deliveries come to, compared as a whole: what the sender
//! read, what became of its connection, how often the handler ran, what the store
//! knows, and every count of the endpoint that is not zero.

use std::collections::BTreeMap;
use std::fmt::Debug;

use dataflow_webhooks::{Counts, Outcome, RejectionKind, StoreOperation};
use webhook_tests::{Answer, State};

use crate::stack::Stack;

/// The event that most rows are about.
pub(crate) const ID: &str = "evt_1";

/// What came of a row, or must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CameTo {
    /// The answers, in the order in which they were read.
    pub(crate) answers: Vec<Said>,
    /// What became of the connection used last.
    pub(crate) connection: Connection,
    /// How often the handler began and reached its end.
    pub(crate) runs: (usize, usize),
    /// What the store knows of these events.
    pub(crate) claims: BTreeMap<String, Claim>,
    /// The endpoint's counts, those at zero left out.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// 0 where the connection ended instead.
    pub(crate) status: u16,
    pub(crate) body: String,
    /// All of them, but those of the server's own trade: `Date`,
    /// `Content-Length`, `Transfer-Encoding`.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What became of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It carries the next request.
    LivesOn,
    /// The server has ended it.
    Ends,
    /// The sender has, or never had one.
    Gone,
}

/// What the store knows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It was asked nothing at all, about this event or another.
    Untouched,
    /// The next delivery runs.
    Free,
    InFlight,
    Done,
}

impl From<State> for Claim {
    fn from(state: State) -> Self {
        match state {
            State::Free => Self::Free,
            State::InFlight => Self::InFlight,
            State::Done => Self::Done,
        }
    }
}

impl Said {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.into(), headers: BTreeMap::new() }
    }

    /// With this header, its name in lower case.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// And the connection ends.
    pub(crate) fn closing(self) -> Self {
        self.header("connection", "close")
    }

    /// One of the fixed texts.
    fn fixed(status: u16, body: &str) -> Self {
        Self::new(status, body).header("content-type", "text/plain; charset=utf-8")
    }
}

impl From<Answer> for Said {
    fn from(answer: Answer) -> Self {
        let body = answer.text();
        let mut headers: BTreeMap<_, _> = answer.headers.into_iter().collect();
        headers.retain(|name, _| {
            !["date", "content-length", "transfer-encoding"].contains(&name.as_str())
        });
        Self { status: answer.status, body, headers }
    }
}

/// What the documentation says of a duplicate that is done.
pub(crate) fn already() -> Said {
    Said::fixed(200, "already handled\n")
}

/// What it says to a sender that is to come again.
pub(crate) fn try_again() -> Said {
    Said::fixed(503, "try again later\n").header("retry-after", "60")
}

/// What it says where a handler panicked, or another endpoint has verified.
pub(crate) fn not_handled() -> Said {
    Said::fixed(500, "the delivery was not handled\n")
}

/// What it says to a request that is refused: the table of answers once more, so
/// that a change of one is a change of two.
pub(crate) fn refusal(kind: RejectionKind) -> Said {
    use RejectionKind as K;
    match kind {
        K::MethodNotAllowed => {
            Said::fixed(405, "only POST is accepted here\n").header("allow", "POST")
        }
        K::SourceNotAllowed => Said::fixed(403, "the source is not allowed\n"),
        K::MissingSignature
        | K::RepeatedSignature
        | K::MalformedSignature
        | K::TooOld
        | K::TooNew
        | K::NoMatch => Said::fixed(401, "the signature was not accepted\n")
            .header("www-authenticate", "DataFlow-Signature"),
        K::BodyTooLarge => Said::fixed(413, "the body is too large\n"),
        K::BodyTimeout => Said::fixed(408, "the body did not arrive in time\n"),
        K::BodyLost => Said::fixed(400, "the body did not arrive\n"),
        K::NotAnEvent => Said::fixed(422, "the body is not an event\n"),
        K::Draining | K::TooManyBytes | K::TooManyRunning | K::TooManyPending => try_again(),
        other => panic!("{other} has no answer yet: add it"),
    }
}

/// What must come of a row; some of it depends on the stack.
pub(crate) struct Expected {
    came_to: CameTo,
    differing: Vec<Difference>,
    uncounted: Option<&'static str>,
}

/// On which stack it is different, why, and how.
type Difference = (Stack, &'static str, fn(&mut CameTo));

/// One delivery, handled, its answer empty.
pub(crate) fn handled() -> Expected {
    let came_to = CameTo {
        answers: vec![Said::new(200, "")],
        connection: Connection::LivesOn,
        runs: (1, 1),
        claims: [(ID.to_owned(), Claim::Done)].into(),
        counts: [("authentic", 1), ("handled", 1), ("handlers_succeeded", 1)].into(),
    };
    Expected { came_to, differing: Vec::new(), uncounted: None }
}

/// A delivery with this answer, counted as this outcome and this end of its handler;
/// and its retry, which is handled.
pub(crate) fn retried(first: Said, outcome: &'static str, end: &'static str) -> Expected {
    handled().answers([first, Said::new(200, "")]).runs(2, 2).counts(&[
        ("authentic", 2),
        ("authentic_refused", 1),
        ("handled", 1),
        ("handlers_succeeded", 1),
        (outcome, 1),
        (end, 1),
    ])
}

/// A delivery that is handled, with this answer, and its duplicate.
pub(crate) fn repeated(first: Said) -> Expected {
    handled().answers([first, already()]).counts(&[
        ("authentic", 2),
        ("duplicate", 1),
        ("handled", 1),
        ("handlers_succeeded", 1),
    ])
}

/// A request that is refused for this, and then a delivery that is handled.
pub(crate) fn refused_and_handled(kind: RejectionKind) -> Expected {
    handled().answers([refusal(kind), Said::new(200, "")]).and(kind.as_str(), 1)
}

/// One delivery that ran nothing and that the store heard nothing of.
pub(crate) fn refused(kind: RejectionKind) -> Expected {
    handled().says(refusal(kind)).runs(0, 0).claim(Claim::Untouched).counts(&[(kind.as_str(), 1)])
}

impl Expected {
    /// With this one answer.
    pub(crate) fn says(self, answer: Said) -> Self {
        self.answers([answer])
    }

    /// With these answers.
    pub(crate) fn answers(mut self, answers: impl Into<Vec<Said>>) -> Self {
        self.came_to.answers = answers.into();
        self
    }

    /// The handler began and reached its end so often.
    pub(crate) fn runs(mut self, begun: usize, ended: usize) -> Self {
        self.came_to.runs = (begun, ended);
        self
    }

    /// The store knows this of [`ID`].
    pub(crate) fn claim(self, claim: Claim) -> Self {
        self.claims(&[(ID, claim)])
    }

    /// The store knows this of these events.
    pub(crate) fn claims(mut self, claims: &[(&str, Claim)]) -> Self {
        self.came_to.claims = claims.iter().map(|(id, claim)| ((*id).into(), *claim)).collect();
        self
    }

    /// The endpoint has counted this and nothing else.
    pub(crate) fn counts(mut self, counts: &[(&'static str, u64)]) -> Self {
        self.came_to.counts = counts.iter().copied().collect();
        self
    }

    /// And this as well.
    pub(crate) fn and(mut self, count: &'static str, times: u64) -> Self {
        self.came_to.counts.insert(count, times);
        self
    }

    /// This count depends on the clock, and is left out.
    pub(crate) fn uncounted(mut self, count: &'static str) -> Self {
        self.uncounted = Some(count);
        self
    }

    /// The last answer announces the end of the connection, and it ends.
    pub(crate) fn ends(mut self) -> Self {
        self.came_to.connection = Connection::Ends;
        if let Some(answer) = self.came_to.answers.last_mut() {
            *answer = answer.clone().closing();
        }
        self
    }

    /// The connection comes to this.
    pub(crate) fn connection(mut self, connection: Connection) -> Self {
        self.came_to.connection = connection;
        self
    }

    /// On this stack it is different, and this is why.
    pub(crate) fn but_on(mut self, stack: Stack, why: &'static str, how: fn(&mut CameTo)) -> Self {
        self.differing.push((stack, why, how));
        self
    }

    /// What must come of it on this stack, and why that is a thing of its own.
    pub(crate) fn on(self, stack: Stack) -> Must {
        let Self { mut came_to, differing, uncounted } = self;
        let mut whys = Vec::new();
        for (_, why, how) in differing.iter().filter(|differing| differing.0 == stack) {
            how(&mut came_to);
            whys.push(*why);
        }
        Must { came_to, whys, uncounted }
    }
}

/// What must come of a row on one stack.
pub(crate) struct Must {
    pub(crate) came_to: CameTo,
    /// Why it is different there.
    pub(crate) whys: Vec<&'static str>,
    uncounted: Option<&'static str>,
}

impl Must {
    /// The counts that are compared.
    pub(crate) fn counts(&self, counts: &Counts) -> BTreeMap<&'static str, u64> {
        let mut counted = counted(counts);
        counted.retain(|count, _| Some(*count) != self.uncounted);
        counted
    }
}

/// All counts of an endpoint that are not zero, by name.
pub(crate) fn counted(counts: &Counts) -> BTreeMap<&'static str, u64> {
    let outcomes = Outcome::ALL.iter().map(|it| (it.as_str(), counts.outcome(*it)));
    let refused = RejectionKind::ALL.iter().map(|it| (it.as_str(), counts.rejected(*it)));
    let errors = StoreOperation::ALL.iter().map(|operation| {
        let name = match operation {
            StoreOperation::Claim => "store_errors_claim",
            StoreOperation::Renew => "store_errors_renew",
            StoreOperation::Commit => "store_errors_commit",
            StoreOperation::Release => "store_errors_release",
            _ => "store_errors_other",
        };
        (name, counts.store_errors(*operation))
    });
    let others = [
        ("authentic", counts.authentic),
        ("authentic_by_older_key", counts.authentic_by_older_key),
        ("authentic_from_unlisted", counts.authentic_from_unlisted),
        ("authentic_refused", counts.authentic_refused),
        ("authentic_refused_in_a_row", counts.authentic_refused_in_a_row),
        ("handlers_succeeded", counts.handlers_succeeded),
        ("handlers_failed", counts.handlers_failed),
        ("handlers_panicked", counts.handlers_panicked),
        ("handlers_cut_off", counts.handlers_cut_off),
        ("lease_lost", counts.lease_lost),
        ("dead_letters", counts.dead_letters),
        ("dead_letter_errors", counts.dead_letter_errors),
        ("processed_anyway", counts.processed_anyway),
        ("mismatched", counts.mismatched),
        ("evictions", counts.evictions),
        ("running", counts.running as u64),
        ("pending_commits", counts.pending_commits as u64),
        ("unverified_bytes", counts.unverified_bytes as u64),
    ];
    let all = outcomes.chain(refused).chain(errors).chain(others);
    all.filter(|(_, count)| *count > 0).collect()
}

impl CameTo {
    /// A sender that is gone was answered, for the server does not tell.
    pub(crate) fn handled_instead_of_hung_up(&mut self) {
        for count in ["hung_up", "authentic_refused", "authentic_refused_in_a_row"] {
            self.counts.remove(count);
        }
        self.counts.insert("handled", 1);
    }

    /// Such a sender was answered that it is late.
    pub(crate) fn late_instead_of_hung_up(&mut self) {
        self.counts.remove("hung_up");
        self.counts.insert("late", 1);
    }

    /// Each field that is not as it must be, in words.
    pub(crate) fn differences(&self, expected: &Self) -> Vec<String> {
        fn differ<T: Debug + PartialEq>(what: &str, got: &T, expected: &T) -> Option<String> {
            let differs = got != expected;
            differs.then(|| format!("{what}: expected {expected:?},\n    got {got:?}"))
        }
        // Named one by one, so that no field is left out.
        let Self { answers, connection, runs, claims, counts } = self;
        let all = [
            differ("answers", answers, &expected.answers),
            differ("connection", connection, &expected.connection),
            differ("runs", runs, &expected.runs),
            differ("claims", claims, &expected.claims),
            differ("counts", counts, &expected.counts),
        ];
        all.into_iter().flatten().collect()
    }
}
