//! The grammar of `X-DataFlow-Signature`, one test for each rule.
//!
//! Each line is judged by `check`, `verify` and the incremental verification alike. In the lines,
//! `NOW` stands for the present, and `GOOD` for the 64 hex digits that belong to it and the body.

mod common;

use common::{BODY, NOW, OTHER, SECRET, at, good_header, header, hex_mac, judge, verifier};
use dataflow_webhooks::{MAX_CANDIDATES, MAX_HEADER_BYTES, RejectionKind};

const PASSES: Result<(), RejectionKind> = Ok(());
const MALFORMED: Result<(), RejectionKind> = Err(RejectionKind::MalformedSignature);
const NO_MATCH: Result<(), RejectionKind> = Err(RejectionKind::NoMatch);

fn good() -> String {
    hex_mac(SECRET, &NOW.to_string(), BODY)
}

#[track_caller]
fn verdict(line: impl AsRef<[u8]>) -> Result<(), RejectionKind> {
    judge(&verifier(), &[line], BODY, at(NOW)).map(drop)
}

#[track_caller]
fn verdict_on(template: &str) -> Result<(), RejectionKind> {
    verdict(template.replace("NOW", &NOW.to_string()).replace("GOOD", &good()))
}

macro_rules! rules {
    ($($rule:ident: $($line:literal => $verdict:ident),+;)*) => {$(
        #[test]
        fn $rule() {
            $(assert_eq!(verdict_on($line), $verdict, "{}", $line);)+
        }
    )*};
}

mod elements {
    use super::*;

    rules! {
        the_documented_form_passes: "t=NOW,v1=GOOD" => PASSES;
        the_order_of_the_elements_does_not_matter: "v1=GOOD,t=NOW" => PASSES;
        elements_split_at_commas_and_at_nothing_else:
            "t=NOW;v1=GOOD" => MALFORMED, "t=NOW&v1=GOOD" => MALFORMED, "t=NOW v1=GOOD" => MALFORMED;
        the_name_t_is_case_sensitive: "T=NOW,v1=GOOD" => MALFORMED;
        the_name_v1_is_case_sensitive: "t=NOW,V1=GOOD" => NO_MATCH;
        a_space_after_the_comma_is_dropped: "t=NOW, v1=GOOD" => PASSES;
        a_space_before_the_comma_is_dropped: "t=NOW ,v1=GOOD" => PASSES;
        white_space_around_every_element_is_dropped: " \t t=NOW\t , \t v1=GOOD \t" => PASSES;
        a_space_before_the_equals_sign_is_part_of_the_name:
            "t =NOW,v1=GOOD" => MALFORMED, "t=NOW,v1 =GOOD" => NO_MATCH;
        a_space_after_the_equals_sign_is_part_of_the_value:
            "t= NOW,v1=GOOD" => MALFORMED, "t=NOW,v1= GOOD" => NO_MATCH;
        no_other_white_space_is_dropped:
            "t=NOW,\u{b}v1=GOOD" => NO_MATCH, "t=NOW,\u{a0}v1=GOOD" => NO_MATCH,
            "t=NOW,v1=GOOD\r" => NO_MATCH, "t=NOW\n,v1=GOOD" => MALFORMED;
        a_trailing_comma_is_ignored: "t=NOW,v1=GOOD," => PASSES;
        a_leading_comma_is_ignored: ",t=NOW,v1=GOOD" => PASSES;
        empty_elements_are_ignored: ",,t=NOW,, ,\t,v1=GOOD,," => PASSES;
        a_bare_word_is_ignored: "t=NOW,signed,v1=GOOD" => PASSES;
        a_bare_t_is_no_second_t: "t,t=NOW,v1=GOOD" => PASSES;
        a_bare_v1_is_no_candidate: "t=NOW,v1,v1=GOOD" => PASSES, "t=NOW,v1" => NO_MATCH;
        a_bare_value_is_no_candidate: "t=NOW,GOOD" => NO_MATCH;
        unknown_names_are_ignored:
            "v0=GOOD,t=NOW,v2=x,v1=GOOD,none=y" => PASSES, "t=NOW,v1=GOOD,t1=5,v11=z,=w" => PASSES;
        an_unknown_element_may_hold_equals_signs: "x=y=z==,t=NOW,v1=GOOD" => PASSES;
        an_unknown_scheme_never_matches:
            "t=NOW,v0=GOOD" => NO_MATCH, "t=NOW,v2=GOOD" => NO_MATCH,
            "t=NOW,none=GOOD" => NO_MATCH, "t=NOW,=GOOD" => NO_MATCH, "t=NOW,v01=GOOD" => NO_MATCH;
        quotes_are_not_taken_off:
            "t=\"NOW\",v1=GOOD" => MALFORMED, "t=NOW,v1=\"GOOD\"" => NO_MATCH;
        percent_signs_are_not_decoded: "t=NOW%2Cv1=GOOD" => MALFORMED, "t=NOW,v1%3DGOOD" => NO_MATCH;
    }

