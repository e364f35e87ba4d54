//! Times to live in a drill: a staging server must not remove what is about to be compared.
//!
//! A drill restores `expireAfterSeconds` moved by decades, so that nothing expires, and takes the move back where
//! it compares definitions. Everything else is restored as it is.

use mongodb::bson::{Bson, Document};

/// How a time to live is moved.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    /// By so many seconds.
    by: i64,
    /// The greatest value that the server takes. What would be more stays as it is.
    greatest: i64,
}

/// Of an index: by 63 years, so that even a document of 1970 stays.
/// Source of the limit: the server's `index_key_validate.cpp`.
pub const INDEX: Move = Move { by: 2_000_000_000, greatest: i32::MAX as i64 };

/// Of a time series or a clustered collection: by 47 years, for there the server takes none that reaches back
/// before 1970 (source: `validateExpireAfterSeconds`). The limit is an instant that has passed everywhere.
pub const COLLECTION: Move = Move { by: 1_500_000_000, greatest: 1_750_000_000 };

const KEY: &str = "expireAfterSeconds";

fn seconds(document: &Document) -> Option<i64> {
    match document.get(KEY)? {
        Bson::Int32(seconds) => Some(i64::from(*seconds)),
        Bson::Int64(seconds) => Some(*seconds),
        Bson::Double(seconds) => Some(*seconds as i64),
        _ => None,
    }
}

impl Move {
    /// Moves a time to live. One of several years may stay as it is.
    pub fn shift(self, document: &mut Document) {
        let moved = seconds(document).map(|seconds| seconds + self.by);
        if let Some(moved) = moved.filter(|moved| *moved <= self.greatest) {
            document.insert(KEY, moved);
        }
    }

    /// The same without the move; `None` where there may have been none. Where there is one, it may also be
    /// that of the source: 50 years look like 2 that were moved.
    pub fn unshifted(self, document: &Document) -> Option<Document> {
        let seconds = seconds(document).map(|seconds| seconds - self.by).filter(|seconds| *seconds >= 0)?;
        let mut back = document.clone();
        back.insert(KEY, seconds);
        Some(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn a_move_is_taken_back() {
        for (how, values) in [(INDEX, [0, 60, 147_483_647]), (COLLECTION, [0, 60, 250_000_000])] {
            for value in values {
                let mut index = doc! {"key": {"at": 1}, KEY: value};
                how.shift(&mut index);
                assert_eq!(seconds(&index), Some(i64::from(value) + how.by));
                assert_eq!(seconds(&how.unshifted(&index).unwrap()), Some(i64::from(value)));
            }
        }
        let mut long = doc! {KEY: 1_000_000_000};
        INDEX.shift(&mut long);
        COLLECTION.shift(&mut long);
        assert_eq!(seconds(&long), Some(1_000_000_000));
        let mut none = doc! {"key": {"a": 1}};
        INDEX.shift(&mut none);
        assert_eq!((INDEX.unshifted(&none), none), (None, doc! {"key": {"a": 1}}));
    }
}
