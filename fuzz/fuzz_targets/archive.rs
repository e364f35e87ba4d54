//! Feeds arbitrary bytes in arbitrary portions to the archive reader.
//!
//! The first two bytes of the input say how large the portions are. Whatever comes, the reader must not
//! panic, must not depend on the portions, and must hand over an archive only when its parts add up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::engines::postgres::archive::inventory::inventory;
use lifeboat::engines::postgres::archive::rewrite::{BlockSelector, list_file};
use lifeboat::engines::postgres::archive::{Archive, ArchiveError, ArchiveReader};

fn read(bytes: &[u8], mut portion: impl FnMut() -> usize) -> Result<Archive, ArchiveError> {
    let mut reader = ArchiveReader::with_toc_limit(1 << 20);
    let mut rest = bytes;
    let mut last = 0;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(portion().clamp(1, rest.len()));
        let (before, end) = (reader.offset(), reader.offset() + part.len() as u64);
        reader.feed(part, &mut |event| {
            use lifeboat::engines::postgres::archive::Event::*;
            let at = match event {
                TocEnd { at } | BlockEnd { at, .. } => {
                    assert!(at > before && at <= end);
                    at
                }
                BlockStart { at, .. } => at,
            };
            assert!(at >= last);
            last = at;
        })?;
        rest = after;
    }
    reader.finish()
}

fuzz_target!(|input: &[u8]| {
    let [first, second, archive @ ..] = input else { return };
    let whole = read(archive, || usize::MAX);
    let mut turn = false;
    let parts = read(archive, || {
        turn = !turn;
        usize::from(if turn { *first } else { *second })
    });
    assert_eq!(whole, parts);
    let Ok(whole) = whole else { return };
    assert_eq!(whole.length, archive.len() as u64);
    let counted = inventory(&whole, &|_| None);
    assert!(counted.totals().bytes <= whole.length);
    let names: Vec<_> = whole.toc.entries().iter().map(|entry| entry.table_ref()).collect();
    let closure = whole.toc.closure_for_tables(&names);
    let _ = list_file(&whole.toc, &closure);
    let mut selector = BlockSelector::new(whole.toc.entries().iter().map(|entry| entry.dump_id));
    let mut same = Vec::new();
    for part in archive.chunks(usize::from(*first) + 1) {
        selector.feed(part, &mut |bytes| same.extend_from_slice(bytes)).unwrap();
    }
    assert_eq!(same, archive);
});
