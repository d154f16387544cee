//! Signatures that others have made: written down once, from the Node.js and
//! Python samples of the platform's documentation, and sent over a real socket.

use axum::{Router, routing::post};
use dataflow_webhooks::{Endpoint, RejectionKind, SIGNATURE_HEADER, Secret};
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use jiff::Timestamp;
use webhook_tests::{Receiver, Request, Runs};

/// The secret of "Example Configuration".
const SECRET: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";

/// The time in the header of "Signature Header".
const NOW: i64 = 1_706_096_400;

/// The event of "Event Payload Structure", without white space.
const DOCUMENTED: &str = concat!(
    r#"{"id":"evt_1a2b3c4d5e6f","type":"pipeline.run.completed","#,
    r#""created_at":"2025-01-24T10:30:00Z","data":{"pipeline_id":"pipe_abc123","#,
    r#""run_id":"run_xyz789","status":"completed","records_processed":15420,"#,
    r#""duration_seconds":127,"started_at":"2025-01-24T10:27:53Z","#,
    r#""completed_at":"2025-01-24T10:30:00Z"},"#,
    r#""metadata":{"environment":"production","triggered_by":"schedule"}}"#,
);

async fn receiver(runs: &Runs) -> (Receiver, Endpoint) {
    let endpoint = Endpoint::builder(Secret::new(SECRET).unwrap())
        .clock(|| Timestamp::from_second(NOW).unwrap())
        .build()
        .unwrap();
    let seen = runs.clone();
    let handle = move |Webhook(event): Webhook| async move { seen.begin(&event.id) };
    let route = post(handle).route_layer(WebhookLayer::new(endpoint.clone()));
    (Receiver::start(Router::new().route("/webhooks/dataflow", route)).await, endpoint)
}

#[tokio::test]
async fn deliveries_that_the_samples_have_signed_are_handled() {
    let runs = Runs::default();
    let (receiver, _) = receiver(&runs).await;
    let vectors = [
        (
            "evt_1a2b3c4d5e6f",
            DOCUMENTED,
            "db4c2dd1c48d70ef5ba83e5da440595493cd10f4fd5f88bffe7e54ba1afdaa4c",
        ),
        (
            "evt_größe",
            r#"{"id":"evt_größe","type":"quality.anomaly.detected","data":{"note":"データ 🚀 é"}}"#,
            "46221a0270f44b05563ceb1892ccf8ea9823645a9ce0f492c3329b8007ffcb13",
        ),
        (
            "evt_spaces",
            "{ \"type\" : \"pipeline.created\",\r\n\t\"id\" : \"evt_spaces\" }\n",
            "a6a7c6d0b292134f36f3eee2ce3633c9070a37c4dfef891c3b52464a71235038",
        ),
        (
            // An event without an id goes by the hash of its body.
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "{}",
            "4879c98f178fbf0dd8facffc67f2f9662a969334443bf8a812f66f0e960f01cf",
        ),
    ];
    for (id, body, hash) in vectors {
        let request =
            Request::unsigned(body).header(SIGNATURE_HEADER, format!("t={NOW},v1={hash}"));
        let answer = request.send(receiver.address()).await.unwrap();
        assert_eq!((answer.status, runs.begun(id)), (200, 1), "{id}");
    }
}

/// Its `v1` has letters beyond `f` in it: it is a picture of a signature, and
/// whatever took it for one would accept anything.
#[tokio::test]
async fn the_example_header_of_the_documentation_is_refused() {
    let runs = Runs::default();
    let (receiver, endpoint) = receiver(&runs).await;
    let header = "t=1706096400,v1=5f4d8c9a2b1e3f7g6h8i9j0k1l2m3n4o5p6q7r8s9t0u1v2w3x4y5z6";
    let request = Request::unsigned(DOCUMENTED).header(SIGNATURE_HEADER, header);
    let answer = request.send(receiver.address()).await.unwrap();
    assert_eq!((answer.status, runs.begun("evt_1a2b3c4d5e6f")), (401, 0));
    // The time is right; it is for the signature that it is refused.
    assert_eq!(endpoint.counts().rejected(RejectionKind::NoMatch), 1);
}
