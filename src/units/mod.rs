//! Bytes, durations and instants as people read them.

pub mod size;
pub mod time;
