//! A store that fails on demand, for the tests of everything above.
//!
//! It hands every call on to another store, except where a rule says otherwise: the nth call of an operation
//! on a key fails, does its work but loses the answer, cuts, stalls or damages a body, or lets the test run
//! something in between. It also writes down every call, for tests of what something costs.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};

use super::{Body, Conditional, Entry, Limits, OpenUpload, SharedStore, Store, Upload, Version, Versioning};
use crate::error::{Error, Kind, Result};

/// The calls that a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Operation {
    Put,
    PutIfAbsent,
    PutIfMatch,
    Get,
    Head,
    Read,
    List,
    Delete,
    Upload,
    Part,
    Complete,
    Abort,
    OpenUploads,
    AbortUpload,
    Versioning,
}

/// Something that a test does in the middle of a call.
pub type Callback = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What goes wrong. Faults of a body are plain failures for calls that have none.
#[derive(Clone)]
pub enum Fault {
    /// Nothing is done, and the call fails.
    Fail,
    /// The work is done, but the call fails.
    LoseAnswer,
    /// A body breaks with an error after so many bytes.
    Break(u64),
    /// A body ends after so many bytes as if it were complete: a store that lies.
    Truncate(u64),
    /// A body stops after so many bytes without an end; a call without a body never returns.
    Stall(u64),
    /// The lowest bit of the byte at this offset of the object is flipped.
    Flip(u64),
    /// Runs this, then does the work as usual.
    Run(Callback),
}

/// Which calls a fault strikes.
#[derive(Clone)]
pub struct Rule {
    operation: Operation,
    key_part: String,
    first: u64,
    times: u64,
    seen: u64,
    fault: Fault,
}

impl Rule {
    /// Strikes the first call of an operation whose key holds the text (empty: any key).
    pub fn new(operation: Operation, key_part: impl Into<String>, fault: Fault) -> Self {
        Rule { operation, key_part: key_part.into(), first: 1, times: 1, seen: 0, fault }
    }

    /// Lets the calls before the nth go by (counted from 1).
    #[must_use]
    pub fn from_nth(mut self, nth: u64) -> Self {
        self.first = nth;
        self
    }

    /// Strikes so many calls in a row.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Strikes all calls from then on.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn strikes(&mut self, operation: Operation, key: &str) -> bool {
        if self.operation != operation || !key.contains(&self.key_part) {
            return false;
        }
        self.seen += 1;
        self.seen >= self.first && self.seen - self.first < self.times
    }
}

/// A store that fails on demand. Clones share rules and log.
#[derive(Clone)]
pub struct FaultyStore {
    inner: SharedStore,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    log: Vec<(Operation, String)>,
}

impl FaultyStore {
    /// A store that does not fail yet.
    pub fn new(inner: SharedStore) -> Self {
        FaultyStore { inner, state: Arc::default() }
    }

