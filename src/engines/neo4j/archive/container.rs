//! The outside of a dump: its magic, and one zstd frame to its very end.

use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use crate::error::{Error, Kind, Result};

/// Bytes of the magic.
const MAGIC: usize = 4;

/// Where the frame header descriptor (RFC 8878, 3.1.1.1.1) is in a frame.
const DESCRIPTOR: usize = 4;

/// Its bit for a content checksum.
const HAS_CHECKSUM: u8 = 1 << 2;

/// The first bytes of a zstd frame.
const ZSTD_FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A frame's window may have this many bits (32 MiB). Neo4j writes 21; more would be memory that nobody planned for.
const WINDOW_BITS: u32 = 25;

/// Bytes that are decompressed at once.
const PORTION: usize = 256 * 1024;

/// Takes the bytes of a dump and gives out what is in the frame.
pub(super) struct Container {
    /// Bytes of the dump that were taken.
    at: u64,
    opening: Opening,
    decoder: Decoder<'static>,
    portion: Vec<u8>,
    ended: bool,
}

/// How much of the beginning is known.
enum Opening {
    /// Less than magic and frame header.
    Collecting(Vec<u8>),
    /// The frame is being read.
    Frame,
}

impl Container {
    pub(super) fn new() -> Result<Container> {
        let cannot = |cause| Error::new(Kind::Failed, "zstd cannot start").because(cause);
        let mut decoder = Decoder::new().map_err(cannot)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_BITS)).map_err(cannot)?;
        Ok(Container {
            at: 0,
            opening: Opening::Collecting(Vec::new()),
            decoder,
            portion: vec![0; PORTION],
            ended: false,
        })
    }

    /// Bytes of the dump that were taken so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next bytes, and hands out what they decompress to.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with the position in the dump; those of `take`.
    pub(super) fn feed(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Opening::Collecting(seen) = &mut self.opening else { return self.frame(bytes, take) };
        let missing = (MAGIC + DESCRIPTOR + 1).saturating_sub(seen.len());
        let (now, rest) = bytes.split_at(missing.min(bytes.len()));
        seen.extend_from_slice(now);
        if seen.len() < MAGIC + DESCRIPTOR + 1 {
            return Ok(());
        }
        let seen = std::mem::take(seen);
        let frame = open(&seen)?;
        self.opening = Opening::Frame;
        self.at = (seen.len() - frame.len()) as u64;
        self.frame(frame, take)?;
        self.frame(rest, take)
    }

    fn frame(&mut self, mut bytes: &[u8], take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        loop {
            if self.ended {
                return match bytes.len() {
                    0 => Ok(()),
                    _ => Err(self.damaged("goes on after its end")),
                };
            }
            let step = self.decoder.run_on_buffers(bytes, &mut self.portion);
            let step = step.map_err(|cause| self.damaged("does not decompress").because(cause))?;
            self.at += step.bytes_read as u64;
            bytes = bytes.get(step.bytes_read..).unwrap_or_default();
            self.ended = step.remaining == 0;
            take(&self.portion[..step.bytes_written])?;
            // A full portion may not be all that the bytes taken so far give.
            if bytes.is_empty() && step.bytes_written < self.portion.len() && !self.ended {
                return Ok(());
            }
        }
    }

    /// Looks whether all has come.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when the end is missing.
    pub(super) fn finish(&self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let seen = match &self.opening {
            Opening::Collecting(seen) => seen.len() as u64,
            Opening::Frame => self.at,
        };
        Err(Error::new(Kind::Damaged, format!("the dump ends early, after {seen} bytes"))
            .hint("neo4j-admin was killed, or its output was cut: take the backup again"))
    }

    fn damaged(&self, how: &str) -> Error {
        Error::new(Kind::Damaged, format!("the dump {how}, at byte {}", self.at))
    }
}

/// What of the first bytes belongs to the frame.
fn open(seen: &[u8]) -> Result<&[u8]> {
    let frame = match &seen[..MAGIC] {
        b"DZV1" => &seen[MAGIC..],
        // Dumps of Neo4j 4.x have no magic of their own.
        first if first == ZSTD_FRAME => seen,
        b"DGV1" | [0x1f, 0x8b, ..] => {
            return Err(Error::new(Kind::Failed, "the dump is compressed by gzip, so it does not say what it holds")
                .hint("neo4j-admin could not load its zstd library (its first message says why): install a JDK for glibc"));
        }
        b"NBK1" | b"BZV1" | b"BTV1" | b"BZV2" | b"BTV2" => {
            return Err(Error::new(Kind::Damaged, "this is a backup of Neo4j Enterprise, not a dump"));
        }
        other => {
            let what = format!("this is no dump of neo4j-admin: it begins with `{}`", other.escape_ascii());
            return Err(Error::new(Kind::Damaged, what)
                .hint("neo4j-admin before 5.19 wrote log lines into the dump: use a newer one"));
        }
    };
    if frame[..MAGIC] != ZSTD_FRAME {
        return Err(Error::new(Kind::Damaged, "the dump has no zstd frame at byte 4"));
    }
    if frame[DESCRIPTOR] & HAS_CHECKSUM == 0 {
        return Err(Error::new(Kind::Damaged, "the dump has no checksum, at byte 8"));
    }
    Ok(frame)
}
