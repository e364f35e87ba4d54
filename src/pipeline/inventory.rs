//! What a backup holds: items with their rows, bytes and digest, and definitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::RowDigest;

/// The version of the inventory's JSON form; fields are only ever added.
pub const INVENTORY_SCHEMA: u32 = 1;

/// Where an item's first byte is in an object: which frame, and how many raw bytes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The frame's number in the object, from 0.
    pub frame: u32,
    /// Raw bytes from the frame's start.
    pub offset: u64,
}

/// One thing that is counted: a table, a collection, a label; also large objects as one sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// `table`, `large_objects`, `sequence`, `materialized_view`, …
    pub kind: String,
    /// The namespace (schema, database), empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// The name within the namespace.
    pub name: String,
    /// Rows (documents, nodes, objects).
    pub rows: u64,
    /// Content bytes, as counted by the engine's format reader (rows without line ends).
    pub bytes: u64,
    /// The order-independent digest of the rows.
    pub digest: RowDigest,
    /// A value that is compared as it is (a sequence's value, `populated`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the item's data begins in the dump object; absent for items without data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What the engine needs to compute the same from a database: columns, a filter, …
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub plan: serde_json::Value,
}

impl Item {
    /// `schema.name`, or the name alone.
    pub fn full_name(&self) -> String {
        if self.schema.is_empty() { self.name.clone() } else { format!("{}.{}", self.schema, self.name) }
    }
}

/// One definition: a table, an index, a constraint, a grant, …
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Definition {
    /// The kind, in the engine's words (`TABLE`, `INDEX`, `FK CONSTRAINT`, `ACL`, …).
    pub kind: String,
    /// The namespace, empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// The name.
    pub name: String,
    /// What it belongs to (an index's table), empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// The owner, empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// A hash of the definition's text, 32 hex digits. Comparable only between equal tools and servers.
    pub text: RowDigest,
}

/// Everything that a backup holds, counted from the bytes that are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// [`INVENTORY_SCHEMA`].
    pub schema: u32,
    /// The text encoding of the data, where the format has one (`UTF8`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub encoding: String,
    /// Session settings that the row text depends on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// What is counted, sorted by kind, schema and name.
    pub items: Vec<Item>,
    /// What is defined, sorted.
    pub definitions: Vec<Definition>,
}

/// Sums over an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Items.
    pub items: u64,
    /// Rows of all items.
    pub rows: u64,
    /// Content bytes of all items.
    pub bytes: u64,
}

impl Inventory {
    /// Sums over all items.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { items: self.items.len() as u64, ..Totals::default() };
        for item in &self.items {
            totals.rows += item.rows;
            totals.bytes += item.bytes;
        }
        totals
    }

    /// Sorts items and definitions, which every engine does before it hands an inventory over.
    pub fn sort(&mut self) {
        self.items.sort_by(|a, b| (&a.kind, &a.schema, &a.name).cmp(&(&b.kind, &b.schema, &b.name)));
        self.definitions.sort();
    }
}
