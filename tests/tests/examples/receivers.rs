//! The receivers among the examples. They keep one contract, so each rule is a
//! test of every one of them.

use std::process::Command;

use webhook_tests::Example;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receiver(pub(crate) &'static str);

pub(crate) const AXUM: Receiver = Receiver("axum-receiver");
pub(crate) const ACTIX: Receiver = Receiver("actix-receiver");
pub(crate) const HYPER: Receiver = Receiver("hyper-receiver");
/// That of axum once more, with a page of metrics beside it.
pub(crate) const OBSERVABILITY: Receiver = Receiver("observability");

/// Makes tests of rules: of `async fn rule(receiver: Receiver)` one for each of
/// the receivers.
macro_rules! each_receiver {
    ($($rule:ident),+ $(,)?) => { $(
        mod $rule {
            use super::$rule;
            use crate::receivers;

            #[tokio::test]
            async fn axum_receiver() {
                $rule(receivers::AXUM).await;
            }

            #[tokio::test]
            async fn actix_receiver() {
                $rule(receivers::ACTIX).await;
            }

            #[tokio::test]
            async fn hyper_receiver() {
                $rule(receivers::HYPER).await;
            }

            #[tokio::test]
            async fn observability() {
                $rule(receivers::OBSERVABILITY).await;
            }
        }
    )+ };
}

pub(crate) use each_receiver;

impl Receiver {
    /// The program, with nothing set but free ports.
    pub(crate) fn command(self) -> Command {
        on_a_free_page(Example::command(self.0))
    }

    /// The program, with the secret of the tests.
    pub(crate) fn with_secret(self) -> Command {
        on_a_free_page(Example::with_secret(self.0))
    }
}

/// For the one that has a page.
fn on_a_free_page(mut command: Command) -> Command {
    command.env("METRICS_BIND", "127.0.0.1:0");
    command
}
