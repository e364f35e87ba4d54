//! What a command does, between the catalog and an engine: nothing here prints.

pub mod backup;
