//! Archives for tests: real ones made by pg_dump, and small ones made here, right or wrong on purpose.

use super::{Archive, ArchiveError, ArchiveReader, Event};

pub(super) const PG15: &[u8] = include_bytes!("../../../../tests/data/archives/pg_dump-15.dump");
pub(super) const PG17: &[u8] = include_bytes!("../../../../tests/data/archives/pg_dump-17.dump");
pub(super) const EXTENSION: &[u8] =
    include_bytes!("../../../../tests/data/archives/pg_dump-17-extension.dump");
pub(super) const NO_DATA: &[u8] = include_bytes!("../../../../tests/data/archives/pg_dump-17-no-data.dump");

/// Reads a whole archive in portions.
pub(super) fn read(bytes: &[u8], portion: usize) -> Result<(Archive, Vec<Event>), ArchiveError> {
    let mut reader = ArchiveReader::new();
    let mut events = Vec::new();
    for part in bytes.chunks(portion.max(1)) {
        reader.feed(part, &mut |event| events.push(event))?;
    }
    Ok((reader.finish()?, events))
}

/// The offset just after the table of contents.
pub(super) fn toc_end(bytes: &[u8]) -> usize {
    let mut end = None;
    let _ = ArchiveReader::new().feed(bytes, &mut |event| {
        if let Event::TocEnd { at } = event {
            end = Some(at as usize);
        }
    });
    end.expect("the table of contents is complete")
}

/// Writes archives as pg_dump does.
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    minor: u8,
    int_size: u8,
}

/// One entry to be written.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) id: i64,
    pub(super) tag: &'a str,
    pub(super) desc: &'a str,
    pub(super) schema: &'a str,
    pub(super) definition: &'a str,
    pub(super) copy: Option<&'a str>,
    pub(super) dependencies: &'a [&'a str],
    pub(super) data: bool,
    pub(super) offset: Option<u64>,
}

pub(super) const ENCODING: Entry = Entry {
    id: 1,
    tag: "ENCODING",
    desc: "ENCODING",
    schema: "",
    definition: "SET client_encoding = 'UTF8';\n",
    copy: None,
    dependencies: &[],
    data: false,
    offset: None,
};

pub(super) const ROWS: Entry = Entry {
    id: 2,
    tag: "t",
    desc: "TABLE DATA",
    schema: "public",
    definition: "",
    copy: Some("COPY public.t (a) FROM stdin;\n"),
    dependencies: &[],
    data: true,
    offset: None,
};

pub(super) const OBJECTS: Entry = Entry { id: 3, tag: "BLOBS", desc: "BLOBS", copy: None, ..ROWS };

impl Writer {
    /// An archive of version 1.`minor` with integers of `int_size` bytes, up to the number of its entries.
    pub(super) fn head(minor: u8, int_size: u8, entries: i64) -> Self {
        let mut writer = Writer { bytes: b"PGDMP\x01".to_vec(), minor, int_size };
        writer.bytes.extend([minor, 0, int_size, 8, 1]);
        if minor < 15 {
            writer.int(0);
        } else {
            writer.bytes.push(0);
        }
        [1, 2, 3, 24, 10, 126, 0].into_iter().for_each(|part| writer.int(part));
        ["db", "15.1", "15.1"].into_iter().for_each(|text| writer.string(Some(text)));
        writer.int(entries);
        writer
    }

    /// A whole table of contents of these entries, as pg_dump 17 writes it.
    pub(super) fn toc(entries: &[Entry]) -> Self {
        let mut writer = Self::head(16, 4, entries.len() as i64);
        entries.iter().for_each(|entry| writer.entry(*entry));
        writer
    }

    pub(super) fn int(&mut self, value: i64) {
        self.bytes.push(u8::from(value < 0));
        self.bytes.extend(&value.unsigned_abs().to_le_bytes()[..self.int_size.into()]);
    }

    pub(super) fn string(&mut self, text: Option<&str>) {
        self.int(text.map_or(-1, |text| text.len() as i64));
        self.bytes.extend(text.unwrap_or_default().as_bytes());
    }

    pub(super) fn entry(&mut self, entry: Entry) {
        self.int(entry.id);
        self.int(entry.data.into());
        for text in ["0", "16400", entry.tag, entry.desc] {
            self.string(Some(text));
        }
        self.int(if entry.data { 3 } else { 2 });
        for text in [Some(entry.definition), Some(""), entry.copy, Some(entry.schema), None, None] {
            self.string(text);
        }
        if self.minor >= 16 {
            self.int(0);
        }
        self.string(Some("owner"));
        self.string(Some("false"));
        entry.dependencies.iter().for_each(|id| self.string(Some(id)));
        self.string(None);
        self.bytes.push(match (entry.data, entry.offset) {
            (false, _) => 3,
            (true, None) => 1,
            (true, Some(_)) => 2,
        });
        self.bytes.extend(entry.offset.unwrap_or(0).to_le_bytes());
    }

    pub(super) fn block(&mut self, kind: u8, id: i64) {
        self.bytes.push(kind);
        self.int(id);
    }

    /// A chunk for each part, then the end.
    pub(super) fn chunks(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.int(part.len() as i64);
            self.bytes.extend(*part);
        }
        self.int(0);
    }

    /// A block of rows, in one chunk, with its terminator.
    pub(super) fn rows(&mut self, id: i64, rows: &str) {
        self.block(1, id);
        self.chunks(&[rows.as_bytes(), b"\\.\n\n\n"]);
    }
}
