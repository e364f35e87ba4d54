//! A store in memory, for tests of everything above, and for `memory:` in the configuration.
//!
//! It keeps every promise of the trait, except when made *weak*: then a conditional write looks first and
//! writes later, as some real object stores do, so that several of those that race win.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_util::stream;

use super::{Body, Conditional, Entry, Limits, OpenUpload, Store, Upload, Version, Versioning, keys};
use crate::error::{Error, Kind, Result};

/// The clock of the store: what it calls the time of a write.
pub type StoreClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How long the pieces of a body are: small, so that readers meet borders in tests.
const PIECE: usize = 64 * 1024;

/// A store in memory. Clones share the same objects.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Mutex<State>>,
    name: String,
    limits: Limits,
    weak: bool,
    versioning: Versioning,
    clock: StoreClock,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Pending>,
    counter: u64,
}

#[derive(Clone)]
struct Object {
    body: Bytes,
    version: u64,
    modified: DateTime<Utc>,
}

struct Pending {
    key: String,
    begun: DateTime<Utc>,
    parts: BTreeMap<u32, Bytes>,
}

impl MemoryStore {
    /// An empty store with no limits to speak of.
    pub fn new() -> Self {
        MemoryStore {
            shared: Arc::default(),
            name: String::new(),
            limits: Limits { max_parts: u32::MAX, min_part: 1 },
            weak: false,
            versioning: Versioning::Off,
            clock: Arc::new(Utc::now),
        }
    }

    /// Names the store: its URL is `memory:NAME`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Makes conditional writes lose races: they look, let others run, and write.
    #[must_use]
    pub fn weak(mut self) -> Self {
        self.weak = true;
        self
    }

    /// Sets other limits, which uploads are then held to.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets another clock for [`Entry::modified`] and [`OpenUpload::begun`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets what [`Store::versioning`] answers; deletes free memory all the same.
    #[must_use]
    pub fn with_versioning(mut self, versioning: Versioning) -> Self {
        self.versioning = versioning;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves whole objects behind, so the state stays usable.
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self, state: &mut State, key: &str, body: Bytes) -> Version {
        state.counter += 1;
        let object = Object { body, version: state.counter, modified: (self.clock)() };
        let version = object.tag();
        state.objects.insert(key.to_owned(), object);
        version
    }

    /// Writes if `holds` says so of the present object; a weak store asks long before it writes.
    async fn write_if(
        &self,
        key: &str,
        body: Bytes,
        holds: impl Fn(Option<&Object>) -> bool,
    ) -> Result<Conditional> {
        keys::check(key)?;
        if self.weak {
            let go_on = holds(self.state().objects.get(key));
            if !go_on {
                return Ok(Conditional::Refused);
            }
            tokio::task::yield_now().await;
            return Ok(Conditional::Done(self.write(&mut self.state(), key, body)));
        }
        let mut state = self.state();
        if !holds(state.objects.get(key)) {
            return Ok(Conditional::Refused);
        }
        Ok(Conditional::Done(self.write(&mut state, key, body)))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({:?}, weak: {})", self.name, self.weak)
    }
}

impl Object {
    fn tag(&self) -> Version {
        Version(format!("m{}", self.version))
    }

