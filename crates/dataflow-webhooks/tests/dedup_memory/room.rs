//! How many records it holds, and which goes when it is full.

use super::*;

#[test]
fn the_oldest_settled_record_goes_first() {
    let store = small(3, &ManualClock::new());
    for id in ["evt_1", "evt_2", "evt_3", "evt_4"] {
        done(&store, id);
    }
    assert_eq!(store.len(), 3);
    assert_eq!(store.evictions(), 1);
    for id in ["evt_2", "evt_3", "evt_4"] {
        assert_eq!(claim(&store, id), ClaimOutcome::Done, "{id}");
    }
    new_claim(&store, "evt_1");
}

#[test]
fn a_duplicate_does_not_make_a_record_younger() {
    let store = small(2, &ManualClock::new());
    done(&store, "evt_1");
    done(&store, "evt_2");
    assert_eq!(claim(&store, "evt_1"), ClaimOutcome::Done);
    done(&store, "evt_3");
    assert_eq!(claim(&store, "evt_2"), ClaimOutcome::Done);
    new_claim(&store, "evt_1");
}

#[test]
fn a_commit_does_not_make_a_record_younger() {
    let store = small(2, &ManualClock::new());
    let first = new_claim(&store, "evt_1");
    done(&store, "evt_2");
    assert_eq!(block_on(store.commit(&first, terms())).unwrap(), Held::Yes);
    done(&store, "evt_3");
    assert_eq!(claim(&store, "evt_2"), ClaimOutcome::Done);
}

#[test]
fn a_record_that_is_claimed_again_is_young_again() {
    let store = small(2, &ManualClock::new());
    let first = new_claim(&store, "evt_1");
    assert_eq!(block_on(store.release(&first, terms())).unwrap(), Held::Yes);
    done(&store, "evt_2");
    done(&store, "evt_1");
    done(&store, "evt_3");
    assert_eq!(claim(&store, "evt_1"), ClaimOutcome::Done);
}

#[test]
fn a_released_record_can_go() {
    let store = small(1, &ManualClock::new());
    let first = new_claim(&store, "evt_1");
    assert_eq!(block_on(store.release(&first, terms())).unwrap(), Held::Yes);
    done(&store, "evt_2");
    assert_eq!((store.len(), store.evictions()), (1, 1));
}

#[test]
fn a_claim_in_flight_is_never_dropped() {
    let store = small(4, &ManualClock::new());
    let held: Vec<_> = ["evt_a", "evt_b", "evt_c"].map(|id| new_claim(&store, id)).into();
    for round in 0..100 {
        done(&store, &format!("evt_{round}"));
    }
    assert_eq!(store.evictions(), 99);
    for claim in held {
        assert_eq!(block_on(store.claim(claim.key(), terms())).unwrap(), ClaimOutcome::InFlight);
        assert_eq!(block_on(store.commit(&claim, terms())).unwrap(), Held::Yes);
    }
}

#[test]
fn a_lapsed_claim_can_go() {
    let clock = ManualClock::new();
    let store = small(1, &clock);
    let lapsed = new_claim(&store, "evt_1");
    clock.advance(terms().lease());
    done(&store, "evt_2");
    assert_eq!(block_on(store.commit(&lapsed, terms())).unwrap(), Held::No);
}

#[test]
fn the_holder_of_a_lapsed_claim_that_went_is_not_taken_for_a_later_one() {
    let clock = ManualClock::new();
    let store = small(1, &clock);
    let lapsed = new_claim(&store, "evt_1");
    clock.advance(terms().lease());
    done(&store, "evt_2");

    let later = new_claim(&store, "evt_1");
    assert!(later.epoch() > lapsed.epoch());
    assert_eq!(block_on(store.renew(&lapsed, terms())).unwrap(), Held::No);
    assert_eq!(block_on(store.commit(&lapsed, terms())).unwrap(), Held::No);
    assert_eq!(block_on(store.commit(&later, terms())).unwrap(), Held::Yes);
}

#[test]
fn the_holder_of_a_forgotten_claim_that_went_is_not_taken_for_a_later_one() {
    let store = small(1, &ManualClock::new());
    let forgotten = new_claim(&store, "evt_1");
    block_on(store.forget(forgotten.key())).unwrap();
    done(&store, "evt_2");

    let later = new_claim(&store, "evt_1");
    assert!(later.epoch() > forgotten.epoch());
    assert_eq!(block_on(store.renew(&forgotten, terms())).unwrap(), Held::No);
    assert_eq!(block_on(store.commit(&forgotten, terms())).unwrap(), Held::No);
}

