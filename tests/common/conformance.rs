//! What every store promises, one function a promise. Each gets a store with nothing in it.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use lifeboat::error::{Kind, Result};
use lifeboat::stores::{Conditional, SharedStore, Version};

/// Makes one test of each promise against the stores that the function opens.
macro_rules! conformance {
    ($store:ident, $open:path) => {
        conformance!(@ $store, $open,
            puts_and_gets, overwrites, keeps_empty_objects, misses_what_is_not_there, deletes_twice,
            lists_by_whole_keys, lists_by_any_prefix, lists_more_than_a_page, refuses_bad_keys,
            one_of_sixteen_creates, replaces_only_the_expected_state, one_of_sixteen_replaces,
            reads_every_edge_of_a_range, reads_only_the_state_asked_for, uploads_in_parts,
            uploads_parts_out_of_order, replaces_a_part_sent_again, an_upload_shows_nothing_before_its_end,
            aborts_without_a_trace, finds_and_ends_what_a_crash_left, refuses_gaps_and_ended_uploads,
            uploads_nothing_as_an_empty_object);
    };
    (@ $store:ident, $open:path, $($promise:ident),*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let (store, _guard) = $open().await;
                    crate::conformance::$promise(&store).await;
                }
            )*
        }
    };
}
pub(crate) use conformance;

/// The smallest part that every store takes.
const PART: usize = 5 * 1024 * 1024;

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Bytes that differ from part to part and from place to place.
fn noise(seed: u64, length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes.into()
}

async fn read(store: &SharedStore, key: &str, start: u64, end: Option<u64>) -> Result<Bytes> {
    let body = store.read(key, start, end, None).await?;
    Ok(body.try_collect::<Vec<Bytes>>().await?.concat().into())
}

async fn keys(store: &SharedStore, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|entry| entry.key).collect()
}

pub async fn puts_and_gets(store: &SharedStore) {
    let before = Utc::now();
    let version = store.put("a/b.json", text("hello")).await.unwrap();
    assert_eq!(store.get("a/b.json").await.unwrap(), Some((text("hello"), version.clone())));
    let entry = store.head("a/b.json").await.unwrap().unwrap();
    assert_eq!((entry.key.as_str(), entry.size, &entry.version), ("a/b.json", 5, &version));
    // Stores cut the time to seconds, and their clock is another one.
    let age = (entry.modified - before).num_seconds().abs();
    assert!(age < 300, "{} is not about now", entry.modified);
    assert_eq!(store.list("").await.unwrap(), store.list("a/b.json").await.unwrap());
    let listed = store.list("a").await.unwrap().remove(0);
    assert_eq!((listed.key, listed.size, listed.version), (entry.key, entry.size, entry.version));
}

pub async fn overwrites(store: &SharedStore) {
    let first = store.put("a", text("one")).await.unwrap();
    let second = store.put("a", text("other")).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(store.get("a").await.unwrap(), Some((text("other"), second)));
    assert_eq!(store.list("").await.unwrap().len(), 1);
}

pub async fn keeps_empty_objects(store: &SharedStore) {
    store.put("empty", Bytes::new()).await.unwrap();
    assert_eq!(store.get("empty").await.unwrap().unwrap().0, Bytes::new());
    assert_eq!(store.head("empty").await.unwrap().unwrap().size, 0);
    assert_eq!(read(store, "empty", 0, None).await.unwrap(), Bytes::new());
    assert_eq!(read(store, "empty", 0, Some(0)).await.unwrap(), Bytes::new());
}

pub async fn misses_what_is_not_there(store: &SharedStore) {
    assert_eq!(store.get("a/b").await.unwrap(), None);
    assert_eq!(store.head("a/b").await.unwrap(), None);
    assert_eq!(store.list("").await.unwrap(), vec![]);
    assert_eq!(store.open_uploads("").await.unwrap(), vec![]);
    for end in [None, Some(0), Some(1)] {
        let error = store.read("a/b", 0, end, None).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Store);
        assert!(error.message().contains("a/b does not exist"), "{error}");
        assert!(error.hint_text().is_some());
    }
    // Nor is a directory, or what is below a file, an object.
    store.put("a/b/c", text("1")).await.unwrap();
    assert_eq!(store.get("a/b").await.unwrap(), None);
    assert_eq!(store.head("a").await.unwrap(), None);
}

