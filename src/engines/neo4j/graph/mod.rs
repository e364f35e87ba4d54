//! A graph as bytes: its rows, how they are counted, and the file of an export.

pub mod counting;
pub mod format;
pub mod ids;
pub mod row;
pub mod schema;
pub mod tally;
#[cfg(test)]
mod tests;
