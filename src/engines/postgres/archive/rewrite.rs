//! Makes smaller archives out of one that passes, for pg_restore.
//!
//! The bytes before [`Event::TocEnd`] alone are an archive that `pg_restore --section=pre-data` and
//! `--section=post-data --jobs=N` accept from a file: neither section reads a data block. The same bytes
//! followed by some of the blocks, in their order, are what `pg_restore --use-list` accepts from a pipe,
//! as long as every block that the list asks for is there.

use std::collections::HashSet;
use std::fmt::Write;

use super::error::ArchiveError;
use super::reader::ArchiveReader;
use super::summary::{Archive, Event};
use super::toc::Toc;

/// The text of a list file for `pg_restore --use-list`: one line for each of the entries, in the order given.
///
/// Only the number before the semicolon counts; the rest is a comment for whoever reads the file.
pub fn list_file(toc: &Toc, dump_ids: &[i32]) -> String {
    let mut text = String::new();
    for entry in dump_ids.iter().filter_map(|id| toc.get(*id)) {
        let name = entry.full_name().replace(['\r', '\n'], " ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}; {} {} {name} {}", entry.dump_id, entry.table_oid, entry.oid, entry.owner);
    }
    text
}

/// What is done with the bytes after the last boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Drop,
    /// The head of a block, whose dump id has not come yet.
    Undecided,
}

/// Lets header, table of contents and the chosen blocks through, and reads the whole stream meanwhile.
pub struct BlockSelector {
    reader: ArchiveReader,
    wanted: HashSet<i32>,
    mode: Mode,
    /// The head of an undecided block: less than ten bytes.
    held: Vec<u8>,
    /// Wanted blocks that have ended.
    ended: HashSet<i32>,
}

impl BlockSelector {
    /// Lets through the blocks of these entries.
    pub fn new(wanted: impl IntoIterator<Item = i32>) -> Self {
        BlockSelector {
            reader: ArchiveReader::new(),
            wanted: wanted.into_iter().collect(),
            mode: Mode::Pass,
            held: Vec::new(),
            ended: HashSet::new(),
        }
    }

    /// Lets through the blocks of these entries of an archive whose table of contents, which ends at
    /// `at`, is known. Use [`BlockSelector::skip_to`] to go to where they are.
    pub fn resume(toc: Toc, at: u64, wanted: impl IntoIterator<Item = i32>) -> Self {
        BlockSelector {
            reader: ArchiveReader::resume(toc, at),
            mode: Mode::Undecided,
            ..BlockSelector::new(wanted)
        }
    }

    /// Goes on at another block, at offset `at`. A block under way is given up.
    pub fn skip_to(&mut self, at: u64) {
        self.reader.skip_to(at);
        self.mode = Mode::Undecided;
        self.held.clear();
    }

    /// True when the block of a wanted entry has been let through to its end.
    pub fn has_passed(&self, dump_id: i32) -> bool {
        self.ended.contains(&dump_id)
    }

    /// True in the middle of a wanted block.
    pub fn is_passing(&self) -> bool {
        self.mode == Mode::Pass
    }

    /// The table of contents, once it is complete.
    pub fn toc(&self) -> Option<&Toc> {
        self.reader.toc()
    }

    /// Takes the next bytes and hands on those that are wanted. Fails as [`ArchiveReader::feed`] does.
    ///
    /// What was wanted and came before a fault in the same bytes may not have been handed on.
    pub fn feed(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<(), ArchiveError> {
        let start = self.reader.offset();
        let BlockSelector { reader, wanted, mode, held, ended } = self;
        let mut done = 0;
        reader.feed(bytes, &mut |event| match event {
            Event::TocEnd { at } | Event::BlockEnd { at, .. } => {
                if let Event::BlockEnd { dump_id, .. } = event
                    && wanted.contains(&dump_id)
                {
                    ended.insert(dump_id);
                }
                let end = (at - start) as usize;
                if *mode == Mode::Pass {
                    out(&bytes[done..end]);
                }
                done = end;
                *mode = Mode::Undecided;
            }
            Event::BlockStart { dump_id, .. } => {
                *mode = if wanted.contains(&dump_id) { Mode::Pass } else { Mode::Drop };
                if *mode == Mode::Pass && !held.is_empty() {
                    out(held);
                }
                held.clear();
            }
        })?;
        match self.mode {
            Mode::Pass if done < bytes.len() => out(&bytes[done..]),
            Mode::Undecided => self.held.extend_from_slice(&bytes[done..]),
            Mode::Pass | Mode::Drop => {}
        }
        Ok(())
    }

    /// The stream ended. Fails unless all of it, wanted or not, was complete.
    pub fn finish(self) -> Result<Archive, ArchiveError> {
        self.reader.finish()
    }

    /// What was wanted has been read. Fails unless each wanted block was let through whole.
    pub fn finish_selected(self) -> Result<Archive, ArchiveError> {
        let ids: Vec<i32> = self.wanted.iter().copied().collect();
        self.reader.finish_selected(&ids)
    }
}
