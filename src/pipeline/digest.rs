//! Digests of rows that do not depend on their order.
//!
//! A digest is the 128-bit XXH3 hash of each row, summed modulo 2^128: the order of rows does not
//! matter, and unlike XOR two equal rows do not cancel each other out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

/// A sum of 128-bit row hashes modulo 2^128. Text form: 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct RowDigest(pub u128);

impl RowDigest {
    /// Adds one row, given as its exact bytes without a line end.
    #[inline]
    pub fn add(&mut self, row: &[u8]) {
        self.0 = self.0.wrapping_add(xxh3_128(row));
    }

    /// Adds a hash made elsewhere (a streamed large object, another digest).
    #[inline]
    pub fn add_hash(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }
}

impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RowDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() != 32 {
            return Err(format!("a digest has 32 hex digits, this has {}", text.len()));
        }
        u128::from_str_radix(text, 16).map(RowDigest).map_err(|e| format!("not a digest: {e}"))
    }
}

impl Serialize for RowDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_duplicates_count() {
        let digest = |rows: &[&str]| {
            let mut d = RowDigest::default();
            rows.iter().for_each(|r| d.add(r.as_bytes()));
            d
        };
        assert_eq!(digest(&["a", "b", "a"]), digest(&["a", "a", "b"]));
        assert_ne!(digest(&["a", "a"]), digest(&[]));
        assert_ne!(digest(&["a", "a", "b"]), digest(&["b"]));
    }

    #[test]
    fn text_form_goes_round() {
        let mut d = RowDigest::default();
        d.add(b"row");
        assert_eq!(d.to_string().parse::<RowDigest>(), Ok(d));
        assert!("12".parse::<RowDigest>().is_err());
    }
}
