//! PostgreSQL.

pub mod archive;
