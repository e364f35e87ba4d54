//! Follows an archive as its bytes pass, and says at the end whether it was all there.

use xxhash_rust::xxh3::Xxh3;

use super::error::ArchiveError;
use super::input::integer;
use super::parser::TocParser;
use super::rows::{RowCounter, RowFault};
use super::summary::{Archive, Event, LargeObjects, TableData};
use super::toc::{DataState, Toc, TocEntry};

/// Header and table of contents may have this many bytes: 256 MiB, over a million objects.
const TOC_LIMIT: u64 = 256 << 20;
/// `BLK_DATA` and `BLK_BLOBS` in pg_backup_archiver.h.
const BLOCK_ROWS: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;

#[derive(Debug, Clone, Copy)]
enum State {
    Toc,
    BlockType,
    BlockId { kind: u8 },
    RowChunkLength,
    RowChunk { left: u64 },
    ObjectId,
    ObjectChunkLength,
    ObjectChunk { left: u64 },
}

/// A reader that is fed the bytes of an archive in any portions; memory does not grow with the data.
#[derive(Clone)]
pub struct ArchiveReader {
    state: State,
    parser: Option<Box<TocParser>>,
    toc: Option<Toc>,
    /// The offset of the next byte.
    at: u64,
    /// An integer of which only a part has come.
    part: [u8; 9],
    part_length: usize,
    /// Bytes of an integer, its sign byte included.
    int_bytes: usize,
    block_at: u64,
    /// The position in the TOC of the block under way.
    current: usize,
    /// By position in the TOC: whether its block has ended well.
    complete: Vec<bool>,
    rows: RowCounter,
    object: Box<Xxh3>,
    object_bytes: u64,
    /// The large objects of the block under way; they count when it is complete.
    block_objects: LargeObjects,
    tables: Vec<TableData>,
    large_objects: LargeObjects,
    failed: Option<ArchiveError>,
}

impl Default for ArchiveReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ArchiveReader {
    /// Starts at the first byte of an archive.
    pub fn new() -> Self {
        Self::with_toc_limit(TOC_LIMIT)
    }

    /// Like [`ArchiveReader::new`], with another limit in bytes for header and table of contents.
    pub fn with_toc_limit(limit: u64) -> Self {
        ArchiveReader {
            state: State::Toc,
            parser: Some(Box::new(TocParser::new(limit))),
            toc: None,
            at: 0,
            part: [0; 9],
            part_length: 0,
            int_bytes: 5,
            block_at: 0,
            current: 0,
            complete: Vec::new(),
            rows: RowCounter::new(),
            object: Box::new(Xxh3::new()),
            object_bytes: 0,
            block_objects: LargeObjects::default(),
            tables: Vec::new(),
            large_objects: LargeObjects::default(),
            failed: None,
        }
    }

    /// Starts at a block, at offset `at`, of an archive whose table of contents is known.
    pub fn resume(toc: Toc, at: u64) -> Self {
        let mut reader = Self::new();
        reader.begin_blocks(toc);
        reader.at = at;
        reader
    }

    /// Goes on at another block, at offset `at`. A block under way is given up and stays missing.
    ///
    /// Only after the table of contents; before its end this does nothing.
    pub fn skip_to(&mut self, at: u64) {
        if self.toc.is_some() {
            self.rows.reset();
            self.part_length = 0;
            self.state = State::BlockType;
            self.at = at;
        }
    }

    /// The table of contents, once it is complete.
    pub fn toc(&self) -> Option<&Toc> {
        self.toc.as_ref()
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Takes the next bytes of the stream and tells where parts begin and end.
    ///
    /// Fails at the first byte that cannot be right; every later call fails alike.
    pub fn feed(&mut self, bytes: &[u8], on: &mut dyn FnMut(Event)) -> Result<(), ArchiveError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.feed_parts(bytes, on);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// Fails unless the stream, if it ended here, were a complete archive.
    pub fn check_complete(&self) -> Result<(), ArchiveError> {
        self.check_boundary()?;
        let entries = self.toc.as_ref().map(Toc::entries).unwrap_or_default();
        self.check_blocks(entries.iter().zip(&self.complete))
    }

    /// The stream ended cleanly. Fails unless every entry that must have data had its complete block.
    pub fn finish(self) -> Result<Archive, ArchiveError> {
        self.check_complete()?;
        self.into_archive()
    }

    /// The parts that were wanted have been read. Fails unless each of these entries is there and, if it
    /// must have data, had its complete block; what the archive says of other entries is not complete.
    pub fn finish_selected(self, dump_ids: &[i32]) -> Result<Archive, ArchiveError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(toc) = &self.toc {
            let missing = |entry| ArchiveError::Missing { at: self.at, entry, more: 0 };
            let find = |id: &i32| toc.position(*id).ok_or_else(|| missing(format!("dump id {id}")));
            let positions = dump_ids.iter().map(find).collect::<Result<Vec<_>, _>>()?;
            self.check_blocks(positions.iter().map(|at| (&toc.entries()[*at], &self.complete[*at])))?;
        }
        self.into_archive()
    }

