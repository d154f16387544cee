//! The dedup store for a fleet, in Redis.
