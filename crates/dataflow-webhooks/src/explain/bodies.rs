//! Other forms of a received body that may be the one that was signed: what
//! frameworks, proxies and shells do to bodies, undone.

use std::borrow::Cow;

use base64::Engine as _;

use super::change::BodyChange;
use super::finding::Finding;
use super::json::{Layout, Node, Order, Strings};
use super::secrets::LENIENT_BASE64;
use crate::event::json;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Calls `visit` with each other form, likely ones first, until it gives
/// something or `budget` bytes have been written. A form may come twice, or be
/// the body itself.
pub(super) fn forms<T>(
    body: &[u8],
    budget: u64,
    visit: impl FnMut(&[BodyChange], &[u8]) -> Option<T>,
) -> Found<T> {
    let mut search = Search { left: budget, visit, found: Found::Nothing };
    // The way out of both is `?`; what was found is in the search.
    let _ = search.among_bytes(body).and_then(|()| search.among_json(body));
    search.found
}

/// How a search ended.
pub(super) enum Found<T> {
    It(T),
    Nothing,
    /// The budget was spent.
    CutShort,
}

struct Search<T, V> {
    left: u64,
    visit: V,
    found: Found<T>,
}

impl<T, V: FnMut(&[BodyChange], &[u8]) -> Option<T>> Search<T, V> {
    /// `None` when the search is over.
    fn offer(&mut self, changes: &[BodyChange], form: &[u8]) -> Option<()> {
        self.spend(form.len())?;
        if let Some(it) = (self.visit)(changes, form) {
            self.found = Found::It(it);
            return None;
        }
        Some(())
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => self.left = left,
            None => {
                self.found = Found::CutShort;
                return None;
            }
        }
        Some(())
    }

    fn among_bytes(&mut self, body: &[u8]) -> Option<()> {
        use BodyChange as C;
        let mut forms: Vec<(BodyChange, Cow<'_, [u8]>)> = Vec::new();
        if let Some((change, form)) = without_line_break(body) {
            forms.push((change, form.into()));
        }
        forms.push((C::AddLineBreak, [body, b"\n"].concat().into()));
        forms.push((C::AddCrLf, [body, b"\r\n"].concat().into()));
        forms.push((C::Trim, body.trim_ascii().into()));
        forms.push(match body.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (C::RemoveByteOrderMark, rest.into()),
            None => (C::AddByteOrderMark, [BYTE_ORDER_MARK, body].concat().into()),
        });
        let with_lf = with_lf(body);
        forms.push((C::LfToCrLf, with_crlf(&with_lf).into()));
        forms.push((C::CrLfToLf, with_lf.into()));
        match std::str::from_utf8(body) {
            Err(_) => {
                let text = String::from_utf8_lossy(body).into_owned();
                forms.push((C::ReplaceInvalid, text.into_bytes().into()));
            }
            Ok(text) => {
                let latin_1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
                forms.extend(latin_1.map(|bytes| (C::UndoDoubleUtf8, bytes.into())));
                if let Some(inner) = json::string(text.trim_ascii()) {
                    forms.push((C::Unquote, inner.into_owned().into_bytes().into()));
                }
            }
        }
        let doubled: String = body.iter().map(|&byte| char::from(byte)).collect();
        forms.push((C::DoubleUtf8, doubled.into_bytes().into()));
        for base64 in &LENIENT_BASE64 {
            if let Ok(inner) = base64.decode(body.trim_ascii()) {
                forms.push((C::DecodeBase64, inner.into()));
            }
        }
        forms.iter().try_for_each(|(change, form)| self.offer(&[*change], form))
    }

    /// The same JSON, written in other ways.
    fn among_json(&mut self, body: &[u8]) -> Option<()> {
        use BodyChange as C;
        let mut frame = Vec::new();
        let text = match body.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => {
                frame.push(C::RemoveByteOrderMark);
                rest
            }
            None => body,
        };
        let trimmed = text.trim_ascii();
        let Some(mut node) = std::str::from_utf8(trimmed).ok().and_then(Node::read) else {
            return Some(());
        };
        let mut ends_in_line_break = false;
        if let Some((change, _)) = without_line_break(text).filter(|(_, rest)| *rest == trimmed) {
            frame.push(change);
            ends_in_line_break = true;
        } else if trimmed != text {
            frame.push(C::Trim);
        }

        // No form of a reasonable body is longer; deep nesting would be.
        let longest = 8 * trimmed.len() + 1024;
        let received = Layout::ALL.into_iter().find(|layout| {
            node.write(*layout, Strings::AsTheyAre, longest).as_deref() == Some(trimmed)
        });
        for order in Order::ALL {
            node.put_in(order);
            let by_order: &[C] = match order {
                Order::AsItIs => &[],
                Order::Documented => &[C::DocumentedOrder],
                Order::Sorted => &[C::SortMembers],
            };
            for strings in Strings::ALL {
                let by_strings: &[C] = match strings {
                    Strings::AsTheyAre => &[],
                    Strings::Plain => &[C::Unescape],
                    Strings::Ascii => &[C::EscapeNonAscii],
                    Strings::AsciiAndSlashes => &[C::EscapeNonAscii, C::EscapeSlashes],
                    Strings::Html => &[C::EscapeHtml],
                };
                for layout in Layout::ALL {
                    let by_layout = match layout {
                        _ if received == Some(layout) => None,
                        Layout::Minified => Some(C::Minify),
                        Layout::Spaced => Some(C::SpaceOut),
                        Layout::By2 => Some(C::IndentBy2),
                        Layout::By4 => Some(C::IndentBy4),
                        Layout::ByTab => Some(C::IndentByTab),
                    };
                    let Some(mut form) = node.write(layout, strings, longest) else {
                        self.spend(longest)?;
                        continue;
                    };
                    let written: Vec<C> = [by_strings, by_order, by_layout.as_slice()].concat();
                    let steps = [&frame[..], &written].concat();
                    self.offer(&steps, &form)?;
                    // `jq`, `echo` and editors end what they write in a line break.
                    form.push(b'\n');
                    let steps = match ends_in_line_break {
                        true => [&frame[..frame.len() - 1], &written].concat(),
                        false => [&steps[..], &[C::AddLineBreak]].concat(),
                    };
                    self.offer(&steps, &form)?;
                }
            }
        }
        Some(())
    }
}

