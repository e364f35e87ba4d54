//! The reader on real archives and on made ones, whole, in parts, and damaged.

use mongodb::bson::{Bson, Document, doc};
use proptest::prelude::*;

use super::parts::LARGEST;
use super::samples::{ALL, OPLOG, OTHER, SHOP, Writer, bytes, read, read_with};
use super::*;
use crate::error::{Error, Kind};

fn name(summary: &Summary, place: usize) -> String {
    summary.prelude.entries[place].namespace.to_string()
}

fn content(summary: &Summary, full: &str) -> Content {
    let place = (0..summary.contents.len()).find(|place| name(summary, *place) == full).unwrap();
    summary.contents[place]
}

#[test]
fn real_archives_read_alike_in_any_portions() {
    for sample in ALL {
        let whole = read(sample, usize::MAX).unwrap();
        for portion in [1, 7, 4096] {
            assert!(read(sample, portion).unwrap() == whole, "portions of {portion}");
        }
        assert_eq!(whole.0.length, sample.len() as u64);
    }
}

#[test]
fn what_is_in_them_is_counted() {
    let (shop, _) = read(SHOP, usize::MAX).unwrap();
    assert_eq!(shop.prelude.header.server_version, "6.0.5");
    assert_eq!(shop.prelude.header.server(), Some((6, 0)));
    let rows = |full| content(&shop, full).rows;
    assert_eq!([rows("shop.orders"), rows("shop.log"), rows("shop.with.dots")], [60, 20, 1]);
    assert_eq!([rows("shop.weather"), rows("shop.big"), rows("shop.nothing")], [3, 0, 0]);
    assert_eq!(content(&shop, "shop.orders").crc as i64, -7174525331720178955);
    assert_eq!(content(&shop, "shop.nothing").crc, 0);
    let (oplog, _) = read(OPLOG, usize::MAX).unwrap();
    assert_eq!(oplog.contents[oplog.prelude.oplog().unwrap()].rows, 46);
    assert!(oplog.prelude.entries.iter().all(|entry| !entry.has_vanished()));
}

#[test]
fn metadata_are_parsed_in_order_and_written_alike() {
    let (shop, _) = read(SHOP, usize::MAX).unwrap();
    for entry in &shop.prelude.entries {
        let metadata = entry.metadata.as_ref().unwrap();
        assert_eq!(metadata.write(&entry.namespace.collection), entry.text);
        assert_eq!(entry.shape() == CollectionKind::Collection, metadata.uuid.is_some());
    }
    let orders = shop.prelude.entries.iter().find(|e| e.namespace.collection == "orders").unwrap();
    let indexes = &orders.metadata.as_ref().unwrap().indexes;
    assert_eq!(indexes.len(), 12);
    assert_eq!(indexes[1].get_document("key").unwrap().keys().collect::<Vec<_>>(), ["customer", "at"]);
}

#[test]
fn every_cut_is_an_error() {
    for (sample, step) in [(OTHER, 1), (SHOP, 31), (OPLOG, 31)] {
        for end in (0..sample.len()).step_by(step) {
            let error = read_with(&sample[..end], usize::MAX, &mut |_| Ok(())).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged, "cut at {end}: {error}");
        }
    }
}

#[test]
fn a_cut_between_blocks_names_what_is_missing() {
    let mut boundary = 0;
    let mut reader = ArchiveReader::new();
    reader
        .feed(OTHER, &mut |event| {
            if let Event::NamespaceEnd { at, .. } = event
                && at < OTHER.len() as u64
            {
                boundary = at;
            }
            Ok(())
        })
        .unwrap();
    let error = read(&OTHER[..boundary as usize], usize::MAX).unwrap_err();
    let text = format!("the archive ends at byte {boundary} before the end of other.c");
    assert!(error.chain().contains(&text), "{error}");
}

