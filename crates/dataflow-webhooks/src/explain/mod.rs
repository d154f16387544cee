//! Why a signature does not match, in words, for people.
//!
//! Nothing here accepts a delivery or is seen by a sender. It takes a refused
//! delivery apart: first the header, then what the MAC would be under likely
//! other spellings of the secret, then over likely other forms of the body.
//! The work is bounded in bytes hashed, since anyone can send a bad signature.

use std::fmt;

use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use crate::keyring::Key;
use crate::signature::{Digest, equal};
use crate::verify::Verifier;

mod bodies;
mod change;
mod finding;
mod header;
mod json;
mod secrets;

pub use change::BodyChange;
pub use finding::{Finding, TimestampUnit};
use header::{Candidate, Seen};
pub use secrets::SecretForm;

/// The longest body whose other forms are tried, in bytes. A longer one is
/// still checked as it came.
const LONGEST_BODY: usize = 1024 * 1024;

/// Writing a byte of another form costs as much as hashing so many.
const WRITING: u64 = 8;

/// How many bytes an explanation may hash, so that it always ends soon.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effort {
    /// For a person who asked and waits: 256 MiB, at most some 0.2 s.
    Thorough,
    /// For a log line in the middle of traffic: 16 MiB, at most some 10 ms.
    Quick,
}

impl Effort {
    const fn bytes(self) -> u64 {
        match self {
            Self::Thorough => 256 * 1024 * 1024,
            Self::Quick => 16 * 1024 * 1024,
        }
    }
}

/// Why a delivery's signature does or does not match: what
/// [`Verifier::explain`] and [`Endpoint::explain`](crate::Endpoint::explain)
/// found.
///
/// `Display` writes it for a terminal, in lines of at most 80 columns;
/// [`one_line`](Self::one_line) is for a log. Neither holds anything of a
/// secret, of a MAC or of the body. It is for the operator: never send it to
/// whoever sent the delivery, and never take it for a verification.
///
/// ```
/// use dataflow_webhooks::{Finding, Secret, SecretForm, Verifier, sign};
/// use jiff::Timestamp;
///
/// let theirs = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?;
/// let header = sign(&theirs, Timestamp::now(), b"{}");
///
/// // Somebody pasted the secret with its quotes.
/// let ours = Secret::new(r#""whsec_1a2b3c4d5e6f7g8h9i0j""#)?;
/// let explanation = Verifier::new(ours).explain([header], b"{}");
/// assert!(!explanation.matches());
/// assert!(matches!(
///     explanation.findings(),
///     [Finding::OtherSecret { form: SecretForm::WithoutQuotes, .. }]
/// ));
/// println!("{explanation}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Explanation {
    matches: bool,
    findings: Vec<Finding>,
}

impl Explanation {
    /// Would the delivery pass, as of the moment it was explained for?
    #[must_use]
    pub fn matches(&self) -> bool {
        self.matches
    }

    /// The label of the key that signed exactly these bytes, also where the
    /// delivery is refused for something else, such as its age.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.findings.iter().find_map(|finding| match finding {
            Finding::SignedBy { key, .. } => Some(key.as_str()),
            _ => None,
        })
    }

    /// What was found, the header first. Never empty.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// All of it in one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let findings: Vec<String> = self.findings.iter().map(Finding::to_string).collect();
        findings.join(" ").replace('\n', " ")
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.matches {
            true => "This delivery passes.",
            false => "This delivery is refused.",
        })?;
        for finding in &self.findings {
            for (index, part) in finding.to_string().lines().enumerate() {
                write_item(f, if index == 0 { "- " } else { "  " }, part)?;
            }
        }
        Ok(())
    }
}

/// One item of a list, broken into lines of at most 80 columns.
fn write_item(f: &mut fmt::Formatter<'_>, mark: &str, text: &str) -> fmt::Result {
    let mut column = usize::MAX;
    for (index, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if column.saturating_add(1 + width) > 80 {
            write!(f, "\n{}", if index == 0 { mark } else { "  " })?;
            column = 2;
        } else {
            f.write_str(" ")?;
            column += 1;
        }
        f.write_str(word)?;
        column += width;
    }
    Ok(())
}

impl Verifier {
    /// Says in words why a signature does or does not match: for people who
    /// look into a failure, never for the sender. It accepts nothing.
    ///
    /// Takes what [`check`](Self::check) takes. It tries likely mistakes with
    /// the secret, the body and the timestamp under every key: some
    /// milliseconds for a usual body, well under a second for 1 MiB. Numbers
    /// that were rewritten (`127.0` as `127`) cannot be told.
    #[must_use]
    pub fn explain(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: &[u8],
    ) -> Explanation {
        self.explain_at(header_lines, body, self.clock.now())
    }

