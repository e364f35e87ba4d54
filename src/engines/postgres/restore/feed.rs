//! From the store into `pg_restore`'s standard input: every byte passes the archive reader again.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use tokio::io::AsyncWriteExt as _;

use crate::engines::postgres::archive::inventory::{TABLE, TablePlan};
use crate::engines::postgres::archive::rewrite::BlockSelector;
use crate::engines::postgres::archive::{Archive, ArchiveReader, Event, Toc};
use crate::engines::postgres::dump::DUMP;
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::child::Input;
use crate::pipeline::inventory::{Inventory, Item, Place};
use crate::pipeline::{BackupReader, ObjectStream};

/// Header and table of contents of an archive: the bytes and what they say.
pub(super) struct Head {
    /// The bytes before the first data block: an archive without data for `pg_restore`.
    pub(super) bytes: Vec<u8>,
    /// What they say.
    pub(super) toc: Toc,
}

/// Reads the head of the archive, and no more of it than the frames that hold it.
pub(super) async fn head(from: &BackupReader) -> Result<Head> {
    let mut stream = from.stream_frames(DUMP, 0, from.frames(DUMP)?.len())?;
    let mut reader = ArchiveReader::new();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await? {
        let mut end = None;
        let start = reader.offset();
        reader.feed(&chunk, &mut |event| {
            if let Event::TocEnd { at } = event {
                end = Some((at - start) as usize);
            }
        })?;
        if let (Some(end), Some(toc)) = (end, reader.toc()) {
            bytes.extend_from_slice(&chunk[..end]);
            return Ok(Head { bytes, toc: toc.clone() });
        }
        bytes.extend_from_slice(&chunk);
    }
    reader.finish()?;
    Err(Error::new(Kind::Damaged, "the archive has no table of contents"))
}

impl Head {
    /// Writes the archive without data to a file.
    pub(super) fn save(&self, path: &Path, kind: Kind) -> Result<()> {
        std::fs::write(path, &self.bytes)
            .explain(kind, || format!("cannot write {}", path.display()))
            .map_err(|e| e.hint("set TMPDIR to a directory with room for the definitions of all tables"))
    }
}

/// Judges what was read before `pg_restore` gets the end of it.
pub(super) type Judge<'a> = &'a (dyn Fn(&Archive) -> Result<()> + Sync);

/// Standard input of a child that may close it early: it has all it needs, or it failed. Which of
/// the two, its exit status says.
///
/// The last byte of what was written is held back: it belongs to the terminator of the last block (or
/// to the table of contents, if there is no block), and `pg_restore` commits nothing that it did not
/// read to its end. So whoever ends it decides, after everything was verified, whether rows stay.
struct Mouth<'a> {
    input: &'a mut Input,
    held: Option<u8>,
    closed: bool,
}

impl<'a> Mouth<'a> {
    fn new(input: &'a mut Input) -> Self {
        Mouth { input, held: None, closed: false }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((last, before)) = bytes.split_last() else { return Ok(()) };
        if let Some(held) = self.held.replace(*last) {
            self.give(&[held]).await?;
        }
        self.give(before).await
    }

    async fn give(&mut self, bytes: &[u8]) -> Result<()> {
        if self.closed || bytes.is_empty() {
            return Ok(());
        }
        match self.input.write_all(bytes).await {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => self.closed = true,
            outcome => outcome.explain(Kind::Failed, || "pg_restore does not take its input".to_owned())?,
        }
        Ok(())
    }

    /// Gives the byte that was held back, and the end.
    async fn end(mut self) -> Result<()> {
        if let Some(held) = self.held.take() {
            self.give(&[held]).await?;
        }
        // A pipe that is closed already cannot be closed again.
        let _ = self.input.shutdown().await;
        Ok(())
    }
}

/// Feeds the whole archive. Returns what was in it once everything was verified. If the child
/// closes its input, the rest is not fed; `None` then, and the caller asks the child why.
pub(super) async fn whole(
    from: &BackupReader,
    input: &mut Input,
    judge: Judge<'_>,
) -> Result<Option<Archive>> {
    let mut stream = from.stream(DUMP)?;
    let mut reader = ArchiveReader::new();
    let mut mouth = Mouth::new(input);
    while let Some(chunk) = stream.next().await? {
        reader.feed(&chunk, &mut |_| {})?;
        mouth.write(&chunk).await?;
        from.progress().add_raw(chunk.len() as u64);
        if mouth.closed && reader.check_complete().is_err() {
            return Ok(None);
        }
    }
    let archive = reader.finish()?;
    judge(&archive)?;
    mouth.end().await?;
    Ok(Some(archive))
}

/// Feeds the head and the data blocks of the chosen entries alone; reads only the frames that hold
/// them where the inventory knows their places.
pub(super) async fn selected(
    from: &BackupReader,
    input: &mut Input,
    head: &Head,
    wanted: &[i32],
    inventory: &Inventory,
    judge: Judge<'_>,
) -> Result<Option<Archive>> {
    let mut mouth = Mouth::new(input);
    let archive = match blocks(head, wanted, inventory) {
        Some(blocks) => by_ranges(from, &mut mouth, head, &blocks).await?,
        None => by_reading_all(from, &mut mouth, head, wanted).await?,
    };
    if let Some(archive) = &archive {
        judge(archive)?;
        mouth.end().await?;
    }
    Ok(archive)
}

