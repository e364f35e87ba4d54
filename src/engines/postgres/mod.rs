//! PostgreSQL: dumps by pg_dump, read and checked as they pass.

pub mod archive;
