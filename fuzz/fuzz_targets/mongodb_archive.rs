//! Feeds arbitrary bytes in arbitrary portions to the reader of mongodump's archives.
//!
//! The first two bytes of the input say how large the portions are. Whatever comes, the reader must not
//! panic, must not depend on the portions, and what it takes must come out of the rewriter as it went in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::engines::mongodb::archive::inventory::inventory;
use lifeboat::engines::mongodb::archive::oplog::Entry;
use lifeboat::engines::mongodb::archive::rewrite::{Kept, Rewriter};
use lifeboat::engines::mongodb::archive::state::Definitions;
use lifeboat::engines::mongodb::archive::{ArchiveReader, CollectionEntry, Event, Summary};

/// The summary, the archive as the rewriter writes it, and the definitions; errors as text.
fn read(bytes: &[u8], mut portion: impl FnMut() -> usize) -> Result<(Summary, Vec<u8>, Definitions), String> {
    let mut reader = ArchiveReader::with_prelude_limit(1 << 20);
    let mut rewriter = Rewriter::new(|entry: &CollectionEntry| Ok(Kept::as_it_is(entry).into()));
    let (mut rest, mut last, mut out) = (bytes, 0, Vec::new());
    let (mut oplog, mut definitions) = (None, Definitions::default());
    while !rest.is_empty() {
        let (part, after) = rest.split_at(portion().clamp(1, rest.len()));
        let fed = reader.feed(part, &mut |event| {
            let at = match event {
                Event::Prelude { prelude, at } => {
                    oplog = prelude.oplog();
                    definitions = Definitions::of(prelude);
                    at
                }
                Event::Document { namespace, bytes, at } => {
                    // Wrong entries of the oplog are errors of their own, and must not panic.
                    if Some(namespace) == oplog
                        && let Ok(entry) = Entry::parse(bytes)
                    {
                        let _ = entry.touched();
                        let _ = definitions.apply(&entry);
                    }
                    at
                }
                Event::SegmentStart { at, .. }
                | Event::SegmentEnd { at, .. }
                | Event::NamespaceEnd { at, .. } => at,
            };
            assert!(at >= last);
            last = at;
            rewriter.event(&event, &mut out)
        });
        fed.map_err(|error| error.chain())?;
        rest = after;
    }
    assert_eq!(reader.offset(), bytes.len() as u64);
    let summary = reader.finish().map_err(|error| error.chain())?;
    Ok((summary, out, definitions))
}

fuzz_target!(|input: &[u8]| {
    let [first, second, archive @ ..] = input else { return };
    let whole = read(archive, || usize::MAX);
    let mut turn = false;
    let parts = read(archive, || {
        turn = !turn;
        usize::from(if turn { *first } else { *second })
    });
    match (whole, parts) {
        (Ok((summary, out, definitions)), Ok((again, same, _))) => {
            assert_eq!(summary.contents, again.contents);
            assert_eq!(summary.length, archive.len() as u64);
            assert!(out == same);
            let counted = inventory(&summary, &definitions, &|_| None);
            assert!(counted.totals().bytes <= summary.length);
            // What the rewriter writes is an archive with the same content.
            let (rewritten, _, _) = read(&out, || usize::MAX).unwrap();
            assert_eq!(rewritten.prelude.entries.len(), summary.prelude.entries.len());
            for (new, old) in rewritten.contents.iter().zip(&summary.contents) {
                assert_eq!((new.rows, new.digest, new.crc), (old.rows, old.digest, old.crc));
            }
        }
        (whole, parts) => assert_eq!(whole.err(), parts.err()),
    }
});
