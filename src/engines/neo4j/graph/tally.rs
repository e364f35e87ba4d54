//! Counts a graph as it passes: nodes by label set, relationships by type, and how they hang together.
//!
//! The digest of a node is over its labels and properties; that of a relationship over its type, its properties and
//! the content of both ends. Ids take no part: a restored graph has others. Relationships of nodes that are alike
//! would be interchangeable that way, so what surrounds each node is summed up, too, and hashed with its content:
//! one step of colour refinement (Weisfeiler and Leman, 1968). Two graphs that differ only farther away, and only
//! among nodes that are alike with all their relationships, are not told apart.
//!
//! The same tally is used when a graph is exported, when an export is verified, and on a restored database.

use std::collections::HashMap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::ids::Ids;
use super::row::{Node, Relationship, canonical};
use crate::bolt::packstream::{Canonical, Encoder};
use crate::error::{Error, Kind, Result};
use crate::pipeline::digest::RowDigest;
use crate::pipeline::inventory::Item;

/// The kind of an item that is a label set.
pub const NODES: &str = "nodes";
/// The kind of an item that is a relationship type.
pub const RELATIONSHIPS: &str = "relationships";
/// The kind of the item that tells how nodes and relationships hang together.
pub const GRAPH: &str = "graph";
/// Its name.
pub const NEIGHBOURHOODS: &str = "neighbourhoods";

/// What is known of a node: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known {
    /// The hash of its labels and properties, never 0.
    content: u64,
    /// The sum of the hashes of what is tied to it.
    around: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    rows: u64,
    bytes: u64,
    digest: RowDigest,
}

/// The counts of a graph so far. Nodes come before relationships.
#[derive(Debug, Default)]
pub struct Tally {
    known: Ids<Known>,
    /// By the canonical list of labels.
    labels: HashMap<Vec<u8>, (String, Sum)>,
    /// By type.
    types: HashMap<String, Sum>,
    dangling: u64,
    scratch: Vec<u8>,
    form: Canonical,
}

impl Tally {
    /// Counts a node.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for one that cannot be read, or whose id came before.
    pub fn node(&mut self, node: &Node<'_>) -> Result<()> {
        let labels = node.sorted_labels()?;
        self.scratch.clear();
        let mut encoder = Encoder::new(&mut self.scratch);
        encoder.list_header(labels.len());
        for label in &labels {
            encoder.string(label);
        }
        let end_of_labels = self.scratch.len();
        canonical(&mut self.form, node.properties, &mut self.scratch)?;
        let content = xxh3_64(&self.scratch).max(1);
        if !self.known.insert(node.id, Known { content, around: 0 }) {
            return Err(Error::new(Kind::Damaged, format!("the node {} is there twice", node.id)));
        }
        let key = &self.scratch[..end_of_labels];
        if !self.labels.contains_key(key) {
            self.labels.insert(key.to_vec(), (label_set(&labels), Sum::default()));
        }
        if let Some((_, sum)) = self.labels.get_mut(key) {
            sum.rows += 1;
            sum.bytes += self.scratch.len() as u64;
            sum.digest.add(&self.scratch);
        }
        Ok(())
    }

    /// Counts a relationship; false when one of its ends is not there, and it was only counted as that.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for one that cannot be read.
    pub fn relationship(&mut self, relationship: &Relationship<'_>) -> Result<bool> {
        let ends = (self.known.get(relationship.start), self.known.get(relationship.end));
        let (Some(start), Some(end)) = ends else {
            self.dangling += 1;
            return Ok(false);
        };
        let kind = relationship.type_name()?;
        self.scratch.clear();
        Encoder::new(&mut self.scratch).string(kind);
        canonical(&mut self.form, relationship.properties, &mut self.scratch)?;
        let bytes = self.scratch.len() as u64;
        self.scratch.extend_from_slice(&start.content.to_le_bytes());
        self.scratch.extend_from_slice(&end.content.to_le_bytes());
        let hash = xxh3_128(&self.scratch);
        if !self.types.contains_key(kind) {
            self.types.insert(kind.to_owned(), Sum::default());
        }
        if let Some(sum) = self.types.get_mut(kind) {
            sum.rows += 1;
            sum.bytes += bytes;
            sum.digest.add_hash(hash);
        }
        // Different halves: which end a node is matters.
        let (out, into) = (hash as u64, (hash >> 64) as u64);
        self.known.change(relationship.start, |known| known.around = known.around.wrapping_add(out));
        self.known.change(relationship.end, |known| known.around = known.around.wrapping_add(into));
        Ok(true)
    }