/// One data block: whose it is and where it is.
struct Block {
    dump_id: i32,
    frame: usize,
    offset: u64,
}

/// The tables whose rows are one block of their own, by schema and name, with the block's place.
/// Not those that are loaded through a partition root: several blocks share such an item.
pub(super) fn alone(inventory: &Inventory) -> HashMap<(&str, &str), (&Item, Place)> {
    let tables = inventory.items.iter().filter(|item| item.kind == TABLE);
    tables
        .filter_map(|item| {
            let plan: TablePlan = serde_json::from_value(item.plan.clone()).ok()?;
            let place = item.place.filter(|_| !plan.via_root)?;
            Some(((item.schema.as_str(), item.name.as_str()), (item, place)))
        })
        .collect()
}

/// The places of all wanted blocks in stream order, if every one is known by itself.
fn blocks(head: &Head, wanted: &[i32], inventory: &Inventory) -> Option<Vec<Block>> {
    let tables = alone(inventory);
    let mut blocks = Vec::new();
    for entry in wanted.iter().filter_map(|id| head.toc.get(*id)).filter(|entry| entry.has_data()) {
        let target = &entry.copy.as_ref()?.table;
        let (_, place) = tables.get(&(target.schema.as_str(), target.name.as_str()))?;
        blocks.push(Block { dump_id: entry.dump_id, frame: place.frame as usize, offset: place.offset });
    }
    blocks.sort_by_key(|block| (block.frame, block.offset));
    Some(blocks)
}

/// Frames that are read and dropped on the way to the next wanted block, at most: a new download costs
/// about as much time as these.
const NEAR: usize = 4;

/// A download under way, and the frame that it gives next.
struct Download {
    stream: ObjectStream,
    next: usize,
}

/// Small tables share a frame, and neighbours share a download: one may bring several wanted blocks.
async fn by_ranges(
    from: &BackupReader,
    mouth: &mut Mouth<'_>,
    head: &Head,
    blocks: &[Block],
) -> Result<Option<Archive>> {
    let table = from.frames(DUMP)?;
    let starts = table.raw_starts();
    let ids = blocks.iter().map(|block| block.dump_id);
    let mut selector = BlockSelector::resume(head.toc.clone(), head.bytes.len() as u64, ids);
    mouth.write(&head.bytes).await?;
    let mut out = Vec::new();
    let mut download: Option<Download> = None;
    for block in blocks {
        if selector.has_passed(block.dump_id) {
            continue;
        }
        // Where the download is already, the selector drops what is between.
        let mut skip = 0;
        let mut under_way = match download.take() {
            Some(near) if (near.next..=near.next + NEAR).contains(&block.frame) => near,
            _ => {
                let Some(start) = starts.get(block.frame) else {
                    return Err(Error::new(Kind::Damaged, "the inventory names a frame that is not there"));
                };
                selector.skip_to(start + block.offset);
                skip = block.offset as usize;
                let stream = from.stream_frames(DUMP, block.frame, table.len())?;
                Download { stream, next: block.frame }
            }
        };
        while !selector.has_passed(block.dump_id) || selector.is_passing() {
            let Some(chunk) = under_way.stream.next().await? else { break };
            under_way.next += 1;
            let Some(bytes) = chunk.get(skip..) else {
                return Err(Error::new(Kind::Damaged, "the inventory names a place behind its frame"));
            };
            skip = 0;
            out.clear();
            selector.feed(bytes, &mut |bytes| out.extend_from_slice(bytes))?;
            mouth.write(&out).await?;
            from.progress().add_raw(out.len() as u64);
            if mouth.closed {
                return Ok(None);
            }
        }
        download = Some(under_way);
    }
    let mut archive = selector.finish_selected()?;
    // Others that share a frame were read too, but not loaded.
    let ids: HashSet<i32> = blocks.iter().map(|block| block.dump_id).collect();
    archive.tables.retain(|table| ids.contains(&table.dump_id));
    Ok(Some(archive))
}

async fn by_reading_all(
    from: &BackupReader,
    mouth: &mut Mouth<'_>,
    head: &Head,
    wanted: &[i32],
) -> Result<Option<Archive>> {
    let mut stream = from.stream(DUMP)?;
    let mut selector = BlockSelector::new(wanted.iter().copied());
    let filled = |id: &i32| head.toc.get(*id).is_some_and(|entry| entry.has_data());
    let wanted: HashSet<i32> = wanted.iter().copied().filter(filled).collect();
    let mut out = Vec::new();
    while let Some(chunk) = stream.next().await? {
        out.clear();
        selector.feed(&chunk, &mut |bytes| out.extend_from_slice(bytes))?;
        mouth.write(&out).await?;
        from.progress().add_raw(out.len() as u64);
        // It may close its input once it has all that it needs; before that, it has failed.
        if mouth.closed && !wanted.iter().all(|id| selector.has_passed(*id)) {
            return Ok(None);
        }
    }
    let mut archive = selector.finish()?;
    archive.tables.retain(|table| wanted.contains(&table.dump_id));
    Ok(Some(archive))
}

#[cfg(test)]
mod tests;
