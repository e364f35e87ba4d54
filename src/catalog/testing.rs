//! A small store in memory for the catalog's own tests: it can stop a run at any operation, lose
//! answers, lose races, run something else before an operation, and hand control back before each one.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::stores::{Body, Conditional, Entry, Limits, OpenUpload, SharedStore, Store, Upload, Version};

/// What happens to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It has no effect and never returns: the process dies before it.
    HaltBefore,
    /// It has its effect and never returns: the process dies after it.
    HaltAfter,
    /// It has no effect and fails.
    FailBefore,
    /// It has its effect and fails: the answer is lost.
    FailAfter,
}

type Hook = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug, Clone)]
struct Object {
    body: Bytes,
    version: u64,
    modified: DateTime<Utc>,
}

#[derive(Debug, Clone)]
struct Started {
    key: String,
    begun: DateTime<Utc>,
    parts: BTreeMap<u32, Bytes>,
}

#[derive(Debug)]
struct World {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<u64, Started>,
    next: u64,
    epoch: DateTime<Utc>,
    start: Instant,
}

#[derive(Default)]
struct Plan {
    count: usize,
    faults: Vec<(usize, Fault)>,
    hooks: Vec<(usize, Hook)>,
    denied: Vec<String>,
    log: Vec<String>,
    halted: bool,
    yielding: bool,
    latency: Duration,
}

/// A view of the store by one run, with its own count of operations and its own faults.
#[derive(Clone)]
pub(super) struct TestStore {
    world: Arc<Mutex<World>>,
    plan: Arc<Mutex<Plan>>,
    halted: Arc<Notify>,
    weak: bool,
}

impl std::fmt::Debug for TestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("memory://test")
    }
}

impl TestStore {
    /// An empty store whose clock says `epoch` now.
    pub(super) fn new(epoch: DateTime<Utc>) -> TestStore {
        let world = World {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            next: 1,
            epoch,
            start: Instant::now(),
        };
        TestStore {
            world: Arc::new(Mutex::new(world)),
            plan: Arc::default(),
            halted: Arc::default(),
            weak: false,
        }
    }

    /// The same store for another run.
    pub(super) fn view(&self) -> TestStore {
        TestStore { plan: Arc::default(), halted: Arc::default(), ..self.clone() }
    }

    /// The same store for another run, with conditional writes that check, let others go first, and then write.
    pub(super) fn weak_view(&self) -> TestStore {
        TestStore { weak: true, ..self.view() }
    }

    pub(super) fn shared(&self) -> SharedStore {
        Arc::new(self.clone())
    }

    /// Lets the operation number `n` (from 0) of this view end in a fault.
    pub(super) fn fault(&self, n: usize, fault: Fault) {
        self.plan.lock().unwrap().faults.push((n, fault));
    }

    /// Runs something before operation number `n` of this view.
    pub(super) fn before(&self, n: usize, hook: impl Future<Output = ()> + Send + 'static) {
        self.plan.lock().unwrap().hooks.push((n, Box::pin(hook)));
    }

    /// Refuses to delete keys that contain a text.
    pub(super) fn deny_delete(&self, part: &str) {
        self.plan.lock().unwrap().denied.push(part.to_owned());
    }

    /// Hands control back once before each operation.
    pub(super) fn yielding(self) -> TestStore {
        self.plan.lock().unwrap().yielding = true;
        self
    }

    /// Makes each operation take this long before it has its effect.
    pub(super) fn latency(self, latency: Duration) -> TestStore {
        self.plan.lock().unwrap().latency = latency;
        self
    }

    /// Operations of this view so far.
    pub(super) fn count(&self) -> usize {
        self.plan.lock().unwrap().count
    }

    /// The operations of this view, for messages.
    pub(super) fn log(&self) -> String {
        self.plan.lock().unwrap().log.join("\n")
    }

    /// Waits until an operation was halted.
    pub(super) async fn halted(&self) {
        while !self.plan.lock().unwrap().halted {
            self.halted.notified().await;
        }
    }

    /// All keys.
    pub(super) fn keys(&self) -> Vec<String> {
        self.world.lock().unwrap().objects.keys().cloned().collect()
    }

