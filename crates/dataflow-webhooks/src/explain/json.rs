//! JSON read to be written again in another way: numbers stay as they are
//! written, strings may be escaped otherwise, members may change places.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::json::string;

/// Deeper JSON is not read: each level is scanned anew, and indented further.
const DEEPEST: usize = 64;

pub(super) enum Node<'a> {
    /// A number, a string, `true`, `false` or `null`, as it is written.
    Leaf(&'a str),
    Array(Vec<Node<'a>>),
    Object(Vec<(&'a str, Node<'a>)>),
}

/// The white space between tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Minified,
    Spaced,
    By2,
    By4,
    ByTab,
}

impl Layout {
    pub(super) const ALL: [Self; 5] =
        [Self::Minified, Self::Spaced, Self::By2, Self::By4, Self::ByTab];

    const fn indent(self) -> Option<&'static [u8]> {
        match self {
            Self::Minified | Self::Spaced => None,
            Self::By2 => Some(b"  "),
            Self::By4 => Some(b"    "),
            Self::ByTab => Some(b"\t"),
        }
    }
}

/// The order of an object's members. Sorting comes last in [`ALL`](Self::ALL):
/// it forgets the order there was.
#[derive(Clone, Copy)]
pub(super) enum Order {
    AsItIs,
    Documented,
    Sorted,
}

impl Order {
    pub(super) const ALL: [Self; 3] = [Self::AsItIs, Self::Documented, Self::Sorted];
}

/// The escaping within strings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strings {
    AsTheyAre,
    /// Only what must be: JavaScript, serde_json.
    Plain,
    /// All but ASCII: Python.
    Ascii,
    /// The same, and `/`: PHP.
    AsciiAndSlashes,
    /// `<`, `>`, `&` and the two line separators: Go, Rails.
    Html,
}

impl Strings {
    pub(super) const ALL: [Self; 5] =
        [Self::AsTheyAre, Self::Plain, Self::Ascii, Self::AsciiAndSlashes, Self::Html];
}

/// "Event Payload Structure": the order of the envelope's members, and of the
/// members of `data` and `metadata`.
const ENVELOPE: &[&str] = &["id", "type", "created_at", "data", "metadata"];
const DATA: &[&str] = &[
    "pipeline_id",
    "run_id",
    "status",
    "records_processed",
    "duration_seconds",
    "started_at",
    "completed_at",
];
const METADATA: &[&str] = &["environment", "triggered_by"];

impl<'a> Node<'a> {
    /// `None` for what is no JSON or is nested too deep.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        Self::read_at(serde_json::from_str::<&RawValue>(text).ok()?.get(), 0)
    }

    fn read_at(text: &'a str, depth: usize) -> Option<Self> {
        if !text.starts_with(['{', '[']) {
            return Some(Self::Leaf(text));
        }
        if depth == DEEPEST {
            return None;
        }
        let inner = |value: &'a RawValue| Self::read_at(value.get(), depth + 1);
        if text.starts_with('[') {
            let values: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            return values.into_iter().map(inner).collect::<Option<_>>().map(Self::Array);
        }
        let members = serde_json::Deserializer::from_str(text).deserialize_map(Members).ok()?;
        let members = members.into_iter().map(|(name, value)| Some((name, inner(value)?)));
        members.collect::<Option<_>>().map(Self::Object)
    }

    pub(super) fn put_in(&mut self, order: Order) {
        match order {
            Order::AsItIs => {}
            Order::Sorted => self.sort(),
            Order::Documented => {
                self.rank(ENVELOPE);
                let Self::Object(members) = self else { return };
                for (name, value) in members {
                    match *name {
                        r#""data""# => value.rank(DATA),
                        r#""metadata""# => value.rank(METADATA),
                        _ => {}
                    }
                }
            }
        }
    }

    fn sort(&mut self) {
        match self {
            Self::Leaf(_) => {}
            Self::Array(values) => values.iter_mut().for_each(Self::sort),
            Self::Object(members) => {
                members.sort_by_cached_key(|(name, _)| string(name).unwrap_or(Cow::Borrowed(name)));
                members.iter_mut().for_each(|(_, value)| value.sort());
            }
        }
    }

    /// The named members first, in this order, the others behind them as they
    /// are.
    fn rank(&mut self, names: &[&str]) {
        let Self::Object(members) = self else { return };
        members.sort_by_key(|(name, _)| {
            names.iter().position(|n| name.get(1..name.len() - 1) == Some(n)).unwrap_or(names.len())
        });
    }

    /// `None` for what would be longer than that.
    pub(super) fn write(
        &self,
        layout: Layout,
        strings: Strings,
        longest: usize,
    ) -> Option<Vec<u8>> {
        let mut writer = Writer { out: Vec::new(), layout, strings, longest };
        writer.node(self, 0)?;
        Some(writer.out)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de str, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            members.push((name.get(), value));
        }
        Ok(members)
    }
}