    /// Nodes so far.
    pub fn nodes(&self) -> u64 {
        self.known.len()
    }

    /// Relationships so far, those without both ends not among them.
    pub fn relationships(&self) -> u64 {
        self.types.values().map(|sum| sum.rows).sum()
    }

    /// Relationships of which an end is not there.
    pub fn dangling(&self) -> u64 {
        self.dangling
    }

    /// The items of the whole graph, sorted.
    pub fn items(&self) -> Vec<Item> {
        let nodes = self.labels.values().map(|(name, sum)| item(NODES, name, sum));
        let relationships = self.types.iter().map(|(name, sum)| item(RELATIONSHIPS, name, sum));
        let mut items: Vec<Item> = nodes.chain(relationships).collect();
        if !self.types.is_empty() {
            let mut digest = RowDigest::default();
            for known in self.known.values() {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&known.content.to_le_bytes());
                bytes[8..].copy_from_slice(&known.around.to_le_bytes());
                digest.add(&bytes);
            }
            items.push(Item {
                value: Some(digest.to_string()),
                ..item(GRAPH, NEIGHBOURHOODS, &Sum::default())
            });
        }
        items.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        items
    }
}

fn item(kind: &str, name: &str, sum: &Sum) -> Item {
    Item {
        kind: kind.to_owned(),
        schema: String::new(),
        name: name.to_owned(),
        rows: sum.rows,
        bytes: sum.bytes,
        digest: sum.digest,
        value: None,
        place: None,
        plan: serde_json::Value::Null,
    }
}

/// The name of a label set, as Cypher writes it: `:Person:Author`; `(no label)` for none.
fn label_set(sorted: &[&str]) -> String {
    if sorted.is_empty() {
        return "(no label)".to_owned();
    }
    sorted.iter().map(|label| format!(":{}", quoted(label))).collect()
}

/// The labels in the name of an item of nodes: the other way round.
pub fn labels(set: &str) -> Vec<String> {
    let (mut labels, mut rest) = (Vec::new(), set);
    while let Some(label) = rest.strip_prefix(':') {
        let Some(quoted) = label.strip_prefix('`') else {
            let end = label.find(':').unwrap_or(label.len());
            labels.push(label[..end].to_owned());
            rest = &label[end..];
            continue;
        };
        // A backtick that is doubled is one of the name.
        let mut name = String::new();
        let mut letters = quoted.char_indices().peekable();
        rest = "";
        while let Some((at, letter)) = letters.next() {
            if letter == '`' && letters.next_if(|(_, next)| *next == '`').is_none() {
                rest = &quoted[at + 1..];
                break;
            }
            name.push(letter);
        }
        labels.push(name);
    }
    labels
}

