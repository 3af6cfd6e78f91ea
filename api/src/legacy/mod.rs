//! The older systems.

pub mod sqlite;
