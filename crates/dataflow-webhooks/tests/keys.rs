//! Secrets and key rings: what is refused, which key matched, swaps while requests run.

mod common;

use common::{BODY, NOW, OTHER, SECRET, at, good_header, header, secret};
use dataflow_webhooks::{KeyRing, KeyRingError, RejectionKind, Secret, Verifier};

const THIRD: &str = "whsec_the_third_of_these_secrets";

fn ring(secrets: &[&str]) -> KeyRing {
    KeyRing::from_secrets(secrets.iter().map(|s| secret(s))).unwrap()
}

fn numbered(count: usize) -> Vec<Secret> {
    (0..count).map(|n| secret(&format!("whsec_number_{n:016}"))).collect()
}

fn verifier(keys: &KeyRing) -> Verifier {
    Verifier::new(keys.clone()).clock(|| at(NOW))
}

/// Which key a delivery signed with this secret is found to be signed by.
fn matched(keys: &KeyRing, signed_with: &str) -> Result<String, RejectionKind> {
    let line = header(signed_with, NOW, BODY);
    common::judge(&verifier(keys), &[line], BODY, at(NOW)).map(|s| s.key().to_owned())
}

mod secrets {
    use super::*;

    #[track_caller]
    fn refused(text: &str) -> String {
        Secret::new(text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_secret_is_refused() {
        assert!(refused("").contains("empty"));
    }

    #[test]
    fn white_space_anywhere_is_refused() {
        for text in
            [" whsec_1a2b3c4d5e6f7g8h", "whsec_1a2b3c4d5e6f7g8h\n", "whsec_1a2b 3c4d5e6f7g8h"]
        {
            assert!(refused(text).contains("white space"), "{text:?}");
        }
        for blank in ["\t", "\r\n", "\u{b}", "\u{a0}", "\u{2003}", "\u{2028}"] {
            assert!(refused(&format!("whsec_1a2b3c4d{blank}5e6f7g8h")).contains("white space"));
        }
        assert!(refused("                      ").contains("white space"));
    }

    #[test]
    fn a_comma_anywhere_is_refused() {
        assert!(refused("whsec_1a2b3c4d,whsec_5e6f7g8h").contains("comma at byte 14"));
        assert!(refused(",whsec_1a2b3c4d5e6f7g8h").contains("comma at byte 0"));
    }

    #[test]
    fn a_control_character_anywhere_is_refused() {
        for control in ['\0', '\u{1}', '\u{1b}', '\u{7f}', '\u{80}'] {
            assert!(refused(&format!("whsec_1a2b3c4d{control}5e6f7g8h")).contains("control"));
        }
    }

    #[test]
    fn sixteen_bytes_are_enough_and_fifteen_are_not() {
        assert_eq!(Secret::MIN_BYTES, 16);
        assert!(Secret::new("0123456789abcdef").is_ok());
        assert!(refused("0123456789abcde").contains("15 bytes"));
        assert!(Secret::new("schlüssel_äöü").is_ok(), "bytes count, not characters");
    }

    #[test]
    fn every_way_to_make_one_refuses_the_same() {
        assert!(Secret::try_from("short").is_err());
        assert!(Secret::try_from("short".to_owned()).is_err());
        assert!("short".parse::<Secret>().is_err());
        assert_eq!(SECRET.parse::<Secret>().unwrap(), secret(SECRET));
    }

    #[test]
    fn a_secret_is_kept_as_it_is() {
        assert_eq!(secret(SECRET).secret_str(), SECRET);
        assert_ne!(secret(SECRET), secret(OTHER));
        assert_ne!(secret(SECRET), secret(&SECRET[..20]));
    }
}

mod labels {
    use super::*;

    #[test]
    fn one_key_is_current() {
        assert_eq!(KeyRing::new(secret(SECRET)).labels(), ["current"]);
        assert_eq!(KeyRing::from(secret(SECRET)).labels(), ["current"]);
    }

    #[test]
    fn several_are_numbered_newest_first() {
        let labels = KeyRing::from_secrets(numbered(4)).unwrap().labels();
        assert_eq!(labels, ["current", "previous", "previous-2", "previous-3"]);
    }

    #[test]
    fn labels_of_ones_own_are_kept() {
        let keys = KeyRing::labelled([("2026-11", secret(SECRET)), ("2026.05_b", secret(OTHER))]);
        let keys = keys.unwrap();
        assert_eq!(keys.labels(), ["2026-11", "2026.05_b"]);
        assert_eq!(matched(&keys, OTHER).as_deref(), Ok("2026.05_b"));
    }

    #[test]
    fn a_label_is_1_to_32_letters_digits_and_marks() {
        let with = |label: &str| KeyRing::labelled([(label, secret(SECRET))]);
        assert!(with(&"l".repeat(32)).is_ok());
        for label in ["", &"l".repeat(33), "with space", "schlüssel", "a,b", "a\n", "\"quoted\""] {
            let error = with(label).unwrap_err().to_string();
            assert!(error.contains("label 1"), "{label:?}: {error}");
        }
    }

    #[test]
    fn a_label_is_there_once() {
        let twice = KeyRing::labelled([("blue", secret(SECRET)), ("blue", secret(OTHER))]);
        assert!(twice.unwrap_err().to_string().contains("label 2"));
    }

    #[test]
    fn the_label_of_the_key_that_matched_is_reported() {
        let keys = ring(&[SECRET, OTHER, THIRD]);
        assert_eq!(matched(&keys, SECRET).as_deref(), Ok("current"));
        assert_eq!(matched(&keys, OTHER).as_deref(), Ok("previous"));
        assert_eq!(matched(&keys, THIRD).as_deref(), Ok("previous-2"));
        assert_eq!(matched(&keys, "whsec_of_somebody_else"), Err(RejectionKind::NoMatch));
    }

    #[test]
    fn of_two_good_values_the_newest_key_is_reported() {
        let keys = ring(&[SECRET, OTHER]);
        let value = |text| common::hex_mac(text, &NOW.to_string(), BODY);
        let line = format!("t={NOW},v1={},v1={}", value(OTHER), value(SECRET));
        let signature = common::judge(&verifier(&keys), &[line], BODY, at(NOW)).unwrap();
        assert_eq!(signature.key(), "current");
    }
}

mod limits {
    use super::*;

    fn says(error: Result<KeyRing, KeyRingError>) -> String {
        error.unwrap_err().to_string()
    }

    #[test]
    fn there_is_at_least_one_key() {
        assert!(says(KeyRing::from_secrets([])).contains("at least one"));
    }

    #[test]
    fn there_are_at_most_eight_keys() {
        assert_eq!(KeyRing::MAX_KEYS, 8);
        let eight = KeyRing::from_secrets(numbered(8)).unwrap();
        assert_eq!(matched(&eight, "whsec_number_0000000000000007").as_deref(), Ok("previous-7"));
        assert!(says(KeyRing::from_secrets(numbered(9))).contains("more than 8"));
    }

    #[test]
    fn a_long_list_as_text_is_refused_the_same() {
        for count in [9, 10, 1000] {
            let list: Vec<_> = numbered(count).iter().map(|s| s.secret_str().to_owned()).collect();
            assert!(says(KeyRing::parse(&list.join(","))).contains("more than 8"), "{count}");
        }
    }

    #[test]
    fn one_secret_twice_is_refused() {
        let error = says(KeyRing::from_secrets([SECRET, OTHER, SECRET].map(secret)));
        assert!(error.contains("1 and 3") && error.contains("same"), "{error}");
    }
}

mod replacing {
    use super::*;

    #[test]
    fn every_clone_sees_the_new_keys() {
        let keys = ring(&[SECRET]);
        let verifier = verifier(&keys);
        let clone = keys.clone();
        clone.replace([secret(OTHER)]).unwrap();
        assert_eq!(keys.labels(), ["current"]);
        let check = |text| verifier.check([header(text, NOW, BODY)], BODY).map(drop);
        assert!(check(OTHER).is_ok());
        assert_eq!(check(SECRET).unwrap_err().kind(), RejectionKind::NoMatch);
    }

    #[test]
    fn a_refused_replacement_changes_nothing() {
        let keys = ring(&[SECRET, OTHER]);
        assert!(keys.replace([]).is_err());
        assert!(keys.replace(numbered(9)).is_err());
        assert!(keys.replace([secret(THIRD), secret(THIRD)]).is_err());
        assert_eq!(keys.labels(), ["current", "previous"]);
        assert_eq!(matched(&keys, SECRET).as_deref(), Ok("current"));
    }

    #[test]
    fn another_rings_keys_come_with_their_labels() {
        let keys = ring(&[SECRET]);
        let other = KeyRing::labelled([("blue", secret(OTHER))]).unwrap();
        keys.replace_with(&other);
        assert_eq!(matched(&keys, OTHER).as_deref(), Ok("blue"));
        assert_eq!(matched(&keys, SECRET), Err(RejectionKind::NoMatch));
        other.replace([secret(THIRD)]).unwrap();
        assert_eq!(matched(&keys, OTHER).as_deref(), Ok("blue"), "the rings stay apart");
    }

    #[test]
    fn a_ring_may_be_replaced_with_itself() {
        let keys = ring(&[SECRET]);
        keys.replace_with(&keys.clone());
        assert_eq!(matched(&keys, SECRET).as_deref(), Ok("current"));
    }

    /// Begins a body, swaps the keys while it arrives, and finishes it.
    fn swapped_in_flight(
        before: &[&str],
        after: &[&str],
        signed_with: &str,
    ) -> Result<String, RejectionKind> {
        let keys = ring(before);
        let line = header(signed_with, NOW, BODY);
        let mut body = verifier(&keys).begin([line], Some(BODY.len() as u64)).unwrap();
        let (first, rest) = BODY.split_at(5);
        body.update(first).unwrap();
        keys.replace(after.iter().map(|s| secret(s))).unwrap();
        body.update(rest).unwrap();
        body.finish().map(|d| d.key().to_owned()).map_err(common::kind)
    }

    #[test]
    fn a_key_removed_while_a_body_arrives_does_not_match() {
        assert_eq!(swapped_in_flight(&[SECRET], &[OTHER], SECRET), Err(RejectionKind::NoMatch));
        assert_eq!(
            swapped_in_flight(&[OTHER, SECRET], &[OTHER], SECRET),
            Err(RejectionKind::NoMatch)
        );
    }

    #[test]
    fn a_key_added_while_a_body_arrives_matches() {
        let added = swapped_in_flight(&[SECRET], &[OTHER, SECRET], OTHER);
        assert_eq!(added.as_deref(), Ok("current"));
        let older = swapped_in_flight(&[SECRET], &[SECRET, OTHER], OTHER);
        assert_eq!(older.as_deref(), Ok("previous"));
    }

    #[test]
    fn a_key_that_stays_matches_under_its_new_label() {
        let retired = swapped_in_flight(&[SECRET], &[OTHER, SECRET], SECRET);
        assert_eq!(retired.as_deref(), Ok("previous"));
        let kept = swapped_in_flight(&[SECRET, OTHER], &[SECRET], SECRET);
        assert_eq!(kept.as_deref(), Ok("current"));
    }

    #[test]
    fn a_removed_key_that_comes_back_matches_again() {
        let keys = ring(&[SECRET]);
        let mut body = verifier(&keys).begin([good_header()], None).unwrap();
        body.update(BODY).unwrap();
        keys.replace([secret(OTHER)]).unwrap();
        keys.replace([secret(SECRET)]).unwrap();
        assert_eq!(body.finish().unwrap().key(), "current");
    }

    #[test]
    fn swaps_under_load_refuse_no_live_key_and_pass_no_removed_one() {
        let keys = ring(&[SECRET, OTHER]);
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let verifier = verifier(&keys);
                let lines = [SECRET, THIRD].map(|s| header(s, NOW, BODY));
                for _ in 0..5_000 {
                    assert!(verifier.check([&lines[0]], BODY).is_ok(), "a live key was refused");
                    assert!(verifier.check([&lines[1]], BODY).is_err(), "a foreign key passed");
                }
            });
            let verifier = verifier(&keys);
            let line = header(OTHER, NOW, BODY);
            while !load.is_finished() {
                keys.replace([secret(SECRET)]).unwrap();
                assert!(verifier.check([&line], BODY).is_err(), "a removed key passed");
                keys.replace([secret(OTHER), secret(SECRET)]).unwrap();
                assert!(verifier.check([&line], BODY).is_ok(), "a live key was refused");
            }
            load.join().unwrap();
        });
    }
}
