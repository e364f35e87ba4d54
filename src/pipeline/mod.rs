//! The stages of a stream: digests, frames, objects, child processes; memory is bounded.

pub mod digest;
pub mod inventory;
pub mod object;
