//! Neo4j: exports over Bolt and dumps of a stopped store, restores and drills.

pub mod admin;
pub mod archive;
pub mod bookmark;
mod checks;
mod compare;
pub mod connect;
mod convert;
pub mod dump;
mod engine;
pub mod ephemeral;
mod export;
pub mod graph;
pub mod layout;
pub mod load;
mod offline;
pub mod options;
mod preflight;
pub mod reading;
mod restore;
pub mod service;
pub mod staging;
pub mod tools;
pub mod uri;

pub use engine::{Neo4j, open};