#[test]
fn a_lapsed_holder_is_not_taken_for_a_later_one_though_its_successor_was_done_when_it_went() {
    let clock = ManualClock::new();
    let store = small(1, &clock);
    let lapsed = new_claim(&store, "evt_1");
    clock.advance(terms().lease());
    done(&store, "evt_1");
    done(&store, "evt_2");

    let later = new_claim(&store, "evt_1");
    assert!(later.epoch() > lapsed.epoch());
    assert_eq!(block_on(store.commit(&lapsed, terms())).unwrap(), Held::No);
    assert_eq!(block_on(store.commit(&later, terms())).unwrap(), Held::Yes);
}

#[test]
fn a_forgotten_holder_is_not_taken_for_a_later_one_though_two_were_done_when_it_went() {
    let store = small(1, &ManualClock::new());
    let forgotten = new_claim(&store, "evt_1");
    block_on(store.forget(forgotten.key())).unwrap();
    done(&store, "evt_1");
    block_on(store.forget(forgotten.key())).unwrap();
    done(&store, "evt_1");
    done(&store, "evt_2");

    let later = new_claim(&store, "evt_1");
    assert!(later.epoch() > forgotten.epoch());
    assert_eq!(block_on(store.commit(&forgotten, terms())).unwrap(), Held::No);
    assert_eq!(block_on(store.commit(&later, terms())).unwrap(), Held::Yes);
}

#[test]
fn an_event_whose_settled_record_went_begins_again_at_1() {
    let store = small(1, &ManualClock::new());
    done(&store, "evt_1");
    let second = new_claim(&store, "evt_2");
    assert_eq!(block_on(store.release(&second, terms())).unwrap(), Held::Yes);
    assert_eq!(new_claim(&store, "evt_1").epoch(), 1);
}

#[test]
fn a_renewed_claim_is_in_flight_and_stays() {
    let clock = ManualClock::new();
    let store = small(1, &clock);
    let renewed = new_claim(&store, "evt_1");
    clock.advance(terms().lease());
    assert_eq!(block_on(store.renew(&renewed, terms())).unwrap(), Held::Yes);
    assert!(block_on(store.claim(&key("evt_2"), terms())).is_err());
}

#[test]
fn a_store_full_of_claims_in_flight_says_so_with_its_figures() {
    let store = small(2, &ManualClock::new());
    let first = new_claim(&store, "evt_1");
    new_claim(&store, "evt_2");

    let error = block_on(store.claim(&key("evt_3"), terms())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the in-memory dedup store is full: all 2 records are claims in flight; \
         raise the capacity above 2"
    );
    assert_eq!(error.downcast_ref::<StoreFull>().unwrap().capacity().get(), 2);

    // A duplicate needs no room, and a settled claim makes some.
    assert_eq!(claim(&store, "evt_1"), ClaimOutcome::InFlight);
    assert_eq!(block_on(store.commit(&first, terms())).unwrap(), Held::Yes);
    new_claim(&store, "evt_3");
    assert_eq!(store.evictions(), 1);
}

#[test]
fn a_full_store_takes_a_known_key_without_evicting() {
    let store = small(2, &ManualClock::new());
    done(&store, "evt_1");
    let second = new_claim(&store, "evt_2");
    assert_eq!(block_on(store.release(&second, terms())).unwrap(), Held::Yes);
    new_claim(&store, "evt_2");
    assert_eq!((store.len(), store.evictions()), (2, 0));
}

#[test]
fn expired_records_leave_by_themselves_and_are_no_evictions() {
    let clock = ManualClock::new();
    let store = small(100, &clock);
    for round in 0..100 {
        done(&store, &format!("evt_{round}"));
    }
    clock.advance(terms().retention());
    for round in 100..150 {
        done(&store, &format!("evt_{round}"));
    }
    assert_eq!(store.len(), 50);
    for round in 150..250 {
        done(&store, &format!("evt_{round}"));
    }
    assert_eq!((store.len(), store.evictions()), (100, 50));
}

#[test]
fn an_expired_record_that_is_dropped_for_room_is_no_eviction() {
    let clock = ManualClock::new();
    let store = small(2, &clock);
    new_claim(&store, "evt_1");
    let short = Terms::new(Duration::from_secs(1), Duration::from_secs(1));
    let second = block_on(store.claim(&key("evt_2"), short)).unwrap();
    assert!(matches!(second, ClaimOutcome::New(_)));
    clock.advance(Duration::from_secs(1));
    // The oldest is in flight, so it is the next one, expired, that goes.
    new_claim(&store, "evt_3");
    assert_eq!((store.len(), store.evictions()), (2, 0));
}

#[test]
fn a_new_store_is_empty_and_holds_a_day_of_events() {
    let store = MemoryStore::new();
    assert!(store.is_empty());
    assert_eq!(store.capacity().get(), 250_000);
    assert_eq!(MemoryStore::default().capacity().get(), 250_000);
}
