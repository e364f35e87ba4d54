//! One form for definitions, so that those of a backup can be compared with those of a server.
//!
//! What `listCollections` and `listIndexes` give and what a dump or an oplog holds differs in the order
//! of keys and in the types of numbers, and has parts that differ between copies (`uuid`, `ns`). The
//! form made here does not. It is for hashing alone and cannot be read back.

use mongodb::bson::{Bson, Document};
use xxhash_rust::xxh3::xxh3_128;

use super::extjson;
use crate::pipeline::digest::RowDigest;

/// Parts of options and index specifications that are not of the definition.
const LEFT_OUT: &[&str] = &["ns", "uuid", "info", "idIndex", "autoIndexId", "background", "buildUUID"];
/// Parts whose keys have no order that matters.
const UNORDERED: &[&str] =
    &["collation", "timeseries", "clusteredIndex", "weights", "changeStreamPreAndPostImages"];
/// Flags that mean the same when they are false and when they are absent.
const FLAGS: &[&str] = &["unique", "sparse", "hidden", "prepareUnique", "capped", "temp", "recordPreImages"];
/// What a server writes down or leaves out, as it likes: `collMod` of a validator sets both.
const DEFAULTS: &[(&str, &str)] = &[("validationAction", "error"), ("validationLevel", "strict")];

/// The hash of a collection's, view's or time series' options.
pub fn options(options: &Document) -> RowDigest {
    hash(options)
}

/// The hash of an index specification. Its name counts, and the order of the keys in `key`.
pub fn index(spec: &Document) -> RowDigest {
    hash(spec)
}

/// The canonical text of options or of an index specification.
pub fn text(document: &Document) -> String {
    let mut parts: Vec<_> = document.iter().filter(|(key, value)| counts(key, value)).collect();
    parts.sort_by_key(|(key, _)| *key);
    let mut canonical = Document::new();
    for (key, value) in parts {
        canonical.insert(key.clone(), normal(value, UNORDERED.contains(&key.as_str())));
    }
    extjson::write(&canonical)
}

fn hash(document: &Document) -> RowDigest {
    RowDigest(xxh3_128(text(document).as_bytes()))
}

fn counts(key: &str, value: &Bson) -> bool {
    let empty = || matches!(value, Bson::Document(document) if document.is_empty());
    let off = || match normal(value, false) {
        Bson::Boolean(on) => !on,
        Bson::Int64(number) => number == 0,
        _ => false,
    };
    let default = || DEFAULTS.iter().any(|(known, word)| key == *known && value.as_str() == Some(word));
    !(LEFT_OUT.contains(&key)
        || default()
        || (key == "validator" && empty())
        || (FLAGS.contains(&key) && off()))
}

/// The same value with every whole number as a 64-bit integer; with sorted keys if they have no order.
fn normal(value: &Bson, sorted: bool) -> Bson {
    match value {
        Bson::Int32(number) => Bson::Int64(i64::from(*number)),
        // 2^63 itself is not an i64. A NaN compares false.
        Bson::Double(number)
            if number.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(number) =>
        {
            Bson::Int64(*number as i64)
        }
        Bson::Array(values) => Bson::Array(values.iter().map(|value| normal(value, false)).collect()),
        Bson::Document(document) => {
            let mut parts: Vec<_> = document.iter().collect();
            if sorted {
                parts.sort_by_key(|(key, _)| *key);
            }
            let parts = parts.into_iter().map(|(key, value)| (key.clone(), normal(value, false)));
            Bson::Document(parts.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn numbers_of_one_value_and_keys_in_any_order_are_the_same() {
        let one = doc! {"v": 2, "key": {"a": 1, "b": -1.0}, "name": "x", "unique": true, "ns": "a.b"};
        let same = doc! {"unique": true, "name": "x", "key": {"a": 1i64, "b": -1}, "v": 2.0, "sparse": false};
        assert_eq!(index(&one), index(&same));
        for other in [
            doc! {"v": 2, "key": {"b": -1, "a": 1}, "name": "x", "unique": true},
            doc! {"v": 1, "key": {"a": 1, "b": -1}, "name": "x", "unique": true},
            doc! {"v": 2, "key": {"a": 1, "b": -1}, "name": "y", "unique": true},
            doc! {"v": 2, "key": {"a": 1, "b": -1}, "name": "x"},
            doc! {"v": 2, "key": {"a": 1, "b": -1.5}, "name": "x", "unique": true},
        ] {
            assert_ne!(index(&one), index(&other), "{other}");
        }
    }

    #[test]
    fn the_order_within_pipelines_and_validators_counts() {
        let view = |sort| options(&doc! {"viewOn": "a", "pipeline": [{"$sort": sort}]});
        assert_ne!(view(doc! {"a": 1, "b": 1}), view(doc! {"b": 1, "a": 1}));
        let with = |collation| options(&doc! {"collation": collation});
        assert_eq!(with(doc! {"locale": "de", "strength": 1}), with(doc! {"strength": 1i64, "locale": "de"}));
        assert_eq!(options(&doc! {"validator": {}}), options(&doc! {}));
        let usual = doc! {"validator": {"a": 1}, "validationAction": "error", "validationLevel": "strict"};
        assert_eq!(options(&doc! {"validator": {"a": 1}}), options(&usual));
        assert_ne!(options(&doc! {"validationLevel": "moderate"}), options(&doc! {}));
        assert_ne!(options(&doc! {"validator": {"a": 1}}), options(&doc! {"validator": {"a": "1"}}));
    }

    #[test]
    fn odd_numbers_stay_apart() {
        let of = |value: f64| text(&doc! {"a": value});
        let texts = [of(f64::NAN), of(f64::INFINITY), of(9.3e18), of(0.5)];
        assert_eq!(texts.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert_eq!(of(-0.0), of(0.0));
    }
}
