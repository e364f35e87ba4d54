//! Nodes and relationships as they come over Bolt, and their canonical form.
//!
//! Two nodes are the same when they have the same labels and the same properties, whatever order a server lists them
//! in: so both are sorted, and every value is written in PackStream's smallest form. No value is decoded.

use crate::bolt::packstream::{self, Canonical, Reader};
use crate::error::{Error, Kind, Result};

/// A node: the list `[id, labels, properties]`.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The source's id, unique among the nodes of one export.
    pub id: u64,
    /// A list of strings, raw.
    pub labels: &'a [u8],
    /// A map, raw.
    pub properties: &'a [u8],
}

/// A relationship: the list `[id, start, end, type, properties]`.
#[derive(Debug, Clone, Copy)]
pub struct Relationship<'a> {
    /// The source's id.
    pub id: u64,
    /// The id of the node it starts from.
    pub start: u64,
    /// The id of the node it ends at.
    pub end: u64,
    /// A string, raw.
    pub kind: &'a [u8],
    /// A map, raw.
    pub properties: &'a [u8],
}

impl<'a> Node<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is no node.
    pub fn read(record: &'a [u8]) -> Result<Node<'a>> {
        checked("node", || {
            let mut reader = Reader::new(record);
            if reader.list()? != 3 {
                return Ok(None);
            }
            let Some(id) = id(&mut reader)? else { return Ok(None) };
            let node = Node { id, labels: reader.skip()?, properties: reader.skip()? };
            reader.end()?;
            Ok(Some(node))
        })
    }

    /// The labels in the order of their bytes.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when they are no list of strings.
    pub fn sorted_labels(&self) -> Result<Vec<&'a str>> {
        checked("list of labels", || {
            let mut reader = Reader::new(self.labels);
            let count = reader.list()?;
            let mut labels = Vec::with_capacity(count.min(64));
            for _ in 0..count {
                labels.push(reader.str()?);
            }
            labels.sort_unstable();
            Ok(Some(labels))
        })
    }
}

impl<'a> Relationship<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is no relationship.
    pub fn read(record: &'a [u8]) -> Result<Relationship<'a>> {
        checked("relationship", || {
            let mut reader = Reader::new(record);
            if reader.list()? != 5 {
                return Ok(None);
            }
            let ids = (id(&mut reader)?, id(&mut reader)?, id(&mut reader)?);
            let (Some(id), Some(start), Some(end)) = ids else { return Ok(None) };
            let relationship =
                Relationship { id, start, end, kind: reader.skip()?, properties: reader.skip()? };
            reader.end()?;
            Ok(Some(relationship))
        })
    }

    /// The name of its type.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is no string.
    pub fn type_name(&self) -> Result<&'a str> {
        checked("type of a relationship", || Reader::new(self.kind).str().map(Some))
    }
}

/// The structures that a property may be: dates, times, durations and points (Bolt documentation, "Structure
/// semantics").
const STRUCTURES: [u8; 9] = [0x44, 0x45, 0x49, 0x54, 0x58, 0x59, 0x64, 0x69, 0x74];

/// A server sends something else in place of a value that this version of Bolt has no type for (a `VECTOR`): a map,
/// which no property can be, or a structure of another kind.
fn foreign(value: &[u8]) -> packstream::Result<bool> {
    let mut reader = Reader::new(value);
    Ok(match reader.peek_marker() {
        Some(0xA0..=0xAF | 0xD8..=0xDA) => true,
        Some(0xB0..=0xBF) => !STRUCTURES.contains(&reader.structure()?.1),
        // Lists are of one type.
        Some(0x90..=0x9F | 0xD4..=0xD6) => reader.list()? > 0 && foreign_head(reader.rest()),
        _ => false,
    })
}

fn foreign_head(rest: &[u8]) -> bool {
    match rest {
        [0xA0..=0xAF | 0xD8..=0xDA, ..] => true,
        [0xB0..=0xBF, tag, ..] => !STRUCTURES.contains(tag),
        _ => false,
    }
}

/// The name of the first property that is of no type that Bolt 5 carries.
fn foreign_property(properties: &[u8]) -> packstream::Result<Option<&str>> {
    let mut reader = Reader::new(properties);
    for _ in 0..reader.map()? {
        let name = reader.str()?;
        if foreign(reader.skip()?)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Appends the canonical form of a map of properties.
///
/// # Errors
/// [`Kind::Damaged`] when it is no map; [`Kind::Failed`] for a property of a type that Bolt 5 does not carry.
pub fn canonical(form: &mut Canonical, properties: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if let Some(name) = checked("map of properties", || foreign_property(properties).map(Some))? {
        return Err(Error::new(
            Kind::Failed,
            format!("the property {name:?} is of a type that an export cannot carry (such as VECTOR)"),
        )
        .hint("use the method dump or backup for this database"));
    }
    checked("map of properties", || {
        Reader::new(properties).map()?;
        form.write(properties, out).map(Some)
    })
}

fn checked<T>(what: &str, read: impl FnOnce() -> packstream::Result<Option<T>>) -> Result<T> {
    match read() {
        Ok(Some(read)) => Ok(read),
        Ok(None) => Err(Error::new(Kind::Damaged, format!("a {what} has other fields than it should"))),
        Err(cause) => Err(Error::new(Kind::Damaged, format!("a {what} cannot be read")).because(cause)),
    }
}

/// An id; `None` for one below 0.
fn id(reader: &mut Reader<'_>) -> packstream::Result<Option<u64>> {
    reader.int().map(|id| u64::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bolt::packstream::Value;

    fn refused(value: Value) -> bool {
        let mut bytes = Vec::new();
        Value::Map(vec![("x".into(), Value::Int(1)), ("v".into(), value)]).encode(&mut bytes);
        let mut out = Vec::new();
        match canonical(&mut Canonical::default(), &bytes, &mut out) {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Failed);
                assert!(error.message().contains("\"v\""), "{error}");
                true
            }
        }
    }

    #[test]
    fn what_stands_in_for_a_type_that_bolt_does_not_carry_is_refused() {
        let date = Value::Structure { tag: 0x44, fields: vec![Value::Int(1)] };
        let vector = Value::Structure { tag: 0x56, fields: vec![Value::Int(1)] };
        let stand_in = Value::Map(vec![("originalType".into(), Value::String("VECTOR(3, FLOAT32)".into()))]);
        for taken in [date.clone(), Value::List(vec![]), Value::List(vec![date]), Value::Bytes(vec![0xA0])] {
            assert!(!refused(taken));
        }
        for not in [vector.clone(), stand_in.clone(), Value::List(vec![stand_in]), Value::List(vec![vector])]
        {
            assert!(refused(not));
        }
    }
}