    #[test]
    fn unknown_elements_may_hold_any_bytes() {
        let line = [b"\xff\xfe=\x00\x80,", good_header().as_bytes(), b",x=\xc3\x28"].concat();
        assert_eq!(verdict(line), PASSES);
    }
}

mod timestamp {
    use super::*;

    rules! {
        there_must_be_a_t: "v1=GOOD" => MALFORMED;
        an_empty_line_is_malformed: "" => MALFORMED, " \t" => MALFORMED, "," => MALFORMED;
        there_must_not_be_two_ts: "t=NOW,t=NOW,v1=GOOD" => MALFORMED;
        two_different_ts_are_malformed_whichever_comes_first:
            "t=NOW,t=1,v1=GOOD" => MALFORMED, "t=1,t=NOW,v1=GOOD" => MALFORMED;
        a_second_t_is_malformed_also_behind_the_signature: "t=NOW,v1=GOOD,t=NOW" => MALFORMED;
        an_empty_second_t_counts: "t=NOW,v1=GOOD,t=" => MALFORMED;
        an_empty_t_is_malformed: "t=,v1=GOOD" => MALFORMED;
        a_plus_sign_is_malformed: "t=+NOW,v1=GOOD" => MALFORMED;
        a_minus_sign_is_malformed: "t=-NOW,v1=GOOD" => MALFORMED, "t=-1,v1=GOOD" => MALFORMED;
        a_fraction_is_malformed: "t=NOW.5,v1=GOOD" => MALFORMED, "t=1.5,v1=GOOD" => MALFORMED;
        an_exponent_is_malformed: "t=1e9,v1=GOOD" => MALFORMED;
        letters_after_the_digits_are_malformed: "t=NOWabc,v1=GOOD" => MALFORMED;
        a_hexadecimal_t_is_malformed: "t=0x65b0f8d0,v1=GOOD" => MALFORMED;
        a_second_equals_sign_is_malformed: "t==NOW,v1=GOOD" => MALFORMED, "t=NOW=,v1=GOOD" => MALFORMED;
        underscores_are_malformed: "t=1_706_096_400,v1=GOOD" => MALFORMED;
        digits_of_another_script_are_malformed: "t=١٧٠٦٠٩٦٤٠٠,v1=GOOD" => MALFORMED;
        thirteen_digits_are_malformed: "t=1706096400000,v1=GOOD" => MALFORMED;
        more_digits_than_an_integer_holds_are_malformed:
            "t=99999999999999999999999999,v1=GOOD" => MALFORMED;
    }

    #[test]
    fn the_digits_are_signed_as_they_are_written() {
        assert_eq!(verdict(header(SECRET, "01706096400", BODY)), PASSES);
        assert_eq!(verdict(header(SECRET, "001706096400", BODY)), PASSES);
        assert_eq!(verdict_on("t=0NOW,v1=GOOD"), NO_MATCH);
    }

    #[test]
    fn one_to_twelve_digits_are_read() {
        for digits in 1..=12 {
            let t = "9".repeat(digits);
            let seconds = t.parse::<i64>().unwrap();
            let now = at(seconds.min(253_402_207_200));
            let tolerance = dataflow_webhooks::Tolerance::new(
                std::time::Duration::ZERO,
                std::time::Duration::from_secs(u64::MAX),
            );
            let verifier = verifier().tolerance(tolerance);
            let judged = judge(&verifier, &[header(SECRET, &t, BODY)], BODY, now);
            assert_eq!(judged.map(|s| s.signed_at().as_second()), Ok(now.as_second()), "{t}");
        }
    }
}

