//! The requests: signed and written out before any clock starts.

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{EventType, Secret, sign};
use jiff::Timestamp;

use crate::rows::{Receiver, Row};
use crate::stacks::SECRET;

/// Bytes of each body.
pub(crate) const BODY_BYTES: usize = 400;

/// Deliveries of distinct events, as bytes on the wire. Every row of one stack
/// gets the same ones in a round.
pub(crate) struct Batch {
    ours: Vec<Vec<u8>>,
    stripe: Vec<Vec<u8>>,
}

impl Batch {
    /// So many deliveries, signed now.
    pub(crate) fn sign(count: usize) -> Self {
        let secret = Secret::new(SECRET).expect("it is a valid secret");
        let now = Timestamp::now();
        let (mut ours, mut stripe) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let body = body();
            let signature = sign(&secret, now, &body);
            ours.push(request("x-dataflow-signature", &signature, &body));
            stripe.push(request("stripe-signature", &signature, &body));
        }
        Self { ours, stripe }
    }

    /// The requests as this row reads them.
    ///
    /// webhook-verify knows Stripe's scheme, which is the platform's, and cannot be
    /// told another name of the header.
    pub(crate) fn requests(&self, row: Row) -> &[Vec<u8>] {
        match row.receiver {
            Receiver::WebhookVerify => &self.stripe,
            _ => &self.ours,
        }
    }
}

/// An event with a fresh id, filled up to its length in `metadata`.
fn body() -> Vec<u8> {
    let sample = Sample::of(EventType::PipelineRunCompleted);
    let missing = BODY_BYTES - sample.clone().metadata("note", "").body().len();
    let body = sample.metadata("note", "n".repeat(missing)).body();
    assert_eq!(body.len(), BODY_BYTES);
    body.to_vec()
}

fn request(signature_name: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /webhooks/dataflow HTTP/1.1\r\n\
         host: yourapp.com\r\n\
         user-agent: DataFlow-Webhooks\r\n\
         accept: */*\r\n\
         content-type: application/json\r\n\
         {signature_name}: {signature}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}