pub async fn deletes_twice(store: &SharedStore) {
    store.put("a/b", text("1")).await.unwrap();
    store.put("a/c", text("2")).await.unwrap();
    store.delete("a/b").await.unwrap();
    store.delete("a/b").await.unwrap();
    store.delete("never/was").await.unwrap();
    assert_eq!(keys(store, "").await, ["a/c"]);
    store.delete("a/c").await.unwrap();
    assert_eq!(store.get("a/c").await.unwrap(), None);
    store.put("a", text("a file where a directory was")).await.unwrap();
}

pub async fn lists_by_whole_keys(store: &SharedStore) {
    // '-' and '.' sort before '/', '0' after it: a walk of directories gets this wrong.
    let mut all = ["a/1", "a/2/x", "a-b", "a.b", "a0", "B", "ab/1", "a/10", "a-b.c/1"];
    for key in all {
        store.put(key, text("x")).await.unwrap();
    }
    all.sort();
    assert_eq!(keys(store, "").await, all);
}

pub async fn lists_by_any_prefix(store: &SharedStore) {
    for key in ["a/1", "a/12", "a/2", "a-b", "ab", "b/a/1"] {
        store.put(key, text("x")).await.unwrap();
    }
    assert_eq!(keys(store, "a").await, ["a-b", "a/1", "a/12", "a/2", "ab"]);
    assert_eq!(keys(store, "a/").await, ["a/1", "a/12", "a/2"]);
    assert_eq!(keys(store, "a/1").await, ["a/1", "a/12"]);
    assert_eq!(keys(store, "b/").await, ["b/a/1"]);
    assert_eq!(keys(store, "a/1/").await, [""; 0]);
    assert_eq!(keys(store, "c/d/").await, [""; 0]);
}

pub async fn lists_more_than_a_page(store: &SharedStore) {
    // S3 lists 1,000 a page.
    let expected: Vec<String> = (0..1_050).map(|n| format!("many/{n:05}")).collect();
    futures_util::stream::iter(&expected)
        .for_each_concurrent(16, |key| async move {
            store.put(key, Bytes::new()).await.unwrap();
        })
        .await;
    assert_eq!(keys(store, "many/").await, expected);
}

pub async fn refuses_bad_keys(store: &SharedStore) {
    for key in ["", "/a", "a/", "a//b", "../a", "a/../../b", ".lock", ".uploads/x", "a b"] {
        assert!(store.put(key, Bytes::new()).await.is_err(), "{key}");
        assert!(store.put_if_absent(key, Bytes::new()).await.is_err(), "{key}");
        assert!(store.get(key).await.is_err(), "{key}");
        assert!(store.head(key).await.is_err(), "{key}");
        assert!(store.read(key, 0, None, None).await.is_err(), "{key}");
        assert!(store.delete(key).await.is_err(), "{key}");
        assert!(store.upload(key).await.is_err(), "{key}");
    }
    assert!(store.list("../").await.is_err());
}

pub async fn one_of_sixteen_creates(store: &SharedStore) {
    for round in 0..4 {
        let key = format!("lease-{round}.json");
        let bodies: Vec<Bytes> = (0..16).map(|n| format!("holder {n}").into()).collect();
        let races = bodies.iter().map(|body| {
            let (store, key, body) = (store.clone(), key.clone(), body.clone());
            tokio::spawn(async move { store.put_if_absent(&key, body).await.unwrap() })
        });
        let outcomes = join_all(races).await;
        let winners: Vec<(usize, Version)> = outcomes
            .into_iter()
            .enumerate()
            .filter_map(|(n, outcome)| match outcome.unwrap() {
                Conditional::Done(version) => Some((n, version)),
                Conditional::Refused => None,
            })
            .collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        let (winner, version) = winners[0].clone();
        assert_eq!(store.get(&key).await.unwrap(), Some((bodies[winner].clone(), version)));
    }
    assert_eq!(store.open_uploads("").await.unwrap(), vec![]);
}

