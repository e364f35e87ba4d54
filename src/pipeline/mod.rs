//! The stages of a stream: digests, frames, objects, child processes; memory is bounded.

pub mod child;
pub mod digest;
pub mod frames;
pub mod inventory;
pub mod object;
pub mod progress;
pub mod reader;
pub mod sink;
mod stored;
#[cfg(test)]
mod tests;
pub mod writer;

pub use reader::{BackupReader, ObjectStream};
pub use sink::{Sink, Tuning};
pub use writer::ObjectWriter;
