//! The files inside a dump: a POSIX pax archive, whose headers are checked and whose contents pass by.
//!
//! Source: POSIX.1-2008, `pax`, "ustar Interchange Format" and "pax Header Block".

mod block;

use block::{Block, Type};

use super::store::{self, StoreFacts};
use super::summary::{Entry, NAMED, Summary};
use crate::error::{Error, Kind, Result};

/// Bytes of a block.
const BLOCK: usize = 512;

/// An extended header may have this many bytes: a path has 4 KiB, at most.
const EXTENDED: u64 = 64 * 1024;

/// Where the reader is.
#[derive(Debug)]
enum State {
    /// Within a header block.
    Header,
    /// Within the records of an extended header: bytes left.
    Extended(u64),
    /// Within a file: bytes left, of so many.
    File { left: u64, of: u64 },
    /// In the zeros after a file or an extended header, as many as are left; then comes a header.
    Padding(usize),
    /// After a block of zeros; the number of such blocks.
    End(u64),
}

/// Follows the archive.
#[derive(Debug)]
pub(super) struct Tar {
    /// Bytes of the archive so far.
    at: u64,
    state: State,
    block: Vec<u8>,
    extended: Vec<u8>,
    /// What an extended header says of the next file.
    next: Extension,
    /// The beginning of the file `neostore`, while it passes.
    page: Option<Vec<u8>>,
    summary: Summary,
}

/// What an extended header overrides.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extension {
    path: Option<String>,
    size: Option<u64>,
}

impl Default for Tar {
    fn default() -> Tar {
        Tar {
            at: 0,
            state: State::Header,
            block: Vec::with_capacity(BLOCK),
            extended: Vec::new(),
            next: Extension::default(),
            page: None,
            summary: Summary::default(),
        }
    }
}

impl Tar {
    /// What was seen so far.
    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with the position in the archive.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let took = self.step(bytes)?;
            bytes = &bytes[took..];
        }
        Ok(())
    }

    /// Takes some bytes, and says how many.
    fn step(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.state {
            State::Header | State::End(_) => {
                let took = bytes.len().min(BLOCK - self.block.len());
                self.block.extend_from_slice(&bytes[..took]);
                self.at += took as u64;
                if self.block.len() == BLOCK {
                    self.block_is_full()?;
                    self.block.clear();
                }
                Ok(took)
            }
            State::Extended(left) => {
                let took = portion(bytes, left);
                self.extended.extend_from_slice(&bytes[..took]);
                self.at += took as u64;
                self.state = State::Extended(left - took as u64);
                if left == took as u64 {
                    let records = std::mem::take(&mut self.extended);
                    self.next = read_records(&records)
                        .ok_or_else(|| self.damaged("has an unreadable extended header"))?;
                    self.state = padding(records.len() as u64);
                }
                Ok(took)
            }
            State::File { left, of } => {
                let took = portion(bytes, left);
                self.at += took as u64;
                if let Some(page) = &mut self.page {
                    page.extend_from_slice(&bytes[..took.min(store::LENGTH.saturating_sub(page.len()))]);
                }
                self.state = State::File { left: left - took as u64, of };
                if left == took as u64 {
                    self.file_ends(of);
                }
                Ok(took)
            }
            State::Padding(left) => {
                let took = bytes.len().min(left);
                self.at += took as u64;
                self.state = if left == took { State::Header } else { State::Padding(left - took) };
                Ok(took)
            }
        }
    }

    fn block_is_full(&mut self) -> Result<()> {
        let zeros = self.block.iter().all(|byte| *byte == 0);
        match (&self.state, zeros) {
            (State::End(blocks), true) => {
                self.state = State::End(blocks + 1);
                Ok(())
            }
            (State::End(_), false) => Err(self.damaged("goes on after its end")),
            (_, true) => {
                self.state = State::End(1);
                Ok(())
            }
            (_, false) => self.header(),
        }
    }

    fn header(&mut self) -> Result<()> {
        let block = Block::read(&self.block).map_err(|what| self.damaged(what))?;
        match block.kind {
            Type::Extended => {
                if block.size > EXTENDED {
                    return Err(self.damaged("has an extended header of unlikely size"));
                }
                self.extended.clear();
                self.state = match block.size {
                    0 => State::Header,
                    size => State::Extended(size),
                };
                Ok(())
            }
            Type::Directory => {
                self.next = Extension::default();
                self.summary.directories += 1;
                self.state = State::Header;
                Ok(())
            }
            Type::File => {
                let Extension { path, size } = std::mem::take(&mut self.next);
                self.file(path.unwrap_or(block.path), size.unwrap_or(block.size))
            }
        }
    }

    fn file(&mut self, path: String, bytes: u64) -> Result<()> {
        let name = path.strip_prefix("./").unwrap_or(&path);
        if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(self.damaged(&format!("has a file of the name `{}`", name.escape_debug())));
        }
        let Some(total) = self.summary.bytes.checked_add(bytes) else {
            return Err(self.damaged("has files of more bytes than there can be"));
        };
        let summary = &mut self.summary;
        summary.files += 1;
        summary.bytes = total;
        match name {
            "neostore.nodestore.db" => summary.node_store = Some(bytes),
            "neostore.relationshipstore.db" => summary.relationship_store = Some(bytes),
            "neostore" => self.page = Some(Vec::with_capacity(store::LENGTH)),
            name if name.starts_with("neostore.transaction.db.") => summary.logs += 1,
            _ => {}
        }
        if summary.entries.len() < NAMED {
            summary.entries.push(Entry { name: name.to_owned(), bytes });
        }
        self.state = State::File { left: bytes, of: bytes };
        if bytes == 0 {
            self.file_ends(0);
        }
        Ok(())
    }

    fn file_ends(&mut self, bytes: u64) {
        if let Some(page) = self.page.take() {
            self.summary.store = StoreFacts::read(&page);
        }
        self.state = padding(bytes);
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when its end has not come.
    pub(super) fn finish(self) -> Result<Summary> {
        match self.state {
            State::End(blocks) if blocks >= 2 && self.block.is_empty() => Ok(self.summary),
            _ => Err(self.damaged("ends early")),
        }
    }

    /// Says what is wrong, and where the header block begins in which that was seen.
    fn damaged(&self, what: &str) -> Error {
        let at = self.at - self.block.len() as u64;
        Error::new(Kind::Damaged, format!("the dump's archive {what}, at byte {at} of it"))
    }
}

/// As many of the bytes as are left.
fn portion(bytes: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}

/// What follows contents of this size.
fn padding(bytes: u64) -> State {
    match (bytes % BLOCK as u64) as usize {
        0 => State::Header,
        over => State::Padding(BLOCK - over),
    }
}

/// Reads `LENGTH key=value\n`, as often as it is there.
fn read_records(mut records: &[u8]) -> Option<Extension> {
    let mut found = Extension::default();
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let (record, rest) = records.split_at_checked(length)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let value = &record[equals + 1..];
        match &record[..equals] {
            b"path" => found.path = Some(String::from_utf8(value.to_vec()).ok()?),
            b"size" => found.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            _ => {} // times, owners
        }
        records = rest;
    }
    Some(found)
}
