//! Backup ids: they sort by time and never repeat.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Kind};

/// The time in an id, ISO 8601 basic format, in UTC.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// Characters of a stamp.
const STAMP_LEN: usize = 16;
/// Random characters after the stamp, of `[0-9a-z]`.
const SUFFIX_LEN: usize = 6;

/// The name of a backup: when it began, to the second, and a random suffix (`20261124T020000Z-7f3k9q`).
///
/// Ids order by time, then by suffix, as their text does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId {
    time: DateTime<Utc>,
    text: String,
}

impl BackupId {
    /// Makes the id of a backup that begins at `now`, a time in the years 0 to 9999.
    pub fn new(now: DateTime<Utc>) -> BackupId {
        let text = unique_name(now);
        let time = DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now);
        BackupId { time, text }
    }

    /// When the backup began, to the second.
    pub fn time(&self) -> DateTime<Utc> {
        self.time
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A time and a random suffix, the form of a backup id and of a run id.
pub(super) fn unique_name(now: DateTime<Utc>) -> String {
    let suffix: String = std::iter::repeat_with(|| fastrand::digit(36)).take(SUFFIX_LEN).collect();
    format!("{}-{suffix}", stamp(now))
}

/// A time as it stands in keys, to the second.
pub(super) fn stamp(time: DateTime<Utc>) -> String {
    time.format(STAMP).to_string()
}

/// Reads such a time; `None` unless the text is exactly what [`stamp`] makes.
pub(super) fn parse_stamp(text: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(text, STAMP).ok()?.and_utc();
    // A leap second has a time of its own in chrono, and none in an id.
    (text.len() == STAMP_LEN && stamp(time) == text && time.timestamp_subsec_nanos() == 0).then_some(time)
}

impl FromStr for BackupId {
    type Err = Error;

    fn from_str(text: &str) -> Result<BackupId, Error> {
        let parse = || {
            let (time, suffix) = text.split_once('-')?;
            let plain = |c: u8| c.is_ascii_digit() || c.is_ascii_lowercase();
            if suffix.len() != SUFFIX_LEN || !suffix.bytes().all(plain) {
                return None;
            }
            Some(BackupId { time: parse_stamp(time)?, text: text.to_owned() })
        };
        parse().ok_or_else(|| {
            Error::new(Kind::Usage, format!("`{}` is not a backup id", text.escape_debug()))
                .hint("a backup id looks like 20261124T020000Z-7f3k9q; `lifeboat list` shows them")
        })
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_tells_its_time_and_goes_round() {
        let id = BackupId::new(at("2026-11-24T02:00:00.987Z"));
        assert_eq!(&id.as_str()[..17], "20261124T020000Z-");
        assert_eq!(id.as_str().len(), 23);
        assert_eq!(id.time(), at("2026-11-24T02:00:00Z"));
        assert_eq!(id.as_str().parse::<BackupId>().unwrap(), id);
        assert_eq!(serde_json::from_str::<BackupId>(&format!("\"{id}\"")).unwrap(), id);
    }

    #[test]
    fn ids_order_as_their_text_does() {
        let ids: Vec<BackupId> =
            ["20251231T235959Z-zzzzzz", "20260101T000000Z-000000", "20260101T000000Z-000001"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        assert!(ids.is_sorted());
    }

    #[test]
    fn ids_of_one_second_differ() {
        let now = at("2026-11-24T02:00:00Z");
        let ids: std::collections::HashSet<_> = (0..100).map(|_| BackupId::new(now)).collect();
        assert!(ids.len() > 95);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "latest",
            "20261124T020000Z",
            "20261124T020000Z-7f3k9",
            "20261124T020000Z-7f3k9qq",
            "20261124T020000Z-7F3K9Q",
            "20261324T020000Z-7f3k9q",
            "20261124T020060Z-7f3k9q",
            " 2026112T020000Z-7f3k9q",
            "../../etc/passwd-7f3k9q",
        ] {
            assert_eq!(text.parse::<BackupId>().unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }
}
