//! Reads header and table of contents from bytes that arrive in any portions.
//!
//! One step takes one integer, string or offset; a step that lacks bytes changes nothing and is tried
//! again when more arrive, so that the work is linear whatever the portions are. Lengths are checked
//! against the limit before anything is kept for them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime};

use super::error::ArchiveError;
use super::ident;
use super::input::{Input, Stop, little_endian, readable};
use super::toc::{CopyTarget, DataState, Header, Section, Toc, TocEntry};

/// The least bytes of an entry: seven integers of two bytes, eleven strings of two, the data state of two.
const LEAST_ENTRY: u64 = 38;

/// What the next step reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Next {
    Fixed,
    Compression,
    Created(usize),
    Database,
    ServerVersion,
    DumpVersion,
    Count,
    DumpId,
    HadDumper,
    TableOid,
    Oid,
    Tag,
    Desc,
    Section,
    Definition,
    Drop,
    Copy,
    Schema,
    Tablespace,
    AccessMethod,
    RelKind,
    Owner,
    WithOids,
    Dependency,
    Data,
    End,
}

/// The parser's state between portions.
#[derive(Debug, Clone)]
pub(super) struct TocParser {
    input: Input,
    next: Next,
    created: [i64; 7],
    header: Header,
    count: u64,
    entry: TocEntry,
    had_dumper: bool,
    dependencies: Vec<i32>,
    entries: Vec<TocEntry>,
    by_id: HashMap<i32, usize>,
    names: HashSet<Arc<str>>,
    encoding: Option<String>,
}

impl TocParser {
    /// Starts at the first byte of an archive; `limit` is the most bytes that header and TOC may have.
    pub(super) fn new(limit: u64) -> Self {
        TocParser {
            input: Input::new(limit),
            next: Next::Fixed,
            created: [0; 7],
            header: Header {
                version: (0, 0, 0),
                int_size: 4,
                offset_size: 8,
                created: NaiveDateTime::default(),
                database: String::new(),
                server_version: String::new(),
                dump_version: String::new(),
            },
            count: 0,
            entry: blank(&Arc::from("")),
            had_dumper: false,
            dependencies: Vec::new(),
            entries: Vec::new(),
            by_id: HashMap::new(),
            names: HashSet::new(),
            encoding: None,
        }
    }

