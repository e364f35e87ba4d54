//! Follows an archive as its bytes pass, and says at the end whether it was all there.

use std::collections::HashMap;

use crc_fast::{CrcAlgorithm, Digest};
use mongodb::bson::RawDocument;

use super::error::ArchiveError;
use super::namespace::Namespace;
use super::parts::{BlockHeader, Next, next};
use super::prelude::{CollectionEntry, CollectionKind, Header, MAGIC, Prelude};
use super::summary::{Content, Event, Summary};
use crate::error::Result;

/// A prelude may have this many bytes: 256 MiB, some hundred thousand collections.
const PRELUDE_LIMIT: u64 = 256 << 20;
/// The checksum follows the digest in steps of this many bytes, so that it finds them in the cache.
const STEP: usize = 64 << 10;
/// The reader sorts time series by server version: from here on they have no buckets collection of their own.
const WITHOUT_BUCKETS: (u32, u32) = (8, 3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    Header,
    Entries,
    /// Between blocks: here an archive may end.
    Block,
    Segment {
        namespace: usize,
    },
    /// After the header that ends a namespace; only a terminator may follow.
    End {
        namespace: usize,
        buckets: bool,
    },
}

/// Where a namespace is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Unopened,
    Open,
    Ended,
}

/// A namespace under way.
struct Track {
    content: Content,
    crc: Digest,
    progress: Progress,
    /// Whether its blocks come under the name of the buckets collection; fixed by the first.
    buckets: Option<bool>,
}

type Sink<'s> = &'s mut dyn FnMut(Event<'_>) -> Result<()>;

/// Why reading stops: the archive, or whoever takes the events.
enum Stop {
    Archive(ArchiveError),
    Sink(crate::error::Error),
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Stop::Archive(error)
    }
}