    /// Adds a rule; the first one that strikes wins.
    pub fn add(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Forgets all rules.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// Every call so far, with its key or prefix, in order.
    pub fn log(&self) -> Vec<(Operation, String)> {
        self.state().log.clone()
    }

    /// How often an operation was called so far.
    pub fn calls(&self, operation: Operation) -> usize {
        self.state().log.iter().filter(|(called, _)| *called == operation).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of a test while the lock is held fails that test already.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn strike(&self, operation: Operation, key: &str) -> Option<Fault> {
        let mut state = self.state();
        state.log.push((operation, key.to_owned()));
        let mut struck = None;
        // Every rule counts every call, also those that another rule strikes.
        for rule in &mut state.rules {
            if rule.strikes(operation, key) && struck.is_none() {
                struck = Some(rule.fault.clone());
            }
        }
        struck
    }

    async fn around<T>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let fault = self.strike(operation, key);
        apply(fault, operation, key, work).await
    }
}

async fn apply<T>(
    fault: Option<Fault>,
    operation: Operation,
    key: &str,
    work: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    match fault {
        None => work.await,
        Some(Fault::Run(callback)) => {
            callback().await;
            work.await
        }
        Some(Fault::LoseAnswer) => {
            work.await?;
            Err(injected(operation, key))
        }
        Some(Fault::Stall(_)) => std::future::pending().await,
        Some(_) => Err(injected(operation, key)),
    }
}

/// A body on its way in: what a lying store would keep of it, and the fault that is left to apply.
fn damage(fault: Option<Fault>, body: Bytes) -> (Option<Fault>, Bytes) {
    match fault {
        Some(Fault::Truncate(after)) => (None, body.slice(..body.len().min(index(after)))),
        Some(Fault::Flip(at)) if index(at) < body.len() => {
            let mut body = BytesMut::from(&body[..]);
            body[index(at)] ^= 1;
            (None, body.freeze())
        }
        other => (other, body),
    }
}

/// A body on its way out, of an object from byte `start` on.
fn damage_stream(fault: Fault, key: &str, start: u64, body: Body) -> Body {
    let error = injected(Operation::Read, key);
    match fault {
        Fault::Flip(at) => {
            let mut next = start;
            Box::pin(body.map(move |chunk| {
                let chunk = chunk?;
                let first = next;
                next += chunk.len() as u64;
                Ok(match at.checked_sub(first) {
                    Some(within) if at < next => damage(Some(Fault::Flip(within)), chunk).1,
                    _ => chunk,
                })
            }))
        }
        Fault::Break(after) => Box::pin(first_bytes(body, after).chain(stream::iter([Err(error)]))),
        Fault::Stall(after) => Box::pin(first_bytes(body, after).chain(stream::pending())),
        Fault::Truncate(after) => first_bytes(body, after),
        _ => body,
    }
}

fn first_bytes(body: Body, after: u64) -> Body {
    Box::pin(stream::unfold((body, after), |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let chunk = body.next().await?.map(|chunk| chunk.slice(..chunk.len().min(index(left))));
        let left = left - chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Some((chunk, (body, left)))
    }))
}

