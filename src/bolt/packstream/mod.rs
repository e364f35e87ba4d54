//! PackStream version 1: the form of values in Bolt messages.
//!
//! A value may have several forms (an integer of 1 may take one byte or nine). Everything is read; what is
//! written is always the smallest form. [`canonical`] gives one form to each value, so that bytes can be compared.
//!
//! Source: Bolt protocol documentation, "PackStream" (neo4j.com/docs/bolt/current/packstream). What the structures
//! mean (nodes, dates, points) is in its "Structure semantics"; nothing here has to know.

mod canonical;
mod encode;
mod marker;
mod read;
#[cfg(test)]
mod tests;
mod value;

pub use canonical::{Canonical, canonical};
pub use encode::Encoder;
pub use read::Reader;
pub use value::Value;

/// Values inside values, at most so deep.
pub const DEEPEST: usize = 128;

/// The result of reading PackStream.
pub type Result<T> = std::result::Result<T, Malformed>;

/// Bytes that are not PackStream, or not what was expected at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A value goes on behind the last byte.
    #[error("the value that begins at byte {at} is cut off")]
    Truncated {
        /// Where the value begins.
        at: usize,
    },
    /// A marker that means nothing in PackStream.
    #[error("byte {at} is {marker:#04x}, which begins no value")]
    Reserved {
        /// Where it is.
        at: usize,
        /// The byte.
        marker: u8,
    },
    /// A value of another type than was expected.
    #[error("byte {at} is {marker:#04x}, which begins no {wanted}")]
    Unexpected {
        /// Where it begins.
        at: usize,
        /// Its first byte.
        marker: u8,
        /// What should be there.
        wanted: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("the text that begins at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where it begins.
        at: usize,
    },
    /// Values inside values, deeper than [`DEEPEST`].
    #[error("more than {DEEPEST} values inside values at byte {at}")]
    TooDeep {
        /// Where the value too deep begins.
        at: usize,
    },
    /// A map that has a key twice.
    #[error("the map that begins at byte {at} has a key twice")]
    Twice {
        /// Where the map begins.
        at: usize,
    },
    /// Bytes behind the one value that should be there.
    #[error("something follows the value at byte {at}")]
    Trailing {
        /// Where the value ends.
        at: usize,
    },
}
