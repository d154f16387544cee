//! The rows of the table: every receiver on every stack.

use std::fmt;

/// What is between the connection and the handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stack {
    /// hyper and tower services, no framework.
    Tower,
    Axum,
    Actix,
}

impl Stack {
    pub(crate) const ALL: [Self; 3] = [Self::Tower, Self::Axum, Self::Actix];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tower => "tower",
            Self::Axum => "axum",
            Self::Actix => "actix",
        }
    }

    pub(crate) const fn row(self, receiver: Receiver) -> Row {
        Row { stack: self, receiver }
    }
}

/// What receives the delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Receiver {
    /// A handler that takes the body and does nothing.
    Bare,
    /// The same once more: what the figures are worth.
    Control,
    /// Verified in the handler, as the platform's sample does it.
    HandWritten,
    /// The published crate of that name.
    WebhookVerify,
    /// Ours, without deduplication.
    WithoutDedup,
    /// The same, and the event decoded: what the hand-written handler does.
    Typed,
    /// Ours, all of it. The only receiver with a store, so that the memory of no
    /// other is in its way.
    WithDedup,
}

impl Receiver {
    pub(crate) const ALL: [Self; 7] = [
        Self::Bare,
        Self::Control,
        Self::HandWritten,
        Self::WebhookVerify,
        Self::WithoutDedup,
        Self::Typed,
        Self::WithDedup,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare Bytes handler",
            Self::Control => "bare again (control)",
            Self::HandWritten => "hand-written, no dedup",
            Self::WebhookVerify => "webhook-verify, no dedup",
            Self::WithoutDedup => "ours, no dedup",
            Self::Typed => "ours, no dedup, typed",
            Self::WithDedup => "ours, dedup",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) stack: Stack,
    pub(crate) receiver: Receiver,
}

impl Row {
    /// Every row, stack by stack.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Stack::ALL.into_iter().flat_map(|stack| Receiver::ALL.map(|receiver| stack.row(receiver)))
    }

    /// Another receiver on the same stack.
    pub(crate) const fn beside(self, receiver: Receiver) -> Self {
        self.stack.row(receiver)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stack.name(), self.receiver.name())
    }
}
