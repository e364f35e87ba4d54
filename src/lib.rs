//! lifeboat: backups that are proven.

pub mod config;
pub mod engines;
pub mod error;
pub mod pipeline;
pub mod retention;
pub mod secret;
pub mod stores;