/// A byte offset as an index; one too large for memory is beyond every body.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn injected(operation: Operation, key: &str) -> Error {
    Error::new(Kind::Store, format!("injected fault: {operation:?} of {key}"))
        .hint("this happens in tests only: the store is a FaultyStore")
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.inner)
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Version> {
        let (fault, body) = damage(self.strike(Operation::Put, key), body);
        apply(fault, Operation::Put, key, self.inner.put(key, body)).await
    }

    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Conditional> {
        let (fault, body) = damage(self.strike(Operation::PutIfAbsent, key), body);
        apply(fault, Operation::PutIfAbsent, key, self.inner.put_if_absent(key, body)).await
    }

    async fn put_if_match(&self, key: &str, body: Bytes, version: &Version) -> Result<Conditional> {
        let (fault, body) = damage(self.strike(Operation::PutIfMatch, key), body);
        apply(fault, Operation::PutIfMatch, key, self.inner.put_if_match(key, body, version)).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Bytes, Version)>> {
        match self.strike(Operation::Get, key) {
            Some(fault @ (Fault::Truncate(_) | Fault::Flip(_))) => {
                let present = self.inner.get(key).await?;
                Ok(present.map(|(body, version)| (damage(Some(fault), body).1, version)))
            }
            fault => apply(fault, Operation::Get, key, self.inner.get(key)).await,
        }
    }

    async fn head(&self, key: &str) -> Result<Option<Entry>> {
        self.around(Operation::Head, key, self.inner.head(key)).await
    }

    async fn read(&self, key: &str, start: u64, end: Option<u64>, version: Option<&Version>) -> Result<Body> {
        let work = self.inner.read(key, start, end, version);
        match self.strike(Operation::Read, key) {
            Some(fault @ (Fault::Break(_) | Fault::Truncate(_) | Fault::Stall(_) | Fault::Flip(_))) => {
                Ok(damage_stream(fault, key, start, work.await?))
            }
            fault => apply(fault, Operation::Read, key, work).await,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.around(Operation::List, prefix, self.inner.list(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.around(Operation::Delete, key, self.inner.delete(key)).await
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>> {
        let inner = self.around(Operation::Upload, key, self.inner.upload(key)).await?;
        Ok(Box::new(FaultyUpload { store: self.clone(), key: key.to_owned(), inner }))
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        self.around(Operation::OpenUploads, prefix, self.inner.open_uploads(prefix)).await
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        self.around(Operation::AbortUpload, &upload.key, self.inner.abort_upload(upload)).await
    }

    async fn versioning(&self) -> Result<Versioning> {
        self.around(Operation::Versioning, "", self.inner.versioning()).await
    }
}

struct FaultyUpload {
    store: FaultyStore,
    key: String,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Upload for FaultyUpload {
    async fn part(&self, number: u32, body: Bytes) -> Result<()> {
        let (fault, body) = damage(self.store.strike(Operation::Part, &self.key), body);
        apply(fault, Operation::Part, &self.key, self.inner.part(number, body)).await
    }

    async fn complete(&self) -> Result<()> {
        self.store.around(Operation::Complete, &self.key, self.inner.complete()).await
    }

    async fn abort(&self) -> Result<()> {
        self.store.around(Operation::Abort, &self.key, self.inner.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;
    use crate::stores::memory::MemoryStore;

    async fn store_with(rule: Rule) -> FaultyStore {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        store.put("a/x", Bytes::from_static(b"0123456789")).await.unwrap();
        store.add(rule);
        store
    }

    async fn read(store: &FaultyStore, start: u64) -> Result<Vec<u8>> {
        let body = store.read("a/x", start, None, None).await?;
        Ok(body.try_collect::<Vec<Bytes>>().await?.concat())
    }

    #[tokio::test]
    async fn strikes_the_nth_call_and_no_other() {
        let store = store_with(Rule::new(Operation::Get, "a/", Fault::Fail).from_nth(2)).await;
        assert!(store.get("b").await.unwrap().is_none());
        assert!(store.get("a/x").await.is_ok());
        assert!(store.get("a/x").await.is_err());
        assert!(store.get("a/x").await.is_ok());
        assert_eq!(store.calls(Operation::Get), 4);
    }

    #[tokio::test]
    async fn a_lost_answer_leaves_the_work_done() {
        let store = store_with(Rule::new(Operation::Put, "", Fault::LoseAnswer)).await;
        assert!(store.put("b", Bytes::from_static(b"1")).await.is_err());
        assert!(store.get("b").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn bodies_are_cut_broken_and_flipped_where_the_rule_says() {
        let store = store_with(Rule::new(Operation::Read, "", Fault::Truncate(4))).await;
        assert_eq!(read(&store, 0).await.unwrap(), b"0123");
        store.add(Rule::new(Operation::Read, "", Fault::Break(4)));
        assert!(read(&store, 0).await.is_err());
        store.add(Rule::new(Operation::Read, "", Fault::Flip(5)));
        assert_eq!(read(&store, 4).await.unwrap(), b"446789");
        assert_eq!(read(&store, 4).await.unwrap(), b"456789");
    }

    #[tokio::test]
    async fn a_callback_runs_before_the_work() {
        let inner: SharedStore = Arc::new(MemoryStore::new());
        let store = FaultyStore::new(inner.clone());
        store.add(Rule::new(
            Operation::PutIfAbsent,
            "",
            Fault::Run(Arc::new(move || {
                let inner = inner.clone();
                Box::pin(async move {
                    inner.put("lease", Bytes::from_static(b"other")).await.unwrap();
                })
            })),
        ));
        let outcome = store.put_if_absent("lease", Bytes::from_static(b"mine")).await.unwrap();
        assert_eq!(outcome, Conditional::Refused);
    }
}
