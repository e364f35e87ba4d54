//! Makes another archive out of one that passes: namespaces dropped, renamed, emptied, or with other options.
//!
//! Documents pass unchanged, and so do their checksums, but where the plan says that the caller changes them.
//! With every namespace kept as it is, the archive comes out to the byte as it went in.

use std::collections::HashMap;

use crc_fast::{CrcAlgorithm, Digest};

use super::namespace::Namespace;
use super::parts::{BlockHeader, RESTORABLE};
use super::prelude::{CollectionEntry, CollectionKind, Metadata, Prelude, TERMINATOR};
use super::summary::Event;
use crate::error::{Error, Kind, Result};

/// What becomes of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// It is left out.
    Drop,
    /// It is kept.
    Keep(Box<Kept>),
}

/// How a namespace is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its names in the new archive; a time series is told by its own, not by that of its buckets.
    pub namespace: Namespace,
    /// Whether its documents are kept.
    pub documents: bool,
    /// Its options and indexes.
    pub metadata: Option<Metadata>,
    /// The caller leaves documents out or changes them: their checksum is counted again.
    pub changed: bool,
}

impl Kept {
    /// Keeps everything.
    pub fn as_it_is(entry: &CollectionEntry) -> Self {
        Kept {
            namespace: entry.namespace.clone(),
            documents: true,
            metadata: entry.metadata.clone(),
            changed: false,
        }
    }
}

impl From<Kept> for Placement {
    fn from(kept: Kept) -> Self {
        Placement::Keep(Box::new(kept))
    }
}

/// A plan whose type need not be named.
pub type BoxedPlan<'p> = Box<dyn FnMut(&CollectionEntry) -> Result<Placement> + Send + 'p>;

/// A namespace that is kept, while its blocks pass.
struct Route {
    namespace: Namespace,
    documents: bool,
    /// A segment has been written. A namespace without documents has one, as from mongodump.
    begun: bool,
    /// The checksum of what was written, where that is not what was read.
    crc: Option<Digest>,
}

/// Turns the events of an [`super::ArchiveReader`] into the bytes of a new archive.
pub struct Rewriter<P> {
    plan: P,
    /// By the place in the prelude; `None` for what is dropped.
    routes: Vec<Option<Route>>,
}

impl<P: FnMut(&CollectionEntry) -> Result<Placement>> Rewriter<P> {
    /// Asks `plan` once about each namespace, in the order of the prelude.
    pub fn new(plan: P) -> Self {
        Rewriter { plan, routes: Vec::new() }
    }

    /// Takes the next event, and puts what the new archive has of it at the end of `out`.
    ///
    /// # Errors
    /// What the plan fails with; two namespaces that the plan gives one name; a document of more than
    /// 16 MiB (only the oplog can have one), which mongorestore cannot read.
    pub fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<()> {
        match *event {
            Event::Prelude { prelude, .. } => return self.begin(prelude, out),
            Event::SegmentStart { namespace, buckets, .. } => {
                if let Some(route) = self.route(namespace)
                    && (route.documents || !route.begun)
                {
                    route.header(buckets, None, out);
                    if !route.documents {
                        out.extend_from_slice(&TERMINATOR);
                    }
                    route.begun = true;
                }
            }
            Event::Document { namespace, bytes, .. } => {
                if let Some(route) = self.route(namespace)
                    && route.documents
                {
                    if bytes.len() > RESTORABLE {
                        return Err(too_large(&route.namespace, bytes.len()));
                    }
                    if let Some(crc) = &mut route.crc {
                        crc.update(bytes);
                    }
                    out.extend_from_slice(bytes);
                }
            }
            Event::SegmentEnd { namespace, .. } => {
                if self.route(namespace).is_some_and(|route| route.documents) {
                    out.extend_from_slice(&TERMINATOR);
                }
            }
            Event::NamespaceEnd { namespace, buckets, crc, .. } => {
                if let Some(route) = self.route(namespace) {
                    // The checksum of no documents is 0.
                    let crc = route.crc.as_ref().map_or(crc, Digest::finalize);
                    let crc = if route.documents { crc } else { 0 };
                    route.header(buckets, Some(crc), out);
                    out.extend_from_slice(&TERMINATOR);
                }
            }
        }
        Ok(())
    }

    fn route(&mut self, namespace: usize) -> Option<&mut Route> {
        self.routes.get_mut(namespace).and_then(Option::as_mut)
    }

    fn begin(&mut self, prelude: &Prelude, out: &mut Vec<u8>) -> Result<()> {
        let mut changed = Prelude { header: prelude.header.clone(), entries: Vec::new() };
        let mut taken: HashMap<Namespace, Namespace> = HashMap::new();
        self.routes.clear();
        for entry in &prelude.entries {
            let Placement::Keep(kept) = (self.plan)(entry)? else {
                self.routes.push(None);
                continue;
            };
            if let Some(other) = taken.insert(kept.namespace.clone(), entry.namespace.clone()) {
                let message =
                    format!("{other} and {} would both be restored as {}", entry.namespace, kept.namespace);
                return Err(Error::new(Kind::Usage, message).hint("give each of them a name of its own"));
            }
            changed.entries.push(entry_of(entry, &kept));
            self.routes.push(Some(Route {
                namespace: kept.namespace,
                // A view has none, so that nothing need be left out.
                documents: kept.documents || entry.shape() == CollectionKind::View,
                begun: false,
                crc: kept.changed.then(|| Digest::new(CrcAlgorithm::Crc64Xz)),
            }));
        }
        changed.write(out).map_err(|why| {
            Error::new(Kind::Failed, "the prelude of a MongoDB archive cannot be written").because(why)
        })
    }
}

impl Route {
    fn header(&self, buckets: bool, end: Option<u64>, out: &mut Vec<u8>) {
        let namespace = if buckets { self.namespace.buckets() } else { self.namespace.clone() };
        BlockHeader { namespace, end: end.is_some(), crc: end.unwrap_or(0) }.write(out);
    }
}

/// The entry in the new prelude. The text stays as it is where nothing in it changes.
fn entry_of(entry: &CollectionEntry, kept: &Kept) -> CollectionEntry {
    let same = kept.namespace.collection == entry.namespace.collection && kept.metadata == entry.metadata;
    let text = match &kept.metadata {
        Some(metadata) if !same => metadata.write(&kept.namespace.collection),
        Some(_) => entry.text.clone(),
        None => String::new(),
    };
    CollectionEntry {
        namespace: kept.namespace.clone(),
        text,
        metadata: kept.metadata.clone(),
        size: entry.size,
        kind: entry.kind.clone(),
    }
}

fn too_large(namespace: &Namespace, length: usize) -> Error {
    Error::new(
        Kind::Failed,
        format!("a document of {namespace} has {length} bytes, more than mongorestore reads"),
    )
    .hint("the limit is 16 MiB; leave the namespace out and write its documents another way")
}
