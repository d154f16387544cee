//! What an endpoint reports to a recorder of the crate `metrics`, and under which
//! labels.
#![cfg(feature = "metrics")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/metered.rs"]
mod metered;

mod answers;
mod deliveries;
mod endpoints;
mod levels;
mod series;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{BODY, NOW, OTHER, SECRET, at, builder, dead_letter, header, secret};
use dataflow_webhooks::adapter::HandlerEnd;
use dataflow_webhooks::{
    DedupKey, Delivery, Endpoint, EventType, Outcome, Rejection, RejectionKind, SourceAllowList,
    StoreOperation, Terms, UnverifiedBudget,
};
use metered::Metered;

fn endpoint() -> Endpoint {
    builder().build().unwrap()
}

fn signed(endpoint: &Endpoint, t: i64, body: &[u8]) -> Delivery {
    let mut verification = endpoint.begin("POST", [header(SECRET, t, body)], None).unwrap();
    verification.update(body.to_vec()).unwrap();
    verification.finish().unwrap()
}

fn delivery(endpoint: &Endpoint, body: &[u8]) -> Delivery {
    signed(endpoint, NOW, body)
}

/// The rises as a list, for short comparisons.
fn risen(metered: &Metered) -> Vec<(String, f64)> {
    metered.risen().into_iter().collect()
}

fn list(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
    let mut expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    expected
}

/// What rises by each report of an authentic delivery that is verified.
const VERIFIED: [(&str, f64); 2] = [
    ("deliveries_total type=pipeline.run.completed key=current", 1.0),
    ("last_delivery_timestamp_seconds", NOW as f64),
];
