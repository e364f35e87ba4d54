//! Archives for tests: real ones made by mongodump, and small ones made here, right or wrong on purpose.

use crc_fast::{CrcAlgorithm, checksum};
use mongodb::bson::Document;

use super::parts::BlockHeader;
use super::prelude::{CollectionEntry, Header, Prelude, TERMINATOR};
use super::{ArchiveReader, Event, Namespace, Summary};
use crate::error::Result;

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/data/archives/mongodump-100.12-", $name, ".archive"))
    };
}

/// One database with indexes of every kind, views, a time series, a capped and a clustered collection.
pub(super) const SHOP: &[u8] = sample!("shop");
/// Four small collections.
pub(super) const OTHER: &[u8] = sample!("other");
/// A replica set with writes and changed definitions while it was dumped.
pub(super) const OPLOG: &[u8] = sample!("oplog");
pub(super) const ALL: [&[u8]; 3] = [SHOP, OTHER, OPLOG];

/// Reads a whole archive in portions, each event as text.
pub(super) fn read(bytes: &[u8], portion: usize) -> Result<(Summary, Vec<String>)> {
    let mut events = Vec::new();
    let summary = read_with(bytes, portion, &mut |event| {
        events.push(match event {
            Event::Prelude { at, .. } => format!("prelude {at}"),
            Event::Document { namespace, bytes, at } => format!("document {namespace} {at} {bytes:?}"),
            other => format!("{other:?}"),
        });
        Ok(())
    })?;
    Ok((summary, events))
}

pub(super) fn read_with(
    bytes: &[u8],
    portion: usize,
    sink: &mut dyn FnMut(Event<'_>) -> Result<()>,
) -> Result<Summary> {
    let mut reader = ArchiveReader::new();
    for part in bytes.chunks(portion.max(1)) {
        reader.feed(part, sink)?;
    }
    assert_eq!(reader.offset(), bytes.len() as u64);
    reader.finish()
}

/// The oplog's entries of an archive.
pub(super) fn oplog(bytes: &[u8]) -> (Prelude, Vec<Vec<u8>>) {
    let (mut entries, mut oplog) = (Vec::new(), None);
    let summary = read_with(bytes, usize::MAX, &mut |event| {
        match event {
            Event::Prelude { prelude, .. } => oplog = prelude.oplog(),
            Event::Document { namespace, bytes, .. } if Some(namespace) == oplog => {
                entries.push(bytes.to_vec())
            }
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    (summary.prelude, entries)
}

pub(super) fn bytes(document: &Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    document.to_writer(&mut bytes).unwrap();
    bytes
}

/// Writes archives as mongodump does.
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(server: &str, collections: &[(&str, &str, &str)]) -> Self {
        let header = Header {
            concurrent_collections: 1,
            version: "0.1".into(),
            server_version: server.into(),
            tool_version: "100.12.2".into(),
        };
        let entries = collections.iter().map(|(db, collection, kind)| CollectionEntry {
            namespace: Namespace::new(*db, *collection),
            text: String::new(),
            metadata: None,
            size: 0,
            kind: (*kind).into(),
        });
        let mut bytes = Vec::new();
        Prelude { header, entries: entries.collect() }.write(&mut bytes).unwrap();
        Writer { bytes }
    }

    pub(super) fn segment(mut self, db: &str, collection: &str, documents: &[&[u8]]) -> Self {
        let namespace = Namespace::new(db, collection);
        BlockHeader { namespace, end: false, crc: 0 }.write(&mut self.bytes);
        documents.iter().for_each(|document| self.bytes.extend_from_slice(document));
        self.bytes.extend_from_slice(&TERMINATOR);
        self
    }

    pub(super) fn end(mut self, db: &str, collection: &str, documents: &[&[u8]]) -> Self {
        let crc = checksum(CrcAlgorithm::Crc64Xz, &documents.concat());
        BlockHeader { namespace: Namespace::new(db, collection), end: true, crc }.write(&mut self.bytes);
        self.bytes.extend_from_slice(&TERMINATOR);
        self
    }
}
