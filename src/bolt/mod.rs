//! A client for Bolt 5, the protocol of Neo4j. What it speaks is in `docs/bolt.md`.

pub mod packstream;