/// A flipped archive gives an error or, where no checksum is, another prelude.
fn check_flip(sample: &[u8], place: usize, mask: u8) {
    let mut flipped = sample.to_vec();
    flipped[place] ^= mask;
    let Ok(summary) = read_with(&flipped, 4096, &mut |_| Ok(())) else { return };
    let right = read_with(sample, 4096, &mut |_| Ok(())).unwrap();
    assert_ne!(summary.prelude, right.prelude, "byte {place} ^ {mask} shows nowhere");
}

#[test]
fn every_byte_counts() {
    for place in 0..OTHER.len() {
        for mask in [1, 3, 0x20] {
            check_flip(OTHER, place, mask);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_flipped_byte_never_passes(which in 0usize..3, place: prop::sample::Index, mask in 1u8..) {
        check_flip(ALL[which], place.index(ALL[which].len()), mask);
    }

    #[test]
    fn arbitrary_portions_change_nothing(which in 0usize..3, portions in prop::collection::vec(1usize..3000, 1..50)) {
        let mut reader = ArchiveReader::new();
        let (mut rest, mut turn) = (ALL[which], portions.iter().cycle());
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(*turn.next().unwrap()));
            reader.feed(part, &mut |_| Ok(())).unwrap();
            rest = after;
        }
        prop_assert_eq!(reader.finish().unwrap(), read(ALL[which], usize::MAX).unwrap().0);
    }
}

fn failure(archive: &[u8]) -> String {
    let whole = read(archive, usize::MAX).unwrap_err();
    assert_eq!(whole.chain(), read(archive, 1).unwrap_err().chain());
    assert_eq!(whole.kind(), Kind::Damaged);
    whole.chain().replace("the MongoDB archive is not what it should be: ", "")
}

