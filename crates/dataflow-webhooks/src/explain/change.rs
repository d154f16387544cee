//! The steps between two forms of a body, in words.

use std::fmt;

/// A step from the body that was received to the one that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyChange {
    /// The line break at its end removed.
    RemoveLineBreak,
    /// A line break (LF) put after it.
    AddLineBreak,
    /// A line break (CR LF) put after it.
    AddCrLf,
    /// All white space around it removed.
    Trim,
    /// The byte order mark at its start removed.
    RemoveByteOrderMark,
    /// A byte order mark put before it.
    AddByteOrderMark,
    /// Every CR LF made LF.
    CrLfToLf,
    /// Every LF made CR LF.
    LfToCrLf,
    /// Bytes that are no UTF-8 replaced by U+FFFD.
    ReplaceInvalid,
    /// UTF-8 undone that was put on top of other UTF-8, which had been read as
    /// Latin-1.
    UndoDoubleUtf8,
    /// Its UTF-8 read as Latin-1 and written as UTF-8 again.
    DoubleUtf8,
    /// Taken out of the JSON string that it is.
    Unquote,
    /// Decoded from base64.
    DecodeBase64,
    /// Escaped characters (`\uXXXX`, `\/`) written out.
    Unescape,
    /// Characters beyond ASCII escaped as `\uXXXX`.
    EscapeNonAscii,
    /// `/` escaped as `\/`.
    EscapeSlashes,
    /// `<`, `>` and `&` escaped as `\uXXXX`.
    EscapeHtml,
    /// The members of every object sorted by name.
    SortMembers,
    /// The members put in the order of the platform's documentation.
    DocumentedOrder,
    /// All white space between tokens removed.
    Minify,
    /// One space after each `,` and `:`, none elsewhere.
    SpaceOut,
    /// A member a line, indented by 2 spaces.
    IndentBy2,
    /// A member a line, indented by 4 spaces.
    IndentBy4,
    /// A member a line, indented by a tab.
    IndentByTab,
}

impl fmt::Display for BodyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RemoveLineBreak => "without the line break at its end",
            Self::AddLineBreak => "with a line break (LF) at its end",
            Self::AddCrLf => "with a line break (CR LF) at its end",
            Self::Trim => "without the white space around it",
            Self::RemoveByteOrderMark => "without the byte order mark at its start",
            Self::AddByteOrderMark => "with a byte order mark at its start",
            Self::CrLfToLf => "with LF for every CR LF",
            Self::LfToCrLf => "with CR LF for every LF",
            Self::ReplaceInvalid => "with U+FFFD for bytes that are no UTF-8",
            Self::UndoDoubleUtf8 => "with the second of two layers of UTF-8 undone",
            Self::DoubleUtf8 => "read as Latin-1 and written as UTF-8",
            Self::Unquote => "taken out of the JSON string it is in",
            Self::DecodeBase64 => "decoded from base64",
            Self::Unescape => "with its escaped characters written out",
            Self::EscapeNonAscii => "with characters beyond ASCII escaped",
            Self::EscapeSlashes => "with every / escaped",
            Self::EscapeHtml => "with <, > and & escaped",
            Self::SortMembers => "with its members sorted by name",
            Self::DocumentedOrder => "with its members in the documented order",
            Self::Minify => "minified",
            Self::SpaceOut => "with a space after each comma and colon",
            Self::IndentBy2 => "indented by 2 spaces",
            Self::IndentBy4 => "indented by 4 spaces",
            Self::IndentByTab => "indented by tabs",
        })
    }
}
