//! Neo4j: the dump format, the offline tools, and what stops and starts a server around them.

pub mod admin;
pub mod archive;
pub mod bookmark;
pub mod dump;
pub mod layout;
pub mod load;
pub mod service;
pub mod tools;
