//! A small client for Bolt 5, the protocol of Neo4j. What it speaks, and what not, is in `docs/bolt.md`.
//!
//! It hands records on as the bytes that the server sent: a backup wants them, not values.

mod chunk;
mod config;
mod connection;
mod error;
mod handshake;
mod message;
pub mod packstream;
mod params;
mod result;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod transaction;
mod wire;

pub use config::{Auth, Config, Encryption, PORT};
pub use connection::Connection;
pub use error::{Error, Result};
pub use handshake::Version;
pub use message::{Begin, Mode};
pub use params::Params;
pub use result::Summary;
