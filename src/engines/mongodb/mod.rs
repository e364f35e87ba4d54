//! MongoDB: connections, mongodump's archive, consistent and proven dumps, restores and drills.

pub mod archive;
mod checks;
mod child;
mod compare;
pub mod connect;
pub mod content;
pub mod counted;
mod dump;
mod engine;
pub mod ephemeral;
pub mod look;
pub mod naming;
pub mod options;
pub mod preflight;
pub mod privileges;
mod pulse;
mod restore;
pub mod staging;
pub mod tools;
mod ttl;
pub mod uri;

pub use engine::{Mongo, open};
