//! The inventory of an archive: what a restored database must agree with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::summary::{Archive, TableData};
use super::toc::{TableRef, Toc, TocEntry};
use crate::pipeline::digest::RowDigest;
use crate::pipeline::inventory::{Definition, INVENTORY_SCHEMA, Inventory, Item, Place};

/// The kind of a table's item.
pub const TABLE: &str = "table";
/// The kind of a sequence's item; its value is `last_value,is_called` with `t` or `f`.
pub const SEQUENCE: &str = "sequence";
/// The kind of the one item for all large objects.
pub const LARGE_OBJECTS: &str = "large_objects";
/// The kind of a materialized view's item; its value is [`POPULATED`] or [`NOT_POPULATED`].
pub const MATERIALIZED_VIEW: &str = "materialized_view";
/// The value of a materialized view that can be read.
pub const POPULATED: &str = "populated";
/// The value of a materialized view that was never refreshed.
pub const NOT_POPULATED: &str = "not populated";

/// What a reader of a database needs to compute a table's rows as they are in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablePlan {
    /// The columns, in the order of the rows; empty for a table without any.
    pub columns: Vec<String>,
    /// Rows were loaded through this partition root: compare the root, with all its partitions together.
    #[serde(default)]
    pub via_root: bool,
    /// Its rows come from partitions whose columns are in different orders, so that no query of the
    /// root gives their text: rows and bytes can be compared, the digest cannot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed_columns: bool,
    /// The table was made by an extension, which may have put rows there itself.
    #[serde(default)]
    pub extension: bool,
    /// The condition of an extension's configuration table (`WHERE …`), which the archive does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// The inventory of a complete archive.
///
/// `place` says where in the stored object an offset of the raw stream is; the session settings are left
/// empty for the caller. Rows that are loaded through a partition root are summed under the root's name.
pub fn inventory(archive: &Archive, place: &dyn Fn(u64) -> Option<Place>) -> Inventory {
    let mut items = tables(archive, place);
    items.extend(archive.toc.entries().iter().filter_map(sequence));
    items.extend(materialized_views(&archive.toc));
    if archive.large_objects.at.is_some() || archive.toc.entries().iter().any(TocEntry::is_large_objects) {
        items.push(Item {
            kind: LARGE_OBJECTS.into(),
            schema: String::new(),
            name: LARGE_OBJECTS.into(),
            rows: archive.large_objects.objects,
            bytes: archive.large_objects.bytes,
            digest: archive.large_objects.digest,
            value: None,
            place: archive.large_objects.at.and_then(place),
            plan: serde_json::Value::Null,
        });
    }
    let mut inventory = Inventory {
        schema: INVENTORY_SCHEMA,
        encoding: archive.toc.encoding().into(),
        settings: BTreeMap::new(),
        items,
        definitions: definitions(&archive.toc),
    };
    inventory.sort();
    inventory
}

/// One for each entry that defines something, sorted.
///
/// Left out are data, values, large objects, the entries that only set up a session, and those of the
/// database itself, which a restore into a database of another name does not run.
pub fn definitions(toc: &Toc) -> Vec<Definition> {
    let mut definitions: Vec<Definition> = toc
        .entries()
        .iter()
        .filter(|entry| is_definition(entry))
        .map(|entry| {
            let mut text = RowDigest::default();
            text.add(&entry.definition);
            Definition {
                kind: entry.desc.to_string(),
                schema: entry.schema.to_string(),
                name: entry.tag.to_string(),
                parent: toc.parent_of(entry).map(|parent| parent.table_ref().to_string()).unwrap_or_default(),
                owner: entry.owner.to_string(),
                text,
            }
        })
        .collect();
    definitions.sort();
    definitions
}

fn is_definition(entry: &TocEntry) -> bool {
    match &*entry.desc {
        "TABLE DATA"
        | "BLOBS"
        | "BLOB"
        | "BLOB METADATA"
        | "SEQUENCE SET"
        | "MATERIALIZED VIEW DATA"
        | "STATISTICS DATA"
        | "ENCODING"
        | "STDSTRINGS"
        | "SEARCHPATH"
        | "DATABASE"
        | "DATABASE PROPERTIES" => false,
        "COMMENT" | "ACL" | "SECURITY LABEL" => !entry.tag.starts_with("DATABASE "),
        _ => true,
    }
}

fn tables(archive: &Archive, place: &dyn Fn(u64) -> Option<Place>) -> Vec<Item> {
    let mut sums: BTreeMap<TableRef, (TableData, TablePlan)> = BTreeMap::new();
    for data in &archive.tables {
        let Some(entry) = archive.toc.get(data.dump_id) else { continue };
        let Some(copy) = &entry.copy else { continue };
        let (sum, plan) = sums.entry(copy.table.clone()).or_insert_with(|| {
            let empty = TableData { rows: 0, bytes: 0, digest: RowDigest::default(), ..*data };
            (empty, TablePlan { columns: copy.columns.clone(), ..TablePlan::default() })
        });
        sum.rows += data.rows;
        sum.bytes += data.bytes;
        sum.digest.add_hash(data.digest.0);
        plan.mixed_columns |= plan.columns != copy.columns;
        plan.via_root |= copy.table != entry.table_ref();
        plan.extension |= archive.toc.is_extension_data(entry);
    }
    sums.into_iter()
        .map(|(table, (sum, plan))| Item {
            kind: TABLE.into(),
            schema: table.schema,
            name: table.name,
            rows: sum.rows,
            bytes: sum.bytes,
            digest: sum.digest,
            value: None,
            place: place(sum.at),
            plan: serde_json::json!(plan),
        })
        .collect()
}

fn sequence(entry: &TocEntry) -> Option<Item> {
    let value = entry.sequence_value()?;
    Some(item(SEQUENCE, entry, format!("{},{}", value.last, if value.called { 't' } else { 'f' })))
}

fn materialized_views(toc: &Toc) -> Vec<Item> {
    let filled: std::collections::HashSet<TableRef> = toc
        .entries()
        .iter()
        .filter(|e| &*e.desc == "MATERIALIZED VIEW DATA")
        .map(TocEntry::table_ref)
        .collect();
    let views = toc.entries().iter().filter(|entry| &*entry.desc == "MATERIALIZED VIEW");
    views
        .map(|entry| {
            let value = if filled.contains(&entry.table_ref()) { POPULATED } else { NOT_POPULATED };
            item(MATERIALIZED_VIEW, entry, value.into())
        })
        .collect()
}

/// An item without rows, compared by its value.
fn item(kind: &str, entry: &TocEntry, value: String) -> Item {
    Item {
        kind: kind.into(),
        schema: entry.schema.to_string(),
        name: entry.tag.to_string(),
        rows: 0,
        bytes: 0,
        digest: RowDigest::default(),
        value: Some(value),
        place: None,
        plan: serde_json::Value::Null,
    }
}
