use std::fs;
use std::os::unix::fs::PermissionsExt;

use futures_util::StreamExt;
use tempfile::TempDir;

use super::*;

fn store() -> (FileStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (FileStore::new(directory.path().join("root")).unwrap(), directory)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn only_the_owner_may_look() {
    let (store, _guard) = store();
    store.put("a/b", text("1")).await.unwrap();
    let upload = store.upload("a/c").await.unwrap();
    upload.part(1, text("2")).await.unwrap();
    upload.complete().await.unwrap();
    let mode = |path: &str| fs::metadata(store.root.join(path)).unwrap().permissions().mode() & 0o777;
    for (path, expected) in [("", 0o700), ("a", 0o700), (".uploads", 0o700), ("a/b", 0o600), ("a/c", 0o600)] {
        assert_eq!(mode(path), expected, "{path}");
    }
}

#[tokio::test]
async fn nothing_is_left_beside_the_objects() {
    let (store, _guard) = store();
    store.put("a/b/c", text("1")).await.unwrap();
    store.put_if_absent("a/b/c", text("2")).await.unwrap();
    let upload = store.upload("d").await.unwrap();
    upload.part(1, text("2")).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(fs::read_dir(store.root.join(".uploads")).unwrap().count(), 0);
    store.delete("a/b/c").await.unwrap();
    assert!(!store.root.join("a").exists());
    assert!(store.root.exists());
}

#[tokio::test]
async fn files_that_are_no_objects_are_not_listed() {
    let (store, _guard) = store();
    store.put("a", text("1")).await.unwrap();
    for name in ["lost+found", "a b", ".hidden"] {
        fs::write(store.root.join(name), "x").unwrap();
    }
    let keys: Vec<String> = store.list("").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["a"]);
}

#[tokio::test]
async fn a_write_that_a_crash_cut_is_found_and_removed() {
    let (store, _guard) = store();
    store.put("a", text("1")).await.unwrap();
    // What is there when the process dies between its first two system calls, and later.
    fs::create_dir(store.root.join(".uploads/0001")).unwrap();
    fs::create_dir(store.root.join(".uploads/0002")).unwrap();
    fs::write(store.root.join(".uploads/0002/key"), "data/x").unwrap();
    fs::write(store.root.join(".uploads/0002/data"), "half").unwrap();
    let open = store.open_uploads("").await.unwrap();
    let found: Vec<(&str, &str)> = open.iter().map(|u| (u.id.as_str(), u.key.as_str())).collect();
    assert_eq!(found, [("0001", ""), ("0002", "data/x")]);
    for upload in &open {
        store.abort_upload(upload).await.unwrap();
    }
    assert_eq!(store.open_uploads("").await.unwrap(), vec![]);
    let outside = OpenUpload { id: "..".to_owned(), ..open[0].clone() };
    assert!(store.abort_upload(&outside).await.is_err());
    assert!(store.root.join("a").exists());
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_read_is_an_error() {
    let (store, _guard) = store();
    store.put("a", vec![7; 600_000].into()).await.unwrap();
    let mut body = store.read("a", 0, None, None).await.unwrap();
    assert_eq!(body.next().await.unwrap().unwrap().len(), 262_144);
    fs::OpenOptions::new().write(true).open(store.root.join("a")).unwrap().set_len(300_000).unwrap();
    let error = body.next().await.unwrap().unwrap_err();
    assert!(error.message().contains("ended 300000 bytes early"), "{error}");
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_file_where_a_directory_should_be_has_a_hint() {
    let (store, _guard) = store();
    store.put("a", text("1")).await.unwrap();
    store.put("b/c", text("1")).await.unwrap();
    for (key, absent) in [("a/b", false), ("b", false), ("a/b", true), ("b", true)] {
        let outcome = if absent {
            store.put_if_absent(key, text("2")).await.map(|_| ())
        } else {
            store.put(key, text("2")).await.map(|_| ())
        };
        let error = outcome.unwrap_err();
        assert!(error.hint_text().unwrap().contains("stands where"), "{error:?}");
    }
    assert_eq!(store.open_uploads("").await.unwrap(), vec![]);
}

#[tokio::test]
async fn writers_wait_for_the_lock_of_another_process() {
    let (store, _guard) = store();
    let first = store.put("a", text("1")).await.unwrap();
    let file = fs::File::open(store.root.join(".lock")).unwrap();
    let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let write = store.put_if_match("a", text("2"), &first);
    tokio::pin!(write);
    // However long it is watched, it does not finish; a few looks are enough to see it run ahead.
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut write).await;
    assert!(early.is_err());
    assert_eq!(store.get("a").await.unwrap().unwrap().0, text("1"));
    drop(lock);
    assert!(matches!(write.await.unwrap(), Conditional::Done(_)));
}

#[tokio::test]
async fn versions_differ_even_when_the_file_system_reuses_inodes() {
    let (store, _guard) = store();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        assert!(seen.insert(store.put("a", text("1")).await.unwrap()));
    }
}