fn without_line_break(body: &[u8]) -> Option<(BodyChange, &[u8])> {
    let rest = body.strip_suffix(b"\n")?;
    Some((BodyChange::RemoveLineBreak, rest.strip_suffix(b"\r").unwrap_or(rest)))
}

fn with_lf(body: &[u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(body.len());
    for (index, &byte) in body.iter().enumerate() {
        if byte != b'\r' || body.get(index + 1) != Some(&b'\n') {
            form.push(byte);
        }
    }
    form
}

fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(body.len());
    for &byte in body {
        if byte == b'\n' {
            form.push(b'\r');
        }
        form.push(byte);
    }
    form
}

/// What a body that nothing explains shows by itself.
pub(super) fn look(body: &[u8]) -> Vec<Finding> {
    if body.is_empty() {
        return vec![Finding::BodyEmpty];
    }
    let mut findings = Vec::new();
    if std::str::from_utf8(body).is_ok_and(is_sorted) {
        findings.push(Finding::BodySorted);
    }
    if body.windows(3).any(|bytes| bytes == "\u{fffd}".as_bytes()) {
        findings.push(Finding::BodyWasDecoded);
    }
    findings
}

/// Do the members stand in alphabetical order, and not in the platform's
/// ("Event Payload Structure": `id` before `created_at`)?
fn is_sorted(text: &str) -> bool {
    let mut names = Vec::new();
    let read = json::members(text, |name, _| names.push(name));
    read.is_ok()
        && names.is_sorted()
        && ["id", "created_at"].iter().all(|n| names.contains(&(*n).into()))
}
