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
        }
    )+ };
}

pub(crate) use each_receiver;

impl Receiver {
    /// The program, with nothing set but a free port.
    pub(crate) fn command(self) -> Command {
        Example::command(self.0)
    }

    /// The program, with the secret of the tests.
    pub(crate) fn with_secret(self) -> Command {
        Example::with_secret(self.0)
    }
}
