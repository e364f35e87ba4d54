//! Independent zstd frames: where they are cut, how they are made and read back.
//!
//! An object is a sequence of zstd frames (RFC 8878), each with its content size and checksum, so
//! the whole is a plain `.zst` for `zstd -d`, and any frame can be read alone. A frame holds at most
//! [`MAX_FRAME`] raw bytes. Where an item begins, a new frame begins if the current one holds at
//! least [`MIN_FRAME`] or the item itself grows that large; small items share a frame, since a
//! frame for each of thousands of tiny tables would cost more than half of the compression.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::error::{Error, Explain, Kind, Result};
use crate::pipeline::inventory::Place;

/// Raw bytes in a frame, at most.
pub const MAX_FRAME: usize = 4 << 20;
/// Raw bytes that make a frame or an item large enough to be cut off.
pub const MIN_FRAME: usize = 1 << 20;

/// Sizes of one object's frames, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FrameTable {
    /// Raw bytes of each frame.
    pub raw: Vec<u32>,
    /// Stored bytes of each frame.
    pub stored: Vec<u32>,
}

impl FrameTable {
    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// True for an object without a frame.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Adds a frame.
    pub fn push(&mut self, raw: u32, stored: u32) {
        self.raw.push(raw);
        self.stored.push(stored);
    }

    /// Where each frame begins in the raw stream, with the stream's length as the last entry.
    pub fn raw_starts(&self) -> Vec<u64> {
        starts(&self.raw)
    }

    /// Where each frame begins in the stored stream, with the stored length as the last entry.
    pub fn stored_starts(&self) -> Vec<u64> {
        starts(&self.stored)
    }

    /// Checks that the table speaks of `raw` and `stored` bytes in all, and of frames that can be.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it does not.
    pub fn check(&self, name: &str, raw: u64, stored: u64) -> Result<()> {
        let sane = self.raw.len() == self.stored.len()
            && self.raw.iter().all(|&r| r as usize <= MAX_FRAME)
            && self.raw.iter().map(|&r| u64::from(r)).sum::<u64>() == raw
            && self.stored.iter().map(|&s| u64::from(s)).sum::<u64>() == stored;
        if sane {
            return Ok(());
        }
        Err(Error::new(Kind::Damaged, format!("the frame index of {name} does not fit the object"))
            .hint("the backup is damaged; restore another one, and run `lifeboat verify` on all of them"))
    }
}

fn starts(sizes: &[u32]) -> Vec<u64> {
    let mut at = 0u64;
    let mut out = Vec::with_capacity(sizes.len() + 1);
    out.push(0);
    for &size in sizes {
        at += u64::from(size);
        out.push(at);
    }
    out
}

/// The place of a raw position, from what [`FrameTable::raw_starts`] gave; `None` where there is none.
pub fn place_of(raw_starts: &[u64], at: u64) -> Option<Place> {
    let frame = raw_starts.partition_point(|&start| start <= at).checked_sub(1)?;
    Some(Place { frame: u32::try_from(frame).ok()?, offset: at.checked_sub(*raw_starts.get(frame)?)? })
}

/// Decides where frames end. Feed it bytes and starts of items; it hands over whole frames.
#[derive(Debug)]
pub struct FrameCutter {
    buffer: Vec<u8>,
    /// Where in the buffer the newest item begins, if the frame may yet be cut there.
    item: Option<usize>,
}

impl Default for FrameCutter {
    fn default() -> Self {
        FrameCutter { buffer: Vec::with_capacity(MAX_FRAME), item: None }
    }
}

impl FrameCutter {
    /// Takes as many bytes as fit, and returns how many, with a frame if one is now full.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<Vec<u8>>) {
        let goal = match self.item {
            Some(at) if at > 0 => (at + MIN_FRAME).min(MAX_FRAME),
            _ => MAX_FRAME,
        };
        let take = bytes.len().min(goal - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..take]);
        if self.buffer.len() < goal {
            return (take, None);
        }
        let frame = match self.item.take() {
            Some(at) if at > 0 => self.split(at),
            _ => self.take(),
        };
        (take, Some(frame))
    }

    /// Says that an item begins at the current position. Returns a frame if one ends here.
    pub fn item_starts(&mut self) -> Option<Vec<u8>> {
        if self.buffer.len() >= MIN_FRAME {
            self.item = None;
            return Some(self.take());
        }
        self.item = Some(self.buffer.len());
        None
    }

    /// Ends the frame at the current position, if it holds anything.
    pub fn cut(&mut self) -> Option<Vec<u8>> {
        self.item = None;
        if self.buffer.is_empty() { None } else { Some(self.take()) }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.buffer, Vec::with_capacity(MAX_FRAME))
    }

    /// Ends the frame at `at`; what follows begins the next one.
    fn split(&mut self, at: usize) -> Vec<u8> {
        let mut rest = Vec::with_capacity(MAX_FRAME);
        rest.extend_from_slice(&self.buffer[at..]);
        self.buffer.truncate(at);
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// Makes and reads frames; contexts are kept and used again, by several threads at once.
#[derive(Clone)]
pub struct FrameCoder(Arc<Contexts>);

struct Contexts {
    level: i32,
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

impl std::fmt::Debug for FrameCoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FrameCoder(level {})", self.0.level)
    }
}

