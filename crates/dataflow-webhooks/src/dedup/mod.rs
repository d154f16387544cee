//! Event-id deduplication.
