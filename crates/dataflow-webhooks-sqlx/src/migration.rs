//! Owns the versions that the schema goes through.

/// The statements that lead from one version of the schema to the next.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) sql: &'static str,
}

/// Those that a database at this version lacks. One at a later version lacks none: while a fleet is
/// updated, or taken back, the older build works on, for a migration only adds.
pub(crate) fn missing(all: &'static [Migration], version: i64) -> &'static [Migration] {
    let done = all.iter().take_while(|migration| migration.version <= version).count();
    all.split_at(done).1
}
