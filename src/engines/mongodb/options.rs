//! A source's own settings: `[sources.NAME.options]`, and what of a server they select.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// Whether the operations during a dump are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oplog {
    /// Where the server is a replica set.
    #[default]
    Auto,
    /// Always: anything but a replica set is an error.
    On,
    /// Never: the backup is of several moments.
    Off,
}

/// The settings as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Only these databases; empty: all.
    pub databases: Vec<String>,
    /// Only these collections (`database.collection`); empty: all.
    pub collections: Vec<String>,
    /// Not these databases (`database`) or collections (`database.collection`).
    pub exclude: Vec<String>,
    /// Whether the operations during the dump are captured.
    pub oplog: Oplog,
    /// Which member of a replica set is read: MongoDB's words, `secondaryPreferred` by default.
    pub read_preference: Option<String>,
    /// Collections that are dumped at once; 4 by default, as mongodump has it.
    pub parallel_collections: Option<u32>,
    /// Seconds without a byte after which a dump is given up although the server answers; 600 by default.
    pub stall_timeout_seconds: Option<u64>,
}

/// MongoDB's words for a read preference (manual, "Read Preference").
const READ_PREFERENCES: [&str; 5] =
    ["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"];

/// How long a dump may give no byte although its server answers.
const STALL: Duration = Duration::from_secs(600);

impl Options {
    /// Looks whether the values make sense.
    ///
    /// # Errors
    /// [`Kind::Config`] naming the value that does not.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: String, hint: &str| Err(Error::new(Kind::Config, message).hint(hint));
        for name in &self.databases {
            if name.is_empty() || name.contains(['.', '/', '\\', ' ', '"', '$', '\0']) {
                return wrong(
                    format!("options.databases: {name:?} is not the name of a database"),
                    "give the names alone, as in databases = [\"shop\"]",
                );
            }
        }
        for name in &self.collections {
            if !name.split_once('.').is_some_and(|(database, rest)| !database.is_empty() && !rest.is_empty())
            {
                return wrong(
                    format!("options.collections: {name:?} names no collection"),
                    "give database and collection, as in collections = [\"shop.orders\"]",
                );
            }
        }
        if let Some(word) = &self.read_preference
            && !READ_PREFERENCES.contains(&word.as_str())
        {
            return wrong(
                format!("options.read_preference: {word:?} is not a read preference"),
                "the read preferences are primary, primaryPreferred, secondary, secondaryPreferred, nearest",
            );
        }
        if self.parallel_collections == Some(0) {
            return wrong(
                "options.parallel_collections: at least 1 collection has to be dumped at a time".to_owned(),
                "leave it out for 4",
            );
        }
        Ok(())
    }

    /// The read preference of a replica set.
    pub fn read_preference(&self) -> &str {
        self.read_preference.as_deref().unwrap_or("secondaryPreferred")
    }

    /// How long a dump may give no byte although its server answers.
    pub fn stall(&self) -> Duration {
        self.stall_timeout_seconds.map_or(STALL, Duration::from_secs)
    }

    /// What is selected.
    pub fn selection(&self) -> Selection {
        Selection {
            databases: self.databases.iter().cloned().collect(),
            collections: self.collections.iter().cloned().collect(),
            exclude: self.exclude.iter().cloned().collect(),
        }
    }
}

/// Which databases and collections are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    databases: BTreeSet<String>,
    collections: BTreeSet<String>,
    exclude: BTreeSet<String>,
}

/// The collection whose documents are those of a time series (source: the server's `timeseries` library).
const BUCKETS: &str = "system.buckets.";

/// The name that people know a collection by: that of its time series for one of buckets.
pub fn plain_name(collection: &str) -> &str {
    collection.strip_prefix(BUCKETS).unwrap_or(collection)
}

impl Selection {
    /// A selection of these databases and collections alone, by name (`shop`, `shop.orders`).
    pub fn only(names: &[String]) -> Selection {
        let (collections, databases) = names.iter().cloned().partition(|name| name.contains('.'));
        Selection { databases, collections, exclude: BTreeSet::new() }
    }

    /// True when everything is selected.
    pub fn is_everything(&self) -> bool {
        self.databases.is_empty() && self.collections.is_empty() && self.exclude.is_empty()
    }

    /// The databases that are named, by themselves or by a collection of theirs; empty when none is.
    pub fn named_databases(&self) -> BTreeSet<&str> {
        let of_collections =
            self.collections.iter().filter_map(|name| name.split_once('.')).map(|(db, _)| db);
        self.databases.iter().map(String::as_str).chain(of_collections).collect()
    }

    /// The collections that are named.
    pub fn named_collections(&self) -> impl Iterator<Item = &str> {
        self.collections.iter().map(String::as_str)
    }

    /// True when anything of a database may be selected.
    pub fn takes_database(&self, database: &str) -> bool {
        let named = self.named_databases();
        (named.is_empty() || named.contains(database)) && !self.exclude.contains(database)
    }

    /// True when a collection is selected. Buckets go with their time series.
    pub fn takes(&self, database: &str, collection: &str) -> bool {
        let name = format!("{database}.{}", plain_name(collection));
        let named = (self.databases.is_empty() && self.collections.is_empty())
            || self.databases.contains(database)
            || self.collections.contains(&name);
        named && !self.exclude.contains(database) && !self.exclude.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> Options {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn selections_take_what_is_named_and_nothing_that_is_excluded() {
        let all = options("{}").selection();
        assert!(all.is_everything() && all.takes("shop", "orders") && all.takes_database("x"));
        let some = options(
            r#"{"databases": ["shop"], "collections": ["blog.posts"], "exclude": ["shop.logs", "tmp"]}"#,
        )
        .selection();
        assert!(some.takes("shop", "orders") && some.takes("blog", "posts"));
        assert!(some.takes("blog", "system.buckets.posts"));
        assert!(!some.takes("shop", "logs") && !some.takes("shop", "system.buckets.logs"));
        assert!(!some.takes("blog", "drafts") && !some.takes("other", "orders"));
        assert!(some.takes_database("blog") && !some.takes_database("tmp"));
        let rest = options(r#"{"exclude": ["tmp"]}"#).selection();
        assert!(rest.takes("shop", "orders") && !rest.takes("tmp", "x") && !rest.takes_database("tmp"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (json, word) in [
            (r#"{"databases": ["shop.orders"]}"#, "options.databases"),
            (r#"{"collections": ["orders"]}"#, "options.collections"),
            (r#"{"read_preference": "fastest"}"#, "options.read_preference"),
            (r#"{"parallel_collections": 0}"#, "options.parallel_collections"),
        ] {
            let error = options(json).check().unwrap_err();
            assert!(error.message().starts_with(word), "{error:?}");
            assert_eq!(error.kind(), Kind::Config);
        }
        assert!(options("{}").check().is_ok());
    }
}
