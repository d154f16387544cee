//! Owns the bytes of a body that is not verified yet.

use bytes::Bytes;

use crate::budget::UnverifiedBudget;

/// The bytes kept so far.
pub(super) enum Held {
    /// One chunk that is the whole declared body: kept as it came.
    Whole(Bytes),
    /// Copied into pieces. A chunk kept by reference would pin the buffer it was
    /// cut from, and a body sent a byte at a time would then hold a thousand
    /// times its length.
    Copied(Pieces),
}

impl Default for Held {
    fn default() -> Self {
        Self::Copied(Pieces::default())
    }
}

impl Held {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Copied(pieces) => pieces.len,
        }
    }

    /// Takes the next chunk, which may be the whole body. No more than `most`
    /// bytes can still come, this chunk included.
    pub(super) fn push(&mut self, chunk: Bytes, is_whole: bool, most: usize) {
        match self {
            Self::Copied(_) if is_whole => *self = Self::Whole(chunk),
            Self::Copied(pieces) => pieces.push(&chunk, most),
            Self::Whole(first) => {
                // More came than was declared; no HTTP server does that.
                let mut pieces = Pieces::default();
                pieces.push(first, first.len());
                pieces.push(&chunk, most);
                *self = Self::Copied(pieces);
            }
        }
    }

    /// All of it, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (full, last): (&[Vec<u8>], &[u8]) = match self {
            Self::Whole(bytes) => (&[], bytes),
            Self::Copied(pieces) => (&pieces.full, &pieces.last),
        };
        full.iter().map(Vec::as_slice).chain([last])
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes.clone(),
            Self::Copied(_) => self.pieces().collect::<Vec<_>>().concat().into(),
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Copied(pieces) => pieces.into_bytes(),
        }
    }
}

/// Bytes in pieces that are not moved before all are there. One buffer that
/// grows would hold up to twice what has come, and under a flood the holes that
/// its growth leaves in the heap would come on top.
#[derive(Default)]
pub(super) struct Pieces {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
    len: usize,
}

impl Pieces {
    /// An unfilled piece is within what every body may hold anyway.
    const MOST: usize = UnverifiedBudget::FREE_BYTES;
    const LEAST: usize = 512;

    fn push(&mut self, mut chunk: &[u8], mut most: usize) {
        while !chunk.is_empty() {
            let room = self.last.capacity() - self.last.len();
            if room == 0 {
                // As much again as there is: small bodies have small pieces.
                let size = self.len.max(chunk.len()).clamp(Self::LEAST, Self::MOST);
                let next = Vec::with_capacity(size.min(most.max(1)));
                let full = std::mem::replace(&mut self.last, next);
                if !full.is_empty() {
                    self.full.push(full);
                }
                continue;
            }
            let (now, rest) = chunk.split_at(room.min(chunk.len()));
            self.last.extend_from_slice(now);
            self.len += now.len();
            most = most.saturating_sub(now.len());
            chunk = rest;
        }
    }

    fn into_bytes(self) -> Bytes {
        if self.full.is_empty() {
            return self.last.into();
        }
        let mut whole = Vec::with_capacity(self.len);
        // Each piece is dropped as soon as it has been copied.
        for piece in self.full.into_iter().chain([self.last]) {
            whole.extend_from_slice(&piece);
        }
        whole.into()
    }
}
