//! Neo4j: exports over Bolt and dumps of a stopped store, restores and drills.

pub mod graph;