/// A name in Cypher: as it is when it is a plain identifier, else in backticks (Cypher manual, "Naming rules").
pub fn quoted(name: &str) -> String {
    let mut letters = name.chars();
    let plain = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

/// A name in a statement. Cypher reads `\uXXXX` before anything else, so a backslash in a name is written that way: a
/// `\u0060` would end the name otherwise (Cypher manual, "Using Unicode in Cypher").
pub fn in_statement(name: &str) -> String {
    quoted(name).replace('\\', "\\u005C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bolt::packstream::Value;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        bytes
    }

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn node(id: i64, labels: &[&str], name: &str) -> Vec<u8> {
        let labels = Value::List(labels.iter().map(|label| text(label)).collect());
        encoded(&Value::List(vec![Value::Int(id), labels, Value::Map(vec![("name".into(), text(name))])]))
    }

    fn relationship(id: i64, start: i64, end: i64) -> Vec<u8> {
        let fields =
            vec![Value::Int(id), Value::Int(start), Value::Int(end), text("KNOWS"), Value::Map(vec![])];
        encoded(&Value::List(fields))
    }

    fn tally(nodes: &[Vec<u8>], relationships: &[Vec<u8>]) -> Tally {
        let mut tally = Tally::default();
        nodes.iter().for_each(|record| tally.node(&Node::read(record).unwrap()).unwrap());
        for record in relationships {
            tally.relationship(&Relationship::read(record).unwrap()).unwrap();
        }
        tally
    }

    #[test]
    fn ids_and_order_do_not_matter() {
        let one = tally(
            &[node(1, &["B", "A"], "x"), node(2, &[], "y")],
            &[relationship(1, 1, 2), relationship(2, 1, 1)],
        );
        let other = tally(
            &[node(70_000, &[], "y"), node(5, &["A", "B"], "x")],
            &[relationship(9, 5, 5), relationship(3, 5, 70_000)],
        );
        assert_eq!(one.items(), other.items());
        let names: Vec<_> = one.items().into_iter().map(|item| (item.kind, item.name, item.rows)).collect();
        let expected = [
            (GRAPH, NEIGHBOURHOODS, 0),
            (NODES, "(no label)", 1),
            (NODES, ":A:B", 1),
            (RELATIONSHIPS, "KNOWS", 2),
        ];
        let expected = expected.map(|(kind, name, rows)| (kind.to_owned(), name.to_owned(), rows));
        assert_eq!(names, expected);
    }

    #[test]
    fn the_direction_of_a_relationship_matters() {
        let nodes = [node(1, &["A"], "x"), node(2, &["A"], "y")];
        assert_ne!(
            tally(&nodes, &[relationship(1, 1, 2)]).items(),
            tally(&nodes, &[relationship(1, 2, 1)]).items()
        );
    }

    #[test]
    fn relationships_of_nodes_that_are_alike_are_not_interchangeable() {
        // Both from one of the two, or one from each.
        let nodes = [node(1, &["A"], "x"), node(2, &["A"], "x"), node(3, &["B"], "y")];
        let one = tally(&nodes, &[relationship(1, 1, 3), relationship(2, 1, 3)]);
        let other = tally(&nodes, &[relationship(1, 1, 3), relationship(2, 2, 3)]);
        let differing: Vec<_> =
            one.items().into_iter().zip(other.items()).filter(|(a, b)| a != b).map(|(a, _)| a.name).collect();
        assert_eq!(differing, [NEIGHBOURHOODS]);
    }

    #[test]
    fn a_relationship_without_an_end_is_counted_apart() {
        let tally = tally(&[node(1, &[], "x")], &[relationship(1, 1, 2), relationship(2, 1, 1)]);
        assert_eq!((tally.nodes(), tally.relationships(), tally.dangling()), (1, 1, 1));
    }

    #[test]
    fn a_node_that_comes_twice_is_an_error() {
        let mut tally = tally(&[node(1, &[], "x")], &[]);
        let record = node(1, &[], "x");
        let error = tally.node(&Node::read(&record).unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Damaged, "the node 1 is there twice"));
    }

    #[test]
    fn names_are_quoted_where_cypher_needs_it() {
        assert_eq!(quoted("Person_2"), "Person_2");
        assert_eq!(quoted("a`b c"), "`a``b c`");
        assert_eq!(quoted("Größe"), "`Größe`");
        assert_eq!(quoted("2x"), "`2x`");
        assert_eq!(in_statement("a\\u0060) DETACH DELETE n //"), "`a\\u005Cu0060) DETACH DELETE n //`");
        assert_eq!(label_set(&["A", "b c"]), ":A:`b c`");
        for set in [&["A", "b c"][..], &["x`:`y", "a:b", "``", "Z"], &[], &["`"]] {
            assert_eq!(labels(&label_set(set)), set);
        }
    }
}
