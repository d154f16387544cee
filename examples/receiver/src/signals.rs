//! The signals that the program listens to. Where there are none, Ctrl-C stops
//! it and nothing makes it read its secret again.

use std::io;

use dataflow_webhooks::Endpoint;
use tracing::info;

use crate::failure::Failure;

#[cfg(unix)]
use unix as signals;

#[cfg(not(unix))]
use elsewhere as signals;

pub(crate) use signals::HangUp;

/// The requests to stop: SIGTERM, and SIGINT, which is Ctrl-C.
#[derive(Debug)]
pub struct Stop(signals::Stop);

impl Stop {
    /// Listens to them from now on.
    ///
    /// # Errors
    ///
    /// The system does not let it.
    pub fn listen() -> io::Result<Self> {
        signals::Stop::listen().map(Self)
    }

    /// Waits for the next one. One that comes while nobody waits is not lost.
    pub async fn requested(&mut self) {
        self.0.requested().await;
    }

    /// Waits for what is `open` (requests, connections), closes the endpoint, and
    /// waits until every handler has ended: they run on when their sender has hung
    /// up or was told to come again.
    ///
    /// # Errors
    ///
    /// The program was told once more to stop, and stops at once: the handlers
    /// that still run are cut off, and their events come again. Exit code 1.
    pub async fn drain(
        &mut self,
        endpoint: &Endpoint,
        open: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let ended = async {
            open.await;
            info!("waiting for the handlers that still run");
            endpoint.drain().await;
        };
        tokio::select! {
            () = ended => Ok(()),
            () = self.requested() => {
                let left = endpoint.counts().running;
                Err(Failure::at_run_time(format!("stopped at once, {left} handlers cut off")))
            }
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    #[derive(Debug)]
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

    #[derive(Debug)]
    pub(crate) struct Stop;

    impl Stop {
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

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