/// A reader that is fed the bytes of an archive in any portions; memory does not grow with the data.
pub struct ArchiveReader {
    state: State,
    /// The offset of the next byte that was not yet understood; `part` begins there.
    at: u64,
    /// The beginning of something of which only a part has come.
    part: Vec<u8>,
    limit: u64,
    header: Option<Header>,
    entries: Vec<CollectionEntry>,
    prelude: Option<Prelude>,
    /// By the names that blocks may have: the entry, and whether the name is that of its buckets.
    names: HashMap<Namespace, (usize, bool)>,
    tracks: Vec<Track>,
    block_at: u64,
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
        Self::with_prelude_limit(PRELUDE_LIMIT)
    }

    /// Like [`ArchiveReader::new`], with another limit in bytes for the prelude.
    pub fn with_prelude_limit(limit: u64) -> Self {
        ArchiveReader {
            state: State::Magic,
            at: 0,
            part: Vec::new(),
            limit,
            header: None,
            entries: Vec::new(),
            prelude: None,
            names: HashMap::new(),
            tracks: Vec::new(),
            block_at: 0,
            failed: None,
        }
    }

    /// The prelude, once it is complete.
    pub fn prelude(&self) -> Option<&Prelude> {
        self.prelude.as_ref()
    }

    /// The offset of the next byte to be fed.
    pub fn offset(&self) -> u64 {
        self.at + self.part.len() as u64
    }

    /// Takes the next bytes of the stream and tells what they hold.
    ///
    /// # Errors
    /// [`crate::error::Kind::Damaged`] at the first byte that cannot be right, or what `sink` fails
    /// with; every later call fails too.
    pub fn feed(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        match self.feed_parts(bytes, sink) {
            Ok(()) => Ok(()),
            Err(Stop::Archive(error)) => {
                self.failed = Some(error.clone());
                Err(error.into())
            }
            Err(Stop::Sink(error)) => {
                self.failed = Some(ArchiveError::GivenUp { at: self.at });
                Err(error)
            }
        }
    }

    /// The stream ended cleanly.
    ///
    /// # Errors
    /// [`crate::error::Kind::Damaged`] unless every namespace of the prelude has come to its end.
    pub fn finish(self) -> Result<Summary> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let (at, length) = (self.at, self.at + self.part.len() as u64);
        let place = match self.state {
            State::Block if self.part.is_empty() => None,
            State::Block => Some(format!("the header of the block at byte {at}")),
            State::Segment { namespace } | State::End { namespace, .. } => {
                let entry = self.prelude.as_ref().and_then(|prelude| prelude.entries.get(namespace));
                Some(format!("a block of {}", entry.map(|e| e.namespace.to_string()).unwrap_or_default()))
            }
            State::Magic | State::Header | State::Entries => Some("the prelude".to_owned()),
        };
        match (self.prelude, place) {
            (Some(prelude), None) => {
                let mut missing = prelude
                    .entries
                    .iter()
                    .zip(&self.tracks)
                    .filter(|(_, track)| track.progress != Progress::Ended)
                    .map(|(entry, _)| entry.namespace.to_string());
                if let Some(namespace) = missing.next() {
                    return Err(ArchiveError::Missing { at: length, namespace, more: missing.count() }.into());
                }
                let contents = self.tracks.iter().map(|track| track.content).collect();
                drop(missing);
                Ok(Summary { prelude, contents, length })
            }
            (_, place) => {
                let place = place.unwrap_or_else(|| "the prelude".to_owned());
                Err(ArchiveError::Truncated { at: length, place }.into())
            }
        }
    }

    fn feed_parts(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> Result<(), Stop> {
        while !bytes.is_empty() {
            bytes = if self.part.is_empty() { self.whole(bytes, sink)? } else { self.complete(bytes, sink)? };
        }
        Ok(())
    }

    /// Adds to what has come in part, until it is whole.
    fn complete<'b>(&mut self, bytes: &'b [u8], sink: Sink<'_>) -> Result<&'b [u8], Stop> {
        let mut rest = bytes;
        if self.part.len() < 4 {
            rest = self.grow(rest, 4);
        }
        let Some(head) = self.part.first_chunk::<4>() else { return Ok(rest) };
        let length = self.length(*head)?;
        let rest = self.grow(rest, length);
        if self.part.len() == length {
            // The buffer is put back, so that it is made once.
            let mut part = std::mem::take(&mut self.part);
            let done = self.one(&part, sink);
            part.clear();
            self.part = part;
            done?;
        }
        Ok(rest)
    }

    fn grow<'b>(&mut self, bytes: &'b [u8], length: usize) -> &'b [u8] {
        let (more, rest) = bytes.split_at(bytes.len().min(length.saturating_sub(self.part.len())));
        self.part.extend_from_slice(more);
        rest
    }

    /// Takes what lies whole in these bytes; keeps a part at their end.
    fn whole<'b>(&mut self, bytes: &'b [u8], sink: Sink<'_>) -> Result<&'b [u8], Stop> {
        let used = match self.state {
            State::Segment { namespace } => self.documents(namespace, bytes, sink)?,
            _ => 0,
        };
        let rest = &bytes[used..];
        let whole = match rest.first_chunk::<4>() {
            Some(head) => self.length(*head)?,
            None => usize::MAX,
        };
        match rest.split_at_checked(whole) {
            Some((one, rest)) => {
                self.one(one, sink)?;
                Ok(rest)
            }
            None => {
                self.part.extend_from_slice(rest);
                Ok(&[])
            }
        }
    }

    /// How long that is which begins with these bytes.
    fn length(&self, head: [u8; 4]) -> Result<usize, ArchiveError> {
        if self.state == State::Magic {
            return if head == MAGIC { Ok(4) } else { Err(ArchiveError::NotAnArchive) };
        }
        let length = match next(head) {
            Ok(Next::Terminator) => 4,
            Ok(Next::Document(length)) => length,
            Err(length) => {
                let what = format!("{length} is neither the length of a document nor the end of a block");
                return Err(self.malformed(what));
            }
        };
        if self.prelude.is_none() && self.at + length as u64 > self.limit {
            return Err(ArchiveError::TooLarge { at: self.at, limit: self.limit });
        }
        Ok(length)
    }

    /// The hot path: the documents of a segment that lie whole in these bytes. Gives their length.
    fn documents(&mut self, namespace: usize, bytes: &[u8], sink: Sink<'_>) -> Result<usize, Stop> {
        let start = self.at;
        let (mut used, mut summed) = (0, 0);
        let Some(track) = self.tracks.get_mut(namespace) else { return Ok(0) };
        while let Some(head) = bytes[used..].first_chunk::<4>() {
            let Ok(Next::Document(length)) = next(*head) else { break };
            let Some(document) = bytes[used..].get(..length) else { break };
            if document.last() != Some(&0) {
                break;
            }
            track.content.rows += 1;
            track.content.digest.add(document);
            sink(Event::Document { namespace, bytes: document, at: start + used as u64 })
                .map_err(Stop::Sink)?;
            used += length;
            if used - summed >= STEP {
                track.crc.update(&bytes[summed..used]);
                summed = used;
            }
        }
        track.crc.update(&bytes[summed..used]);
        track.content.bytes += used as u64;
        self.at += used as u64;
        Ok(used)
    }

    /// Takes one whole document, terminator or magic number, which stands at `self.at`.
    fn one(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Stop> {
        let terminator = self.state != State::Magic && bytes.len() == 4;
        if !terminator && bytes.len() > 4 && bytes.last() != Some(&0) {
            return Err(self.malformed("a document does not end with a zero").into());
        }
        let after = self.at + bytes.len() as u64;
        match self.state {
            State::Magic => self.state = State::Header,
            State::Header | State::Block if terminator => {
                return Err(self.malformed("a terminator without a block").into());
            }
            State::Header => {
                let parsed = parse(bytes, Header::parse);
                self.header = Some(parsed.map_err(|what| self.malformed(what))?);
                self.state = State::Entries;
            }
            State::Entries if terminator => self.begin(after, sink)?,
            State::Entries => {
                let parsed = parse(bytes, CollectionEntry::parse);
                self.entries.push(parsed.map_err(|what| self.malformed(what))?);
            }
            State::Block => self.block(bytes, sink)?,
            State::Segment { namespace } if terminator => {
                self.state = State::Block;
                sink(Event::SegmentEnd { namespace, at: after }).map_err(Stop::Sink)?;
            }
            State::Segment { namespace } => {
                // A document that came in parts.
                self.documents(namespace, bytes, sink)?;
                return Ok(());
            }
            State::End { namespace, buckets } if terminator => {
                self.state = State::Block;
                let crc = self.tracks.get(namespace).map_or(0, |track| track.content.crc);
                sink(Event::NamespaceEnd { namespace, buckets, crc, at: after }).map_err(Stop::Sink)?;
            }
            State::End { .. } => return Err(self.malformed("a document after the end").into()),
        }
        self.at = after;
        Ok(())
    }

    /// The prelude is complete.
    fn begin(&mut self, after: u64, sink: Sink<'_>) -> Result<(), Stop> {
        let Some(header) = self.header.take() else {
            return Err(self.malformed("a prelude without a header").into());
        };
        let old = header.server().is_some_and(|version| version < WITHOUT_BUCKETS);
        for (place, entry) in self.entries.iter().enumerate() {
            let mut names = Vec::new();
            if entry.shape() == CollectionKind::TimeSeries {
                names.push((entry.namespace.buckets(), true));
            }
            // Newer servers can do without; what a tool that does not know it writes is read, too.
            if entry.shape() != CollectionKind::TimeSeries || !old {
                names.push((entry.namespace.clone(), false));
            }
            for (name, buckets) in names {
                let what = format!("{name} is there twice");
                if self.names.insert(name, (place, buckets)).is_some() {
                    return Err(self.malformed(what).into());
                }
            }
            self.tracks.push(Track {
                content: Content::default(),
                crc: Digest::new(CrcAlgorithm::Crc64Xz),
                progress: Progress::Unopened,
                buckets: None,
            });
        }
        self.state = State::Block;
        let prelude = self.prelude.insert(Prelude { header, entries: std::mem::take(&mut self.entries) });
        sink(Event::Prelude { prelude, at: after }).map_err(Stop::Sink)
    }

    /// The header of a block.
    fn block(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Stop> {
        let at = self.at;
        let header = BlockHeader::parse(bytes)
            .map_err(|why| self.malformed(format!("this is no header of a block: {why}")))?;
        let name = || header.namespace.to_string();
        let Some((namespace, buckets)) = self.names.get(&header.namespace).copied() else {
            return Err(ArchiveError::Unannounced { at, namespace: name() }.into());
        };
        let Some(track) = self.tracks.get_mut(namespace) else { return Ok(()) };
        if track.progress == Progress::Ended {
            return Err(ArchiveError::Ended { at, namespace: name() }.into());
        }
        if *track.buckets.get_or_insert(buckets) != buckets {
            return Err(ArchiveError::Unannounced { at, namespace: name() }.into());
        }
        track.content.at.get_or_insert(at);
        track.progress = Progress::Open;
        self.block_at = at;
        if !header.end {
            self.state = State::Segment { namespace };
            return sink(Event::SegmentStart { namespace, buckets, at }).map_err(Stop::Sink);
        }
        let found = track.crc.finalize();
        if found != header.crc {
            let namespace = name();
            return Err(ArchiveError::Checksum { at, namespace, expected: header.crc, found }.into());
        }
        track.content.crc = found;
        track.progress = Progress::Ended;
        self.state = State::End { namespace, buckets };
        Ok(())
    }

    fn malformed(&self, what: impl Into<String>) -> ArchiveError {
        let place = match self.state {
            State::Magic | State::Header | State::Entries => "the prelude".to_owned(),
            State::Block => "between blocks".to_owned(),
            State::Segment { namespace } | State::End { namespace, .. } => {
                let entry = self.prelude.as_ref().and_then(|prelude| prelude.entries.get(namespace));
                let name = entry.map(|entry| entry.namespace.to_string()).unwrap_or_default();
                format!("the block of {name} at byte {}", self.block_at)
            }
        };
        ArchiveError::Malformed { at: self.at, place, what: what.into() }
    }
}

fn parse<T>(bytes: &[u8], by: impl FnOnce(&RawDocument) -> Result<T, String>) -> Result<T, String> {
    by(RawDocument::from_bytes(bytes).map_err(|error| error.to_string())?)
}
