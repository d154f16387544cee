//! A put and the completion of its claim are one transaction, where there is such a thing.

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use inbox::queue::Completing;
use tokio::time::{Duration, Instant};
use webhook_fleet_tests::calls::{key, new_claim, new_claim_for, short_retention, terms};

use crate::on;
use crate::place::{Place, item};

on! {
    [sqlite, postgres]
    a_put_completes_its_claim,
    a_put_whose_claim_was_lost_puts_nothing,
    a_put_of_an_event_that_is_there_completes_its_claim_as_well,
    what_the_endpoint_remembers_no_longer_is_cleaned_up_as_well,
}

const BODY: &[u8] = br#"{"id":"evt_1"}"#;

async fn a_put_completes_its_claim(place: Place) {
    let queue = place.queue().await;
    let store = queue.dedup().unwrap();
    let claim = new_claim(&store, "evt_1").await;
    let completing = Completing { claim: &claim, terms: terms() };
    queue.put(&item("evt_1", BODY), Some(completing)).await.unwrap();
    assert_eq!(place.kept().await, 1);
    assert!(matches!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done));
}

async fn a_put_whose_claim_was_lost_puts_nothing(place: Place) {
    let queue = place.queue().await;
    let store = queue.dedup().unwrap();
    let lost = new_claim(&store, "evt_1").await;
    assert_eq!(store.release(&lost, terms()).await.unwrap(), Held::Yes);
    // Another process has it now.
    new_claim(&store, "evt_1").await;
    let completing = Completing { claim: &lost, terms: terms() };
    queue.put(&item("evt_1", BODY), Some(completing)).await.unwrap_err();
    assert_eq!(place.kept().await, 0);
}

/// As when a process has put it, and died before it could answer.
async fn a_put_of_an_event_that_is_there_completes_its_claim_as_well(place: Place) {
    let queue = place.queue().await;
    let store = queue.dedup().unwrap();
    queue.put(&item("evt_1", BODY), None).await.unwrap();
    let claim = new_claim(&store, "evt_1").await;
    let completing = Completing { claim: &claim, terms: terms() };
    queue.put(&item("evt_1", BODY), Some(completing)).await.unwrap();
    assert_eq!(place.kept().await, 1);
    assert!(matches!(store.claim(&key("evt_1"), terms()).await.unwrap(), ClaimOutcome::Done));
}

async fn what_the_endpoint_remembers_no_longer_is_cleaned_up_as_well(place: Place) {
    let queue = place.queue().await;
    let store = queue.dedup().unwrap();
    new_claim_for(&store, "evt_1", short_retention()).await;
    let remembered = place.remembered().await;
    let end = Instant::now() + Duration::from_secs(60);
    while place.remembered().await == remembered {
        assert!(Instant::now() < end, "{remembered} are remembered");
        queue.clean_up(Duration::from_secs(3_600)).await.unwrap();
    }
    assert_eq!(place.remembered().await, remembered - 1);
}
