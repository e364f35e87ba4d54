//! Real archives, cut, flipped and fed in all portions; small archives that are wrong in one way each.

use xxhash_rust::xxh3::xxh3_128;

use super::samples::{ENCODING, EXTENSION, Entry, NO_DATA, OBJECTS, PG15, PG17, ROWS, Writer, read, toc_end};
use super::{ArchiveError, ArchiveReader, Event, inventory};
use crate::pipeline::digest::RowDigest;

fn error(bytes: &[u8]) -> ArchiveError {
    let whole = read(bytes, usize::MAX).expect_err("the archive is wrong");
    assert_eq!(read(bytes, 1).expect_err("the archive is wrong"), whole, "fed byte by byte");
    whole
}

#[test]
fn portions_do_not_matter() {
    for sample in [PG15, PG17, EXTENSION, NO_DATA] {
        let whole = read(sample, usize::MAX).unwrap();
        for portion in [1, 2, 3, 7, 100, 4096, 16384] {
            assert_eq!(read(sample, portion).unwrap(), whole, "portions of {portion}");
        }
        assert_eq!(whole.0.length, sample.len() as u64);
    }
}

#[test]
fn an_archive_cut_anywhere_is_not_complete() {
    for sample in [PG15, PG17, EXTENSION, NO_DATA] {
        let mut reader = ArchiveReader::new();
        for (at, byte) in sample.iter().enumerate() {
            let error = reader.check_complete().expect_err("a cut archive");
            let cut = match error {
                ArchiveError::Truncated { at, .. } | ArchiveError::Missing { at, .. } => at,
                other => panic!("cut at {at}: {other}"),
            };
            assert_eq!(cut, at as u64);
            reader.feed(&[*byte], &mut |_| {}).unwrap();
        }
        reader.finish().unwrap();
    }
}

