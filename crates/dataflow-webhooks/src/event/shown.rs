//! How text from the sender is put into Debug output and logs.

use std::fmt::{self, Write};

/// Characters shown before the text is cut.
const LONGEST: usize = 64;

/// Displays `text` escaped and cut at 64 characters, so that a sender's text can neither
/// forge nor flood a log.
pub(crate) fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

pub(crate) struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(LONGEST) {
            for escaped in c.escape_debug() {
                f.write_char(escaped)?;
            }
        }
        if chars.next().is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}
