//! The input of the targets `check` and `chunks`: a request, written down like one.

use crate::naive::{Clock, named, sign};

/// The present, where an input does not say otherwise.
pub const NOW: i64 = 1_706_096_400;

/// The keys, newest first. The last one is in no ring.
pub const SECRETS: [&str; 4] = [
    "whsec_1a2b3c4d5e6f7g8h9i0j",
    "whsec_schlüssel_东京_🔑",
    // Longer than a block of the hash.
    "whsec_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
    "whsec_of_somebody_else",
];

/// A request and the settings to verify it under.
///
/// ```text
/// keys=2 past=300 future=300 now=0 limit=1000 declared=2 cuts=1,2 swap=1
/// t=$t,v1=$0
///
/// {}
/// ```
///
/// The first line is made of settings, each of which may be missing: the number of keys in the
/// ring (1 to 3), the tolerance in seconds, the present in seconds from [`NOW`], and for
/// `chunks` the limit of the body in bytes, the declared length, the lengths of the chunks in
/// turn, and the number of the chunk before which the keys are replaced by their reverse (or, with
/// `remove=1`, by the last of them alone).
///
/// The lines up to an empty one are header lines, in which `$t` stands for [`NOW`], `$0` to
/// `$3` for the signature by each of [`SECRETS`] and `$A` to `$D` for the same in upper
/// case. The rest is the body.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "a test's input, not an API")]
pub struct Case {
    /// The secrets of the ring, newest first.
    pub secrets: Vec<&'static str>,
    /// The present and the tolerance.
    pub clock: Clock,
    /// The longest body.
    pub limit: usize,
    /// The declared length.
    pub declared: Option<u64>,
    /// The lengths of the chunks in turn; never empty.
    pub cuts: Vec<usize>,
    /// The chunk before which the keys are replaced.
    pub swap: Option<usize>,
    /// Whether the replacement only removes keys.
    pub remove: bool,
    /// The signature header lines.
    pub lines: Vec<Vec<u8>>,
    /// The body.
    pub body: Vec<u8>,
}

impl Case {
    /// Reads any bytes; what makes no sense is as if it were missing.
    pub fn read(input: &[u8]) -> Self {
        let (settings, rest) = cut(input, b"\n");
        // Without header lines, the empty line follows at once.
        let (head, body) = match rest.strip_prefix(b"\n") {
            Some(body) => (&rest[..0], body),
            None => cut(rest, b"\n\n"),
        };
        let settings = Settings(std::str::from_utf8(settings).unwrap_or_default());
        let keys = settings.number("keys").unwrap_or(1_usize).clamp(1, 3);
        let templates = head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let cuts = settings.text("cuts").unwrap_or_default().split(',');
        let mut cuts: Vec<_> = cuts.filter_map(|cut| cut.parse().ok()).collect();
        if cuts.iter().all(|cut| *cut == 0) {
            cuts.push(usize::MAX);
        }
        Self {
            secrets: SECRETS[..keys].to_vec(),
            clock: Clock {
                now: NOW + settings.number("now").unwrap_or(0_i64).clamp(-NOW - 9999, NOW),
                past: settings.number("past").unwrap_or(300),
                future: settings.number("future").unwrap_or(300),
            },
            limit: settings.number("limit").unwrap_or(1024 * 1024),
            declared: settings.number("declared"),
            cuts,
            swap: settings.number("swap"),
            remove: settings.number("remove") == Some(1),
            lines: templates.map(|template| filled(template, body)).collect(),
            body: body.to_vec(),
        }
    }
}

/// What stands before a separator and what stands behind it.
fn cut<'a>(input: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    match input.windows(separator.len()).position(|window| window == separator) {
        Some(at) => (&input[..at], &input[at + separator.len()..]),
        None => (input, b""),
    }
}

/// `name=value` words.
struct Settings<'a>(&'a str);

impl<'a> Settings<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }
}

/// The header line of a template.
fn filled(template: &[u8], body: &[u8]) -> Vec<u8> {
    let line = replaced(template, |mark| (mark == b't').then(|| NOW.to_string()));
    let digits = named(&line, b"t").into_iter().next().unwrap_or_default();
    replaced(&line, |mark| match mark {
        b'0'..=b'3' => Some(sign(SECRETS[usize::from(mark - b'0')], &digits, body)),
        b'A'..=b'D' => Some(sign(SECRETS[usize::from(mark - b'A')], &digits, body).to_uppercase()),
        _ => None,
    })
}

/// Each `$` and the mark after it replaced, where there is something to put in its place. No more
/// than 40 of them: a line of more is too long in any case.
fn replaced(template: &[u8], put: impl Fn(u8) -> Option<String>) -> Vec<u8> {
    let (mut line, mut rest, mut left) = (Vec::new(), template, 40);
    while let [first, tail @ ..] = rest {
        match tail.first().filter(|_| *first == b'$' && left > 0).and_then(|mark| put(*mark)) {
            Some(text) => {
                line.extend_from_slice(text.as_bytes());
                rest = &tail[1..];
                left -= 1;
            }
            None => {
                line.push(*first);
                rest = tail;
            }
        }
    }
    line
}
