//! A receiver with the core alone, where there is no adapter: a data guard of
//! Rocket that verifies, and claim and commit by hand. `README.md` says how to
//! run it; `events.rs` is the file to make your own.

mod answers;
mod events;
mod once;
mod verified;

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::pin::pin;

use dataflow_webhooks::{KeyRing, Outcome, Verifier};
use rocket::config::{Config, Ident, Shutdown};
use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::{State, catchers, get, post, routes};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::answers::Fixed;
use crate::once::Once;
use crate::verified::Verified;

const PATH: &str = "/webhooks/dataflow";

#[post("/", data = "<delivery>")]
async fn receive(delivery: Verified, once: &State<Once>) -> Result<(), Fixed> {
    match once.handle(delivery).await {
        Outcome::Handled => Ok(()),
        outcome => Err(Fixed(outcome.answer())),
    }
}

#[get("/healthz")]
fn healthz() -> &'static str {
    "ok\n"
}

async fn run() -> Result<(), Failure> {
    let keys = KeyRing::from_env().map_err(Failure::in_configuration)?;
    let bind = bind_address().map_err(Failure::in_configuration)?;
    let once = Once::default();
    let stop = stop_requested().map_err(Failure::at_run_time)?;

    let rocket = rocket::custom(config(bind))
        .manage(Verifier::new(keys))
        .manage(once.clone())
        .mount(PATH, routes![receive])
        .register(PATH, catchers![answers::refused])
        .mount("/", routes![healthz])
        .attach(AdHoc::on_liftoff("where it listens", |rocket| {
            let config = rocket.config();
            let bound = SocketAddr::new(config.address, config.port);
            Box::pin(async move { info!("listening on {bound}") })
        }));
    let cannot = |error| Failure::at_run_time(format!("cannot serve on {bind}: {error}"));
    let rocket = rocket.ignite().await.map_err(cannot)?;
    let shutdown = rocket.shutdown();
    let mut serving = pin!(rocket.launch());
    // Until a signal, and then until the open connections have ended. Rocket is
    // told by the task that drives it: told from another thread, it may see that
    // its accept loop has ended first, and then waits for no connection.
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop => {
            shutdown.notify();
            serving.await
        }
    };
    // Handlers run on when their sender has hung up or was told to come again.
    once.drained().await;
    match served {
        Ok(_) => info!("stopped"),
        Err(error) if matches!(error.kind(), ErrorKind::Shutdown(..)) => {
            warn!("stopped, with connections still open");
        }
        Err(error) => return Err(cannot(error)),
    }
    Ok(())
}

/// All in one place: no `Rocket.toml`, and no variable of Rocket's own.
fn config(bind: SocketAddr) -> Config {
    // Every request that has arrived is answered within 4.5 s.
    let mut shutdown = Shutdown { ctrlc: false, grace: 5, mercy: 1, ..Shutdown::default() };
    // The signals are listened to here.
    #[cfg(unix)]
    shutdown.signals.clear();
    Config {
        address: bind.ip(),
        port: bind.port(),
        ident: Ident::none(),
        cli_colors: false,
        shutdown,
        ..Config::release_default()
    }
}

/// SIGTERM or Ctrl-C, listened to from now on.
fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn bind_address() -> Result<SocketAddr, String> {
    let Some(bind) = env::var_os("BIND") else { return Ok(([127, 0, 0, 1], 3000).into()) };
    bind.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        format!("BIND is {bind:?}; it must be an address and a port, such as 127.0.0.1:3000")
    })
}

/// Set up before Rocket sets up its own log, which writes to stdout.
fn log_to_stderr() {
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    // Rocket warns of every answer that a catcher gives.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,rocket::=error"));
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_colour)
        .with_env_filter(filter)
        // It would complain on stderr, and panic when nobody reads that.
        .log_internal_errors(false)
        .init();
}

#[tokio::main]
async fn main() {
    log_to_stderr();
    let code = match run().await {
        Ok(()) => 0,
        Err(failure) => {
            // Not `eprintln!`, which panics when nobody reads stderr any more.
            let _ = writeln!(io::stderr(), "rocket-receiver: {}", failure.message);
            failure.exit_code
        }
    };
    // Not a return, which would wait for a line that stdout does not take.
    std::process::exit(code);
}

/// Why the program ends, in one line.
struct Failure {
    exit_code: i32,
    message: String,
}

impl Failure {
    fn in_configuration(error: impl ToString) -> Self {
        Self { exit_code: 2, message: error.to_string() }
    }

    fn at_run_time(error: impl ToString) -> Self {
        Self { exit_code: 1, message: error.to_string() }
    }
}
