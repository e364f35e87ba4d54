//! What a key may look like, the same in every store.
//!
//! The set is the smallest that all stores take as it is: no escaping in URLs or file names, nothing
//! that climbs out of a directory, and no leading dot, so that a store may keep hidden files of its own.

use crate::error::{Error, Kind, Result};

/// The longest key in bytes: S3 takes 1,024 with the prefix of the store.
pub const MAX_KEY: usize = 900;

/// The longest segment in bytes: what a file name may have on common file systems.
pub const MAX_SEGMENT: usize = 255;

/// True when the text is one segment of a key: `[A-Za-z0-9._-]+`, no leading dot.
pub fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_SEGMENT
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// True when the text is a key: segments joined by single slashes.
pub fn is_key(text: &str) -> bool {
    text.len() <= MAX_KEY && text.split('/').all(is_segment)
}

/// Fails with a hint when the text is not a key.
pub fn check(key: &str) -> Result<()> {
    if is_key(key) {
        return Ok(());
    }
    Err(Error::new(Kind::Store, format!("{key:?} cannot be the key of an object"))
        .hint("use letters, digits, '.', '_' and '-', in segments joined by '/' that do not start with '.'"))
}

/// Fails with a hint when no key can start with the text. Empty is every key.
pub fn check_prefix(prefix: &str) -> Result<()> {
    let whole = match prefix.rsplit_once('/') {
        None => true,
        Some((directories, _)) => directories.split('/').all(is_segment),
    };
    let last = prefix.rsplit('/').next().unwrap_or_default();
    if whole && (last.is_empty() || is_segment(last)) && prefix.len() <= MAX_KEY {
        return Ok(());
    }
    Err(Error::new(Kind::Store, format!("{prefix:?} cannot be the start of a key"))
        .hint("use letters, digits, '.', '_' and '-', in segments joined by '/' that do not start with '.'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_inside_the_store_and_out_of_its_hidden_files() {
        for good in ["a", "a-b", "orders/data/20261124T020000Z-7f3k9q/dump.zst.0001", "A_b.c"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", ".lock", "a/.uploads", "a b", "a\\b", "é"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"k".repeat(MAX_SEGMENT)).is_ok());
        assert!(check(&"k".repeat(MAX_SEGMENT + 1)).is_err());
    }

    #[test]
    fn prefixes_end_anywhere() {
        for good in ["", "a", "a/", "a/b", "a/b-"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for bad in ["/", "../", "a//", ".up", "a/../b"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }
}
