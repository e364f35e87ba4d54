//! What tells one store from another: the first page of its file `neostore`.
//!
//! The page is an array of 9-byte slots, a byte that says whether it is in use and 8 bytes, big-endian. Slots 0 and 1
//! are the store's external id, a UUID; 5 to 12 its store id: a version byte, creation time (milliseconds since 1970)
//! and a random number of 8 bytes each, two short texts with their length before them, major and minor version.
//! `SHOW DATABASES YIELD databaseID` and `CALL db.info()` show the SHA-256 of the external id's text in upper case.
//! Source: Neo4j 5.26's `MetaDataStore`, `StoreIdSerialization` and `StoreIdDecodeUtils`, and stores of that version.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

/// Bytes of a slot.
const SLOT: usize = 9;

/// The first slot of the store id.
const STORE_ID: usize = 5;

/// Bytes of `neostore` that are looked at.
pub(super) const LENGTH: usize = SLOT * (STORE_ID + 8);

/// What is known of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreFacts {
    /// What the server calls `databaseID`: 64 hex digits in upper case. `None` in formats that are not known here.
    pub database_id: Option<String>,
    /// What the server calls `creationDate`.
    pub created: Option<DateTime<Utc>>,
    /// The format, as in `record-aligned-1.1`.
    pub format: Option<String>,
}

impl StoreFacts {
    /// Reads the beginning of the file `neostore`.
    pub(super) fn read(page: &[u8]) -> StoreFacts {
        let mut facts = StoreFacts::default();
        if let (Some(high), Some(low)) = (slot(page, 0), slot(page, 1)) {
            facts.database_id = Some(database_id(&[high, low].concat()));
        }
        let id: Vec<u8> = (STORE_ID..STORE_ID + 8).filter_map(|n| slot(page, n)).flatten().collect();
        if let Some((created, format)) = store_id(&id) {
            facts.created = DateTime::from_timestamp_millis(created);
            facts.format = Some(format);
        }
        facts
    }
}

/// The bytes of a slot that is in use.
fn slot(page: &[u8], number: usize) -> Option<[u8; 8]> {
    let slot = page.get(number * SLOT..(number + 1) * SLOT)?;
    let (used, value) = slot.split_first()?;
    if *used == 1 { value.try_into().ok() } else { None }
}

fn database_id(uuid: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in uuid.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut id, byte| {
        let _ = write!(id, "{byte:02X}");
        id
    })
}

/// Creation time and format.
fn store_id(bytes: &[u8]) -> Option<(i64, String)> {
    let (version, rest) = bytes.split_first()?;
    if *version != 1 {
        return None;
    }
    let (created, rest) = rest.split_first_chunk::<8>()?;
    let (_, rest) = rest.split_first_chunk::<8>()?;
    let (engine, rest) = text(rest)?;
    let (format, rest) = text(rest)?;
    let (&[major, minor], _) = rest.split_first_chunk::<2>()?;
    Some((i64::from_be_bytes(*created), format!("{engine}-{format}-{major}.{minor}")))
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The first bytes of a store that Neo4j 5.26.30 made.
    pub(in super::super) const PAGE: &str = "01dc8810fb69d4460d01839cd86e96d86b510000000000000000000000000000\
        0000000001cf1bbcdcb7a5646301010000\
        01a21e6e1e01697458db561a2f2801\
        3c067265636f726401\
        07616c69676e656401010100000000000001000000000000000001000000000000000001";

    pub(in super::super) fn page() -> Vec<u8> {
        let digits: Vec<u8> = PAGE.bytes().filter(u8::is_ascii_hexdigit).collect();
        let mut page: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        page.resize(8192, 0);
        page
    }

    #[test]
    fn a_store_is_called_what_its_server_calls_it() {
        let facts = StoreFacts::read(&page());
        // What SHOW DATABASES and db.info() of that very server said.
        let id = "FFE63C862C7A7B36824A35397BA6BA5BCEE9E793DBFE3AA119A1D95D0D8DEBEF";
        assert_eq!(facts.database_id.as_deref(), Some(id));
        assert_eq!(facts.created, Some("2026-11-27T19:14:22.953Z".parse().unwrap()));
        assert_eq!(facts.format.as_deref(), Some("record-aligned-1.1"));
    }

    #[test]
    fn a_page_of_another_kind_says_nothing() {
        for page in [&[][..], &[0; 200], &[7; 200], &page()[..17]] {
            assert_eq!(StoreFacts::read(page), StoreFacts::default());
        }
    }
}
