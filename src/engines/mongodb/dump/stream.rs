//! From mongodump's standard output into an object: every byte passes the archive's reader first.

use super::filter::Filter;
use super::opening::Opening;
use super::watch::Watch;
use crate::engines::mongodb::archive::Event;
use crate::engines::mongodb::counted::Counting;
use crate::engines::mongodb::options::Selection;
use crate::engines::mongodb::pulse::EVERY;
use crate::error::{Explain as _, Kind, Result};
use crate::pipeline::ObjectWriter;
use crate::pipeline::child::Output;

/// Bytes that are read at once, at most.
const CHUNK: usize = 512 * 1024;

/// Reads the archive to its end, leaves out what is not selected, completes the oplog, counts the rest, and writes it. A frame begins
/// after the prelude and at the oplog, so that both can be read alone.
///
/// # Errors
/// [`Kind::Damaged`] when the bytes are no archive; those of the store and of the watch.
pub(super) async fn pass_through(
    from: Output,
    mut watch: Watch<'_>,
    selection: Selection,
    opening: Option<Opening<'_>>,
    writer: &mut ObjectWriter,
) -> Result<Counting> {
    let unreadable = || "the output of mongodump cannot be read".to_owned();
    let mut chunks = from.into_chunks(CHUNK).explain(Kind::Failed, unreadable)?;
    let mut passing = Passing::default();
    let changes = !selection.is_everything() || opening.is_some();
    let mut filter = changes.then(|| Filter::new(selection, opening));
    loop {
        let next = match tokio::time::timeout(EVERY, chunks.next()).await {
            Ok(next) => next.explain(Kind::Failed, unreadable)?,
            Err(_) => {
                watch.look().await?;
                continue;
            }
        };
        let Some(chunk) = next else { return Ok(passing.counting) };
        watch.bytes();
        match filter.as_mut() {
            None => passing.pass(chunk.as_slice(), writer).await?,
            Some(filter) => passing.pass(filter.keep(chunk.as_slice()).await?, writer).await?,
        }
        chunks.recycle(chunk);
        // The time that the store took is not mongodump's.
        watch.bytes();
    }
}

/// What is stored, counted as it passes.
#[derive(Default)]
struct Passing {
    counting: Counting,
    cuts: Vec<u64>,
}

impl Passing {
    async fn pass(&mut self, bytes: &[u8], writer: &mut ObjectWriter) -> Result<()> {
        let start = self.counting.reader.offset();
        let Counting { reader, tally } = &mut self.counting;
        let cuts = &mut self.cuts;
        cuts.clear();
        let known = tally.begins;
        reader.feed(bytes, &mut |event| {
            if let Event::Prelude { at, .. } = event {
                cuts.push(at);
            }
            tally.event(&event)
        })?;
        if known.is_none() {
            cuts.extend(tally.begins);
        }
        let mut done = 0;
        for &at in cuts.iter() {
            // The header of a block may have begun in the chunk before; then the frame ends with that.
            let end = usize::try_from(at.saturating_sub(start)).unwrap_or(0).min(bytes.len());
            if at >= start {
                writer.write(&bytes[done..end]).await?;
                writer.cut().await?;
                done = end;
            }
        }
        writer.write(&bytes[done..]).await
    }
}