#[test]
fn what_no_mongodump_writes_is_refused() {
    let one = bytes(&doc! {"_id": 1});
    let new = || Writer::new("6.0.5", &[("a", "b", "collection")]);
    assert!(read(&new().segment("a", "b", &[&one]).end("a", "b", &[&one]).bytes, 3).is_ok());
    // The tools take these two: an end without a segment, and an archive of nothing.
    assert!(read(&new().end("a", "b", &[]).bytes, 3).is_ok());
    assert!(read(&Writer::new("6.0.5", &[]).bytes, 3).is_ok());

    let mut extra = new().end("a", "b", &[]).bytes;
    extra.splice(extra.len() - 4.., one.clone());
    let mut large = one.clone();
    large[..4].copy_from_slice(&(LARGEST as u32 + 1).to_le_bytes());
    let mut open = one.clone();
    *open.last_mut().unwrap() = 1;
    let wrong: [&[u8]; 12] = [
        &new().segment("a", "c", &[]).bytes,
        &new().segment("", "oplog", &[]).bytes,
        &new().end("a", "b", &[]).segment("a", "b", &[&one]).bytes,
        &new().segment("a", "b", &[&one]).end("a", "b", &[]).bytes,
        &extra,
        &[&new().end("a", "b", &[]).bytes[..], &[0xff; 4]].concat(),
        &Writer::new("6.0.5", &[("a", "b", ""), ("a", "b", "")]).bytes,
        &Writer::new("unknown", &[]).bytes,
        b"\x1f\x8b\x08\0gzip",
        b"",
        &new().segment("a", "b", &[&large]).bytes,
        &new().segment("a", "b", &[&one, &open]).bytes,
    ];
    let lines: Vec<_> = wrong.iter().map(|archive| failure(archive)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    a block of a.c, which the prelude does not name, at byte 190
    a block of oplog, which the prelude does not name, at byte 190
    a block of a.b after its end, at byte 246
    the checksum of a.b is f3ea61436a4459fe, and its end says 0000000000000000, at byte 260
    the block of a.b at byte 190: a document after the end, at byte 242
    between blocks: a terminator without a block, at byte 246
    the prelude: a.b is there twice, at byte 245
    the prelude: the server version "unknown" is not one, at byte 4
    this is not a mongodump archive: it does not begin with the bytes 6d e2 99 81
    the archive ends at byte 0, inside the prelude
    the block of a.b at byte 190: 16793601 is neither the length of a document nor the end of a block, at byte 242
    the block of a.b at byte 190: a document does not end with a zero, at byte 256
    "#);
}

#[test]
fn documents_of_one_namespace_come_in_many_segments() {
    let documents: Vec<Vec<u8>> =
        (0..200).map(|n| bytes(&doc! {"_id": n, "x": "y".repeat(n as usize)})).collect();
    let all: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
    let mut writer = Writer::new("6.0.5", &[("a", "b", ""), ("a", "c", "")]);
    for part in all.chunks(7) {
        writer = writer.segment("a", "b", part).segment("a", "c", &part[..1]);
    }
    let firsts: Vec<&[u8]> = all.chunks(7).map(|part| part[0]).collect();
    let archive = writer.end("a", "b", &all).end("a", "c", &firsts).bytes;
    let (summary, events) = read(&archive, usize::MAX).unwrap();
    assert_eq!(read(&archive, 11).unwrap().1, events);
    assert_eq!([summary.contents[0].rows, summary.contents[1].rows], [200, firsts.len() as u64]);
    assert_eq!(summary.contents[0].bytes, all.concat().len() as u64);
}

#[test]
fn a_time_series_comes_under_the_name_of_its_buckets() {
    let archive = |server, name| {
        Writer::new(server, &[("a", "w", "timeseries")]).segment("a", name, &[]).end("a", name, &[]).bytes
    };
    assert!(read(&archive("6.0.5", "system.buckets.w"), 5).is_ok());
    assert!(read(&archive("6.0.5", "w"), 5).is_err());
    assert!(read(&archive("8.3.0", "w"), 5).is_ok());
    let both = Writer::new("8.3.0", &[("a", "w", "timeseries")]).segment("a", "w", &[]);
    assert!(read(&both.end("a", "system.buckets.w", &[]).bytes, 5).is_err());
}

#[test]
fn deep_and_large_documents_pass() {
    let mut deep = Document::new();
    for _ in 0..99 {
        deep = doc! {"a": deep};
    }
    let deep = bytes(&deep);
    // The largest document that a server keeps, to the byte.
    let frame = bytes(&doc! {"_id": 1, "x": ""}).len();
    let large = bytes(&doc! {"_id": 1, "x": Bson::String("x".repeat((16 << 20) - frame))});
    assert_eq!(large.len(), 16 << 20);
    let documents: [&[u8]; 3] = [&deep, &large, &deep];
    let archive =
        Writer::new("6.0.5", &[("a", "b", "")]).segment("a", "b", &documents).end("a", "b", &documents).bytes;
    for portion in [4096, 1 << 20, usize::MAX] {
        let mut seen = Vec::new();
        let summary = read_with(&archive, portion, &mut |event| {
            if let Event::Document { bytes, .. } = event {
                seen.push(bytes.len());
            }
            Ok(())
        });
        assert_eq!(seen, documents.map(<[u8]>::len));
        assert_eq!(summary.unwrap().contents[0].rows, 3);
    }
}

#[test]
fn a_sink_that_fails_ends_the_reading() {
    let mut reader = ArchiveReader::new();
    let error = reader.feed(OTHER, &mut |_| Err(Error::new(Kind::Store, "the store is full"))).unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(reader.feed(b"", &mut |_| Ok(())).is_err());
    assert_eq!(reader.finish().unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn an_endless_prelude_is_refused() {
    let mut reader = ArchiveReader::with_prelude_limit(200);
    let error = reader.feed(SHOP, &mut |_| Ok(())).unwrap_err();
    assert!(error.chain().contains("beyond the limit of 200 bytes"), "{error}");
}
