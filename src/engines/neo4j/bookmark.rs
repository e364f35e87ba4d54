//! What a Bolt bookmark of Neo4j 5 says: the last transaction that was committed to each database.
//!
//! `FB:` and base64 of a PackStream sequence: a list's header, then a UUID of 16 bytes and a transaction id for each
//! database, then a list that is empty on a server alone. The last id of a database that is stopped is the one that
//! `neo4j-admin database info` prints; so a bookmark tells whether something was committed between a look at the
//! server and its stop. Source: bookmarks and `database info` of Neo4j 5.26; PackStream 1.
//!
//! What is not read is no error: a bookmark is the server's own business, and may be of another kind tomorrow.

/// The id that the database `system` has on every server.
const SYSTEM: u128 = 1;

/// A database's id on its server, and its last transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The UUID that the server gave the database; not the `databaseID` of its store.
    pub database: u128,
    /// The last committed transaction.
    pub transaction: u64,
}

/// Reads a bookmark; `None` when it is of another kind.
pub fn states(bookmark: &str) -> Option<Vec<State>> {
    let bytes = base64(bookmark.strip_prefix("FB:")?)?;
    let (head, mut rest) = bytes.split_first()?;
    if head & 0xf0 != 0x90 {
        return None;
    }
    let mut states = Vec::new();
    for _ in 0..head & 0x0f {
        let (marker, after) = rest.split_first_chunk::<2>()?;
        let (id, after) = after.split_first_chunk::<16>()?;
        if *marker != [0xcc, 16] {
            return None;
        }
        let (transaction, after) = integer(after)?;
        states.push(State {
            database: u128::from_be_bytes(*id),
            transaction: u64::try_from(transaction).ok()?,
        });
        rest = after;
    }
    Some(states)
}

/// The last transaction of the one database that is not `system`.
pub fn last_transaction(bookmark: &str) -> Option<u64> {
    let states = states(bookmark)?;
    let mut users = states.iter().filter(|state| state.database != SYSTEM);
    match (users.next(), users.next()) {
        (Some(state), None) => Some(state.transaction),
        _ => None,
    }
}

/// A PackStream integer, and what follows it.
fn integer(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (marker, rest) = bytes.split_first()?;
    match marker {
        0x00..=0x7f => Some((i64::from(*marker), rest)),
        0xf0..=0xff => Some((i64::from(*marker as i8), rest)),
        0xc8 => rest.split_first().map(|(byte, rest)| (i64::from(*byte as i8), rest)),
        0xc9 => rest.split_first_chunk().map(|(b, rest)| (i64::from(i16::from_be_bytes(*b)), rest)),
        0xca => rest.split_first_chunk().map(|(b, rest)| (i64::from(i32::from_be_bytes(*b)), rest)),
        0xcb => rest.split_first_chunk().map(|(b, rest)| (i64::from_be_bytes(*b), rest)),
        _ => None,
    }
}

/// Decodes base64 (RFC 4648, section 4), with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut held, mut bits) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_s_bookmarks_are_read() {
        // The database alone, and system beside it, after the ninth transaction; system was at the 41st.
        assert_eq!(last_transaction("FB:kcwQnjGhpUZNRTm4OSeqn1UQ7QmQ"), Some(9));
        let both = "FB:kswQAAAAAAAAAAAAAAAAAAAAASnMEJ4xoaVGTUU5uDknqp9VEO0JkA==";
        let expected = [
            State { database: 1, transaction: 41 },
            State { database: 0x9e31_a1a5_464d_4539_b839_27aa_9f55_10ed, transaction: 9 },
        ];
        assert_eq!(states(both).unwrap(), expected);
        assert_eq!(last_transaction(both), Some(9));
        assert_eq!(last_transaction("FB:kcwQAAAAAAAAAAAAAAAAAAAAASmQ"), None, "system alone");
    }

    #[test]
    fn integers_of_every_size_are_read() {
        for (bytes, value) in [
            (&[0x7f][..], 127),
            (&[0xc8, 0x80], -128),
            (&[0xc9, 0x01, 0x00], 256),
            (&[0xca, 0x00, 0x01, 0x00, 0x00], 65_536),
            (&[0xcb, 0, 0, 0, 1, 0, 0, 0, 0], 1 << 32),
        ] {
            assert_eq!(integer(bytes), Some((value, &[][..])));
        }
        assert_eq!(integer(&[0xc9, 0]), None);
    }

    #[test]
    fn what_is_of_another_kind_says_nothing() {
        for other in ["", "neo4j:bookmark:v1:tx42", "FB:", "FB:kcwQ", "FB:!!!!", "FB:gA=="] {
            assert_eq!(states(other), None, "{other}");
        }
    }
}
