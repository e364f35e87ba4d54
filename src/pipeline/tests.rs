//! Objects on their way into a store and back, over volumes, broken downloads and damage.

use std::sync::Arc;

use super::object::{CleanEnd, Role, StoredObject};
use super::progress::Progress;
use super::{BackupReader, ObjectWriter, Sink, Tuning};
use crate::error::{Kind, Result};
use crate::stores::faulty::{Fault, FaultyStore, Operation, Rule};
use crate::stores::memory::MemoryStore;
use crate::stores::{Limits, SharedStore};

const PREFIX: &str = "orders/data/1/";
const NAME: &str = "dump.zst";
const PART: usize = 64 * 1024;

/// Bytes that do not get smaller: the stored size is about the raw one.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn memory(max_parts: u32) -> SharedStore {
    Arc::new(MemoryStore::new().with_limits(Limits { max_parts, min_part: 1 }))
}

fn sink(store: &SharedStore) -> Sink {
    let tuning = Tuning { level: 1, threads: 2, part_size: PART, uploads: 3 };
    Sink::new(store.clone(), PREFIX, tuning, Progress::default())
}

/// Writes an object in portions that fit nothing, and its frame index.
async fn write(store: &SharedStore, raw: &[u8]) -> Vec<StoredObject> {
    write_by(store, raw, Sink::object).await
}

/// The same for an object that is stored as it is.
async fn write_as_is(store: &SharedStore, raw: &[u8]) -> Vec<StoredObject> {
    write_by(store, raw, Sink::object_as_is).await
}

async fn write_by(
    store: &SharedStore,
    raw: &[u8],
    begin: fn(&Sink, &str, Role, &str) -> ObjectWriter,
) -> Vec<StoredObject> {
    let sink = sink(store);
    let mut writer = begin(&sink, NAME, Role::Dump, "noise");
    for portion in raw.chunks(77_777) {
        writer.write(portion).await.unwrap();
    }
    assert_eq!(writer.position(), raw.len() as u64);
    let dump = writer.finish(CleanEnd::of("a test")).await.unwrap();
    vec![dump.into_object(), sink.frame_index().await.unwrap().into_object()]
}

async fn read(store: &SharedStore, objects: &[StoredObject]) -> Result<Vec<u8>> {
    let reader = BackupReader::open(store.clone(), PREFIX, objects.to_vec(), 2, Progress::default()).await?;
    let mut stream = reader.stream(NAME)?;
    let mut raw = Vec::new();
    while let Some(chunk) = stream.next().await? {
        raw.extend_from_slice(&chunk);
    }
    Ok(raw)
}

#[tokio::test]
async fn what_is_written_is_read() {
    let store = memory(10_000);
    for length in [0, 1, PART, 3 << 20] {
        let raw = noise(length);
        let objects = write(&store, &raw).await;
        assert_eq!((objects[0].raw_bytes, objects[0].volumes.len()), (length as u64, 1));
        assert!(read(&store, &objects).await.unwrap() == raw, "{length}");
    }
}

#[tokio::test]
async fn an_object_goes_on_in_the_next_volume() {
    let store = memory(4);
    let raw = noise(5 << 20);
    let objects = write(&store, &raw).await;
    let volumes = &objects[0].volumes;
    assert!(volumes.len() > 10, "{}", volumes.len());
    assert_eq!([&volumes[0].key, &volumes[1].key, &volumes[2].key], [NAME, "dump.zst.0001", "dump.zst.0002"]);
    assert_eq!(volumes.iter().map(|v| v.bytes).sum::<u64>(), objects[0].stored_bytes);
    assert!(volumes[..volumes.len() - 1].iter().all(|v| v.bytes == 4 * PART as u64));
    assert!(read(&store, &objects).await.unwrap() == raw);

    // The volumes behind each other are the stream, also for a plain zstd.
    let mut stored = Vec::new();
    for volume in volumes {
        stored.extend_from_slice(&store.get(&format!("{PREFIX}{}", volume.key)).await.unwrap().unwrap().0);
    }
    assert!(zstd::stream::decode_all(stored.as_slice()).unwrap() == raw);

    store.delete(&format!("{PREFIX}dump.zst.0003")).await.unwrap();
    let error = read(&store, &objects).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(error.message().contains("dump.zst.0003 is missing"), "{error}");
}

