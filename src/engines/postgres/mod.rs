//! PostgreSQL: connections, consistent snapshots, tools, and what a database is besides its data.

pub mod connect;
pub mod globals;
pub mod holder;
pub mod identity;
pub mod pgpass;
pub mod privileges;
pub mod properties;
pub mod resolve;
pub mod service;
pub mod settings;
pub mod tables;
pub mod tls;
pub mod tools;