mod candidates {
    use super::*;

    rules! {
        no_v1_at_all_does_not_match: "t=NOW" => NO_MATCH;
        an_empty_v1_does_not_match: "t=NOW,v1=" => NO_MATCH;
        a_malformed_v1_does_not_match: "t=NOW,v1=potato" => NO_MATCH;
        a_malformed_v1_beside_a_good_one_is_no_error:
            "t=NOW,v1=potato,v1=GOOD" => PASSES, "t=NOW,v1=GOOD,v1=potato" => PASSES,
            "t=NOW,v1=,v1=GOOD" => PASSES;
        a_trailing_equals_sign_does_not_match: "t=NOW,v1=GOOD=" => NO_MATCH;
        an_extension_of_a_good_value_does_not_match:
            "t=NOW,v1=GOOD0" => NO_MATCH, "t=NOW,v1=GOOD00" => NO_MATCH,
            "t=NOW,v1=GOODGOOD" => NO_MATCH, "t=NOW,v1=0GOOD" => NO_MATCH;
        a_prefix_sign_does_not_match: "t=NOW,v1=0xGOOD" => NO_MATCH, "t=NOW,v1=sha256=GOOD" => NO_MATCH;
        // The documentation's own example has letters up to z in its v1 (and 58 of them).
        the_documentations_example_value_is_not_hex:
            "t=NOW,v1=5f4d8c9a2b1e3f7g6h8i9j0k1l2m3n4o5p6q7r8s9t0u1v2w3x4y5z6" => NO_MATCH;
        white_space_inside_a_value_does_not_match: "t=NOW,v1=GOOD GOOD" => NO_MATCH;
    }

    #[test]
    fn every_proper_prefix_and_suffix_does_not_match() {
        let good = good();
        for length in 0..64 {
            assert_eq!(verdict(format!("t={NOW},v1={}", &good[..length])), NO_MATCH, "{length}");
            assert_eq!(verdict(format!("t={NOW},v1={}", &good[64 - length..])), NO_MATCH);
        }
    }

    #[test]
    fn upper_case_hex_is_accepted() {
        assert_eq!(verdict(format!("t={NOW},v1={}", good().to_uppercase())), PASSES);
    }

    #[test]
    fn mixed_case_hex_is_accepted() {
        let upper = good().to_uppercase();
        let mixed = format!("{}{}", &good()[..31], &upper[31..]);
        assert_eq!(verdict(format!("t={NOW},v1={mixed}")), PASSES);
    }

    #[test]
    fn one_wrong_digit_anywhere_does_not_match() {
        for place in 0..64 {
            let mut value = good().into_bytes();
            value[place] = if value[place] == b'0' { b'1' } else { b'0' };
            let line = [format!("t={NOW},v1=").as_bytes(), &value].concat();
            assert_eq!(verdict(line), NO_MATCH, "digit {place}");
        }
    }

    #[test]
    fn a_byte_that_is_no_hex_digit_does_not_match_anywhere() {
        // Neighbours of the digits and letters in ASCII, and bytes that differ from a
        // digit in one bit.
        for byte in [b'/', b':', b'@', b'G', b'`', b'g', b' ', 0x00, 0x10, 0x7f, 0xb0, 0xc1, 0xff] {
            for place in 0..64 {
                let mut value = good().into_bytes();
                value[place] = byte;
                let line = [format!("t={NOW},v1=").as_bytes(), &value].concat();
                assert_eq!(verdict(line), NO_MATCH, "{byte:#x} as digit {place}");
            }
        }
    }

    #[test]
    fn each_byte_value_reads_as_the_digit_it_is_or_not_at_all() {
        // The value's first digit is replaced by every byte: only the digit itself, in either
        // case, may match.
        let value = good().into_bytes();
        for byte in 0..=u8::MAX {
            let mut changed = value.clone();
            changed[0] = byte;
            let line = [format!("t={NOW},v1=").as_bytes(), &changed].concat();
            let same = byte.eq_ignore_ascii_case(&value[0]);
            assert_eq!(verdict(line), if same { PASSES } else { NO_MATCH }, "{byte:#x}");
        }
    }

