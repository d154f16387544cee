//! The rows: the same axum route behind different receivers.

use std::num::NonZeroUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use dataflow_webhooks_axum::dedup::{ClaimOutcome, DedupStore as _};
use dataflow_webhooks_axum::{
    DedupKey, Endpoint, EndpointBuilder, MemoryStore, Secret, Terms, Webhook, WebhookLayer,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::runtime::Runtime;
use tower_layer::Layer as _;
use webhook_verify::Provider;
use webhook_verify::tower::VerifyLayer;

use crate::wire::Served;

pub(crate) const SECRET: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum App {
    /// A handler that takes the body and does nothing.
    Bare,
    /// The same once more: what the figures are worth.
    Control,
    /// Verified in the handler, as the platform's sample does it.
    HandWritten,
    /// The published layer of that name.
    WebhookVerify,
    /// Our layer, without deduplication.
    WithoutDedup,
    /// The same, and the event decoded: what the hand-written handler does.
    Typed,
    /// Our layer, all of it. The only row with a store, so that the memory of no
    /// other is in its way.
    WithDedup,
}

impl App {
    pub(crate) const ALL: [Self; 7] = [
        Self::Bare,
        Self::Control,
        Self::HandWritten,
        Self::WebhookVerify,
        Self::WithoutDedup,
        Self::Typed,
        Self::WithDedup,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare Bytes handler",
            Self::Control => "bare again (control)",
            Self::HandWritten => "hand-written, no dedup",
            Self::WebhookVerify => "webhook-verify, no dedup",
            Self::WithoutDedup => "ours, no dedup",
            Self::WithDedup => "ours, dedup",
            Self::Typed => "ours, no dedup, typed",
        }
    }

    /// Sets it up, with a full store where it has one.
    pub(crate) fn serve(self, runtime: &Runtime, records: NonZeroUsize) -> Served {
        match self {
            Self::Bare | Self::Control => Served::new(app(post(bare))),
            Self::HandWritten => Served::new(app(post(hand_written))),
            Self::WebhookVerify => {
                // Around the router: on the route it would need an error
                // handler, whose cost is not its own. It cannot be told the
                // name of the header, so its row gets Stripe's.
                let secret = webhook_verify::Secret::new(SECRET);
                let layer = VerifyLayer::<Body>::new(Provider::Stripe, secret);
                Served::new(layer.layer(app(post(bare))))
            }
            Self::WithoutDedup => {
                Served::new(app(post(bare).route_layer(layer(endpoint().without_dedup()))))
            }
            Self::Typed => {
                Served::new(app(post(typed).route_layer(layer(endpoint().without_dedup()))))
            }
            Self::WithDedup => {
                let endpoint = endpoint().dedup(runtime.block_on(full_store(records)));
                Served::new(app(post(bare).route_layer(layer(endpoint))))
            }
        }
    }
}

fn app(route: MethodRouter) -> Router {
    Router::new().route("/webhooks/dataflow", route)
}

async fn bare(body: Bytes) -> StatusCode {
    std::hint::black_box(body);
    StatusCode::OK
}

async fn typed(Webhook(event): Webhook) -> StatusCode {
    std::hint::black_box(event);
    StatusCode::OK
}

/// The platform's sample ("Verification Example", "Example Implementation"),
/// with what its documentation asks for beside it: the raw body, a compare in
/// constant time, and the five minutes.
async fn hand_written(headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("x-dataflow-signature").and_then(|value| value.to_str().ok());
    if !signature.is_some_and(|signature| verify_signature(&body, signature)) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(&body) else {
        return StatusCode::INTERNAL_SERVER_ERROR;
    };
    match event["type"].as_str() {
        Some("pipeline.run.completed") => drop(std::hint::black_box(event)),
        other => println!("Unhandled event type: {other:?}"),
    }
    StatusCode::OK
}

fn verify_signature(payload: &[u8], signature: &str) -> bool {
    let mut parts = signature.split(',').filter_map(|part| part.split_once('='));
    let (Some(("t", timestamp)), Some(("v1", hash))) = (parts.next(), parts.next()) else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if !timestamp.parse::<u64>().is_ok_and(|timestamp| now.abs_diff(timestamp) <= 300) {
        return false;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else {
        return false;
    };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(payload);
    let Some(hash) = from_hex(hash) else {
        return false;
    };
    mac.verify_slice(&hash).is_ok()
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let high = char::from(digits[0]).to_digit(16)?;
        let low = char::from(digits[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

fn endpoint() -> EndpointBuilder {
    Endpoint::builder(Secret::new(SECRET).expect("it is a valid secret"))
}

fn layer(endpoint: EndpointBuilder) -> WebhookLayer {
    WebhookLayer::new(endpoint.build().expect("the defaults are in range"))
}

/// A store as it is after a day at the platform's limit: each new event drops
/// the oldest.
async fn full_store(records: NonZeroUsize) -> MemoryStore {
    let store = MemoryStore::with_capacity(records);
    let terms = Terms::default();
    for number in 0..records.get() {
        let key = DedupKey::from_event_id(&format!("evt_before_{number:06}"));
        if let Ok(ClaimOutcome::New(claim)) = store.claim(&key, terms).await {
            let _ = store.commit(&claim, terms).await;
        }
    }
    assert_eq!(store.len(), records.get());
    store
}