pub async fn replaces_only_the_expected_state(store: &SharedStore) {
    let first = store.put("a", text("1")).await.unwrap();
    let Conditional::Done(second) = store.put_if_match("a", text("2"), &first).await.unwrap() else {
        panic!("the state was the expected one");
    };
    assert_ne!(first, second);
    assert_eq!(store.put_if_match("a", text("3"), &first).await.unwrap(), Conditional::Refused);
    assert_eq!(store.get("a").await.unwrap(), Some((text("2"), second.clone())));
    assert_eq!(store.put_if_absent("a", text("4")).await.unwrap(), Conditional::Refused);
    store.delete("a").await.unwrap();
    assert_eq!(store.put_if_match("a", text("5"), &second).await.unwrap(), Conditional::Refused);
    assert_eq!(store.get("a").await.unwrap(), None);
    assert!(matches!(store.put_if_absent("a", text("6")).await.unwrap(), Conditional::Done(_)));
}

pub async fn one_of_sixteen_replaces(store: &SharedStore) {
    let first = store.put("a", text("1")).await.unwrap();
    let races = (0..16).map(|n| {
        let (store, first) = (store.clone(), first.clone());
        tokio::spawn(
            async move { store.put_if_match("a", format!("next {n}").into(), &first).await.unwrap() },
        )
    });
    let outcomes = join_all(races).await;
    let winners = outcomes.into_iter().filter(|o| matches!(o.as_ref().unwrap(), Conditional::Done(_)));
    assert_eq!(winners.count(), 1);
}

pub async fn reads_every_edge_of_a_range(store: &SharedStore) {
    // More than one chunk of any store, and no multiple of one.
    let whole = noise(7, 600_001);
    store.put("x", whole.clone()).await.unwrap();
    let size = whole.len() as u64;
    for (start, end) in [
        (0, None),
        (0, Some(size)),
        (0, Some(1)),
        (0, Some(0)),
        (1, None),
        (1, Some(size - 1)),
        (262_143, Some(262_145)),
        (300_000, Some(300_000)),
        (size - 1, None),
        (size - 1, Some(size)),
        (size, None),
        (size, Some(size)),
    ] {
        let slice = whole.slice(start as usize..end.unwrap_or(size) as usize);
        let got = read(store, "x", start, end).await.unwrap();
        assert!(got == slice, "bytes {start} to {end:?} are others");
    }
    for (start, end) in [(0, Some(size + 1)), (size - 1, Some(size + 1)), (size + 1, None), (9, Some(8))] {
        let error =
            store.read("x", start, end, None).await.err().unwrap_or_else(|| panic!("{start} {end:?}"));
        assert!(error.message().contains("are not there"), "{error}");
    }
}

pub async fn reads_only_the_state_asked_for(store: &SharedStore) {
    let first = store.put("x", text("first")).await.unwrap();
    let second = store.put("x", text("second")).await.unwrap();
    for (start, end) in [(0, None), (1, None), (2, Some(2)), (1, Some(3))] {
        let error = store.read("x", start, end, Some(&first)).await.err().unwrap();
        assert!(error.message().contains("changed while it was being read"), "{error}");
        assert!(store.read("x", start, end, Some(&second)).await.is_ok());
    }
}