    #[test]
    fn the_good_one_may_be_anywhere_in_the_list() {
        let wrong = "0".repeat(64);
        for place in 0..MAX_CANDIDATES {
            let mut values = vec![wrong.clone(); MAX_CANDIDATES];
            values[place] = good();
            assert_eq!(verdict(format!("t={NOW},v1={}", values.join(",v1="))), PASSES, "{place}");
        }
    }

    #[test]
    fn sixteen_candidates_are_compared_and_seventeen_are_malformed() {
        let list = |n| vec![format!("v1={}", good()); n].join(",");
        assert_eq!(verdict(format!("t={NOW},{}", list(16))), PASSES);
        assert_eq!(verdict(format!("t={NOW},{}", list(17))), MALFORMED);
    }

    #[test]
    fn malformed_candidates_count_among_the_sixteen() {
        let noise = "v1=potato,".repeat(15);
        assert_eq!(verdict_on(&format!("t=NOW,{noise}v1=GOOD")), PASSES);
        assert_eq!(verdict_on(&format!("t=NOW,{noise}v1=,v1=GOOD")), MALFORMED);
    }

    #[test]
    fn other_names_do_not_count_among_the_sixteen() {
        for others in 15..=17 {
            let others = "v0=GOOD,V1=GOOD,v1,".repeat(others);
            assert_eq!(verdict_on(&format!("{others}t=NOW,v1=GOOD")), PASSES);
        }
    }

    #[test]
    fn a_value_for_another_body_time_or_key_does_not_match() {
        let line = |t: &str, value: String| format!("t={t},v1={value}");
        let (now, past) = (NOW.to_string(), (NOW - 1).to_string());
        assert_eq!(verdict(line(&now, hex_mac(SECRET, &now, b"{}"))), NO_MATCH);
        assert_eq!(verdict(line(&now, hex_mac(SECRET, &past, BODY))), NO_MATCH);
        assert_eq!(verdict(line(&past, hex_mac(SECRET, &now, BODY))), NO_MATCH);
        assert_eq!(verdict(line(&now, hex_mac(OTHER, &now, BODY))), NO_MATCH);
    }

    #[test]
    fn the_whole_secret_is_the_key_its_prefix_included() {
        let bare = SECRET.strip_prefix("whsec_").unwrap();
        assert_eq!(verdict(header(bare, NOW, BODY)), NO_MATCH);
    }

    #[test]
    fn the_full_stop_belongs_to_what_is_signed() {
        let shifted = [b"0.", BODY].concat();
        // "1706096400." + body, read as "170609640" and a body that begins with "0.".
        let line = format!("t=170609640,v1={}", good());
        let judged = judge(&verifier(), &[line], &shifted, at(170_609_640));
        assert_eq!(judged.map(drop), NO_MATCH);
    }
}

mod lines {
    use super::*;

    #[test]
    fn no_line_is_a_missing_signature() {
        let judged = judge(&verifier(), &[] as &[&str], BODY, at(NOW));
        assert_eq!(judged.map(drop), Err(RejectionKind::MissingSignature));
    }

    #[test]
    fn two_lines_are_refused_even_if_both_are_good() {
        let repeated = Err(RejectionKind::RepeatedSignature);
        let (good, bad) = (good_header(), "t=1,v1=potato".to_owned());
        for lines in [[&good, &good], [&good, &bad], [&bad, &good]] {
            assert_eq!(judge(&verifier(), &lines, BODY, at(NOW)).map(drop), repeated);
        }
    }

    #[test]
    fn lines_are_not_joined() {
        let value = format!("v1={}", good());
        let judged = judge(&verifier(), &[format!("t={NOW}"), value], BODY, at(NOW));
        assert_eq!(judged.map(drop), Err(RejectionKind::RepeatedSignature));
    }

    #[test]
    fn a_line_of_4096_bytes_is_read_and_one_more_is_malformed() {
        let padded = |length| {
            let start = format!("{},x=", good_header());
            format!("{start}{}", "p".repeat(length - start.len()))
        };
        assert_eq!(MAX_HEADER_BYTES, 4096);
        assert_eq!(verdict(padded(4096)), PASSES);
        assert_eq!(verdict(padded(4097)), MALFORMED);
    }

    #[test]
    fn white_space_counts_towards_the_length() {
        let line = format!("{}{}", good_header(), " ".repeat(MAX_HEADER_BYTES));
        assert_eq!(verdict(line), MALFORMED);
    }
}
