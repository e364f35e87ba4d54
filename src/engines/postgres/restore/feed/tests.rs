//! Ranges of a sample archive through `cat`: how many downloads there are, and what arrives.

use std::sync::Arc;

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::engines::postgres::archive::inventory::inventory;
use crate::pipeline::Sink;
use crate::pipeline::Tuning;
use crate::pipeline::child::{self, Spec};
use crate::pipeline::frames::place_of;
use crate::pipeline::object::{CleanEnd, Role};
use crate::pipeline::progress::Progress;
use crate::stores::SharedStore;
use crate::stores::faulty::{FaultyStore, Operation};
use crate::stores::memory::MemoryStore;

const SAMPLE: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/archives/pg_dump-17.dump"));

/// The sample as a backup with a frame for each block.
async fn stored() -> (Arc<FaultyStore>, BackupReader, Inventory) {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let shared: SharedStore = store.clone();
    let sink = Sink::new(shared.clone(), "data/", Tuning::default(), Progress::default());
    let mut reader = ArchiveReader::new();
    let mut cuts = Vec::new();
    reader
        .feed(SAMPLE, &mut |event| {
            if let Event::TocEnd { at } | Event::BlockEnd { at, .. } = event {
                cuts.push(at as usize);
            }
        })
        .unwrap();
    let archive = reader.finish().unwrap();
    let mut writer = sink.object(DUMP, Role::Dump, "a sample");
    let mut done = 0;
    for cut in cuts {
        writer.write(&SAMPLE[done..cut]).await.unwrap();
        writer.cut().await.unwrap();
        done = cut;
    }
    let dump = writer.finish(CleanEnd::of("a test")).await.unwrap();
    let starts = sink.frames_of(DUMP).unwrap().raw_starts();
    let objects = vec![dump.into_object(), sink.frame_index().await.unwrap().into_object()];
    let reader = BackupReader::open(shared, "data/", objects, 1, Progress::default()).await.unwrap();
    (store, reader, inventory(&archive, &|at| place_of(&starts, at)))
}

/// Feeds `cat` with these tables. Returns what came out, and how many downloads there were.
async fn feed(names: &[&str], judge: Judge<'_>) -> (Result<Option<Archive>>, Vec<u8>, usize) {
    let (store, reader, inventory) = stored().await;
    let head = head(&reader).await.unwrap();
    let wanted: Vec<i32> = head
        .toc
        .entries()
        .iter()
        .filter(|entry| entry.copy.as_ref().is_some_and(|copy| names.contains(&copy.table.name.as_str())))
        .map(|entry| entry.dump_id)
        .collect();
    assert_eq!(wanted.len(), names.len());
    let before = store.calls(Operation::Read);
    let mut spec = Spec::new("/bin/cat", [""; 0]);
    spec.feed = true;
    let mut child = child::spawn(spec).unwrap();
    let (mut input, mut output) = (child.take_input().unwrap(), child.take_output().unwrap());
    let collecting = tokio::spawn(async move {
        let mut out = Vec::new();
        output.read_to_end(&mut out).await.unwrap();
        out
    });
    let fed = selected(&reader, &mut input, &head, &wanted, &inventory, judge).await;
    drop(input);
    let out = collecting.await.unwrap();
    let _ = child.outcome().await;
    (fed, out, store.calls(Operation::Read) - before)
}

#[tokio::test]
async fn neighbours_share_a_download() {
    let (_, _, inventory) = stored().await;
    let mut tables: Vec<(u32, &str)> =
        alone(&inventory).iter().map(|((_, name), (_, place))| (place.frame, *name)).collect();
    tables.sort_unstable();
    assert!(tables.len() > 7, "{tables:?}");
    let names: Vec<&str> = tables.iter().map(|(_, name)| *name).collect();
    let far = [names[0], names[1], names[names.len() - 1]];
    for (wanted, downloads) in [(&names[..], 1), (&names[..3], 1), (&[names[0], names[3]], 1), (&far, 2)] {
        let (fed, out, found) = feed(wanted, &|_| Ok(())).await;
        let mut got: Vec<i32> = fed.unwrap().unwrap().tables.iter().map(|table| table.dump_id).collect();
        // What arrived is an archive of just these.
        let mut reader = ArchiveReader::new();
        reader.feed(&out, &mut |_| {}).unwrap();
        let mut arrived: Vec<i32> =
            reader.finish_selected(&got).unwrap().tables.iter().map(|table| table.dump_id).collect();
        got.sort_unstable();
        arrived.sort_unstable();
        assert_eq!((got.len(), &arrived), (wanted.len(), &got), "{wanted:?}");
        assert_eq!(found, downloads, "{wanted:?}");
    }
}

#[tokio::test]
async fn the_last_byte_waits_for_the_judge() {
    let judge = |_: &Archive| Err(Error::new(Kind::Damaged, "not what it should be"));
    let (fed, out, _) = feed(&["single"], &judge).await;
    assert_eq!(fed.unwrap_err().kind(), Kind::Damaged);
    let (fed, all, _) = feed(&["single"], &|_| Ok(())).await;
    assert!(fed.is_ok());
    assert!(out == all[..all.len() - 1], "{} of {} bytes", out.len(), all.len());
}