#[test]
fn a_flipped_bit_in_the_data_never_goes_unseen() {
    for (sample, step) in [(EXTENSION, 1), (PG15, 37), (PG17, 37)] {
        let good = read(sample, usize::MAX).unwrap();
        for at in (toc_end(sample)..sample.len()).step_by(step) {
            for bit in 0..8 {
                let mut bad = sample.to_vec();
                bad[at] ^= 1 << bit;
                if let Ok(archive) = read(&bad, usize::MAX) {
                    assert!(archive != good, "bit {bit} of byte {at}");
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_the_contents_is_an_error_or_another_inventory() {
    // What is not kept: drop statements, the daylight saving flag. What is not in an inventory: the
    // header, OIDs, sections, dependencies beyond the parent.
    let good = read(EXTENSION, usize::MAX).unwrap().0;
    let (mut seen, mut unseen) = (0, 0);
    for at in 0..toc_end(EXTENSION) {
        for bit in 0..8 {
            let mut bad = EXTENSION.to_vec();
            bad[at] ^= 1 << bit;
            match read(&bad, usize::MAX) {
                Ok((archive, _)) if archive == good => unseen += 1,
                _ => seen += 1,
            }
        }
    }
    assert!(unseen * 8 < seen, "{unseen} flips went unseen, {seen} did not");
    for at in (0..toc_end(PG17)).step_by(7) {
        let mut bad = PG17.to_vec();
        bad[at] ^= 1 << (at % 8);
        let _ = read(&bad, 1000).map(|(archive, _)| inventory::inventory(&archive, &|_| None));
    }
}

#[test]
fn events_divide_the_stream_where_it_can_be_divided() {
    let (archive, events) = read(PG17, 1).unwrap();
    let mut last = toc_end(PG17) as u64;
    assert_eq!(events[0], Event::TocEnd { at: last });
    for pair in events[1..].chunks(2) {
        let [Event::BlockStart { dump_id, at: start }, Event::BlockEnd { dump_id: ended, at: end }] = *pair
        else {
            panic!("{pair:?}");
        };
        assert_eq!((start, ended), (last, dump_id));
        assert!(archive.toc.get(dump_id).is_some_and(|entry| entry.has_data()));
        last = end;
    }
    assert_eq!(last, PG17.len() as u64);
    // Fed byte by byte, the ends are told with the byte before them.
    let mut reader = ArchiveReader::new();
    for (at, byte) in PG17.iter().enumerate() {
        reader
            .feed(&[*byte], &mut |event| match event {
                Event::TocEnd { at: end } | Event::BlockEnd { at: end, .. } => assert_eq!(end, at as u64 + 1),
                Event::BlockStart { at: start, .. } => assert!(start <= at as u64),
            })
            .unwrap();
    }
}

#[test]
fn large_objects_are_digested_with_their_oids() {
    let object = |oid: u32, content: &[u8]| xxh3_128(&[&oid.to_le_bytes(), content].concat());
    let mut expected = RowDigest::default();
    let long = "0123456789".repeat(1650);
    let objects: [(u32, &[u8]); 4] =
        [(70001, b"hello large object"), (70002, b""), (70003, long.as_bytes()), (3_000_000_000, b"high")];
    objects.iter().for_each(|(oid, content)| expected.add_hash(object(*oid, content)));
    for sample in [PG15, PG17] {
        let found = read(sample, 1000).unwrap().0.large_objects;
        assert_eq!((found.objects, found.bytes, found.digest), (4, 18 + 16500 + 4, expected));
    }
}

#[test]
fn rows_that_span_chunks_and_chunks_of_many_rows_count_the_same() {
    let mut apart = Writer::toc(&[ENCODING, ROWS]);
    apart.block(1, 2);
    apart.chunks(&[b"a\tb\n", b"c\td\n", b"\n", b"\\.\n\n\n"]);
    let mut together = Writer::toc(&[ENCODING, ROWS]);
    together.block(1, 2);
    together.chunks(&[b"a\t", b"b", b"\nc\td\n\n\\", b".\n", b"\n\n"]);
    let (a, b) = (read(&apart.bytes, 3).unwrap().0, read(&together.bytes, 3).unwrap().0);
    assert_eq!(a.tables, b.tables);
    assert_eq!((a.tables[0].rows, a.tables[0].bytes), (3, 6));
}

#[test]
fn every_supported_version_and_integer_size_is_read() {
    for minor in [14, 15, 16] {
        for int_size in [2, 4, 8] {
            let mut writer = Writer::head(minor, int_size, 3);
            [ENCODING, ROWS, OBJECTS].into_iter().for_each(|entry| writer.entry(entry));
            writer.rows(2, "x\n");
            writer.block(3, 3);
            writer.int(7);
            writer.chunks(&[b"content"]);
            writer.int(0);
            let archive = read(&writer.bytes, 1).unwrap().0;
            assert_eq!(
                (archive.tables[0].rows, archive.large_objects.objects),
                (1, 1),
                "1.{minor} {int_size}"
            );
            assert_eq!(archive.toc.header().created.to_string(), "2026-11-24 03:02:01");
        }
    }
}

#[test]
fn what_is_not_an_uncompressed_custom_archive_is_refused() {
    assert_eq!(error(b"--\n-- PostgreSQL database dump\n"), ArchiveError::NotAnArchive);
    assert_eq!(error(b"PGDMP\x01\x0d\x00\x04\x08\x01"), ArchiveError::Version { major: 1, minor: 13 });
    assert_eq!(error(b"PGDMP\x01\x11\x00\x04\x08\x01"), ArchiveError::Version { major: 1, minor: 17 });
    assert_eq!(error(b"PGDMP\x01\x10\x00\x04\x08\x05"), ArchiveError::Format { format: 5 });
    let compressed = |method: &str| ArchiveError::Compressed { method: method.into() };
    assert_eq!(error(b"PGDMP\x01\x10\x00\x04\x08\x01\x03"), compressed("zstd"));
    assert_eq!(error(b"PGDMP\x01\x0e\x00\x04\x08\x01\x01\x01\x00\x00\x00"), compressed("gzip, level -1"));
    assert!(matches!(error(b"PGDMP\x01\x10\x00\x09\x08\x01"), ArchiveError::Malformed { .. }));
    assert!(matches!(error(b""), ArchiveError::Truncated { at: 0, .. }));
}

#[test]
fn hostile_lengths_fail_at_once() {
    let mut count = Writer::head(16, 4, i64::from(i32::MAX));
    assert!(matches!(error(&count.bytes), ArchiveError::TooLarge { .. }));
    count = Writer::head(16, 4, -1);
    assert!(matches!(error(&count.bytes), ArchiveError::Malformed { .. }));
    let mut text = Writer::head(16, 8, 2);
    text.int(1);
    text.int(0);
    text.int(i64::MAX);
    assert!(matches!(error(&text.bytes), ArchiveError::TooLarge { .. }));
    let mut reader = ArchiveReader::with_toc_limit(1000);
    let result = reader.feed(PG17, &mut |_| {});
    assert!(matches!(result, Err(ArchiveError::TooLarge { limit: 1000, .. })), "{result:?}");
    let mut chunk = Writer::toc(&[ENCODING, ROWS]);
    chunk.block(1, 2);
    chunk.int(-5);
    assert!(matches!(error(&chunk.bytes), ArchiveError::Malformed { .. }));
    let mut endless = Writer::toc(&[ENCODING, ROWS]);
    endless.block(1, 2);
    endless.int(i64::from(i32::MAX));
    assert!(matches!(error(&endless.bytes), ArchiveError::Truncated { .. }));
}

#[test]
fn a_failed_reader_stays_failed() {
    let mut reader = ArchiveReader::new();
    let first = reader.feed(b"garbage", &mut |_| {}).unwrap_err();
    assert_eq!(reader.feed(PG17, &mut |_| {}).unwrap_err(), first);
    assert_eq!(reader.finish().unwrap_err(), first);
}

#[test]
fn blocks_must_be_those_that_the_contents_announce() {
    let toc = || Writer::toc(&[ENCODING, ROWS, OBJECTS]);
    let mut none = toc();
    let text = error(&none.bytes).to_string();
    assert!(text.ends_with("without the data of TABLE DATA public.t and of one other entry"), "{text}");
    none.rows(2, "x\n");
    assert!(matches!(error(&none.bytes), ArchiveError::Missing { more: 0, .. }));
    none.rows(2, "x\n");
    assert!(matches!(error(&none.bytes), ArchiveError::Repeated { .. }));
    for id in [1, 9, -2] {
        let mut other = toc();
        other.rows(id, "x\n");
        assert!(matches!(error(&other.bytes), ArchiveError::Unannounced { .. }), "{id}");
    }
    for (kind, id) in [(3, 2), (1, 3), (2, 2), (0, 2)] {
        let mut wrong = toc();
        wrong.block(kind, id);
        assert!(matches!(error(&wrong.bytes), ArchiveError::Malformed { .. }), "{kind} {id}");
    }
}

#[test]
fn rows_must_end_with_the_terminator_and_nothing_after_it() {
    for rows in [&b"x\n"[..], b"x", b"x\n\\.\n", b"x\n\\.\n\n", b"x\n\\.\n\n\n\n", b"x\n\\.\n\n\ny\n", b""] {
        let mut writer = Writer::toc(&[ENCODING, ROWS]);
        writer.block(1, 2);
        writer.chunks(if rows.is_empty() { &[] } else { std::slice::from_ref(&rows) });
        let error = error(&writer.bytes);
        assert!(
            matches!(&error, ArchiveError::Malformed { place, .. } if place == "TABLE DATA public.t"),
            "{error}"
        );
    }
    let mut writer = Writer::toc(&[ENCODING, ROWS]);
    writer.rows(2, "x\n");
    writer.bytes.extend(b"\n");
    assert!(matches!(error(&writer.bytes), ArchiveError::Malformed { .. }));
}

#[test]
fn a_known_block_offset_is_checked() {
    let length = Writer::toc(&[ENCODING, ROWS]).bytes.len() as u64;
    for (offset, fits) in [(length, true), (length + 1, false)] {
        let mut writer = Writer::toc(&[ENCODING, Entry { offset: Some(offset), ..ROWS }]);
        writer.rows(2, "x\n");
        assert_eq!(read(&writer.bytes, 1).is_ok(), fits);
    }
}

#[test]
fn entries_must_make_sense() {
    let bad = [
        Entry { id: 1, ..ROWS },
        Entry { id: 0, ..ROWS },
        Entry { copy: Some("COPY nonsense"), ..ROWS },
        Entry { dependencies: &["1", "x"], ..ROWS },
        Entry { data: false, ..ROWS },
        Entry { desc: "TABLE", copy: None, ..ROWS },
        Entry { desc: "SEQUENCE SET", data: false, copy: None, definition: "SELECT 1", ..ROWS },
        Entry { id: 2, ..ENCODING },
    ];
    for (number, entry) in bad.into_iter().enumerate() {
        let error = error(&Writer::toc(&[ENCODING, entry]).bytes);
        assert!(matches!(error, ArchiveError::Malformed { .. }), "{number}: {error}");
    }
    assert!(matches!(error(&Writer::toc(&[ROWS]).bytes), ArchiveError::Malformed { .. }));
    for (entry, state) in [(ENCODING, 1), (ENCODING, 2), (ROWS, 3), (ROWS, 0)] {
        let mut writer = Writer::toc(&[entry]);
        let place = writer.bytes.len() - 9;
        writer.bytes[place] = state;
        let what = format!("data state {state}");
        assert!(matches!(error(&writer.bytes), ArchiveError::Malformed { what: found, .. } if found == what));
    }
    let mut inserts = Writer::toc(&[ENCODING, Entry { copy: None, ..ROWS }]);
    inserts.block(1, 2);
    assert!(matches!(error(&inserts.bytes), ArchiveError::NotCopy { .. }));
}

#[test]
fn a_reader_can_go_on_at_chosen_blocks() {
    let (whole, events) = read(PG17, usize::MAX).unwrap();
    let last = whole.tables[whole.tables.len() - 1];
    let first = whole.tables[0];
    let end = |id: i32| {
        let found = events.iter().find_map(|event| match event {
            Event::BlockEnd { dump_id, at } if *dump_id == id => Some(*at as usize),
            _ => None,
        });
        found.unwrap()
    };
    let mut reader = ArchiveReader::resume(whole.toc.clone(), last.at);
    reader.feed(&PG17[last.at as usize..end(last.dump_id) + 3], &mut |_| {}).unwrap();
    assert!(matches!(
        reader.clone().finish_selected(&[first.dump_id, last.dump_id]),
        Err(ArchiveError::Missing { more: 0, .. })
    ));
    reader.skip_to(first.at);
    reader.feed(&PG17[first.at as usize..end(first.dump_id)], &mut |_| {}).unwrap();
    assert!(reader.check_complete().is_err());
    assert!(matches!(reader.clone().finish_selected(&[999_999]), Err(ArchiveError::Missing { .. })));
    let archive = reader.finish_selected(&[first.dump_id, last.dump_id]).unwrap();
    assert_eq!(archive.tables, [last, first]);
    // A block that is given up in its middle leaves nothing behind.
    let objects = whole.large_objects.at.unwrap();
    let mut reader = ArchiveReader::resume(whole.toc.clone(), objects);
    reader.feed(&PG17[objects as usize..PG17.len() - 1], &mut |_| {}).unwrap();
    reader.skip_to(objects);
    let given_up = reader.clone().finish_selected(&[]).unwrap().large_objects;
    assert!(given_up.objects < whole.large_objects.objects, "{given_up:?}");
    reader.skip_to(last.at);
    reader.feed(&PG17[last.at as usize..end(last.dump_id) - 1], &mut |_| {}).unwrap();
    reader.skip_to(first.at);
    reader.feed(&PG17[first.at as usize..end(first.dump_id)], &mut |_| {}).unwrap();
    assert_eq!(reader.finish_selected(&[first.dump_id]).unwrap().tables, [first]);
}
