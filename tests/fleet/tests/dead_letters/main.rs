//! The sinks of dead letters in SQL: the contract of all sinks, what they promise beyond it, and a
//! receiver with one.

mod letters;
mod place;

mod contract;
mod postgres;
mod road;
mod rules;
mod sqlite;
