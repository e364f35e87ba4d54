//! Times to live in a drill: a staging server must not remove what is about to be compared.
//!
//! A drill restores `expireAfterSeconds` moved by [`SHIFT`], so that nothing expires, and takes the move back
//! where it compares definitions. Everything else is restored as it is.

use mongodb::bson::{Bson, Document};

/// Seconds that a time to live is moved by: 63 years, so that even a document of 1970 stays.
const SHIFT: i64 = 2_000_000_000;

/// The greatest value that the server takes (source: its `index_key_validate.cpp`).
const GREATEST: i64 = i32::MAX as i64;

const KEY: &str = "expireAfterSeconds";

fn seconds(document: &Document) -> Option<i64> {
    match document.get(KEY)? {
        Bson::Int32(seconds) => Some(i64::from(*seconds)),
        Bson::Int64(seconds) => Some(*seconds),
        Bson::Double(seconds) => Some(*seconds as i64),
        _ => None,
    }
}

/// Moves the time to live of options or of an index. One of more than 4.6 years stays as it is.
pub fn shift(document: &mut Document) {
    if let Some(moved) = seconds(document).map(|seconds| seconds + SHIFT).filter(|moved| *moved <= GREATEST) {
        document.insert(KEY, moved);
    }
}

/// Takes the move back.
pub fn unshift(document: &mut Document) {
    if let Some(moved) = seconds(document).map(|seconds| seconds - SHIFT).filter(|moved| *moved >= 0) {
        document.insert(KEY, moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn a_move_is_taken_back() {
        for value in [0, 60, 147_483_647] {
            let mut index = doc! {"key": {"at": 1}, KEY: value};
            shift(&mut index);
            assert!(seconds(&index).unwrap() >= SHIFT);
            unshift(&mut index);
            assert_eq!(seconds(&index), Some(i64::from(value)));
        }
        let mut long = doc! {KEY: 1_000_000_000};
        shift(&mut long);
        assert_eq!(seconds(&long), Some(1_000_000_000));
        let mut none = doc! {"key": {"a": 1}};
        shift(&mut none);
        unshift(&mut none);
        assert_eq!(none, doc! {"key": {"a": 1}});
    }
}
