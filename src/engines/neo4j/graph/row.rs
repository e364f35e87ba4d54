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

/// Appends the canonical form of a map of properties.
///
/// # Errors
/// [`Kind::Damaged`] when it is no map.
pub fn canonical(form: &mut Canonical, properties: &[u8], out: &mut Vec<u8>) -> Result<()> {
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
