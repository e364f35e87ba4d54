//! The file of a graph export: written as a graph is read, and read in pieces of any size.
//!
//! `docs/graph-export.md` describes it for other programs. In short: eight bytes of magic, then records of a type
//! (one byte), a length (four bytes, big-endian) and one PackStream value; one header first, one end last, and
//! between them nodes, relationships, definitions and users, in this order.

use super::row::{Node, Relationship};
use super::schema::Statement;
use crate::bolt::packstream::Value;
use crate::error::{Error, Kind, Result};

/// The first bytes of a file; the last of them is the format's version.
pub const MAGIC: [u8; 8] = *b"LBGRAPH\x01";

/// The largest payload of a record. Bolt has no limit, but a heap that holds such a node has one.
const LARGEST: usize = 1 << 30;

/// The types of records, in the order in which they come.
pub const HEADER: u8 = b'H';
/// A node: `[id, labels, properties]`.
pub const NODE: u8 = b'N';
/// A relationship: `[id, start, end, type, properties]`.
pub const RELATIONSHIP: u8 = b'R';
/// A constraint or an index: a map.
pub const DEFINITION: u8 = b'S';
/// A user: a map.
pub const USER: u8 = b'U';
/// The counts of all before: a map.
pub const END: u8 = b'E';

const ORDER: [u8; 6] = [HEADER, NODE, RELATIONSHIP, DEFINITION, USER, END];

/// Appends a record.
///
/// # Errors
/// [`Kind::Failed`] for a payload of more than a gibibyte.
pub fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) -> Result<()> {
    let length = u32::try_from(payload.len()).ok().filter(|length| *length as usize <= LARGEST);
    let Some(length) = length else {
        let what = if kind == NODE { "a node" } else { "a relationship" };
        return Err(Error::new(Kind::Failed, format!("{what} of more than 1 GiB cannot be exported"))
            .hint("use the method dump for this database"));
    };
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

/// Appends a record with a map.
///
/// # Errors
/// Those of [`put`].
pub fn put_map(out: &mut Vec<u8>, kind: u8, entries: Vec<(&str, Value)>) -> Result<()> {
    let map = Value::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let mut payload = Vec::new();
    map.encode(&mut payload);
    put(out, kind, &payload)
}

/// How many records of each type there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Nodes.
    pub nodes: u64,
    /// Relationships.
    pub relationships: u64,
    /// Constraints and indexes.
    pub definitions: u64,
    /// Users.
    pub users: u64,
}

impl Counts {
    /// The fields of the end record.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let number = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        vec![
            ("nodes", number(self.nodes)),
            ("relationships", number(self.relationships)),
            ("definitions", number(self.definitions)),
            ("users", number(self.users)),
        ]
    }

    fn of(value: &Value) -> Option<Counts> {
        let number = |name: &str| u64::try_from(value.get(name)?.as_int()?).ok();
        Some(Counts {
            nodes: number("nodes")?,
            relationships: number("relationships")?,
            definitions: number("definitions")?,
            users: number("users")?,
        })
    }
}

/// A record of a file.
#[derive(Debug)]
pub enum Record<'a> {
    /// What was exported from where.
    Header(Value),
    /// A node, with the bytes of its record.
    Node(Node<'a>, &'a [u8]),
    /// A relationship.
    Relationship(Relationship<'a>),
    /// A constraint or an index.
    Definition(Statement),
    /// A user.
    User(Value),
}

/// Reads a file that comes in pieces.
#[derive(Debug, Default)]
pub struct FormatReader {
    /// The beginning of a record of which the rest has not come.
    held: Vec<u8>,
    /// Bytes before `held`.
    position: u64,
    begun: bool,
    rank: usize,
    counts: Counts,
    ended: bool,
}

