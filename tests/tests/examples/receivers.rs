//! The receivers among the examples. They keep one contract, so each rule is a
//! test of every one of them.

use std::process::Command;

use webhook_tests::SECRET;

use crate::program::path;

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
        let mut command = Command::new(path(self.0));
        let read = [
            "ALLOWED_SOURCES",
            "ALLOWED_SOURCES_REPORT_ONLY",
            "DATAFLOW_WEBHOOK_SECRET",
            "DATAFLOW_WEBHOOK_SECRET_FILE",
            "FORWARDED_HEADER",
            "RUST_LOG",
            "TRUSTED_PROXIES",
        ];
        for variable in read {
            command.env_remove(variable);
        }
        command.env("BIND", "127.0.0.1:0");
        command
    }

    /// The program, with the secret of the tests.
    pub(crate) fn with_secret(self) -> Command {
        let mut command = self.command();
        command.env("DATAFLOW_WEBHOOK_SECRET", SECRET);
        command
    }
}