impl FrameCoder {
    /// Makes frames at this zstd level (1 to 19; decompression does not depend on it).
    pub fn new(level: i32) -> Self {
        FrameCoder(Arc::new(Contexts {
            level,
            compressors: Mutex::new(Vec::new()),
            decompressors: Mutex::new(Vec::new()),
        }))
    }

    /// Compresses one frame.
    ///
    /// # Errors
    /// [`Kind::Failed`] when zstd cannot (out of memory).
    pub fn compress(&self, raw: &[u8]) -> Result<Vec<u8>> {
        let what = || "zstd cannot compress a frame".to_owned();
        let pooled = self.0.compressors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = match pooled {
            Some(compressor) => compressor,
            None => {
                let mut new = Compressor::new(self.0.level).explain(Kind::Failed, what)?;
                new.set_parameter(CParameter::ChecksumFlag(true)).explain(Kind::Failed, what)?;
                new.set_parameter(CParameter::ContentSizeFlag(true)).explain(Kind::Failed, what)?;
                new
            }
        };
        let stored = compressor.compress(raw).explain(Kind::Failed, what)?;
        self.0.compressors.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        Ok(stored)
    }

    /// Decompresses one frame, whose raw size the frame index gives.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when the bytes are no such frame or its checksum does not agree.
    pub fn decompress(&self, stored: &[u8], raw: usize) -> Result<Vec<u8>> {
        let what = || "a zstd frame is damaged".to_owned();
        let pooled = self.0.decompressors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decompressor = match pooled {
            Some(decompressor) => decompressor,
            None => Decompressor::new().explain(Kind::Failed, || "zstd cannot start".to_owned())?,
        };
        let bytes = decompressor.decompress(stored, raw).explain(Kind::Damaged, what)?;
        self.0.decompressors.lock().unwrap_or_else(PoisonError::into_inner).push(decompressor);
        if bytes.len() != raw {
            return Err(Error::new(
                Kind::Damaged,
                format!("a zstd frame holds {} bytes instead of {raw}", bytes.len()),
            ));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push_all(cutter: &mut FrameCutter, mut bytes: &[u8], frames: &mut Vec<usize>) {
        while !bytes.is_empty() {
            let (took, frame) = cutter.push(bytes);
            bytes = &bytes[took..];
            frames.extend(frame.map(|f| f.len()));
        }
    }

    fn frames_of(items: &[usize]) -> Vec<usize> {
        let mut cutter = FrameCutter::default();
        let mut frames = Vec::new();
        for &size in items {
            frames.extend(cutter.item_starts().map(|f| f.len()));
            push_all(&mut cutter, &vec![7; size], &mut frames);
        }
        frames.extend(cutter.cut().map(|f| f.len()));
        frames
    }

    #[test]
    fn small_items_share_a_frame() {
        assert_eq!(frames_of(&[10; 50]), [500]);
        let many = frames_of(&[1000; 3000]);
        assert_eq!(many.iter().sum::<usize>(), 3_000_000);
        assert!(many.len() == 3 && many[0] >= MIN_FRAME, "{many:?}");
    }

    #[test]
    fn a_large_item_begins_its_own_frame_even_after_a_small_one() {
        assert_eq!(frames_of(&[100, 2 * MIN_FRAME, 50]), [100, 2 * MIN_FRAME, 50]);
        assert_eq!(frames_of(&[MIN_FRAME, 5]), [MIN_FRAME, 5]);
    }

    #[test]
    fn a_frame_never_passes_its_limit() {
        let frames = frames_of(&[10, 3 * MAX_FRAME + 1, 20]);
        assert!(frames.iter().all(|&f| f <= MAX_FRAME), "{frames:?}");
        assert_eq!(frames.iter().sum::<usize>(), 3 * MAX_FRAME + 31);
        assert_eq!(frames[0], 10);
    }

    #[test]
    fn places_are_found_in_the_frame_that_holds_them() {
        let mut table = FrameTable::default();
        table.push(10, 5);
        table.push(20, 6);
        let starts = table.raw_starts();
        assert_eq!(place_of(&starts, 0), Some(Place { frame: 0, offset: 0 }));
        assert_eq!(place_of(&starts, 9), Some(Place { frame: 0, offset: 9 }));
        assert_eq!(place_of(&starts, 10), Some(Place { frame: 1, offset: 0 }));
        assert_eq!(place_of(&[], 0), None);
        assert!(table.check("x", 30, 11).is_ok());
        assert_eq!(table.check("x", 31, 11).unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn frames_go_round_and_a_flipped_bit_is_seen() {
        let coder = FrameCoder::new(3);
        let raw: Vec<u8> = (0..100_000u32).flat_map(|i| (i % 251).to_le_bytes()).collect();
        let mut stored = coder.compress(&raw).unwrap();
        assert_eq!(coder.decompress(&stored, raw.len()).unwrap(), raw);
        let middle = stored.len() / 2;
        stored[middle] ^= 1;
        assert_eq!(coder.decompress(&stored, raw.len()).unwrap_err().kind(), Kind::Damaged);
    }
}