pub async fn uploads_in_parts(store: &SharedStore) {
    let whole = noise(1, 2 * PART + 12_345);
    let upload = store.upload("data/x").await.unwrap();
    for (part, start) in (1..).zip((0..whole.len()).step_by(PART)) {
        upload.part(part, whole.slice(start..whole.len().min(start + PART))).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert!(read(store, "data/x", 0, None).await.unwrap() == whole);
    assert_eq!(store.head("data/x").await.unwrap().unwrap().size, whole.len() as u64);
    assert_eq!(store.open_uploads("").await.unwrap(), vec![]);
    // An end that comes twice does no harm to what is there.
    assert!(upload.complete().await.is_err());
    upload.abort().await.unwrap();
    assert!(store.head("data/x").await.unwrap().is_some());
}

pub async fn uploads_parts_out_of_order(store: &SharedStore) {
    // All at once, of several lengths, the short last one first.
    let lengths = [PART, PART + 1, PART, PART + 77, 3];
    let parts: Vec<Bytes> = lengths.iter().zip(0..).map(|(length, seed)| noise(seed, *length)).collect();
    let upload = store.upload("data/x").await.unwrap();
    upload.part(5, parts[4].clone()).await.unwrap();
    let rest = [3u32, 1, 4, 2].map(|number| upload.part(number, parts[number as usize - 1].clone()));
    for outcome in join_all(rest).await {
        outcome.unwrap();
    }
    upload.complete().await.unwrap();
    assert!(read(store, "data/x", 0, None).await.unwrap() == parts.concat());
}

pub async fn replaces_a_part_sent_again(store: &SharedStore) {
    let upload = store.upload("data/x").await.unwrap();
    upload.part(1, noise(1, PART)).await.unwrap();
    upload.part(2, noise(2, 1000)).await.unwrap();
    upload.part(2, noise(3, 10)).await.unwrap();
    upload.part(1, noise(4, PART)).await.unwrap();
    upload.complete().await.unwrap();
    assert!(read(store, "data/x", 0, None).await.unwrap() == [noise(4, PART), noise(3, 10)].concat());
}

pub async fn an_upload_shows_nothing_before_its_end(store: &SharedStore) {
    store.put("data/old", text("old")).await.unwrap();
    let upload = store.upload("data/x").await.unwrap();
    let over = store.upload("data/old").await.unwrap();
    upload.part(1, noise(1, 10)).await.unwrap();
    over.part(1, text("new")).await.unwrap();
    assert_eq!(store.head("data/x").await.unwrap(), None);
    assert_eq!(keys(store, "").await, ["data/old"]);
    assert_eq!(store.get("data/old").await.unwrap().unwrap().0, text("old"));
    over.complete().await.unwrap();
    assert_eq!(store.get("data/old").await.unwrap().unwrap().0, text("new"));
    upload.abort().await.unwrap();
}

pub async fn aborts_without_a_trace(store: &SharedStore) {
    let upload = store.upload("data/x").await.unwrap();
    upload.part(1, noise(1, 1000)).await.unwrap();
    upload.abort().await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(store.list("").await.unwrap(), vec![]);
    assert_eq!(store.open_uploads("").await.unwrap(), vec![]);
    assert!(upload.part(2, noise(2, 10)).await.is_err());
}

pub async fn finds_and_ends_what_a_crash_left(store: &SharedStore) {
    let before = Utc::now();
    for key in ["data/x", "data/y", "other/z"] {
        let upload = store.upload(key).await.unwrap();
        upload.part(1, noise(1, 10)).await.unwrap();
        drop(upload);
    }
    let open = store.open_uploads("data/").await.unwrap();
    let names: Vec<&str> = open.iter().map(|upload| upload.key.as_str()).collect();
    assert_eq!(names, ["data/x", "data/y"]);
    assert!((open[0].begun - before).abs() < chrono::Duration::from_std(Duration::from_secs(300)).unwrap());
    for upload in &open {
        store.abort_upload(upload).await.unwrap();
        store.abort_upload(upload).await.unwrap();
    }
    assert_eq!(store.open_uploads("data/").await.unwrap(), vec![]);
    assert_eq!(store.open_uploads("").await.unwrap().len(), 1);
}

pub async fn refuses_gaps_and_ended_uploads(store: &SharedStore) {
    let upload = store.upload("data/x").await.unwrap();
    assert!(upload.part(0, Bytes::new()).await.is_err());
    upload.part(1, noise(1, PART)).await.unwrap();
    upload.part(3, noise(3, 10)).await.unwrap();
    let error = upload.complete().await.unwrap_err();
    assert!(error.message().contains("part 2 of") && error.hint_text().is_some(), "{error}");
    assert_eq!(store.head("data/x").await.unwrap(), None);
    // Someone cleans up in the middle.
    for open in store.open_uploads("").await.unwrap() {
        store.abort_upload(&open).await.unwrap();
    }
    let late = upload.part(2, noise(2, PART)).await;
    assert!(late.is_err() || upload.complete().await.is_err());
    assert_eq!(store.head("data/x").await.unwrap(), None);
}

pub async fn uploads_nothing_as_an_empty_object(store: &SharedStore) {
    store.upload("a").await.unwrap().complete().await.unwrap();
    let upload = store.upload("b").await.unwrap();
    upload.part(1, Bytes::new()).await.unwrap();
    upload.complete().await.unwrap();
    for key in ["a", "b"] {
        assert_eq!(store.head(key).await.unwrap().unwrap().size, 0);
    }
}
