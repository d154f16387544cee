//! What verification, an endpoint and the memory store cost, against the budget: `cargo bench -p
//! dataflow-webhooks`.
//!
//! Times are ratios to a bare `hmac` in the same run: ours and the bare one take turns in many
//! short rounds, so that a busy machine slows both alike. It prints, and never fails.

mod endpoint;
mod memory;
mod rounds;
mod table;
mod verification;

fn main() {
    // `cargo test --benches` runs this program too, and wants to know only that it runs.
    let effort = if std::env::args().any(|arg| arg == "--bench") {
        rounds::Effort { rounds: 600, micros: 300 }
    } else {
        rounds::Effort { rounds: 3, micros: 20 }
    };
    verification::ratios(effort);
    verification::allocations();
    endpoint::reports(effort);
    memory::store(effort);
}