#[tokio::test]
async fn a_range_of_frames_over_volumes_is_read_alone() {
    let store = memory(4);
    let raw = noise(17 << 20);
    let objects = write(&store, &raw).await;
    let reader = BackupReader::open(store.clone(), PREFIX, objects, 2, Progress::default()).await.unwrap();
    let starts = reader.frames(NAME).unwrap().raw_starts();
    let last = reader.frames(NAME).unwrap().len();
    assert!(last > 3, "{last}");
    let mut stream = reader.stream_frames(NAME, 1, last - 1).unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = stream.next().await.unwrap() {
        found.extend_from_slice(&chunk);
    }
    assert!(found == raw[starts[1] as usize..starts[last - 1] as usize]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_download_goes_on_where_it_broke() {
    for fault in [Fault::Break(100_000), Fault::Truncate(70_001), Fault::Fail] {
        let faulty = Arc::new(FaultyStore::new(memory(16)));
        let store: SharedStore = faulty.clone();
        let raw = noise(4 << 20);
        let objects = write(&store, &raw).await;
        faulty.add(Rule::new(Operation::Read, NAME, fault).times(3));
        assert!(read(&store, &objects).await.unwrap() == raw);
        assert!(faulty.calls(Operation::Read) >= objects[0].volumes.len() + 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_that_never_works_is_the_store_s_failure() {
    let faulty = Arc::new(FaultyStore::new(memory(16)));
    let store: SharedStore = faulty.clone();
    let objects = write(&store, &noise(1 << 20)).await;
    faulty.add(Rule::new(Operation::Read, NAME, Fault::Fail).always());
    let error = read(&store, &objects).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store, "{error}");
}

#[tokio::test]
async fn a_flipped_bit_is_damage_wherever_it_is() {
    let faulty = Arc::new(FaultyStore::new(memory(10_000)));
    let store: SharedStore = faulty.clone();
    let raw = noise(2 << 20);
    let objects = write(&store, &raw).await;
    let last = objects[0].stored_bytes - 1;
    for at in [0, 5, 1_000, last / 2, last - 4, last] {
        faulty.add(Rule::new(Operation::Read, NAME, Fault::Flip(at)).always());
        let error = read(&store, &objects).await.expect_err(&format!("byte {at}"));
        assert_eq!(error.kind(), Kind::Damaged, "byte {at}: {error}");
        faulty.heal();
    }
    assert!(read(&store, &objects).await.unwrap() == raw);
}

#[tokio::test]
async fn an_object_of_another_size_or_content_is_damage() {
    let store = memory(10_000);
    let raw = noise(1 << 20);
    let objects = write(&store, &raw).await;
    let key = format!("{PREFIX}{NAME}");
    let (whole, _) = store.get(&key).await.unwrap().unwrap();
    for other in [whole.slice(..whole.len() - 1), [&whole[..], b"x"].concat().into()] {
        store.put(&key, other).await.unwrap();
        let error = read(&store, &objects).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        assert!(error.message().contains("bytes instead of"), "{error}");
    }
    store.put(&key, whole).await.unwrap();
    // A manifest that names another checksum.
    for change in [(|o: &mut StoredObject| o.sha256 = "0".repeat(64)) as fn(&mut StoredObject), |o| {
        o.raw_xxh3 = "0".repeat(32)
    }] {
        let mut changed = objects.clone();
        change(&mut changed[0]);
        assert_eq!(read(&store, &changed).await.unwrap_err().kind(), Kind::Damaged);
    }
    assert!(read(&store, &objects).await.is_ok());
}

#[tokio::test]
async fn nothing_is_left_of_what_is_abandoned() {
    let store = memory(4);
    let sink = sink(&store);
    let mut writer = sink.object(NAME, Role::Dump, "noise");
    // Volumes that are complete, and one that is open.
    writer.write(&noise(21 << 20)).await.unwrap();
    drop(writer);
    assert!(!store.list(PREFIX).await.unwrap().is_empty());
    sink.abandon().await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.open_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn a_part_that_fails_fails_the_object() {
    let faulty = Arc::new(FaultyStore::new(memory(10_000)));
    let store: SharedStore = faulty.clone();
    for operation in [Operation::Upload, Operation::Part, Operation::Complete] {
        faulty.add(Rule::new(operation, NAME, Fault::Fail).always());
        let sink = sink(&store);
        let mut writer = sink.object(NAME, Role::Dump, "noise");
        let outcome = match writer.write(&noise(5 << 20)).await {
            Ok(()) => writer.finish(CleanEnd::of("a test")).await.map(drop),
            Err(error) => Err(error),
        };
        assert_eq!(outcome.unwrap_err().kind(), Kind::Store, "{operation:?}");
        faulty.heal();
        sink.abandon().await.unwrap();
        assert_eq!(store.list("").await.unwrap(), [], "{operation:?}");
        assert_eq!(store.open_uploads("").await.unwrap(), [], "{operation:?}");
    }
}

#[tokio::test]
async fn what_is_stored_as_it_is_is_the_very_bytes_over_all_volumes() {
    let store = memory(4);
    for length in [0, 1, PART, 9 << 20] {
        let raw = noise(length);
        let objects = write_as_is(&store, &raw).await;
        let object = &objects[0];
        assert_eq!((object.compression.as_str(), object.raw_bytes), ("none", object.stored_bytes));
        let mut stored = Vec::new();
        for volume in &object.volumes {
            stored
                .extend_from_slice(&store.get(&format!("{PREFIX}{}", volume.key)).await.unwrap().unwrap().0);
        }
        assert!(stored == raw, "{length}");
        assert!(read(&store, &objects).await.unwrap() == raw, "{length}");
        assert!(!object.volumes.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_download_of_what_is_stored_as_it_is_goes_on_where_it_broke() {
    let faulty = Arc::new(FaultyStore::new(memory(16)));
    let store: SharedStore = faulty.clone();
    let raw = noise(4 << 20);
    let objects = write_as_is(&store, &raw).await;
    faulty.add(Rule::new(Operation::Read, NAME, Fault::Break(100_000)).times(3));
    assert!(read(&store, &objects).await.unwrap() == raw);
}

#[tokio::test]
async fn a_range_of_what_is_stored_as_it_is_is_read_alone() {
    let store = memory(4);
    let raw = noise(17 << 20);
    let objects = write_as_is(&store, &raw).await;
    let reader = BackupReader::open(store.clone(), PREFIX, objects, 2, Progress::default()).await.unwrap();
    let starts = reader.frames(NAME).unwrap().raw_starts();
    assert_eq!(starts, reader.frames(NAME).unwrap().stored_starts());
    let mut stream = reader.stream_frames(NAME, 1, 3).unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = stream.next().await.unwrap() {
        found.extend_from_slice(&chunk);
    }
    assert!(found == raw[starts[1] as usize..starts[3] as usize]);
}

#[tokio::test]
async fn damage_to_what_is_stored_as_it_is_is_seen() {
    let faulty = Arc::new(FaultyStore::new(memory(10_000)));
    let store: SharedStore = faulty.clone();
    let objects = write_as_is(&store, &noise(5 << 20)).await;
    let last = objects[0].stored_bytes - 1;
    for at in [0, last / 2, last] {
        faulty.add(Rule::new(Operation::Read, NAME, Fault::Flip(at)).always());
        let error = read(&store, &objects).await.expect_err(&format!("byte {at}"));
        assert_eq!(error.kind(), Kind::Damaged, "byte {at}: {error}");
        faulty.heal();
    }
    // A word that nobody knows, and one that is not true.
    for word in ["brotli", "zstd"] {
        let mut changed = objects.clone();
        changed[0].compression = word.to_owned();
        assert_eq!(read(&store, &changed).await.unwrap_err().kind(), Kind::Damaged, "{word}");
    }
}
