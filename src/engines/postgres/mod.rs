//! PostgreSQL: connections, consistent snapshots, tools, the archive, restores and drills.

pub mod archive;
pub mod checks;
mod claim;
pub mod compare;
pub mod connect;
mod drilling;
pub mod dump;
mod engine;
pub mod ephemeral;
mod exhausted;
pub mod globals;
pub mod holder;
pub mod identity;
pub mod pgpass;
pub mod privileges;
pub mod properties;
pub mod resolve;
mod restore;
pub mod service;
pub mod settings;
pub mod staging;
pub mod tables;
pub mod tls;
pub mod tools;

pub use engine::{Postgres, open};
