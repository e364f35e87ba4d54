//! What a command does, between the catalog and an engine: nothing here prints.

pub mod backup;
pub mod convert;
pub mod doctor;
pub mod prune;
pub mod restore;
pub mod status;
pub mod verify;
