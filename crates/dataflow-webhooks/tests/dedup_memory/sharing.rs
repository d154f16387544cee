//! Who shares its records: clones, threads.

use super::*;

#[test]
fn clones_share_their_records() {
    let store = MemoryStore::new();
    done(&store.clone(), "evt_1");
    assert_eq!(claim(&store, "evt_1"), ClaimOutcome::Done);
    assert_eq!(store.clone().len(), 1);
}

#[test]
fn two_stores_share_nothing() {
    done(&MemoryStore::new(), "evt_1");
    new_claim(&MemoryStore::new(), "evt_1");
}

#[test]
fn of_64_threads_with_one_id_one_wins() {
    let store = MemoryStore::new();
    for round in 0..20 {
        let barrier = Barrier::new(64);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        claim(&store, &format!("evt_{round}"))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let new = outcomes.iter().filter(|o| matches!(o, ClaimOutcome::New(_))).count();
        let waiting = outcomes.iter().filter(|o| **o == ClaimOutcome::InFlight).count();
        assert_eq!((new, waiting), (1, 63));
    }
}

#[test]
fn leases_lapse_on_the_clock_of_the_system() {
    let store = MemoryStore::new();
    let short = Terms::new(Duration::from_millis(1), terms().retention());
    let first = block_on(store.claim(&key("evt_1"), short)).unwrap();
    assert!(matches!(first, ClaimOutcome::New(_)));
    thread::sleep(Duration::from_millis(2));
    assert_eq!(new_claim(&store, "evt_1").epoch(), 2);
    assert_eq!(claim(&store, "evt_1"), ClaimOutcome::InFlight);
}

#[test]
fn a_call_that_is_never_polled_does_nothing() {
    let store = MemoryStore::new();
    drop(store.claim(&key("evt_1"), terms()));
    assert!(store.is_empty());
    let first = new_claim(&store, "evt_1");
    drop(store.commit(&first, terms()));
    drop(store.forget(&key("evt_1")));
    assert_eq!(claim(&store, "evt_1"), ClaimOutcome::InFlight);
}

#[test]
fn a_panicking_clock_does_not_break_the_store() {
    let clock = ManualClock::new();
    let read = clock.clone();
    let store = MemoryStore::new().with_clock(move || {
        let now = read.now();
        assert!(now != Duration::from_secs(1), "a clock that breaks once");
        now
    });
    let held = new_claim(&store, "evt_1");
    clock.advance(Duration::from_secs(1));
    thread::scope(|scope| scope.spawn(|| claim(&store, "evt_2")).join()).unwrap_err();
    clock.advance(Duration::from_secs(1));
    assert_eq!(block_on(store.commit(&held, terms())).unwrap(), Held::Yes);
    done(&store, "evt_3");
}

#[test]
fn terms_and_clocks_of_any_size_do_not_overflow() {
    let endless = Terms::new(Duration::MAX, Duration::MAX);
    let store = MemoryStore::new().with_clock(|| Duration::MAX - Duration::from_secs(1));
    assert!(matches!(block_on(store.claim(&key("evt_1"), endless)), Ok(ClaimOutcome::New(_))));

    let clock = ManualClock::new();
    let store = on_clock(MemoryStore::new(), &clock);
    assert!(matches!(block_on(store.claim(&key("evt_1"), endless)), Ok(ClaimOutcome::New(_))));
    clock.advance(Duration::from_secs(u32::MAX.into()));
    assert_eq!(claim(&store, "evt_1"), ClaimOutcome::InFlight);

    // 2^64 ns, which would be 0 in a u64.
    let wrapping = Duration::new(18_446_744_073, 709_551_616);
    let wrapping = Terms::new(wrapping, wrapping);
    assert!(matches!(block_on(store.claim(&key("evt_2"), wrapping)), Ok(ClaimOutcome::New(_))));
    assert_eq!(claim(&store, "evt_2"), ClaimOutcome::InFlight);
}

#[test]
fn debug_shows_figures_and_no_ids() {
    let store = MemoryStore::new();
    done(&store, "evt_secret");
    let text = format!("{store:?}");
    assert!(text.contains("len: 1") && text.contains("evictions: 0"), "{text}");
    assert!(!text.contains("evt_secret"), "{text}");
}