    /// Open uploads.
    pub(super) fn open(&self) -> usize {
        self.world.lock().unwrap().uploads.len()
    }

    /// An object's bytes, without an operation.
    pub(super) fn peek(&self, key: &str) -> Option<Bytes> {
        self.world.lock().unwrap().objects.get(key).map(|object| object.body.clone())
    }

    /// Writes an object, without an operation.
    pub(super) fn plant(&self, key: &str, body: impl Into<Bytes>) {
        let mut world = self.world.lock().unwrap();
        world.write(key, body.into());
    }

    /// Removes an object, without an operation.
    pub(super) fn uproot(&self, key: &str) {
        self.world.lock().unwrap().objects.remove(key);
    }

    /// The store's clock.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.world.lock().unwrap().now()
    }

    /// One operation: waits, counts, and applies the faults that were planned for it.
    async fn operate<T>(
        &self,
        name: &str,
        key: &str,
        effect: impl FnOnce(&mut World) -> Result<T>,
    ) -> Result<T> {
        let (n, yielding, latency) = {
            let mut plan = self.plan.lock().unwrap();
            let n = plan.count;
            plan.count += 1;
            plan.log.push(format!("{n} {name} {key}"));
            (n, plan.yielding, plan.latency)
        };
        if yielding {
            yield_once().await;
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let (hooks, fault) = {
            let mut plan = self.plan.lock().unwrap();
            let (due, rest) = std::mem::take(&mut plan.hooks).into_iter().partition(|(at, _)| *at == n);
            plan.hooks = rest;
            let fault = plan.faults.iter().find(|(at, _)| *at == n).map(|(_, fault)| *fault);
            (due, fault)
        };
        let due: Vec<(usize, Hook)> = hooks;
        for (_, hook) in due {
            hook.await;
        }
        if self.plan.lock().unwrap().halted {
            // The process is dead: its other tasks do nothing any more.
            std::future::pending::<()>().await;
        }
        match fault {
            Some(Fault::HaltBefore) => self.halt().await,
            Some(Fault::FailBefore) => return Err(failed(name, key)),
            Some(Fault::HaltAfter) | Some(Fault::FailAfter) | None => {}
        }
        let result = effect(&mut self.world.lock().unwrap());
        match fault {
            Some(Fault::HaltAfter) => self.halt().await,
            Some(Fault::FailAfter) => return Err(failed(name, key)),
            _ => {}
        }
        result
    }

    async fn halt(&self) {
        self.plan.lock().unwrap().halted = true;
        self.halted.notify_one();
        std::future::pending::<()>().await;
    }

    async fn conditional(
        &self,
        name: &str,
        key: &str,
        body: Bytes,
        holds: impl Fn(Option<&Object>) -> bool,
    ) -> Result<Conditional> {
        if self.weak {
            let met = self
                .operate(&format!("{name} (check)"), key, |world| Ok(holds(world.objects.get(key))))
                .await?;
            if !met {
                return Ok(Conditional::Refused);
            }
            return self
                .operate(&format!("{name} (write)"), key, |world| {
                    Ok(Conditional::Done(world.write(key, body)))
                })
                .await;
        }
        let effect = |world: &mut World| match holds(world.objects.get(key)) {
            true => Ok(Conditional::Done(world.write(key, body))),
            false => Ok(Conditional::Refused),
        };
        self.operate(name, key, effect).await
    }
}

impl World {
    fn now(&self) -> DateTime<Utc> {
        self.epoch + self.start.elapsed()
    }

    fn write(&mut self, key: &str, body: Bytes) -> Version {
        let version = self.next;
        self.next += 1;
        self.objects.insert(key.to_owned(), Object { body, version, modified: self.now() });
        Version(version.to_string())
    }
}

/// Gives control back to whoever polls, once.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn failed(name: &str, key: &str) -> Error {
    Error::new(Kind::Store, format!("{name} {key} failed")).hint("planned fault")
}

fn entry(key: &str, object: &Object) -> Entry {
    Entry {
        key: key.to_owned(),
        size: object.body.len() as u64,
        modified: object.modified,
        version: Version(object.version.to_string()),
    }
}

#[async_trait]
impl Store for TestStore {
    fn url(&self) -> String {
        "memory://test".to_owned()
    }

