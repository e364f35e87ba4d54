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

    /// What a restored item is compared with where that is not its content here, in a word of the engine.
    pub fn proof(&self) -> Option<&str> {
        self.plan.get("proof").and_then(serde_json::Value::as_str)
    }

    /// How the content of another count of the same item differs from this one, if it does.
    pub fn difference(&self, found: &Item) -> Option<String> {
        if self.rows != found.rows {
            return Some(format!("{} rows in the backup, {} found", self.rows, found.rows));
        }
        if self.value != found.value {
            let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            return Some(format!("value {} in the backup, {} found", show(&self.value), show(&found.value)));
        }
        if self.bytes != found.bytes {
            return Some(format!("{} bytes of content in the backup, {} found", self.bytes, found.bytes));
        }
        if self.digest != found.digest {
            return Some(format!(
                "the content of its {} rows differs (digest {} in the backup, {} found)",
                self.rows, self.digest, found.digest
            ));
        }
        None
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

impl Definition {
    /// `schema.name`, or the name alone.
    pub fn full_name(&self) -> String {
        if self.schema.is_empty() { self.name.clone() } else { format!("{}.{}", self.schema, self.name) }
    }
}

/// Lines that are told one by one; more are counted.
const NAMED: usize = 20;

/// The first lines, and how many more there are.
pub fn named(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn key(item: &Item) -> (&str, &str, &str) {
    (&item.kind, &item.schema, &item.name)
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

    /// What differs between this, which a backup says of itself, and what was counted from its bytes;
    /// a line each, items before definitions. Empty when the two agree.
    pub fn differences(&self, counted: &Inventory) -> Vec<String> {
        let mut found: BTreeMap<_, &Item> = counted.items.iter().map(|item| (key(item), item)).collect();
        let mut lines = Vec::new();
        for item in &self.items {
            let name = format!("{} {}", item.kind, item.full_name());
            match found.remove(&key(item)) {
                None => lines.push(format!("{name} is missing")),
                Some(other) => lines.extend(item.difference(other).map(|how| format!("{name}: {how}"))),
            }
        }
        lines.extend(
            found.values().map(|item| format!("{} {} is not in the backup", item.kind, item.full_name())),
        );
        // As often as they are there: two definitions may be alike.
        let mut balance: BTreeMap<&Definition, i64> = BTreeMap::new();
        self.definitions.iter().for_each(|definition| *balance.entry(definition).or_default() += 1);
        counted.definitions.iter().for_each(|definition| *balance.entry(definition).or_default() -= 1);
        for (definition, count) in balance.into_iter().filter(|(_, count)| *count != 0) {
            let how = if count > 0 { "is missing or differs" } else { "is not in the backup or differs" };
            lines.push(format!("the definition of {} {} {how}", definition.kind, definition.full_name()));
        }
        lines
    }

    /// Sorts items and definitions, which every engine does before it hands an inventory over.
    pub fn sort(&mut self) {
        self.items.sort_by(|a, b| (&a.kind, &a.schema, &a.name).cmp(&(&b.kind, &b.schema, &b.name)));
        self.definitions.sort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, digest: u128) -> Item {
        Item {
            kind: "table".into(),
            schema: "public".into(),
            name: name.into(),
            rows,
            bytes: 10,
            digest: RowDigest(digest),
            value: None,
            place: None,
            plan: serde_json::Value::Null,
        }
    }

    fn with(items: Vec<Item>) -> Inventory {
        Inventory { items, ..Inventory::default() }
    }

    #[test]
    fn differences_name_the_item_and_both_counts() {
        let backup = with(vec![table("a", 1, 1), table("b", 2, 2), table("c", 3, 3)]);
        assert_eq!(backup.differences(&backup), Vec::<String>::new());
        let lines = backup.differences(&with(vec![table("a", 1, 9), table("c", 4, 3), table("d", 0, 0)]));
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].starts_with("table public.a: the content of its 1 rows differs"), "{}", lines[0]);
        assert_eq!(lines[1], "table public.b is missing");
        assert_eq!(lines[2], "table public.c: 3 rows in the backup, 4 found");
        assert_eq!(lines[3], "table public.d is not in the backup");
    }

    #[test]
    fn a_changed_definition_is_a_difference() {
        let index = |text| Definition {
            kind: "INDEX".into(),
            schema: "public".into(),
            name: "i".into(),
            parent: String::new(),
            owner: String::new(),
            text: RowDigest(text),
        };
        let with = |definitions| Inventory { definitions, ..Inventory::default() };
        let one = with(vec![index(1)]);
        assert!(one.differences(&one).is_empty());
        assert_eq!(
            one.differences(&with(vec![index(2)])),
            [
                "the definition of INDEX public.i is missing or differs",
                "the definition of INDEX public.i is not in the backup or differs"
            ]
        );
        assert_eq!(one.differences(&with(vec![index(1), index(1)])).len(), 1);
    }

    #[test]
    fn content_and_value_are_compared_too() {
        let backup = with(vec![table("a", 3, 3)]);
        let found = |change: fn(&mut Item)| {
            let mut item = table("a", 3, 3);
            change(&mut item);
            backup.differences(&with(vec![item])).pop().unwrap()
        };
        assert_eq!(
            found(|item| item.bytes = 1),
            "table public.a: 10 bytes of content in the backup, 1 found"
        );
        let value = found(|item| item.value = Some("7".into()));
        assert_eq!(value, "table public.a: value nothing in the backup, 7 found");
    }

    #[test]
    fn thousands_of_differences_are_counted() {
        let backup = with((0..5000).map(|n| table(&format!("t{n:04}"), 1, 1)).collect());
        let lines = named(backup.differences(&with(vec![])));
        assert_eq!((lines.len(), lines[NAMED].as_str()), (NAMED + 1, "and 4980 more"));
    }
}
