//! Owns the contract of a sink for dead letters as a suite that its author runs.

mod check;
mod list;
mod rules;

use self::check::Check;
use crate::dead_letters::DeadLetters;

/// The contract of a sink for dead letters ([`DeadLetters`]), as a suite to run against
/// one.
///
/// It needs two things of a sink's author: how to make an empty sink, and how to open it
/// again as a new process would. Each rule makes a sink of its own.
///
/// Run everything in one test:
///
/// ```
/// use dataflow_webhooks::dead_letters::DeadLetters;
/// use dataflow_webhooks::testing::SinkContract;
///
/// async fn keeps_its_contract<S: DeadLetters>(empty: impl Fn() -> S, open: impl Fn() -> S) {
///     let reopen = async |sink: S| {
///         drop(sink);
///         open()
///     };
///     SinkContract::new(async || empty(), reopen).run().await;
/// }
/// ```
///
/// or stamp a test for each rule with [`sink_contract_tests!`](crate::sink_contract_tests).
/// The [complete sink](DeadLetters) of the documentation runs it, too.
///
/// # Panics
///
/// This is code for tests: every method that checks panics when the sink breaks the
/// contract, with the name of the rule and the call that was answered wrongly.
#[derive(Debug)]
pub struct SinkContract<M, R> {
    make_sink: M,
    reopen: R,
}

impl<S, M, R> SinkContract<M, R>
where
    S: DeadLetters,
    M: AsyncFn() -> S,
    R: AsyncFn(S) -> S,
{
    /// The contract for the sinks that `make_sink` makes, each of them empty. `reopen`
    /// lets go of a sink and opens it again over what it has stored.
    pub const fn new(make_sink: M, reopen: R) -> Self {
        Self { make_sink, reopen }
    }

    async fn begin(&self, rule: &'static str) -> Check<'_, S, R> {
        Check::new(rule, (self.make_sink)().await, &self.reopen)
    }
}
