//! The header and the table of contents of an archive.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::NaiveDateTime;

use super::ident;

/// The header of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The archive version (major, minor, revision): 1.14 is pg_dump 12 to 15, 1.15 is 16, 1.16 is 17 and 18.
    pub version: (u8, u8, u8),
    /// Bytes of an integer without its sign byte, 1 to 8.
    pub int_size: u8,
    /// Bytes of a file offset, 1 to 8.
    pub offset_size: u8,
    /// When pg_dump started, in the local time of its machine.
    pub created: NaiveDateTime,
    /// The database that was dumped.
    pub database: String,
    /// The server's version, as it says itself.
    pub server_version: String,
    /// The version of pg_dump.
    pub dump_version: String,
}

/// A table by its schema and name, as they are (without SQL quoting). The schema may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableRef {
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.schema, self.name)
        }
    }
}

/// Where the rows of a TABLE DATA entry are loaded to; the partition root where the dump says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTarget {
    /// The table that is loaded.
    pub table: TableRef,
    /// The columns in the order of the rows; empty for a table without any.
    pub columns: Vec<String>,
}

/// The state of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceValue {
    /// `last_value`.
    pub last: i64,
    /// `is_called`: whether the next value is the one after `last`.
    pub called: bool,
}

/// Where pg_restore runs an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Comments, grants, labels: with what they belong to.
    None,
    /// Definitions that data needs.
    PreData,
    /// Rows, large objects, sequence values.
    Data,
    /// Indexes, constraints, triggers, rules.
    PostData,
}

/// Whether an entry has a data block, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataState {
    /// There is a block; its offset was not known when the table of contents was written (to a pipe).
    SomeWhere,
    /// There is a block at this offset (dumped to a file).
    At(u64),
    /// There is none.
    NoData,
}

/// One entry of the table of contents. Its drop statement is read past and not kept.
///
/// Names that are not UTF-8 (a database in another encoding) have their odd bytes as `\xHH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// The number by which entries refer to one another; unique and above 0.
    pub dump_id: i32,
    /// The OID of the catalog that the object is in, 0 for none.
    pub table_oid: u32,
    /// The object's OID, 0 for none.
    pub oid: u32,
    /// The name; `table name` for constraints, triggers and the like; `TABLE name` for comments and grants.
    pub tag: Box<str>,
    /// The kind: `TABLE`, `TABLE DATA`, `FK CONSTRAINT`, …
    pub desc: Arc<str>,
    /// The section.
    pub section: Section,
    /// The command that creates it, in the archive's encoding; may be empty.
    pub definition: Box<[u8]>,
    /// Where its rows go; only of TABLE DATA.
    pub copy: Option<Box<CopyTarget>>,
    /// The schema, empty for none.
    pub schema: Arc<str>,
    /// The tablespace, empty for the default.
    pub tablespace: Arc<str>,
    /// The table access method, empty for none.
    pub access_method: Arc<str>,
    /// `pg_class.relkind`; `None` before archive version 1.16 and for other kinds of objects.
    pub relkind: Option<char>,
    /// The owner, empty for none.
    pub owner: Arc<str>,
    /// What it depends on, by dump id; may name entries that are not in the archive.
    pub dependencies: Box<[i32]>,
    /// Whether a data block belongs to it.
    pub data: DataState,
}

impl TocEntry {
    /// True when the archive must hold a data block for this entry.
    pub fn has_data(&self) -> bool {
        self.data != DataState::NoData
    }

    /// The kind and the name, for messages: `TABLE DATA public.orders`.
    pub fn full_name(&self) -> String {
        if self.schema.is_empty() {
            format!("{} {}", self.desc, self.tag)
        } else {
            format!("{} {}.{}", self.desc, self.schema, self.tag)
        }
    }

    /// Schema and tag as a reference, for entries whose tag is a relation's name.
    pub fn table_ref(&self) -> TableRef {
        TableRef { schema: self.schema.to_string(), name: self.tag.to_string() }
    }

    /// The value in a SEQUENCE SET entry.
    pub fn sequence_value(&self) -> Option<SequenceValue> {
        if &*self.desc != "SEQUENCE SET" {
            return None;
        }
        ident::sequence_value(std::str::from_utf8(&self.definition).ok()?)
    }

    /// True for the large objects' metadata and contents, in archives of any version.
    pub fn is_large_objects(&self) -> bool {
        matches!(&*self.desc, "BLOB" | "BLOBS" | "BLOB METADATA")
    }

    /// True for tables, views and whatever else rows can be selected from.
    pub fn is_relation(&self) -> bool {
        matches!(&*self.desc, "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW")
    }
}

/// The header and all entries, in the order of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    header: Header,
    encoding: String,
    entries: Vec<TocEntry>,
    by_id: HashMap<i32, usize>,
}

impl Toc {
    /// Takes parsed parts; `by_id` gives the position of each entry.
    pub(super) fn new(
        header: Header,
        encoding: String,
        entries: Vec<TocEntry>,
        by_id: HashMap<i32, usize>,
    ) -> Self {
        Toc { header, encoding, entries, by_id }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The encoding of all text in the archive, from its ENCODING entry (`UTF8`).
    pub fn encoding(&self) -> &str {
        &self.encoding
    }

    /// All entries, in the order of the archive.
    pub fn entries(&self) -> &[TocEntry] {
        &self.entries
    }

    /// The entry with this dump id.
    pub fn get(&self, dump_id: i32) -> Option<&TocEntry> {
        self.position(dump_id).map(|position| &self.entries[position])
    }

    /// The place in [`Toc::entries`] of the entry with this dump id.
    pub(super) fn position(&self, dump_id: i32) -> Option<usize> {
        self.by_id.get(&dump_id).copied()
    }

    /// The relation that an index, constraint, trigger, default, policy, comment, … belongs to.
    ///
    /// pg_dump names it in the dependencies, among others: a tag of the form `table name` tells which,
    /// otherwise it is the first relation there.
    pub fn parent_of(&self, entry: &TocEntry) -> Option<&TocEntry> {
        let belongs = matches!(
            &*entry.desc,
            "INDEX"
                | "CONSTRAINT"
                | "FK CONSTRAINT"
                | "CHECK CONSTRAINT"
                | "TRIGGER"
                | "POLICY"
                | "ROW SECURITY"
                | "DEFAULT"
                | "RULE"
                | "STATISTICS"
                | "STATISTICS DATA"
                | "TABLE ATTACH"
                | "TABLE DATA"
                | "MATERIALIZED VIEW DATA"
                | "PUBLICATION TABLE"
                | "COMMENT"
                | "ACL"
                | "SECURITY LABEL"
        );
        if !belongs {
            return None;
        }
        let relations =
            || entry.dependencies.iter().filter_map(|id| self.get(*id)).filter(|other| other.is_relation());
        if &*entry.desc == "TABLE ATTACH" {
            // The tag is the partition; the other relation is what it is attached to.
            return relations().find(|other| other.tag != entry.tag || other.schema != entry.schema);
        }
        let named = relations()
            .filter(|other| other.schema == entry.schema)
            .filter(|other| entry.tag.strip_prefix(&*other.tag).is_some_and(|rest| rest.starts_with(' ')))
            .max_by_key(|other| other.tag.len());
        named.or_else(|| relations().next())
    }
}
