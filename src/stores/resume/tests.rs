use std::sync::Arc;

use futures_util::TryStreamExt;

use super::*;
use crate::stores::faulty::{Fault, FaultyStore, Operation, Rule};
use crate::stores::memory::MemoryStore;

fn quick(tries: u32) -> Resume {
    Resume { tries, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(2) }
}

fn content() -> Bytes {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into()
}

async fn store() -> (FaultyStore, SharedStore) {
    let inner: SharedStore = Arc::new(MemoryStore::new());
    inner.put("data/x", content()).await.unwrap();
    let faulty = FaultyStore::new(inner.clone());
    (faulty, inner)
}

async fn collect(store: &FaultyStore, start: u64, end: Option<u64>, resume: Resume) -> Result<Vec<u8>> {
    let body = read(Arc::new(store.clone()), "data/x", start, end, None, resume).await?;
    Ok(body.try_collect::<Vec<Bytes>>().await?.concat())
}

#[tokio::test]
async fn goes_on_at_the_byte_where_the_body_broke() {
    let (faulty, _) = store().await;
    faulty.add(Rule::new(Operation::Read, "data/", Fault::Break(100_001)).times(3));
    faulty.add(Rule::new(Operation::Read, "data/", Fault::Fail).from_nth(4));
    assert_eq!(collect(&faulty, 0, None, quick(3)).await.unwrap(), content());
    assert_eq!(faulty.calls(Operation::Read), 5);
}

#[tokio::test]
async fn a_body_that_ends_early_is_broken() {
    let (faulty, _) = store().await;
    faulty.add(Rule::new(Operation::Read, "data/", Fault::Truncate(70_000)).times(2));
    assert_eq!(collect(&faulty, 5, Some(1_000_000), quick(2)).await.unwrap(), content()[5..1_000_000]);
    faulty.add(Rule::new(Operation::Read, "data/", Fault::Truncate(0)).always());
    let error = collect(&faulty, 0, None, quick(3)).await.unwrap_err();
    assert!(error.message().contains("at byte 0 after 3 tries in "), "{error}");
    assert!(error.chain().ends_with("ended 1200000 bytes early"), "{error}");
}

#[tokio::test]
async fn progress_resets_the_count() {
    let (faulty, _) = store().await;
    faulty.add(Rule::new(Operation::Read, "data/", Fault::Break(99_999)).times(12));
    assert_eq!(collect(&faulty, 0, None, quick(2)).await.unwrap().len(), 1_200_000);
    assert_eq!(faulty.calls(Operation::Read), 13);
}

#[tokio::test]
async fn an_object_that_was_replaced_or_removed_is_not_mixed_with_the_new_one() {
    let (faulty, inner) = store().await;
    faulty.add(Rule::new(Operation::Read, "data/", Fault::Break(65_536)));
    let mut reader =
        ResumingReader::open(Arc::new(faulty.clone()), "data/x", 0, None, None, quick(9)).await.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    inner.put("data/x", content()).await.unwrap();
    let error = reader.next().await.unwrap_err();
    assert!(error.message().contains("changed while it was being read"), "{error}");
    assert_eq!(reader.reopened(), 0);

    faulty.add(Rule::new(Operation::Read, "data/", Fault::Break(65_536)));
    let mut reader = ResumingReader::open(Arc::new(faulty), "data/x", 0, None, None, quick(9)).await.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    inner.delete("data/x").await.unwrap();
    let error = reader.next().await.unwrap_err();
    assert!(error.message().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_when_it_is_opened() {
    let (faulty, inner) = store().await;
    let old = inner.head("data/x").await.unwrap().unwrap().version;
    inner.put("data/x", content()).await.unwrap();
    let shared: SharedStore = Arc::new(faulty);
    for (key, end, version, part) in [
        ("data/y", None, None, "does not exist"),
        ("data/x", Some(1_200_001), None, "are not there"),
        ("data/x", None, Some(&old), "changed"),
    ] {
        let opened = ResumingReader::open(shared.clone(), key, 0, end, version, quick(1)).await;
        let error = opened.err().unwrap();
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn an_empty_range_has_no_bytes_and_no_request() {
    let (faulty, _) = store().await;
    assert!(collect(&faulty, 1_200_000, None, quick(1)).await.unwrap().is_empty());
    assert_eq!(faulty.calls(Operation::Read), 0);
}
