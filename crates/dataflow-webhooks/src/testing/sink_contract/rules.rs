//! Owns what each rule of the contract means. The list, with a sentence for each, is in
//! `list.rs`.

use serde_json::json;

use super::super::contract::{drop_after_polls, join};
use super::check::Check;
use crate::dead_letters::{DeadLetter, DeadLetters};

/// A letter of this body, which failed so many milliseconds after a moment in 2025.
#[allow(clippy::panic, reason = "what a suite of tests is for")]
fn letter_of(body: &str, after: u32, runs: u64) -> DeadLetter {
    let failed_at = |millis: u32| {
        format!(
            "2025-01-24T10:{}:{:02}.{:03}Z",
            30 + millis / 60_000,
            millis / 1000 % 60,
            millis % 1000
        )
    };
    let kept = json!({
        "failed_at": failed_at(after), "runs": runs, "reason": "answered 500",
        "key": "current", "signed_at": "2025-01-24T10:29:58Z",
        "received_at": "2025-01-24T10:29:58.250Z", "body": body,
    });
    DeadLetter::from_trusted_json(kept.to_string().as_bytes())
        .unwrap_or_else(|error| panic!("the suite's own letter: {error}"))
}

fn letter(id: &str, after: u32) -> DeadLetter {
    letter_of(&json!({ "id": id, "type": "pipeline.run.failed" }).to_string(), after, 3)
}

