//! From `pg_dump`'s standard output into an object: every byte passes the archive reader first.

use crate::engines::postgres::archive::{ArchiveReader, Event};
use crate::error::{Explain as _, Kind, Result};
use crate::pipeline::ObjectWriter;
use crate::pipeline::child::Output;

/// Bytes that are read at once, at most. `pg_dump`'s pipe holds up to 1 MiB.
const CHUNK: usize = 512 * 1024;

/// Reads the archive to its end, counts it, and writes it, cut into frames where tables begin.
///
/// The end of the stream proves nothing: the caller has to ask the child and then the reader.
///
/// # Errors
/// [`Kind::Damaged`] when the bytes are no archive; those of the store.
pub(super) async fn pass_through(
    from: Output,
    reader: &mut ArchiveReader,
    writer: &mut ObjectWriter,
) -> Result<()> {
    let unreadable = || "the output of pg_dump cannot be read".to_owned();
    let mut chunks = from.into_chunks(CHUNK).explain(Kind::Failed, unreadable)?;
    let mut boundaries: Vec<(u64, bool)> = Vec::new();
    while let Some(chunk) = chunks.next().await.explain(Kind::Failed, unreadable)? {
        let bytes = chunk.as_slice();
        let start = reader.offset();
        boundaries.clear();
        reader.feed(bytes, &mut |event| match event {
            Event::TocEnd { at } => boundaries.push((at, true)),
            Event::BlockEnd { at, .. } => boundaries.push((at, false)),
            Event::BlockStart { .. } => {}
        })?;
        let mut done = 0;
        for &(at, toc_ended) in &boundaries {
            let end = (at - start) as usize;
            writer.write(&bytes[done..end]).await?;
            done = end;
            if toc_ended {
                writer.cut().await?;
            } else {
                writer.item_starts().await?;
            }
        }
        writer.write(&bytes[done..]).await?;
        chunks.recycle(chunk);
    }
    Ok(())
}