/// Each method gives `None` once the form is too long.
struct Writer {
    out: Vec<u8>,
    layout: Layout,
    strings: Strings,
    longest: usize,
}

impl Writer {
    fn node(&mut self, node: &Node<'_>, depth: usize) -> Option<()> {
        match node {
            Node::Leaf(text) => self.leaf(text),
            Node::Array(values) => {
                let each = |writer: &mut Self, value| writer.node(value, depth + 1);
                self.list(b'[', values, b']', depth, each)
            }
            Node::Object(members) => {
                let each = |writer: &mut Self, (name, value): &(&str, Node<'_>)| {
                    writer.leaf(name)?;
                    writer.put(if writer.layout == Layout::Minified { b":" } else { b": " })?;
                    writer.node(value, depth + 1)
                };
                self.list(b'{', members, b'}', depth, each)
            }
        }
    }

    fn list<'n, T>(
        &mut self,
        open: u8,
        items: &'n [T],
        close: u8,
        depth: usize,
        mut each: impl FnMut(&mut Self, &'n T) -> Option<()>,
    ) -> Option<()> {
        self.put(&[open])?;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.put(if self.layout == Layout::Spaced { b", " } else { b"," })?;
            }
            self.line_break(depth + 1)?;
            each(self, item)?;
        }
        if !items.is_empty() {
            self.line_break(depth)?;
        }
        self.put(&[close])
    }

    fn line_break(&mut self, depth: usize) -> Option<()> {
        let Some(indent) = self.layout.indent() else { return Some(()) };
        self.put(b"\n")?;
        (0..depth).try_for_each(|_| self.put(indent))
    }

    fn leaf(&mut self, text: &str) -> Option<()> {
        // What holds none of these is written the same in every way.
        let needs_care = |c: char| !c.is_ascii() || c < ' ' || "\\/<>&\u{7f}".contains(c);
        if self.strings == Strings::AsTheyAre || !text.contains(needs_care) {
            return self.put(text.as_bytes());
        }
        // No string, or one with a lone surrogate: that can be written in one
        // way only.
        let Some(content) = string(text) else { return self.put(text.as_bytes()) };
        let plain = serde_json::to_string(&content).ok()?;
        let mut units = [0; 2];
        let mut bytes = [0; 4];
        for c in plain.chars() {
            let is_escaped = match self.strings {
                Strings::AsTheyAre | Strings::Plain => false,
                Strings::Ascii | Strings::AsciiAndSlashes => c > '~',
                Strings::Html => matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
            };
            if is_escaped {
                for unit in c.encode_utf16(&mut units) {
                    self.put(format!("\\u{unit:04x}").as_bytes())?;
                }
            } else {
                if c == '/' && self.strings == Strings::AsciiAndSlashes {
                    self.put(b"\\")?;
                }
                self.put(c.encode_utf8(&mut bytes).as_bytes())?;
            }
        }
        Some(())
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.out.extend_from_slice(bytes);
        (self.out.len() <= self.longest).then_some(())
    }
}
