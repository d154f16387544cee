//! What the header lines say by themselves, read more leniently than the
//! grammar does, so that something can be said about a malformed one too.

use base64::Engine as _;
use jiff::Timestamp;

use super::finding::{Finding, TimestampUnit};
use super::secrets::LENIENT_BASE64;
use crate::signature::{
    Digest, MAX_CANDIDATES, MAX_HEADER_BYTES, SignatureHeader, decode, elements,
};
use crate::verify::Tolerance;

/// One header line as far as it can be understood.
pub(super) struct Seen<'a> {
    /// `t` as received; empty where there is none.
    pub(super) stamp: &'a [u8],
    pub(super) candidates: Vec<Candidate>,
}

/// A value that may be a MAC.
pub(super) struct Candidate {
    pub(super) digest: Digest,
    /// It was not hex, as it must be, but base64.
    pub(super) is_base64: bool,
}

pub(super) fn look<'a>(
    lines: &[&'a [u8]],
    tolerance: Tolerance,
    now: Timestamp,
) -> (Vec<Finding>, Vec<Seen<'a>>) {
    let mut findings = Vec::new();
    let Some((&first, others)) = lines.split_first() else {
        return (vec![Finding::HeaderMissing], Vec::new());
    };
    if !others.is_empty() {
        let same = others.iter().all(|line| *line == first);
        findings.push(Finding::HeaderRepeated { lines: lines.len(), same });
    }
    if let Err(reason) = SignatureHeader::parse(first) {
        findings.push(Finding::HeaderMalformed { reason });
    }
    // Never more of it than the grammar would look at.
    let seen: Vec<Seen<'a>> =
        lines.iter().map(|line| read(&line[..line.len().min(MAX_HEADER_BYTES)])).collect();
    if let Some(seen) = seen.first() {
        findings.extend(about_time(seen.stamp, tolerance, now));
    }
    findings.extend(about_v1(&first[..first.len().min(MAX_HEADER_BYTES)]));
    (findings, seen)
}

fn read(line: &[u8]) -> Seen<'_> {
    let stamp = elements(line).find(|(name, _)| *name == b"t").map_or(&[][..], |(_, t)| t);
    let candidates = elements(line)
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"v1"))
        .take(MAX_CANDIDATES)
        .filter_map(|(_, value)| candidate(value))
        .collect();
    Seen { stamp, candidates }
}

fn candidate(value: &[u8]) -> Option<Candidate> {
    if let Some(digest) = value.try_into().ok().and_then(decode) {
        return Some(Candidate { digest, is_base64: false });
    }
    let digest = LENIENT_BASE64.iter().find_map(|base64| base64.decode(value).ok());
    Some(Candidate { digest: digest?.try_into().ok()?, is_base64: true })
}

fn about_v1(line: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_upper_case = false;
    let mut values = 0;
    for (name, value) in elements(line) {
        in_upper_case |= name == b"V1";
        if name != b"v1" {
            continue;
        }
        values += 1;
        let finding = match <&[u8; 64]>::try_from(value) {
            Ok(hex) if decode(hex).is_some() => continue,
            Ok(_) => Finding::V1NotHex,
            Err(_) => {
                Finding::V1Length { characters: String::from_utf8_lossy(value).chars().count() }
            }
        };
        if !findings.contains(&finding) && findings.len() < MAX_CANDIDATES {
            findings.push(finding);
        }
    }
    if values == 0 {
        findings.push(Finding::NoV1 { in_upper_case });
    }
    findings
}

fn about_time(stamp: &[u8], tolerance: Tolerance, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(number) = number(stamp) else { return findings };
    let unit = match stamp.len() {
        13 => Some(TimestampUnit::Milliseconds),
        16 => Some(TimestampUnit::Microseconds),
        19 => Some(TimestampUnit::Nanoseconds),
        // Digits beyond what the grammar allows: no time to speak of.
        n if n > 12 => return findings,
        _ => None,
    };
    findings.extend(unit.map(|unit| Finding::WrongUnit { unit }));
    let signed_at = number / unit.map_or(1, TimestampUnit::per_second);
    // Both are far from the ends of i64.
    let age = now.as_second() - signed_at;
    let allowed = if age >= 0 { tolerance.past() } else { tolerance.future() }.as_secs();
    if age.unsigned_abs() > allowed {
        findings.push(Finding::ClockOff { age_seconds: age, allowed_seconds: allowed });
    }
    findings
}

/// A number of digits only, up to 19 of them.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
