//! MongoDB: the archives of mongodump, read, changed and counted as they pass.

pub mod archive;
