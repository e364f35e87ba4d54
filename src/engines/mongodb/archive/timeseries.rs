//! Indexes and options of time series, as they are told of their buckets collections.
//!
//! Source: the server's `timeseries_index_schema_conversion_functions.cpp` and `timeseries_options.cpp`.

use mongodb::bson::{Bson, Document};

/// The index as `listIndexes` gives it of the time series, from that of its buckets collection.
///
/// Kept as it is where it cannot be told back.
pub(super) fn logical(spec: &Document, options: &Document) -> Document {
    if let Ok(original) = spec.get_document("originalSpec") {
        return original.clone();
    }
    let Some(keys) = spec.get_document("key").ok().and_then(|keys| logical_keys(keys, options)) else {
        return spec.clone();
    };
    let mut logical = spec.clone();
    logical.insert("key", keys);
    logical
}

fn logical_keys(keys: &Document, options: &Document) -> Option<Document> {
    let meta = options.get_str("metaField").unwrap_or_default();
    let mut logical = Document::new();
    let mut keys = keys.iter();
    while let Some((key, value)) = keys.next() {
        if key == "meta" {
            logical.insert(meta, value.clone());
        } else if let Some(path) = key.strip_prefix("meta.") {
            logical.insert(format!("{meta}.{path}"), value.clone());
        } else if let Some(field) = key.strip_prefix("data.") {
            logical.insert(field, value.clone());
        } else {
            // Two keys for one: the lower bound first when it ascends, the upper when it descends.
            let (first, second) = match value {
                Bson::Int32(n) if *n < 0 => ("control.max.", "control.min."),
                Bson::Double(n) if *n < 0.0 => ("control.max.", "control.min."),
                _ => ("control.min.", "control.max."),
            };
            let field = key.strip_prefix(first)?;
            let (other, _) = keys.next()?;
            if other.strip_prefix(second) != Some(field) {
                return None;
            }
            logical.insert(field, value.clone());
        }
    }
    Some(logical)
}

/// Applies the `timeseries` part of a `collMod`.
pub(super) fn modify(options: &mut Document, change: Document) {
    for (key, value) in change {
        let span = match (key.as_str(), value.as_str()) {
            ("granularity", Some("seconds")) => Some(3600),
            ("granularity", Some("minutes")) => Some(86_400),
            ("granularity", Some("hours")) => Some(2_592_000),
            _ => None,
        };
        options.insert(key, value);
        if let Some(span) = span {
            options.insert("bucketMaxSpanSeconds", span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn keys_of_buckets_are_told_back() {
        let options = doc! {"timeField": "t", "metaField": "m"};
        let spec = doc! {"v": 2, "key": {"meta.s": 1, "control.max.t": -1, "control.min.t": -1}, "name": "x"};
        assert_eq!(logical(&spec, &options), doc! {"v": 2, "key": {"m.s": 1, "t": -1}, "name": "x"});
        let odd = doc! {"key": {"control.min.t": 1}};
        assert_eq!(logical(&odd, &options), odd);
        let original = doc! {"key": {"m": 1}};
        assert_eq!(logical(&doc! {"originalSpec": original.clone()}, &options), original);
    }

    #[test]
    fn a_granularity_brings_its_span() {
        let mut options = doc! {"timeField": "t", "granularity": "seconds", "bucketMaxSpanSeconds": 3600};
        modify(&mut options, doc! {"granularity": "hours"});
        assert_eq!(options.get_i32("bucketMaxSpanSeconds").unwrap(), 2_592_000);
    }
}