    fn entry(&self, key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            size: self.body.len() as u64,
            modified: self.modified,
            version: self.tag(),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn url(&self) -> String {
        format!("memory:{}", self.name)
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Version> {
        keys::check(key)?;
        Ok(self.write(&mut self.state(), key, body))
    }

    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Conditional> {
        self.write_if(key, body, |present| present.is_none()).await
    }

    async fn put_if_match(&self, key: &str, body: Bytes, version: &Version) -> Result<Conditional> {
        self.write_if(key, body, |present| present.is_some_and(|object| object.tag() == *version)).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Bytes, Version)>> {
        keys::check(key)?;
        Ok(self.state().objects.get(key).map(|object| (object.body.clone(), object.tag())))
    }

    async fn head(&self, key: &str) -> Result<Option<Entry>> {
        keys::check(key)?;
        Ok(self.state().objects.get(key).map(|object| object.entry(key)))
    }

    async fn read(&self, key: &str, start: u64, end: Option<u64>, version: Option<&Version>) -> Result<Body> {
        keys::check(key)?;
        let name = format!("{}/{key}", self.url());
        let object = self.state().objects.get(key).cloned().ok_or_else(|| super::missing(&name))?;
        if version.is_some_and(|wanted| *wanted != object.tag()) {
            return Err(super::changed(&name));
        }
        let range = super::range_within(&name, start, end, object.body.len() as u64)?;
        // Both ends are within the body, whose length is a usize.
        let body = object.body.slice(range.start as usize..range.end as usize);
        let pieces: Vec<Result<Bytes>> =
            (0..body.len()).step_by(PIECE).map(|at| Ok(body.slice(at..body.len().min(at + PIECE)))).collect();
        Ok(Box::pin(stream::iter(pieces)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        keys::check_prefix(prefix)?;
        let state = self.state();
        let from_prefix = state.objects.range(prefix.to_owned()..);
        Ok(from_prefix
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, object)| object.entry(key))
            .collect())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        keys::check(key)?;
        self.state().objects.remove(key);
        Ok(())
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>> {
        keys::check(key)?;
        let mut state = self.state();
        state.counter += 1;
        let id = format!("u{:08}", state.counter);
        let pending = Pending { key: key.to_owned(), begun: (self.clock)(), parts: BTreeMap::new() };
        state.uploads.insert(id.clone(), pending);
        Ok(Box::new(MemoryUpload { store: self.clone(), key: key.to_owned(), id }))
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        keys::check_prefix(prefix)?;
        let state = self.state();
        let under = state.uploads.iter().filter(|(_, pending)| pending.key.starts_with(prefix));
        Ok(under
            .map(|(id, pending)| OpenUpload {
                key: pending.key.clone(),
                id: id.clone(),
                begun: pending.begun,
            })
            .collect())
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        self.state().uploads.remove(&upload.id);
        Ok(())
    }

    async fn versioning(&self) -> Result<Versioning> {
        Ok(self.versioning)
    }
}

struct MemoryUpload {
    store: MemoryStore,
    key: String,
    id: String,
}

impl MemoryUpload {
    fn name(&self) -> String {
        format!("{}/{}", self.store.url(), self.key)
    }
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn part(&self, number: u32, body: Bytes) -> Result<()> {
        super::check_part(&self.name(), number, self.store.limits)?;
        let mut state = self.store.state();
        let pending = state.uploads.get_mut(&self.id).ok_or_else(|| super::upload_over(&self.name()))?;
        pending.parts.insert(number, body);
        Ok(())
    }

    async fn complete(&self) -> Result<()> {
        let mut state = self.store.state();
        let pending = state.uploads.get(&self.id).ok_or_else(|| super::upload_over(&self.name()))?;
        super::check_no_gaps(&self.name(), pending.parts.keys().copied())?;
        let last = pending.parts.len();
        let mut whole = BytesMut::new();
        for (number, part) in &pending.parts {
            if (part.len() as u64) < self.store.limits.min_part && (*number as usize) < last {
                let text = format!("part {number} of {} has only {} bytes", self.name(), part.len());
                return Err(Error::new(Kind::Store, text)
                    .hint(format!("use parts of at least {} bytes", self.store.limits.min_part)));
            }
            whole.extend_from_slice(part);
        }
        state.uploads.remove(&self.id);
        self.store.write(&mut state, &self.key, whole.freeze());
        Ok(())
    }

    async fn abort(&self) -> Result<()> {
        self.store.state().uploads.remove(&self.id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn winners(store: MemoryStore) -> usize {
        let races = (0..16).map(|_| store.put_if_absent("lease.json", Bytes::from_static(b"mine")));
        let outcomes = futures_util::future::join_all(races).await;
        outcomes.into_iter().filter(|outcome| matches!(outcome, Ok(Conditional::Done(_)))).count()
    }

    #[tokio::test]
    async fn only_a_weak_store_has_several_winners() {
        assert_eq!(winners(MemoryStore::new()).await, 1);
        assert_eq!(winners(MemoryStore::new().weak()).await, 16);
    }

    #[tokio::test]
    async fn uploads_are_held_to_the_limits() {
        let store = MemoryStore::new().with_limits(Limits { max_parts: 2, min_part: 4 });
        let upload = store.upload("a").await.unwrap();
        upload.part(1, Bytes::from_static(b"abc")).await.unwrap();
        upload.part(2, Bytes::from_static(b"d")).await.unwrap();
        let error = upload.part(3, Bytes::new()).await.unwrap_err();
        assert!(error.message().contains("at most 2 parts"), "{error}");
        let error = upload.complete().await.unwrap_err();
        assert!(error.message().contains("only 3 bytes"), "{error}");
    }

    #[tokio::test]
    async fn the_clock_is_the_one_given() {
        let time: DateTime<Utc> = "2026-11-24T02:00:00Z".parse().unwrap();
        let store = MemoryStore::new().with_clock(move || time);
        store.put("a", Bytes::new()).await.unwrap();
        assert_eq!(store.head("a").await.unwrap().unwrap().modified, time);
    }
}
