//! The dedup stores for a fleet, in PostgreSQL and in SQLite.