    /// Takes the next bytes. When the TOC is complete, says how many of them belong to it.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, ArchiveError> {
        self.input.append(bytes);
        loop {
            if self.next == Next::End {
                return Ok(Some(bytes.len() - self.input.peek().len()));
            }
            match self.step() {
                Ok(()) => {}
                Err(Stop::More) => break,
                Err(stop) => return Err(self.error(stop)),
            }
        }
        self.input.discard_taken();
        Ok(None)
    }

    /// The finished table of contents, once [`TocParser::feed`] has said that it is complete.
    pub(super) fn into_toc(self) -> Result<Toc, ArchiveError> {
        match self.encoding.clone() {
            Some(encoding) => Ok(Toc::new(self.header, encoding, self.entries, self.by_id)),
            None => Err(ArchiveError::Malformed {
                at: self.input.offset(),
                place: "the table of contents".into(),
                what: "there is no ENCODING entry".into(),
            }),
        }
    }

    /// Where in the archive the parser is, for messages.
    pub(super) fn place(&self) -> String {
        if self.next < Next::DumpId {
            return "the header".into();
        }
        let number = self.entries.len() + 1;
        let place = format!("the table of contents, entry {number} of {}", self.count);
        if self.next > Next::Desc { format!("{place} ({})", self.entry.full_name()) } else { place }
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.next = match self.next {
            Next::Fixed => self.fixed()?,
            Next::Compression => self.compression()?,
            Next::Created(part) => {
                self.created[part] = self.input.int()?;
                if part < 6 { Next::Created(part + 1) } else { self.created_complete()? }
            }
            Next::Database => {
                self.header.database = self.input.text()?;
                Next::ServerVersion
            }
            Next::ServerVersion => {
                self.header.server_version = self.input.text()?;
                Next::DumpVersion
            }
            Next::DumpVersion => {
                self.header.dump_version = self.input.text()?;
                Next::Count
            }
            Next::Count => self.count()?,
            Next::DumpId => {
                let id = self.input.int()?;
                self.entry.dump_id = match i32::try_from(id) {
                    Ok(id) if id > 0 && !self.by_id.contains_key(&id) => id,
                    _ => return Err(Stop::Wrong(format!("dump id {id} is out of range or not unique"))),
                };
                Next::HadDumper
            }
            Next::HadDumper => {
                self.had_dumper = match self.input.int()? {
                    0 => false,
                    1 => true,
                    flag => return Err(Stop::Wrong(format!("data flag {flag}"))),
                };
                Next::TableOid
            }
            Next::TableOid => {
                self.entry.table_oid = self.number("catalog OID")?;
                Next::Oid
            }
            Next::Oid => {
                self.entry.oid = self.number("OID")?;
                Next::Tag
            }
            Next::Tag => {
                self.entry.tag = self.input.text()?.into();
                Next::Desc
            }
            Next::Desc => {
                self.entry.desc = self.name()?;
                Next::Section
            }
            Next::Section => {
                self.entry.section = match self.input.int()? {
                    1 => Section::None,
                    2 => Section::PreData,
                    3 => Section::Data,
                    4 => Section::PostData,
                    other => return Err(Stop::Wrong(format!("section {other}"))),
                };
                Next::Definition
            }
            Next::Definition => {
                self.entry.definition = self.input.string()?.unwrap_or_default().into();
                Next::Drop
            }
            Next::Drop => {
                self.input.string()?;
                Next::Copy
            }
            Next::Copy => {
                self.entry.copy = self.copy()?;
                Next::Schema
            }
            Next::Schema => {
                self.entry.schema = self.name()?;
                Next::Tablespace
            }
            Next::Tablespace => {
                self.entry.tablespace = self.name()?;
                Next::AccessMethod
            }
            Next::AccessMethod => {
                self.entry.access_method = self.name()?;
                if self.header.version.1 >= 16 { Next::RelKind } else { Next::Owner }
            }
            Next::RelKind => {
                self.entry.relkind = match self.input.int()? {
                    0 => None,
                    kind @ 1..=127 => Some(kind as u8 as char),
                    kind => return Err(Stop::Wrong(format!("relation kind {kind}"))),
                };
                Next::Owner
            }
            Next::Owner => {
                self.entry.owner = self.name()?;
                Next::WithOids
            }
            Next::WithOids => {
                if self.input.string()? != Some(b"false") {
                    return Err(Stop::Wrong("a table WITH OIDS".into()));
                }
                Next::Dependency
            }
            Next::Dependency => match self.input.string()? {
                None => Next::Data,
                Some(id) => {
                    let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
                    let Some(id) = id else {
                        return Err(Stop::Wrong("a dependency that is no dump id".into()));
                    };
                    self.dependencies.push(id);
                    Next::Dependency
                }
            },
            Next::Data => self.data()?,
            Next::End => Next::End,
        };
        Ok(())
    }

    fn fixed(&mut self) -> Result<Next, Stop> {
        let bytes = self.input.peek();
        let magic = b"PGDMP";
        let seen = bytes.len().min(magic.len());
        if bytes[..seen] != magic[..seen] {
            return Err(Stop::Fail(ArchiveError::NotAnArchive));
        }
        let &[_, _, _, _, _, major, minor, revision, int_size, offset_size, format, ..] = bytes else {
            return Err(Stop::More);
        };
        self.input.bytes(11)?;
        if major != 1 || !(14..=16).contains(&minor) {
            return Err(Stop::Fail(ArchiveError::Version { major, minor }));
        }
        if format != 1 {
            return Err(Stop::Fail(ArchiveError::Format { format }));
        }
        if !(1..=8).contains(&int_size) || !(1..=8).contains(&offset_size) {
            return Err(Stop::Wrong(format!("integers of {int_size} and offsets of {offset_size} bytes")));
        }
        self.header.version = (major, minor, revision);
        self.header.int_size = int_size;
        self.input.int_size = int_size.into();
        self.header.offset_size = offset_size;
        Ok(Next::Compression)
    }

    /// A zlib level before 1.15, afterwards a `pg_compress_algorithm` (src/include/common/compression.h).
    fn compression(&mut self) -> Result<Next, Stop> {
        let method = if self.header.version.1 < 15 {
            match self.input.int()? {
                0 => return Ok(Next::Created(0)),
                level => format!("gzip, level {level}"),
            }
        } else {
            match self.input.bytes(1)?[0] {
                0 => return Ok(Next::Created(0)),
                1 => "gzip".to_string(),
                2 => "lz4".to_string(),
                3 => "zstd".to_string(),
                other => format!("unknown method {other}"),
            }
        };
        Err(Stop::Fail(ArchiveError::Compressed { method }))
    }

    /// The parts are those of `struct tm`: second, minute, hour, day, month from 0, year from 1900, daylight saving.
    fn created_complete(&mut self) -> Result<Next, Stop> {
        let [second, minute, hour, day, month, year, _] = self.created;
        let part = |value: i64| u32::try_from(value).ok();
        let date = i32::try_from(year).ok().and_then(|year| year.checked_add(1900)).and_then(|year| {
            let month = part(month)?.checked_add(1)?;
            NaiveDate::from_ymd_opt(year, month, part(day)?)?.and_hms_opt(
                part(hour)?,
                part(minute)?,
                // A leap second.
                part(second).map(|second| if second == 60 { 59 } else { second })?,
            )
        });
        self.header.created = date.ok_or_else(|| Stop::Wrong("the time of creation is no time".into()))?;
        Ok(Next::Database)
    }

    fn count(&mut self) -> Result<Next, Stop> {
        let count = self.input.int()?;
        self.count = match u64::try_from(count) {
            Ok(count) if count <= self.input.limit() / LEAST_ENTRY => count,
            Ok(count) => return Err(Stop::Large(format!("a table of contents of {count} entries"))),
            Err(_) => return Err(Stop::Wrong(format!("a table of contents of {count} entries"))),
        };
        Ok(self.entry_or_end())
    }

    fn entry_or_end(&self) -> Next {
        if (self.entries.len() as u64) < self.count { Next::DumpId } else { Next::End }
    }

    fn copy(&mut self) -> Result<Option<Box<CopyTarget>>, Stop> {
        let Some(statement) = self.input.string()? else { return Ok(None) };
        if statement.is_empty() {
            return Ok(None);
        }
        match ident::copy_target(&readable(statement)) {
            Some(target) => Ok(Some(Box::new(target))),
            None => Err(Stop::Wrong("a copy statement of unknown form".into())),
        }
    }

    /// The last field of an entry: a state byte (`K_OFFSET_…` in pg_backup_archiver.h) and an offset.
    fn data(&mut self) -> Result<Next, Stop> {
        let size = self.header.offset_size as usize;
        let bytes = self.input.bytes(1 + size)?;
        let (state, offset) = (bytes[0], little_endian(&bytes[1..]));
        self.entry.data = match state {
            1 if self.had_dumper => DataState::SomeWhere,
            2 if self.had_dumper => DataState::At(offset),
            3 if !self.had_dumper => DataState::NoData,
            _ => return Err(Stop::Wrong(format!("data state {state}"))),
        };
        self.entry.dependencies = std::mem::take(&mut self.dependencies).into();
        self.check_entry()?;
        let fresh = blank(&self.intern(""));
        let entry = std::mem::replace(&mut self.entry, fresh);
        self.by_id.insert(entry.dump_id, self.entries.len());
        self.entries.push(entry);
        Ok(self.entry_or_end())
    }

    /// What an inventory relies on must be readable now, while the fault can still be named.
    fn check_entry(&mut self) -> Result<(), Stop> {
        match &*self.entry.desc {
            "ENCODING" => {
                let value = std::str::from_utf8(&self.entry.definition).ok();
                match value.and_then(|text| ident::setting_value(text, "client_encoding")) {
                    Some(encoding) if self.encoding.is_none() => self.encoding = Some(encoding.to_string()),
                    _ => return Err(Stop::Wrong("no encoding, or a second one".into())),
                }
            }
            "SEQUENCE SET" if self.entry.sequence_value().is_none() => {
                return Err(Stop::Wrong("a sequence value of unknown form".into()));
            }
            "TABLE DATA" | "BLOBS" if !self.entry.has_data() => {
                return Err(Stop::Wrong("has no data".into()));
            }
            "TABLE DATA" | "BLOBS" => {}
            _ if self.entry.has_data() => return Err(Stop::Wrong("has data, but of an unknown kind".into())),
            _ => {}
        }
        Ok(())
    }

    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return known.clone();
        }
        let name: Arc<str> = text.into();
        self.names.insert(name.clone());
        name
    }

    fn name(&mut self) -> Result<Arc<str>, Stop> {
        let text = self.input.text()?;
        Ok(self.intern(&text))
    }

    fn number(&mut self, what: &str) -> Result<u32, Stop> {
        self.input.text()?.parse().map_err(|_| Stop::Wrong(format!("the {what} is no number")))
    }

    fn error(&self, stop: Stop) -> ArchiveError {
        let (at, place) = (self.input.offset(), self.place());
        match stop {
            Stop::Fail(error) => error,
            Stop::More => ArchiveError::Truncated { at, place },
            Stop::Wrong(what) => ArchiveError::Malformed { at, place, what },
            Stop::Large(what) => ArchiveError::TooLarge { at, place, what, limit: self.input.limit() },
        }
    }
}

fn blank(empty: &Arc<str>) -> TocEntry {
    TocEntry {
        dump_id: 0,
        table_oid: 0,
        oid: 0,
        tag: Box::from(""),
        desc: empty.clone(),
        section: Section::None,
        definition: Box::default(),
        copy: None,
        schema: empty.clone(),
        tablespace: empty.clone(),
        access_method: empty.clone(),
        relkind: None,
        owner: empty.clone(),
        dependencies: Box::default(),
        data: DataState::NoData,
    }
}