impl FormatReader {
    /// Takes the next bytes, and gives out the records that are whole.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with the place for what is no such file; those of `take`.
    pub fn feed(&mut self, bytes: &[u8], take: &mut dyn FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        if self.held.is_empty() {
            let used = self.records(bytes, take)?;
            self.held.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let used = self.records(&held, take)?;
        held.drain(..used);
        self.held = held;
        Ok(())
    }

    /// Says that there is no more, and how much there was.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when the file is not whole.
    pub fn finish(&self) -> Result<Counts> {
        if self.ended && self.held.is_empty() {
            return Ok(self.counts);
        }
        let after = Error::new(
            Kind::Damaged,
            format!(
                "the graph export ends after {} nodes and {} relationships, without its end record",
                self.counts.nodes, self.counts.relationships
            ),
        );
        Err(after.hint("its tail is missing: use another backup"))
    }

    /// What came so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn records(&mut self, bytes: &[u8], take: &mut dyn FnMut(Record<'_>) -> Result<()>) -> Result<usize> {
        let mut used = 0;
        if !self.begun {
            let known = bytes.len().min(MAGIC.len());
            if bytes[..known] != MAGIC[..known] {
                return Err(self.damaged(
                    0,
                    match bytes[..known.min(7)] == MAGIC[..known.min(7)] {
                        true => "it is of a newer version of the format".to_owned(),
                        false => "it does not begin as one".to_owned(),
                    },
                ));
            }
            if known < MAGIC.len() {
                return Ok(0);
            }
            (self.begun, used) = (true, MAGIC.len());
        }
        while let Some(head) = bytes.get(used..used + 5) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if length > LARGEST {
                return Err(self.damaged(used, format!("a record of {length} bytes")));
            }
            let Some(payload) = bytes.get(used + 5..used + 5 + length) else { break };
            self.record(used, head[0], payload, take)?;
            used += 5 + length;
        }
        self.position += used as u64;
        Ok(used)
    }

    fn record(
        &mut self,
        at: usize,
        kind: u8,
        payload: &[u8],
        take: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(rank) = ORDER.iter().position(|known| *known == kind) else {
            return Err(self.damaged(at, format!("a record of the unknown type {kind:#04x}")));
        };
        // The header is the first record, and comes once; after it, ranks never fall.
        let first = self.rank == 0;
        if self.ended || (kind == HEADER) != first || rank < self.rank {
            return Err(self.damaged(at, format!("a record of type {} is out of place", char::from(kind))));
        }
        self.rank = rank.max(1);
        match kind {
            NODE => {
                self.counts.nodes += 1;
                take(Record::Node(Node::read(payload)?, payload))
            }
            RELATIONSHIP => {
                self.counts.relationships += 1;
                take(Record::Relationship(Relationship::read(payload)?))
            }
            _ => {
                let value = Value::decode(payload).ok().filter(|(_, used)| *used == payload.len());
                let Some((value @ Value::Map(_), _)) = value else {
                    return Err(self.damaged(at, format!("a record of type {} is no map", char::from(kind))));
                };
                self.map(at, kind, value, take)
            }
        }
    }

    fn map(
        &mut self,
        at: usize,
        kind: u8,
        value: Value,
        take: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        match kind {
            HEADER => take(Record::Header(value)),
            DEFINITION => {
                self.counts.definitions += 1;
                let statement = Statement::of(&value)
                    .ok_or_else(|| self.damaged(at, "a definition without its statement".to_owned()))?;
                take(Record::Definition(statement))
            }
            USER => {
                self.counts.users += 1;
                take(Record::User(value))
            }
            _ => {
                self.ended = true;
                match Counts::of(&value) {
                    Some(counts) if counts == self.counts => Ok(()),
                    counts => Err(self.damaged(
                        at,
                        format!("its end tells of {counts:?}, and there were {:?}", self.counts),
                    )),
                }
            }
        }
    }

    fn damaged(&self, at: usize, what: String) -> Error {
        Error::new(
            Kind::Damaged,
            format!("the graph export is damaged at byte {}: {what}", self.position + at as u64),
        )
    }
}
