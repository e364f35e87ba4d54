//! A graph as a Cypher script: nodes and relationships in batches, then constraints and indexes.
//!
//! Relationships find their ends by a temporary label with a temporary property, whose name holds the backup's id and
//! which the script removes. The script checks the counts itself, and stops when something is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::literal::{name, statement, text};
use super::shape::{Shape, absent, shape};
use crate::bolt::packstream::Value;
use crate::engines::neo4j::graph::row::{Node, Relationship};
use crate::engines::neo4j::graph::schema::Statement;
use crate::error::{Error, Kind, Result};

/// Rows of a statement at most.
const ROWS: usize = 1_000;

/// Bytes of rows after which a statement is written.
const BYTES: usize = 256 << 10;

/// Bytes of rows that wait for a statement to be full, at most.
const WAITING: usize = 8 << 20;

/// Nodes from which one statement removes the temporary label.
const CLEANED: u64 = 10_000;

/// Rows that one statement can make: the same labels or type, and the same properties of the same types.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    names: Vec<String>,
    columns: Vec<(String, Shape)>,
}

/// The values of a group, one behind the other.
#[derive(Debug, Default)]
struct Rows {
    text: String,
    ends: Vec<usize>,
    count: usize,
}

/// A script in the making. What is ready is in [`Script::ready`], for the caller to take.
#[derive(Debug)]
pub struct Script {
    /// Text that is to be written.
    pub ready: String,
    /// Byte arrays so far, which became lists of integers.
    pub byte_arrays: u64,
    scaffold: String,
    groups: BTreeMap<Group, Rows>,
    waiting: usize,
    nodes: u64,
    relationships: u64,
    at_relationships: bool,
}

impl Script {
    /// Begins a script with what makes ready for nodes. `comment` are words about the backup.
    pub fn new(id: &str, comment: &str) -> Script {
        let scaffold = format!("lifeboat {id}");
        let mut label = String::new();
        name(&scaffold, &mut label);
        // Cypher reads escapes in comments, too: nothing but plain letters may be there.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || " .,:-_+".contains(letter);
        let comment: String = comment.chars().map(|c| if plain(c) { c } else { '?' }).collect();
        let mut ready = format!(
            "// {comment}\n\
             // For an empty database: cypher-shell -d DATABASE -f FILE. If it fails, empty the database and begin again.\n\
             // It is whole if the last line begins with \"// end:\".\n"
        );
        counted("MATCH (n) WITH count(n)", 0, "the database is not empty: nodes", &mut ready);
        let _ = writeln!(ready, "CREATE CONSTRAINT {label} FOR (n:{label}) REQUIRE n.{label} IS UNIQUE;");
        Script {
            ready,
            byte_arrays: 0,
            scaffold,
            groups: BTreeMap::new(),
            waiting: 0,
            nodes: 0,
            relationships: 0,
            at_relationships: false,
        }
    }

    /// Takes a node.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for one that cannot be read, [`Kind::Failed`] for one that has no form in Cypher.
    pub fn node(&mut self, node: &Node<'_>) -> Result<()> {
        let labels: Vec<String> = node.sorted_labels()?.into_iter().map(str::to_owned).collect();
        if labels.contains(&self.scaffold) {
            return Err(self.taken("label"));
        }
        let id = (self.scaffold.clone(), Value::Int(i64::try_from(node.id).unwrap_or(i64::MAX)));
        let mut properties = properties(node.properties)?;
        if properties.iter().any(|(key, _)| *key == self.scaffold) {
            return Err(self.taken("property"));
        }
        properties.push(id);
        self.nodes += 1;
        self.row(labels, properties, &[])
    }

    /// Takes a relationship, of which both ends have come.
    ///
    /// # Errors
    /// Those of [`Script::node`].
    pub fn relationship(&mut self, relationship: &Relationship<'_>) -> Result<()> {
        self.end_nodes();
        let properties = properties(relationship.properties)?;
        self.relationships += 1;
        let kind = vec![relationship.type_name()?.to_owned()];
        self.row(kind, properties, &[relationship.start, relationship.end])
    }

    fn taken(&self, what: &str) -> Error {
        Error::new(Kind::Failed, format!("the backup has a {what} {}, which the script needs", self.scaffold))
            .hint("restore the backup with lifeboat, or convert another one")
    }

