//! What both stores in SQL promise beyond the contract: each rule on PostgreSQL and on SQLite.

mod place;

mod commit_in;
mod postgres_commit_in;
mod records;
