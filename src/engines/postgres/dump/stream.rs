//! From `pg_dump`'s standard output into an object: every byte passes the archive reader first.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::engines::postgres::archive::{ArchiveReader, Event};
use crate::error::{Explain as _, Kind, Result};
use crate::pipeline::ObjectWriter;

/// Bytes that are read at once. `pg_dump`'s pipe holds up to 1 MiB.
const CHUNK: usize = 256 * 1024;

/// The pause after a short read. `pg_dump` writes a few kilobytes at a time; reading each of them as
/// it comes would cost more in switches between processes than in work. Its pipe does not fill in
/// this time.
const PAUSE: Duration = Duration::from_millis(1);

/// Reads the archive to its end, counts it, and writes it, cut into frames where tables begin.
///
/// The end of the stream proves nothing: the caller has to ask the child and then the reader.
///
/// # Errors
/// [`Kind::Damaged`] when the bytes are no archive; those of the store.
pub(super) async fn pass_through(
    from: &mut (impl AsyncRead + Unpin),
    reader: &mut ArchiveReader,
    writer: &mut ObjectWriter,
) -> Result<()> {
    let mut buffer = vec![0u8; CHUNK];
    let mut boundaries: Vec<(u64, bool)> = Vec::new();
    loop {
        let read = from
            .read(&mut buffer)
            .await
            .explain(Kind::Failed, || "the output of pg_dump cannot be read".to_owned())?;
        if read == 0 {
            return Ok(());
        }
        let short = read < CHUNK / 2;
        let bytes = &buffer[..read];
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
        if short {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