    fn into_archive(self) -> Result<Archive, ArchiveError> {
        match self.toc {
            Some(toc) => {
                Ok(Archive { toc, tables: self.tables, large_objects: self.large_objects, length: self.at })
            }
            None => Err(ArchiveError::Truncated { at: self.at, place: "the table of contents".into() }),
        }
    }

    fn check_boundary(&self) -> Result<(), ArchiveError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let place = match (self.state, &self.parser) {
            (State::BlockType, _) => return Ok(()),
            (State::Toc, Some(parser)) => parser.place(),
            (State::BlockId { .. }, _) => format!("the head of the data block at byte {}", self.block_at),
            _ => format!("the data of {}", self.current_name()),
        };
        Err(ArchiveError::Truncated { at: self.at, place })
    }

    fn check_blocks<'a>(
        &self,
        entries: impl Iterator<Item = (&'a TocEntry, &'a bool)>,
    ) -> Result<(), ArchiveError> {
        let mut missing = entries.filter(|(entry, complete)| entry.has_data() && !**complete);
        match missing.next() {
            None => Ok(()),
            Some((entry, _)) => {
                Err(ArchiveError::Missing { at: self.at, entry: entry.full_name(), more: missing.count() })
            }
        }
    }

    fn feed_parts(&mut self, mut bytes: &[u8], on: &mut dyn FnMut(Event)) -> Result<(), ArchiveError> {
        if let Some(parser) = &mut self.parser {
            match parser.feed(bytes)? {
                None => {
                    self.at += bytes.len() as u64;
                    return Ok(());
                }
                Some(used) => {
                    self.at += used as u64;
                    bytes = &bytes[used..];
                }
            }
        }
        if let Some(parser) = self.parser.take() {
            let toc = parser.into_toc()?;
            self.begin_blocks(toc);
            on(Event::TocEnd { at: self.at });
        }
        while !bytes.is_empty() {
            self.step(&mut bytes, on)?;
        }
        Ok(())
    }

    fn begin_blocks(&mut self, toc: Toc) {
        self.int_bytes = 1 + usize::from(toc.header().int_size);
        self.complete = vec![false; toc.entries().len()];
        self.toc = Some(toc);
        self.parser = None;
        self.state = State::BlockType;
    }

    /// Takes one integer, or the part of a chunk that has come, off the front of `bytes`.
    #[inline]
    fn step(&mut self, bytes: &mut &[u8], on: &mut dyn FnMut(Event)) -> Result<(), ArchiveError> {
        match self.state {
            State::RowChunk { left } => {
                let part = take(bytes, left);
                let left = left - part.len() as u64;
                self.at += part.len() as u64;
                self.rows.push(part).map_err(|fault| self.row_fault(fault))?;
                self.state = if left == 0 { State::RowChunkLength } else { State::RowChunk { left } };
            }
            State::RowChunkLength => {
                let Some(length) = self.take_length(bytes)? else { return Ok(()) };
                if length > 0 {
                    self.state = State::RowChunk { left: length };
                } else {
                    self.end_rows(on)?;
                }
            }
            State::ObjectChunk { left } => {
                let part = take(bytes, left);
                let left = left - part.len() as u64;
                self.object.update(part);
                self.object_bytes += part.len() as u64;
                self.at += part.len() as u64;
                self.state = if left == 0 { State::ObjectChunkLength } else { State::ObjectChunk { left } };
            }
            State::ObjectChunkLength => {
                let Some(length) = self.take_length(bytes)? else { return Ok(()) };
                if length > 0 {
                    self.state = State::ObjectChunk { left: length };
                } else {
                    self.block_objects.objects += 1;
                    self.block_objects.bytes += self.object_bytes;
                    self.block_objects.digest.add_hash(self.object.digest128());
                    self.state = State::ObjectId;
                }
            }
            State::ObjectId => {
                let Some(oid) = self.take_int(bytes)? else { return Ok(()) };
                self.begin_object(oid, on)?;
            }
            State::BlockId { kind } => {
                let Some(id) = self.take_int(bytes)? else { return Ok(()) };
                self.begin_block(kind, id, on)?;
            }
            State::BlockType | State::Toc => {
                self.block_at = self.at;
                let kind = take(bytes, 1)[0];
                if kind != BLOCK_ROWS && kind != BLOCK_LARGE_OBJECTS {
                    return Err(ArchiveError::Malformed {
                        at: self.at,
                        place: "the start of a data block".into(),
                        what: format!("unknown block type {kind}"),
                    });
                }
                self.at += 1;
                self.state = State::BlockId { kind };
            }
        }
        Ok(())
    }

    fn begin_block(&mut self, kind: u8, id: i64, on: &mut dyn FnMut(Event)) -> Result<(), ArchiveError> {
        let at = self.block_at;
        let found = self.toc.as_ref().and_then(|toc| {
            let position = toc.position(i32::try_from(id).ok()?)?;
            Some((position, &toc.entries()[position]))
        });
        let Some((position, entry)) = found.filter(|(_, entry)| entry.has_data()) else {
            let entry = found.map_or_else(|| format!("dump id {id}"), |(_, entry)| entry.full_name());
            return Err(ArchiveError::Unannounced { at, entry });
        };
        if self.complete[position] {
            return Err(ArchiveError::Repeated { at, entry: entry.full_name() });
        }
        let wrong = |what: String| ArchiveError::Malformed { at, place: entry.full_name(), what };
        if (&*entry.desc == "BLOBS") != (kind == BLOCK_LARGE_OBJECTS) {
            return Err(wrong(format!("a data block of the wrong type {kind}")));
        }
        if kind == BLOCK_ROWS && entry.copy.is_none() {
            return Err(ArchiveError::NotCopy { at, entry: entry.full_name() });
        }
        if let DataState::At(expected) = entry.data
            && expected != at
        {
            return Err(wrong(format!("its data block should be at byte {expected}")));
        }
        self.current = position;
        if kind == BLOCK_ROWS {
            self.state = State::RowChunkLength;
        } else {
            self.block_objects = LargeObjects { at: Some(at), ..LargeObjects::default() };
            self.state = State::ObjectId;
        }
        on(Event::BlockStart { dump_id: entry.dump_id, at });
        Ok(())
    }

    fn end_rows(&mut self, on: &mut dyn FnMut(Event)) -> Result<(), ArchiveError> {
        let counts = self.rows.finish().map_err(|fault| self.row_fault(fault))?;
        let dump_id = self.end_block(on);
        self.tables.push(TableData {
            dump_id,
            at: self.block_at,
            rows: counts.rows,
            bytes: counts.bytes,
            digest: counts.digest,
        });
        Ok(())
    }

    fn end_block(&mut self, on: &mut dyn FnMut(Event)) -> i32 {
        let dump_id = self.toc.as_ref().map_or(0, |toc| toc.entries()[self.current].dump_id);
        self.complete[self.current] = true;
        self.state = State::BlockType;
        on(Event::BlockEnd { dump_id, at: self.at });
        dump_id
    }

    /// An OID is written as a signed integer: those above 2^31 come out negative. 0 ends the block.
    fn begin_object(&mut self, oid: i64, on: &mut dyn FnMut(Event)) -> Result<(), ArchiveError> {
        if oid == 0 {
            let block = self.block_objects;
            self.large_objects.at = self.large_objects.at.or(block.at);
            self.large_objects.objects += block.objects;
            self.large_objects.bytes += block.bytes;
            self.large_objects.digest.add_hash(block.digest.0);
            self.end_block(on);
            return Ok(());
        }
        let oid = match oid {
            1..=0xFFFF_FFFF => oid as u32,
            -0x8000_0000..=-1 => oid as i32 as u32,
            _ => return Err(self.wrong(format!("large object {oid} is out of range"))),
        };
        self.object.reset();
        self.object.update(&oid.to_le_bytes());
        self.object_bytes = 0;
        self.state = State::ObjectChunkLength;
        Ok(())
    }

    #[inline]
    fn take_length(&mut self, bytes: &mut &[u8]) -> Result<Option<u64>, ArchiveError> {
        match self.take_int(bytes)? {
            None => Ok(None),
            Some(length) => match u64::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(self.wrong(format!("a chunk of {length} bytes"))),
            },
        }
    }

    /// An integer, or `None` when only a part of it has come, which is kept.
    #[inline]
    fn take_int(&mut self, bytes: &mut &[u8]) -> Result<Option<i64>, ArchiveError> {
        let value = if self.part_length == 0 && bytes.len() >= self.int_bytes {
            integer(take(bytes, self.int_bytes as u64))
        } else {
            let part = take(bytes, (self.int_bytes - self.part_length) as u64);
            self.part[self.part_length..][..part.len()].copy_from_slice(part);
            self.part_length += part.len();
            if self.part_length < self.int_bytes {
                self.at += part.len() as u64;
                return Ok(None);
            }
            self.at -= (self.int_bytes - part.len()) as u64;
            self.part_length = 0;
            integer(&self.part[..self.int_bytes])
        };
        match value {
            Some(value) => {
                self.at += self.int_bytes as u64;
                Ok(Some(value))
            }
            None => Err(self.wrong("an integer with an impossible sign".into())),
        }
    }

    fn current_name(&self) -> String {
        self.toc.as_ref().map_or_else(String::new, |toc| toc.entries()[self.current].full_name())
    }

    fn wrong(&self, what: String) -> ArchiveError {
        let place = match self.state {
            State::BlockId { .. } => "the head of a data block".into(),
            _ => self.current_name(),
        };
        ArchiveError::Malformed { at: self.at, place, what }
    }

    fn row_fault(&self, fault: RowFault) -> ArchiveError {
        let (at, what) = match fault {
            RowFault::AfterEnd { left } => (self.at - left as u64, "bytes after the end of the rows"),
            RowFault::NoTerminator => (self.at, "the rows do not end with the terminator"),
        };
        ArchiveError::Malformed { at, place: self.current_name(), what: what.into() }
    }
}

/// Takes up to `most` bytes off the front.
#[inline]
fn take<'a>(bytes: &mut &'a [u8], most: u64) -> &'a [u8] {
    let length = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
    let (part, rest) = bytes.split_at(length);
    *bytes = rest;
    part
}
