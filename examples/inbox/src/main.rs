//! The inbox with the work of `../receiver`'s `events.rs`. `README.md` says how it is run.

#[tokio::main]
async fn main() {
    inbox::run(env!("CARGO_PKG_NAME"), std::env::args().skip(1), inbox::process).await
}