    /// [`explain`](Self::explain) as of another moment: the one at which the
    /// delivery was received.
    #[must_use]
    pub fn explain_at(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: &[u8],
        now: Timestamp,
    ) -> Explanation {
        explain(self, header_lines, body, now, Effort::Thorough)
    }
}

pub(crate) fn explain(
    verifier: &Verifier,
    header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
    body: &[u8],
    now: Timestamp,
    effort: Effort,
) -> Explanation {
    // As many lines as anyone needs to see; the grammar allows one.
    let lines: Vec<_> = header_lines.into_iter().take(16).collect();
    let lines: Vec<&[u8]> = lines.iter().map(AsRef::as_ref).collect();
    let matches = verifier.check_at(&lines, body, now).is_ok();

    let (mut findings, seen) = header::look(&lines, verifier.tolerance, now);
    // A copy, so that a key swap does not wait for us.
    let keys: Vec<Key> = verifier.keys().read().iter().cloned().collect();
    let mut search = Search { keys, left: effort.bytes(), cut_short: false };
    let found = seen.iter().find_map(|seen| search.as_it_came(seen, body));
    let found = found.or_else(|| search.other_forms(seen.first()?, body));
    match found {
        Some(found) => {
            // That v1 has been read after all, and is named for what it is.
            if matches!(found, Finding::V1Base64 { .. }) {
                findings.retain(|f| !matches!(f, Finding::V1Length { .. } | Finding::V1NotHex));
            }
            findings.push(found);
        }
        None if seen.iter().any(|seen| !seen.candidates.is_empty()) => {
            findings.extend(bodies::look(body));
            if search.cut_short {
                findings.push(Finding::SearchCutShort);
            }
            if body.len() > LONGEST_BODY {
                findings.push(Finding::BodyTooLong { bytes: body.len(), most: LONGEST_BODY });
            }
            findings.push(Finding::NothingFits { keys: search.keys.len() });
        }
        None => {}
    }
    Explanation { matches, findings }
}

/// Compares what was received with what would have been, until the bytes that
/// may be hashed are spent.
struct Search {
    keys: Vec<Key>,
    left: u64,
    cut_short: bool,
}

impl Search {
    /// Exactly these bytes, under each key.
    fn as_it_came(&mut self, seen: &Seen<'_>, body: &[u8]) -> Option<Finding> {
        for index in 0..self.keys.len() {
            let key = self.keys[index].label.to_string();
            let mac = self.keys[index].mac.clone();
            match self.compare(seen, mac, &[seen.stamp, b".", body]) {
                Some(Candidate { is_base64: true, .. }) => {
                    return Some(Finding::V1Base64 { key });
                }
                Some(_) => {
                    return Some(Finding::SignedBy { key, newest: index == 0 });
                }
                None => {}
            }
        }
        None
    }

    /// Other things that may have been signed, or signed with.
    fn other_forms(&mut self, seen: &Seen<'_>, body: &[u8]) -> Option<Finding> {
        if seen.candidates.is_empty() {
            return None;
        }
        let keys = self.keys.clone();
        for key in &keys {
            if self.compare(seen, key.mac.clone(), &[body]).is_some() {
                return Some(Finding::WithoutTimestamp { key: key.label.to_string() });
            }
        }
        for key in &keys {
            for (form, mac) in secrets::forms(&key.secret) {
                if self.compare(seen, mac, &[seen.stamp, b".", body]).is_some() {
                    return Some(Finding::OtherSecret { key: key.label.to_string(), form });
                }
            }
        }
        if body.len() > LONGEST_BODY {
            return None;
        }
        let found = bodies::forms(body, self.left / WRITING, |changes, form| {
            let parts = [seen.stamp, b".", form];
            let key = keys.iter().find(|k| self.compare(seen, k.mac.clone(), &parts).is_some())?;
            Some(Finding::OtherBody { key: key.label.to_string(), changes: changes.to_vec() })
        });
        match found {
            bodies::Found::It(finding) => Some(finding),
            bodies::Found::Nothing => None,
            bodies::Found::CutShort => {
                self.cut_short = true;
                None
            }
        }
    }

    /// The candidate that is the MAC of these parts, if one is.
    fn compare<'s>(
        &mut self,
        seen: &'s Seen<'_>,
        mut mac: Hmac<Sha256>,
        parts: &[&[u8]],
    ) -> Option<&'s Candidate> {
        // What a MAC costs beyond its bytes is worth about two blocks.
        let bytes = parts.iter().map(|part| part.len() as u64).sum::<u64>() + 128;
        if seen.candidates.is_empty() {
            return None;
        }
        let Some(left) = self.left.checked_sub(bytes) else {
            self.cut_short = true;
            return None;
        };
        self.left = left;
        for part in parts {
            mac.update(part);
        }
        let digest: Digest = mac.finalize().into_bytes().into();
        seen.candidates.iter().find(|candidate| equal(&digest, &candidate.digest))
    }
}