macro_rules! rule {
    ($($name:ident($check:ident) $body:block)*) => {$(
        pub(super) async fn $name<S, R>($check: Check<'_, S, R>)
        where
            S: DeadLetters,
            R: AsyncFn(S) -> S,
        $body
    )*};
}

rule! {
a_stored_letter_is_listed_and_got(check) {
    let letter = letter("evt_1", 0);
    check.store(&letter).await;
    check.expect_all(&[&letter], "after the store").await;
    check.expect_none("evt_2", "of another event").await;
}

odd_bodies_come_back_byte_for_byte(check) {
    let bodies = [
        r#"{"id":"evt_1"}"#,
        r#"{"id":7,"type":null}"#,
        "{ \"id\" :\"evt_2\",\r\n\t\"data\":\"\\u0000 \\ud800 \\/ \\\\ \\\" \u{7f}\" }\n\n",
        "{\"id\":\"evt_3\",\"data\":{\"n\":1e400,\"n\":-0.0,\"s\":\"\u{2028}\u{fffd}\u{1f980}\u{feff}\"}}",
        r#"{"id":"evt_4","data":"'; DROP TABLE letters; -- %s $1 ?1 {}"}"#,
    ];
    let letters: Vec<_> = (0..).zip(bodies).map(|(at, body)| letter_of(body, at, 1 << 40)).collect();
    for (letter, body) in letters.iter().zip(bodies) {
        check.store(letter).await;
        check.expect(letter.body() == body, "the suite's own letter has another body");
    }
    check.expect_all(&letters.iter().collect::<Vec<_>>(), "of odd bodies").await;
}

a_body_of_a_mebibyte_comes_back_byte_for_byte(check) {
    // What JSON escapes, and what it need not: two-byte escapes, a line break outside of the
    // string, characters of two to four bytes.
    let unit = "\\\"\\\\\\n\\u0000\u{7f}é\u{20ac}\u{1f980}";
    let frame = "{\"id\":\"evt_1\",\r\n\t\"data\":\"";
    let times = (1024 * 1024 - frame.len() - 2) / unit.len();
    let letter = letter_of(&format!("{frame}{}\"}}", unit.repeat(times)), 0, 3);
    check.store(&letter).await;
    check.expect_all(&[&letter], "of a large body").await;
}

odd_ids_are_kept_apart(check) {
    let (long, longer) = ("x".repeat(255), "é".repeat(127));
    let ids = [
        "evt_1", "EVT_1", "evt_1 ", " evt_1", "evt_10", "evt_%", "evt__", "a'b", "a\"b", "a\\b",
        "a\nb", "a/../b", "\u{1}", "\u{e9}", "e\u{301}", "\u{1f980}", "\u{202e}", "null", "sha256:1",
        &long, &long[..254], &longer,
    ];
    let letters: Vec<_> = (0..).zip(ids).map(|(at, id)| letter(id, at)).collect();
    for letter in &letters {
        check.store(letter).await;
    }
    check.expect_all(&letters.iter().collect::<Vec<_>>(), "of odd ids").await;
    for (nth, letter) in letters.iter().enumerate() {
        check.expect(check.remove(letter).await, "remove must find each of the odd ids");
        let left: Vec<_> = letters[nth + 1..].iter().collect();
        check.expect_all(&left, "after the removal of odd ids").await;
    }
}

a_later_letter_takes_the_place_of_the_earlier_one(check) {
    let (other, earlier) = (letter("evt_2", 500), letter("evt_1", 0));
    let later = letter_of(r#"{"id":"evt_1","attempt":2}"#, 1000, 4);
    for letter in [&earlier, &other, &later] {
        check.store(letter).await;
    }
    check.expect_all(&[&other, &later], "after a second letter of an event").await;
}

a_letter_stored_twice_is_there_once(check) {
    let letter = letter("evt_1", 0);
    check.store(&letter).await;
    check.store(&letter).await;
    check.expect_all(&[&letter], "after storing twice").await;
}

the_oldest_letter_comes_first(check) {
    let letters: Vec<_> = (0..6).map(|n| letter(&format!("evt_{n}"), n * 999)).collect();
    for nth in [3, 0, 5, 1, 4, 2] {
        check.store(&letters[nth]).await;
    }
    check.expect_all(&letters.iter().collect::<Vec<_>>(), "in the order of time").await;
}

letters_of_one_moment_are_in_the_order_of_their_ids(check) {
    let ids = ["-", "10", "9", "B", "Z", "_", "a", "a b", "aB", "ab", "\u{e9}", "\u{1f980}"];
    let letters: Vec<_> = ids.iter().map(|id| letter(id, 7)).collect();
    for letter in letters.iter().rev() {
        check.store(letter).await;
    }
    check.expect_all(&letters.iter().collect::<Vec<_>>(), "of one moment").await;
}

pages_hold_each_letter_once(check) {
    // Two of each moment.
    let letters: Vec<_> = (0..8).map(|n| letter(&format!("evt_{n}"), n / 2)).collect();
    for letter in &letters {
        check.store(letter).await;
    }
    for limit in 1..=9 {
        let mut last = None;
        for page in letters.chunks(limit) {
            let listed = check.list(last, limit).await;
            check.expect_same(&listed, &page.iter().collect::<Vec<_>>(), "a page");
            last = page.last();
        }
        let beyond = check.list(last, limit).await;
        check.expect_same(&beyond, &[], "the page after the last letter");
    }
    check.expect_same(&check.list(None, 0).await, &[], "a page of none");
    let all = check.list(None, usize::MAX).await;
    check.expect_same(&all, &letters.iter().collect::<Vec<_>>(), "a page of any length");
}

a_page_goes_on_after_a_letter_that_is_gone(check) {
    let letters: Vec<_> = (0..4).map(|n| letter(&format!("evt_{n}"), 7)).collect();
    for letter in &letters {
        check.store(letter).await;
    }
    let _ = check.remove(&letters[1]).await;
    let listed = check.list(Some(&letters[1]), 10).await;
    check.expect_same(&listed, &[&letters[2], &letters[3]], "a page after what is gone");
}

a_removed_letter_is_gone(check) {
    let letters: Vec<_> = (0..3).map(|n| letter(&format!("evt_{n}"), n)).collect();
    for letter in &letters {
        check.store(letter).await;
    }
    check.expect(check.remove(&letters[1]).await, "remove must find a letter that is there");
    check.expect_all(&[&letters[0], &letters[2]], "after a removal").await;
    check.expect_none("evt_1", "after its removal").await;
    check.expect(!check.remove(&letters[1]).await, "a second remove must find nothing");
    check.expect_all(&[&letters[0], &letters[2]], "after a second removal").await;
}

removing_an_earlier_letter_leaves_the_later_one(check) {
    let (earlier, later) = (letter("evt_1", 0), letter("evt_1", 1));
    check.store(&earlier).await;
    check.store(&later).await;
    check.expect(!check.remove(&earlier).await, "remove must not find a letter that was replaced");
    check.expect_all(&[&later], "after the removal of what was replaced").await;
    check.expect(check.remove(&later).await, "remove must find the later letter");
    check.expect_all(&[], "after the removal of the later letter").await;
}

a_removed_letter_can_be_stored_again(check) {
    let letter = letter("evt_1", 0);
    check.store(&letter).await;
    let _ = check.remove(&letter).await;
    check.store(&letter).await;
    check.expect_all(&[&letter], "after storing again").await;
    let check = check.reopened().await;
    check.expect_all(&[&letter], "after storing again and opening again").await;
}

an_empty_sink_is_no_error(check) {
    check.expect_all(&[], "of an empty sink").await;
    check.expect_none("evt_1", "in an empty sink").await;
    check.expect(!check.remove(&letter("evt_1", 0)).await, "remove must find nothing");
    let check = check.reopened().await;
    check.expect_all(&[], "of an empty sink that was opened again").await;
}

letters_stored_at_once_are_all_there(check) {
    let letters: Vec<_> = (0..40).map(|n| letter(&format!("evt_{n:02}"), n)).collect();
    let calls = letters.iter().map(|letter| check.sink.store(letter)).collect();
    for stored in join(calls).await {
        check.answer("store", stored);
    }
    check.expect_all(&letters.iter().collect::<Vec<_>>(), "after storing at once").await;
    let check = check.reopened().await;
    check.expect_all(&letters.iter().collect::<Vec<_>>(), "after opening again").await;
}

a_dropped_call_can_be_repeated(check) {
    let (first, second) = (letter("evt_1", 0), letter("evt_2", 1));
    for polls in 0..4 {
        drop_after_polls(check.sink.store(&first), polls).await;
        check.store(&first).await;
        check.store(&second).await;
        check.expect_all(&[&first, &second], "after a call that was dropped").await;
        drop_after_polls(check.sink.remove(&first), polls).await;
        let _ = check.remove(&first).await;
        check.expect_all(&[&second], "after a removal that was dropped").await;
    }
}

a_reopened_sink_has_everything(check) {
    let letters: Vec<_> = (0..5).map(|n| letter(&format!("evt_{n}"), n)).collect();
    for letter in &letters {
        check.store(letter).await;
    }
    let _ = check.remove(&letters[1]).await;
    let later = letter("evt_3", 10);
    check.store(&later).await;
    let left = [&letters[0], &letters[2], &letters[4], &later];

    let check = check.reopened().await;
    check.expect_all(&left, "after opening again").await;
    check.expect_none("evt_1", "of what was removed before").await;
    let another = letter("evt_5", 11);
    check.store(&another).await;
    check.expect(check.remove(&later).await, "remove must find what was stored before");

    let check = check.reopened().await;
    check.expect_all(&[&letters[0], &letters[2], &letters[4], &another], "the second time").await;
}
}