    fn row(&mut self, names: Vec<String>, mut properties: Vec<(String, Value)>, ends: &[u64]) -> Result<()> {
        properties.sort_by(|a, b| a.0.cmp(&b.0));
        let mut columns = Vec::with_capacity(properties.len());
        let mut values = Vec::with_capacity(properties.len());
        for (key, value) in properties {
            self.byte_arrays += u64::from(matches!(value, Value::Bytes(_)));
            let (shape, text) = shape(&value).map_err(|error| match error.kind() {
                Kind::Failed => error.while_doing(format!("the property {key}")),
                _ => error,
            })?;
            columns.push((key, shape));
            values.push(text);
        }
        let group = Group { names, columns };
        let rows = self.groups.entry(group.clone()).or_default();
        let before = rows.text.len();
        for value in ends.iter().map(u64::to_string).chain(values) {
            rows.text.push_str(&value);
            rows.ends.push(rows.text.len());
        }
        rows.count += 1;
        self.waiting += rows.text.len() - before;
        if rows.count >= ROWS || rows.text.len() >= BYTES {
            self.write(&group);
        } else if self.waiting >= WAITING {
            // Many small groups: the largest goes first, so that memory stays bounded.
            let largest = self.groups.iter().max_by_key(|(_, rows)| rows.text.len());
            if let Some(group) = largest.map(|(group, _)| group.clone()) {
                self.write(&group);
            }
        }
        Ok(())
    }

    /// Writes the statement of a group.
    fn write(&mut self, group: &Group) {
        let Some(rows) = self.groups.remove(group) else { return };
        self.waiting -= rows.text.len();
        let between = absent(&['|', '\t', '~', '^'], |letter| rows.text.contains(letter));
        let mut all = String::with_capacity(rows.text.len() + rows.ends.len());
        let mut begin = 0;
        for (place, end) in rows.ends.iter().enumerate() {
            if place > 0 {
                all.push(between);
            }
            all.push_str(&rows.text[begin..*end]);
            begin = *end;
        }
        let out = &mut self.ready;
        out.push_str("WITH split(");
        text(&all, out);
        out.push(',');
        text(&between.to_string(), out);
        let first = if self.at_relationships { 2 } else { 0 };
        let width = group.columns.len() + first;
        let _ = writeln!(out, ") AS v UNWIND range(0,size(v)-1,{width}) AS i");
        let mut label = String::new();
        name(&self.scaffold, &mut label);
        if self.at_relationships {
            let _ = write!(
                out,
                "MATCH (a:{label}{{{label}:toInteger(v[i])}}) MATCH (b:{label}{{{label}:toInteger(v[i+1])}}) CREATE (a)-[:"
            );
        } else {
            let _ = write!(out, "CREATE (:{label}:");
        }
        for (place, given) in group.names.iter().enumerate() {
            if place > 0 {
                out.push(':');
            }
            name(given, out);
        }
        if group.names.is_empty() {
            // The colon before the labels.
            out.pop();
        }
        out.push('{');
        for (place, (key, shape)) in group.columns.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            name(key, out);
            out.push(':');
            shape.read(&format!("v[i+{}]", place + first), out);
        }
        out.push_str(if self.at_relationships { "}]->(b);\n" } else { "});\n" });
    }

    fn write_all(&mut self) {
        let groups: Vec<Group> = self.groups.keys().cloned().collect();
        groups.iter().for_each(|group| self.write(group));
    }

    fn end_nodes(&mut self) {
        if !self.at_relationships {
            self.write_all();
            self.at_relationships = true;
        }
    }

    /// Writes the rest: checks, constraints and indexes, the end.
    pub fn finish(&mut self, statements: &[Statement]) {
        self.end_nodes();
        self.write_all();
        let mut label = String::new();
        name(&self.scaffold, &mut label);
        let out = &mut self.ready;
        counted(&format!("MATCH (n:{label}) WITH count(n)"), self.nodes, "some are missing: nodes", out);
        let ends = format!("MATCH (:{label})-[r]->(:{label}) WITH count(r)");
        counted(&ends, self.relationships, "some are missing: relationships", out);
        let _ = writeln!(out, "DROP CONSTRAINT {label};");
        for _ in 0..self.nodes.div_ceil(CLEANED) {
            let _ = writeln!(out, "MATCH (n:{label}) WITH n LIMIT {CLEANED} REMOVE n:{label}, n.{label};");
        }
        let constraints = statements.iter().filter(|statement| statement.constraint);
        for one in constraints.chain(statements.iter().filter(|statement| !statement.constraint)) {
            statement(&one.create, out);
            out.push_str(";\n");
        }
        if !statements.is_empty() {
            // A day; it fails when an index does.
            out.push_str("CALL db.awaitIndexes(86400);\n");
        }
        let (nodes, relationships) = (self.nodes, self.relationships);
        let _ = writeln!(out, "// end: {nodes} nodes, {relationships} relationships");
    }
}

/// A statement that fails unless a count is this one; what it says then is in the error.
///
/// Cypher has no statement to fail by; a text that is no date is an error that shows the text.
fn counted(query: &str, expected: u64, otherwise: &str, out: &mut String) {
    let _ = writeln!(
        out,
        "{query} AS found RETURN CASE found WHEN {expected} THEN 'ok' \
         ELSE toString(date('{otherwise}, of {expected} there are '+found)) END AS check;"
    );
}

fn properties(raw: &[u8]) -> Result<Vec<(String, Value)>> {
    match Value::decode(raw) {
        Ok((Value::Map(entries), _)) => Ok(entries),
        _ => Err(Error::new(Kind::Damaged, "a map of properties cannot be read")),
    }
}
