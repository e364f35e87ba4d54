//! lifeboat: backups that are proven.

pub mod bolt;
pub mod cancel;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod drill;
pub mod duty;
pub mod engines;
pub mod error;
pub mod http;
pub mod kubernetes;
pub mod mail;
pub mod operations;
pub mod pipeline;
pub mod reports;
pub mod retention;
pub mod secret;
pub mod stores;
pub mod tls;
pub mod units;
