//! The inventory of an archive: what a restored server must agree with.

use super::canonical;
use super::namespace::Namespace;
use super::prelude::CollectionKind;
use super::state::{Defined, Definitions};
use super::summary::Summary;
use crate::pipeline::inventory::{Definition, INVENTORY_SCHEMA, Inventory, Item, Place};

/// The kind of a collection's item.
pub const COLLECTION: &str = "collection";
/// The kind of a time series' item: its rows are its buckets.
pub const TIME_SERIES: &str = "time_series";
/// The kind of the oplog's item. It is in no restored server, but counted, so that `verify` sees it.
pub const OPLOG: &str = "oplog";

/// The inventory of a complete archive.
///
/// Items are what is in the archive, before the oplog; `definitions` are what the caller has followed
/// the oplog with. `place` says where in the stored object an offset of the raw stream is.
pub fn inventory(
    summary: &Summary,
    definitions: &Definitions,
    place: &dyn Fn(u64) -> Option<Place>,
) -> Inventory {
    let mut inventory = Inventory { schema: INVENTORY_SCHEMA, ..Inventory::default() };
    for (entry, content) in summary.prelude.entries.iter().zip(&summary.contents) {
        let kind = match entry.shape() {
            CollectionKind::View => continue,
            CollectionKind::TimeSeries => TIME_SERIES,
            CollectionKind::Collection if entry.namespace.is_oplog() => OPLOG,
            CollectionKind::Collection => COLLECTION,
        };
        inventory.items.push(Item {
            kind: kind.into(),
            schema: entry.namespace.db.clone(),
            name: entry.namespace.collection.clone(),
            rows: content.rows,
            bytes: content.bytes,
            digest: content.digest,
            value: None,
            place: content.at.filter(|_| content.rows > 0).and_then(place),
            plan: serde_json::Value::Null,
        });
    }
    for (name, defined) in definitions.iter() {
        inventory.definitions.extend(definitions_of(name, defined));
    }
    inventory.sort();
    inventory
}

/// The definitions of one collection: itself, and its indexes.
pub fn definitions_of(name: &Namespace, defined: &Defined) -> Vec<Definition> {
    let of = |kind: &str, parent: &str, own: &str, text| Definition {
        kind: kind.into(),
        schema: name.db.clone(),
        name: own.into(),
        parent: parent.into(),
        owner: String::new(),
        text,
    };
    let kind = match defined.kind {
        CollectionKind::Collection => "COLLECTION",
        CollectionKind::View => "VIEW",
        CollectionKind::TimeSeries => "TIME_SERIES",
    };
    let mut definitions = vec![of(kind, "", &name.collection, canonical::options(&defined.options))];
    for index in &defined.indexes {
        let own = index.get_str("name").unwrap_or_default();
        definitions.push(of("INDEX", &name.collection, own, canonical::index(index)));
    }
    definitions
}
