//! The signals that the program listens to. Where there are none, Ctrl-C stops
//! it and nothing makes it read its secret again.

#[cfg(unix)]
pub(crate) use unix::{HangUp, Stop};

#[cfg(not(unix))]
pub(crate) use elsewhere::{HangUp, Stop};

#[cfg(unix)]
mod unix {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// SIGTERM and SIGINT, which is Ctrl-C.
    pub(crate) struct Stop {
        terminate: Signal,
        interrupt: Signal,
    }

    impl Stop {
        pub(crate) fn listen() -> io::Result<Self> {
            let terminate = signal(SignalKind::terminate())?;
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Self { terminate, interrupt })
        }

        /// Waits for the next one.
        pub(crate) async fn requested(&mut self) {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        }
    }

    /// SIGHUP.
    pub(crate) struct HangUp(Signal);

    impl HangUp {
        pub(crate) fn listen() -> io::Result<Self> {
            signal(SignalKind::hangup()).map(Self)
        }

        /// Waits for the next one.
        pub(crate) async fn received(&mut self) {
            self.0.recv().await;
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::future::pending;
    use std::io;

    /// Ctrl-C.
    pub(crate) struct Stop;

    impl Stop {
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Waits for the next one.
        pub(crate) async fn requested(&mut self) {
            if tokio::signal::ctrl_c().await.is_err() {
                pending().await
            }
        }
    }

    /// Never.
    pub(crate) struct HangUp;

    impl HangUp {
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Waits for ever.
        pub(crate) async fn received(&mut self) {
            pending().await
        }
    }
}
