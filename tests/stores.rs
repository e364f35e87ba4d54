//! Every store and decorator keeps the same promises.

#[path = "common/conformance.rs"]
mod conformance;
#[path = "common/s3.rs"]
mod s3;

use std::sync::Arc;

use conformance::conformance;
use lifeboat::stores::SharedStore;
use lifeboat::stores::faulty::FaultyStore;
use lifeboat::stores::memory::MemoryStore;
use lifeboat::stores::open::{Checksums, StoreSpec, open};
use tempfile::TempDir;

async fn open_memory() -> (SharedStore, ()) {
    (open(&StoreSpec::new("memory:")).await.unwrap(), ())
}

async fn open_file() -> (SharedStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    // Not there yet: the first write makes it.
    let url = format!("file://{}/new/store", directory.path().display());
    (open(&StoreSpec::new(url)).await.unwrap(), directory)
}

async fn open_faulty() -> (SharedStore, ()) {
    (Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()))), ())
}

async fn open_s3() -> (SharedStore, ()) {
    (s3::fresh_store().await, ())
}

async fn open_s3_without_checksums() -> (SharedStore, ()) {
    let mut spec = s3::fresh_spec();
    spec.checksums = Checksums::WhenRequired;
    (open(&spec).await.unwrap(), ())
}

conformance!(memory, super::open_memory);
conformance!(file, super::open_file);
conformance!(faulty, super::open_faulty);
conformance!(s3_server, super::open_s3);
conformance!(s3_server_without_checksums, super::open_s3_without_checksums);
