//! Dumps that are whole, cut, flipped, and made by others.

use proptest::prelude::*;

use super::testing::{Maker, pack, small};
use super::*;
use crate::error::{Kind, Result};

fn read_by(dump: &[u8], portion: usize) -> Result<Summary> {
    let mut reader = ArchiveReader::new()?;
    for bytes in dump.chunks(portion.max(1)) {
        reader.feed(bytes)?;
    }
    reader.finish()
}

fn read(dump: &[u8]) -> Result<Summary> {
    read_by(dump, dump.len())
}

fn message(dump: &[u8]) -> String {
    let error = read(dump).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    error.chain()
}

#[test]
fn a_whole_dump_says_what_it_holds() {
    let dump = small().dump();
    let summary = read(&dump).unwrap();
    assert_eq!((summary.files, summary.directories, summary.bytes), (5, 2, 1000 + 600 + 8 + 5));
    assert_eq!((summary.node_store, summary.relationship_store, summary.logs), (Some(600), Some(0), 1));
    assert_eq!(summary.dump_bytes, dump.len() as u64);
    assert_eq!(summary.entries[3].name, format!("schema/{}", "x".repeat(150)));
    assert_eq!(summary.store.format.as_deref(), Some("record-aligned-1.1"));
    for portion in [1, 2, 7, 512] {
        assert_eq!(read_by(&dump, portion).unwrap(), summary, "{portion}");
    }
    // A dump of 4.x is the same without its magic.
    assert_eq!(read(&dump[4..]).unwrap().store, summary.store);
}

#[test]
fn a_dump_that_is_cut_anywhere_is_damaged() {
    let dump = small().dump();
    for length in 0..dump.len() {
        let error = read(&dump[..length]).expect_err(&format!("{length} bytes"));
        assert_eq!(error.kind(), Kind::Damaged, "{length}: {error}");
    }
    assert_eq!(message(&dump[..50]), "the dump ends early, after 50 bytes");
}

#[test]
fn a_flipped_byte_is_seen_or_changes_nothing() {
    let maker = small();
    let dump = maker.dump();
    let mut harmless = 0;
    for at in 0..dump.len() {
        for flip in [1, 0x80, 0xff] {
            let mut flipped = dump.clone();
            flipped[at] ^= flip;
            if read(&flipped).is_ok() {
                let raw = zstd::stream::decode_all(&flipped[4..]).unwrap();
                assert!(raw == maker.raw(maker.files, maker.bytes), "byte {at}");
                harmless += 1;
            }
        }
    }
    // Such as the size of the window.
    assert!(harmless < 20, "{harmless}");
}

#[test]
fn what_follows_the_end_is_damage() {
    let dump = small().dump();
    let length = dump.len();
    for more in [b"x".to_vec(), vec![0], dump[4..].to_vec(), dump.clone()] {
        let longer = [dump.clone(), more].concat();
        assert_eq!(message(&longer), format!("the dump goes on after its end, at byte {length}"));
        assert!(read_by(&longer, 1).is_err());
    }
}

#[test]
fn counts_that_the_files_do_not_have_are_damage() {
    let maker = small();
    for (files, bytes) in [(6, maker.bytes), (4, maker.bytes), (5, maker.bytes + 1), (0, 0)] {
        let message = message(&pack(b"DZV1", &maker.raw(files, bytes)));
        assert!(message.contains("the dump holds 5 files with 1613 bytes, and says"), "{message}");
    }
    assert_eq!(message(&Maker::new().dump()), "the dump holds no file");
    assert_eq!(message(&pack(b"DZV1", b"")), "the dump is empty: not even its header is there");
}

#[test]
fn what_is_no_dump_is_named() {
    let cases: [(&[u8], &str); 3] = [
        (b"2026-11-27 INFO Starting dump", "this is no dump of neo4j-admin: it begins with `2026`"),
        (b"DZV1garbage", "the dump has no zstd frame at byte 4"),
        (b"DZV1\x28\xb5\x2f\xfd\x00", "the dump has no checksum, at byte 8"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(message(bytes), expected);
    }
    let raw = small().raw(5, 1613);
    let swapped = |from: usize, to: &[u8]| {
        let mut raw = raw.clone();
        raw[from..from + to.len()].copy_from_slice(to);
        message(&pack(b"DZV1", &raw))
    };
    assert_eq!(swapped(0, b"gzip"), "the dump's header begins with `gzip` in place of `zstd`");
    assert_eq!(swapped(7, &[2]), "the dump's header is of the version [0, 0, 0, 2], not 1");
    // The first header of the archive, and the second.
    assert_eq!(
        swapped(24, b"?"),
        "the dump's archive has a header whose checksum is another, at byte 0 of it"
    );
    assert_eq!(swapped(24 + 512 + 257, b"u?"), "the dump's archive has no file's header, at byte 512 of it");
    // Wherever the portions end.
    let mut raw = raw.clone();
    raw[24 + 512 + 257] = b'?';
    let error = read_by(&pack(b"DZV1", &raw), 1).unwrap_err();
    assert_eq!(error.message(), "the dump's archive has no file's header, at byte 512 of it");
    let error = read(b"DGV1\x1f\x8b\x08\x00\x00\x00").unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    assert!(error.hint_text().unwrap().contains("zstd library"), "{error:?}");
}

#[test]
fn an_archive_without_its_end_or_with_more_than_that_is_damage() {
    let maker = small();
    let raw = maker.raw(maker.files, maker.bytes);
    assert!(message(&pack(b"DZV1", &raw[..raw.len() - 512])).contains("archive ends early"));
    assert!(message(&pack(b"DZV1", &raw[..raw.len() - 1])).contains("archive ends early"));
    let more = [raw.clone(), vec![0; 512 * 17]].concat();
    assert!(read(&pack(b"DZV1", &more)).is_ok(), "padded to a record");
    let after = [raw, vec![1; 512]].concat();
    assert!(message(&pack(b"DZV1", &after)).contains("archive goes on after its end"));
}

#[test]
fn names_that_lead_elsewhere_are_damage() {
    for name in ["../x", "./a/../../x", "/etc/passwd", "./"] {
        assert!(message(&Maker::new().file(name, b"x").dump()).contains("has a file of the name"), "{name}");
    }
}

#[test]
fn names_of_very_many_files_are_not_all_kept() {
    let mut maker = Maker::new();
    for number in 0..3_000 {
        maker = maker.file(&format!("./index-{number}"), b"");
    }
    let summary = read(&maker.dump()).unwrap();
    assert_eq!((summary.files, summary.entries.len()), (3_000, summary::NAMED));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_end_in_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(&bytes).is_err());
        prop_assert!(read(&pack(b"DZV1", &bytes)).is_err());
        let header = [b"zstd\x00\x00\x00\x01".as_slice(), &[0; 16], &bytes].concat();
        prop_assert!(read(&pack(b"DZV1", &header)).is_err());
    }

    #[test]
    fn files_of_any_size_are_counted(sizes in proptest::collection::vec(0usize..3000, 1..20), portion in 1usize..5000) {
        let mut maker = Maker::new();
        for (number, size) in sizes.iter().enumerate() {
            let (name, contents) = (format!("./f{number}"), vec![number as u8; *size]);
            maker = if number % 2 == 0 { maker.file(&name, &contents) } else { maker.extended(&name, &contents) };
        }
        let summary = read_by(&maker.dump(), portion).unwrap();
        prop_assert_eq!(summary.entries.iter().map(|entry| entry.bytes as usize).collect::<Vec<_>>(), sizes);
    }
}
