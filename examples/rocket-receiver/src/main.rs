//! A receiver with the core alone, where there is no adapter: a data guard of
//! Rocket that verifies, and claim and commit by hand. `README.md` says how to
//! run it; what is done with an event is `../receiver`'s `events.rs`.

mod answers;
mod once;
mod verified;

use std::net::SocketAddr;
use std::pin::pin;

use dataflow_webhooks::{KeyRing, Outcome, Verifier};
use receiver::{Failure, PATH, Stop};
use rocket::config::{Config, Ident, Shutdown};
use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::{State, catchers, get, post, routes};
use tracing::{info, warn};

use crate::answers::Fixed;
use crate::once::Once;
use crate::verified::Verified;

#[post("/", data = "<delivery>")]
async fn receive(delivery: Verified, once: &State<Once>) -> Result<(Status, ()), Fixed> {
    match once.handle(delivery).await {
        Outcome::Handled => Ok((Status::Ok, ())),
        // The handler's own answer.
        Outcome::Failed => Ok((Status::InternalServerError, ())),
        outcome => Err(Fixed(outcome.answer())),
    }
}

#[get("/healthz")]
fn healthz() -> &'static str {
    "ok\n"
}

async fn run() -> Result<(), Failure> {
    let keys = KeyRing::from_env().map_err(Failure::in_configuration)?;
    let bind = receiver::address("BIND", ([127, 0, 0, 1], 3000).into())?;
    let once = Once::default();
    let mut stop = Stop::listen().map_err(Failure::at_run_time)?;

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
        () = stop.requested() => {
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

#[tokio::main]
async fn main() {
    // Before Rocket sets up a log of its own, which writes to stdout. It warns of every
    // answer that a catcher gives.
    receiver::log_to_stderr("info,rocket::=error,rocket_receiver::_=error");
    receiver::end(env!("CARGO_PKG_NAME"), run().await)
}
