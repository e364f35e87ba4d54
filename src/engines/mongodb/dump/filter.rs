//! Changes an archive on its way: what is not selected is left out, and the captured oplog is completed.
//!
//! mongodump gives the oplog with whole dumps alone. Captured operations on what is not selected become no-ops of
//! the same moment, so that the oplog still tells how far it goes.

use crc_fast::{CrcAlgorithm, Digest};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::opening::Opening;
use crate::engines::mongodb::archive::oplog::{Command, Entry, Operation};
use crate::engines::mongodb::archive::rewrite::{BoxedPlan, Kept, Placement, Rewriter};
use crate::engines::mongodb::archive::{ArchiveReader, CollectionEntry, Event};
use crate::engines::mongodb::options::Selection;
use crate::error::{Error, Kind, Result};

/// Views are documents of this collection.
const VIEWS: &str = "system.views";

/// Passes an archive on.
pub(super) struct Filter<'a> {
    reader: ArchiveReader,
    rewriter: Rewriter<BoxedPlan<'static>>,
    selection: Selection,
    /// Where the oplog has to begin; `None` once it is complete, or when there is none.
    opening: Option<Opening<'a>>,
    oplog: Option<usize>,
    crc: Digest,
    kept: Vec<u8>,
    held: Vec<Held>,
}

/// What of the oplog has come and waits for what has to go before it.
enum Held {
    Document(Vec<u8>),
    SegmentEnd(u64),
    End(u64),
}