    fn limits(&self) -> Limits {
        Limits { max_parts: 10_000, min_part: 1 }
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Version> {
        self.operate("put", key, |world| Ok(world.write(key, body))).await
    }

    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Conditional> {
        self.conditional("put_if_absent", key, body, |object| object.is_none()).await
    }

    async fn put_if_match(&self, key: &str, body: Bytes, version: &Version) -> Result<Conditional> {
        let same =
            |object: Option<&Object>| object.is_some_and(|object| object.version.to_string() == version.0);
        self.conditional("put_if_match", key, body, same).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Bytes, Version)>> {
        let effect = |world: &mut World| {
            Ok(world
                .objects
                .get(key)
                .map(|object| (object.body.clone(), Version(object.version.to_string()))))
        };
        self.operate("get", key, effect).await
    }

    async fn head(&self, key: &str) -> Result<Option<Entry>> {
        self.operate("head", key, |world| Ok(world.objects.get(key).map(|object| entry(key, object)))).await
    }

    async fn read(
        &self,
        key: &str,
        start: u64,
        end: Option<u64>,
        _version: Option<&Version>,
    ) -> Result<Body> {
        let body = self.get(key).await?.ok_or_else(|| failed("read", key))?.0;
        let end = end.map_or(body.len(), |end| end as usize);
        let part = body.slice(start as usize..end);
        Ok(Box::pin(stream::once(async move { Ok(part) })))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        let effect = |world: &mut World| {
            let found = world.objects.iter().filter(|(key, _)| key.starts_with(prefix));
            Ok(found.map(|(key, object)| entry(key, object)).collect())
        };
        self.operate("list", prefix, effect).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let denied = self.plan.lock().unwrap().denied.iter().any(|part| key.contains(part));
        if denied {
            let error = Error::new(Kind::Store, format!("delete {key} failed: AccessDenied"));
            return self.operate("delete", key, |_| Err(error)).await;
        }
        self.operate("delete", key, |world| {
            world.objects.remove(key);
            Ok(())
        })
        .await
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>> {
        let effect = |world: &mut World| {
            let id = world.next;
            world.next += 1;
            let begun = world.now();
            world.uploads.insert(id, Started { key: key.to_owned(), begun, parts: BTreeMap::new() });
            Ok(id)
        };
        let id = self.operate("upload", key, effect).await?;
        Ok(Box::new(TestUpload { store: self.clone(), id, key: key.to_owned() }))
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        let effect = |world: &mut World| {
            let found = world.uploads.iter().filter(|(_, upload)| upload.key.starts_with(prefix));
            Ok(found
                .map(|(id, upload)| OpenUpload {
                    key: upload.key.clone(),
                    id: id.to_string(),
                    begun: upload.begun,
                })
                .collect())
        };
        self.operate("open_uploads", prefix, effect).await
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        let id: u64 = upload.id.parse().unwrap();
        self.operate("abort_upload", &upload.key, |world| {
            world.uploads.remove(&id);
            Ok(())
        })
        .await
    }
}

#[derive(Debug)]
struct TestUpload {
    store: TestStore,
    id: u64,
    key: String,
}

#[async_trait]
impl Upload for TestUpload {
    async fn part(&self, number: u32, body: Bytes) -> Result<()> {
        let effect = |world: &mut World| match world.uploads.get_mut(&self.id) {
            Some(upload) => {
                upload.parts.insert(number, body);
                Ok(())
            }
            None => Err(failed("part", &self.key)),
        };
        self.store.operate("part", &self.key, effect).await
    }

    async fn complete(&self) -> Result<()> {
        let effect = |world: &mut World| {
            let upload = world.uploads.remove(&self.id).ok_or_else(|| failed("complete", &self.key))?;
            let body: Vec<u8> = upload.parts.into_values().flatten().collect();
            world.write(&self.key, Bytes::from(body));
            Ok(())
        };
        self.store.operate("complete", &self.key, effect).await
    }

    async fn abort(&self) -> Result<()> {
        self.store
            .operate("abort", &self.key, |world| {
                world.uploads.remove(&self.id);
                Ok(())
            })
            .await
    }
}
