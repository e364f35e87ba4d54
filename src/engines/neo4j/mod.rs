//! Neo4j: exports over Bolt, dumps of a stopped store and Enterprise's online backups; restores and drills.

pub mod admin;
pub mod archive;
pub mod bookmark;
mod checks;
mod compare;
pub mod connect;
mod convert;
pub mod dump;
mod engine;
mod enterprise;
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