impl<'a> Filter<'a> {
    pub(super) fn new(selection: Selection, opening: Option<Opening<'a>>) -> Filter<'a> {
        let chosen = selection.clone();
        let plan = move |entry: &CollectionEntry| -> Result<Placement> {
            let name = &entry.namespace;
            let wanted = name.is_oplog() || chosen.takes(&name.db, &name.collection);
            Ok(if wanted { Kept::as_it_is(entry).into() } else { Placement::Drop })
        };
        Filter {
            reader: ArchiveReader::new(),
            rewriter: Rewriter::new(Box::new(plan)),
            selection,
            opening,
            oplog: None,
            crc: Digest::new(CrcAlgorithm::Crc64Xz),
            kept: Vec::new(),
            held: Vec::new(),
        }
    }

    /// What of these bytes is kept.
    ///
    /// # Errors
    /// Those of the reader; what an entry of the oplog cannot be read for; those of the opening.
    pub(super) async fn keep(&mut self, bytes: &[u8]) -> Result<&[u8]> {
        self.kept.clear();
        let Filter { reader, rewriter, selection, opening, oplog, crc, kept, held } = self;
        let waits = opening.is_some();
        reader.feed(bytes, &mut |event| match event {
            Event::Prelude { prelude, .. } => {
                *oplog = prelude.oplog();
                rewriter.event(&event, kept)
            }
            Event::Document { namespace, bytes, .. } if Some(namespace) == *oplog => {
                let entry = Held::Document(bytes.to_vec());
                if waits {
                    held.push(entry);
                    return Ok(());
                }
                pass(&entry, namespace, selection, rewriter, crc, kept)
            }
            Event::SegmentEnd { namespace, at } if waits && Some(namespace) == *oplog && !held.is_empty() => {
                held.push(Held::SegmentEnd(at));
                Ok(())
            }
            Event::NamespaceEnd { namespace, at, .. } if Some(namespace) == *oplog => {
                if waits && !held.is_empty() {
                    held.push(Held::End(at));
                    return Ok(());
                }
                pass(&Held::End(at), namespace, selection, rewriter, crc, kept)
            }
            event => rewriter.event(&event, kept),
        })?;
        if !self.held.is_empty() {
            self.complete().await?;
        }
        Ok(&self.kept)
    }

    /// Puts the operations of the opening before what has come of the oplog.
    async fn complete(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let (Some(opening), Some(namespace)) = (self.opening.take(), self.oplog) else { return Ok(()) };
        let Some(Held::Document(first)) = held.first() else { return Ok(()) };
        let before = opening.entries(Entry::parse(first)?.ts).await?;
        let Filter { rewriter, selection, crc, kept, .. } = self;
        for entry in before.into_iter().map(Held::Document).chain(held) {
            pass(&entry, namespace, selection, rewriter, crc, kept)?;
        }
        Ok(())
    }
}

/// Passes a part of the oplog on.
fn pass(
    part: &Held,
    namespace: usize,
    selection: &Selection,
    rewriter: &mut Rewriter<BoxedPlan<'static>>,
    crc: &mut Digest,
    kept: &mut Vec<u8>,
) -> Result<()> {
    match part {
        Held::Document(bytes) => {
            let changed = chosen(selection, bytes)?;
            let bytes = changed.as_ref().map_or(bytes.as_slice(), |changed| changed.as_bytes());
            crc.update(bytes);
            rewriter.event(&Event::Document { namespace, bytes, at: 0 }, kept)
        }
        Held::SegmentEnd(at) => rewriter.event(&Event::SegmentEnd { namespace, at: *at }, kept),
        Held::End(at) => {
            let end = Event::NamespaceEnd { namespace, buckets: false, crc: crc.finalize(), at: *at };
            rewriter.event(&end, kept)
        }
    }
}

/// What an entry of the oplog becomes; `None` when it stays as it is.
fn chosen(selection: &Selection, bytes: &[u8]) -> Result<Option<RawDocumentBuf>> {
    let entry = Entry::parse(bytes)?;
    if !concerns(selection, &entry) {
        return Ok(Some(noop(&entry)));
    }
    let nested = entry.nested()?;
    let taken: Vec<bool> = nested.iter().map(|entry| concerns(selection, entry)).collect();
    if taken.iter().all(|taken| *taken) {
        return Ok(None);
    }
    // Its other fields tell which transaction it is a part of.
    let unreadable =
        |cause| Error::new(Kind::Damaged, "an entry of the oplog is not readable").because(cause);
    let mut whole = mongodb::bson::deserialize_from_slice::<Document>(bytes).map_err(unreadable)?;
    if let Some(Bson::Document(body)) = whole.get_mut("o")
        && let Some(Bson::Array(operations)) = body.get_mut("applyOps")
    {
        let mut each = taken.into_iter();
        operations.retain(|_| each.next().unwrap_or(true));
    }
    RawDocumentBuf::try_from(whole).map(Some).map_err(unreadable)
}

/// True when an operation has to do with what is selected.
fn concerns(selection: &Selection, entry: &Entry<'_>) -> bool {
    match entry.operation {
        Operation::Noop | Operation::Bookkeeping(_) => true,
        // What is nested in it is looked at.
        Operation::Command {
            command: Command::ApplyOps | Command::CommitTransaction | Command::AbortTransaction,
            ..
        } => true,
        _ => match entry.namespace() {
            Some(name) if name.collection == VIEWS => selection.takes_database(&name.db),
            Some(name) => selection.takes(&name.db, &name.collection),
            None => selection.takes_database(entry.db()),
        },
    }
}

/// An entry of the same moment that changes nothing.
fn noop(entry: &Entry<'_>) -> RawDocumentBuf {
    let mut noop = doc! {"op": "n", "ns": "", "o": {}, "ts": entry.ts, "v": 2_i64};
    if let Some(term) = entry.term {
        noop.insert("t", term);
    }
    RawDocumentBuf::try_from(noop).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Timestamp;

    use super::*;

    fn entry(more: Document) -> Vec<u8> {
        let mut entry = doc! {"ts": Timestamp { time: 7, increment: 8 }, "t": 3_i64};
        entry.extend(more);
        RawDocumentBuf::try_from(entry).unwrap().into_bytes()
    }

    #[test]
    fn operations_on_what_is_not_selected_change_nothing() {
        let selection = Selection::only(&["shop".to_owned(), "blog.posts".to_owned()]);
        let insert = |ns: &str| entry(doc! {"op": "i", "ns": ns, "o": {"_id": 1}});
        let command =
            |db: &str, body: Document| entry(doc! {"op": "c", "ns": format!("{db}.$cmd"), "o": body});
        for kept in [
            insert("shop.orders"),
            insert("blog.posts"),
            insert("blog.system.buckets.posts"),
            insert("blog.system.views"),
            command("shop", doc! {"create": "x"}),
            command("blog", doc! {"dropDatabase": 1}),
            entry(doc! {"op": "n", "ns": "", "o": {"msg": "x"}}),
        ] {
            assert_eq!(chosen(&selection, &kept).unwrap(), None);
        }
        for left in
            [insert("other.orders"), insert("blog.drafts"), command("other", doc! {"create": "posts"})]
        {
            let noop = chosen(&selection, &left).unwrap().unwrap();
            let noop = Entry::parse(noop.as_bytes()).unwrap();
            assert!(noop.is_noop());
            assert_eq!((noop.ts.time, noop.ts.increment, noop.term), (7, 8, Some(3)));
        }
    }

    #[test]
    fn transactions_keep_their_selected_part() {
        let selection = Selection::only(&["shop".to_owned()]);
        let operations = ["shop.a", "other.b"].map(|ns| doc! {"op": "i", "ns": ns, "o": {"_id": 1}}).to_vec();
        let body = doc! {"applyOps": operations, "partialTxn": true};
        let whole = entry(doc! {"op": "c", "ns": "admin.$cmd", "o": body, "txnNumber": 5_i64});
        let changed = chosen(&selection, &whole).unwrap().unwrap();
        let changed = Entry::parse(changed.as_bytes()).unwrap();
        let nested = changed.nested().unwrap();
        assert_eq!((nested.len(), nested[0].ns), (1, "shop.a"));
        assert!(changed.is_partial() && changed.txn_number == Some(5));
    }
}
