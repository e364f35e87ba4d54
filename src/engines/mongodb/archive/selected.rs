//! Leaves out of an oplog what is done to namespaces that are not selected.
//!
//! A dump with the oplog captures the operations of the whole server. What is left out becomes a no-op: the
//! instants stay, and with them what the oplog says of the time that it covers.

use mongodb::bson::raw::cstr;
use mongodb::bson::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};

use super::namespace::{Namespace, VIEWS};
use super::oplog::{Command, Entry, Operation};
use crate::engines::mongodb::options::Selection;
use crate::error::{Error, Kind, Result};

/// What a no-op keeps of an entry: when it was, and in which form it is.
const KEPT: [&str; 4] = ["ts", "t", "v", "wall"];

/// The entry without what is not selected; `None` when all of it is.
///
/// # Errors
/// Those of [`Entry::parse`].
pub fn select(bytes: &[u8], selection: &Selection) -> Result<Option<RawDocumentBuf>> {
    let entry = Entry::parse(bytes)?;
    let raw = RawDocument::from_bytes(bytes).map_err(unreadable)?;
    let Operation::Command { command: Command::ApplyOps, body } = entry.operation else {
        return if takes(&entry, selection) { Ok(None) } else { Ok(Some(noop(raw)?)) };
    };
    let Some(operations) = chosen(&entry, body, selection)? else { return Ok(None) };
    // The last part of a transaction ends it, also where nothing of it is left.
    let alone = !entry.is_partial() && !follows(raw);
    if operations.is_empty() && alone {
        return Ok(Some(noop(raw)?));
    }
    let mut changed = RawDocumentBuf::new();
    for field in raw {
        let (key, value) = field.map_err(unreadable)?;
        if key.as_str() == "o" {
            changed.append(key, with_operations(body, &operations)?);
        } else {
            changed.append(key, value);
        }
    }
    Ok(Some(changed))
}

/// The operations of an `applyOps` that are selected; `None` when all are.
fn chosen(entry: &Entry<'_>, body: &RawDocument, selection: &Selection) -> Result<Option<RawArrayBuf>> {
    let Some(Ok((_, RawBsonRef::Array(all)))) = body.iter().next() else { return Ok(None) };
    let (mut kept, mut left_out) = (RawArrayBuf::new(), false);
    for (nested, operation) in entry.nested()?.iter().zip(all) {
        let operation = operation.map_err(unreadable)?;
        match (nested.operation, operation) {
            (Operation::Command { command: Command::ApplyOps, body }, RawBsonRef::Document(inner)) => {
                match chosen(nested, body, selection)? {
                    None => kept.push(operation),
                    Some(operations) => {
                        left_out = true;
                        let mut changed = RawDocumentBuf::new();
                        for field in inner {
                            let (key, value) = field.map_err(unreadable)?;
                            match key.as_str() {
                                "o" => changed.append(key, with_operations(body, &operations)?),
                                _ => changed.append(key, value),
                            }
                        }
                        if !operations.is_empty() {
                            kept.push(changed);
                        }
                    }
                }
            }
            _ if takes(nested, selection) => kept.push(operation),
            _ => left_out = true,
        }
    }
    Ok(left_out.then_some(kept))
}

/// An `applyOps` with other operations.
fn with_operations(body: &RawDocument, operations: &RawArrayBuf) -> Result<RawDocumentBuf> {
    let mut changed = RawDocumentBuf::new();
    for (place, field) in body.into_iter().enumerate() {
        let (key, value) = field.map_err(unreadable)?;
        match place {
            0 => changed.append(key, operations.clone()),
            _ => changed.append(key, value),
        }
    }
    Ok(changed)
}

/// True for a part of a transaction that has parts before it (`prevOpTime`).
fn follows(entry: &RawDocument) -> bool {
    let before = entry.get_document("prevOpTime").ok().and_then(|before| before.get_timestamp("ts").ok());
    before.is_some_and(|ts| ts.time != 0)
}

fn takes(entry: &Entry<'_>, selection: &Selection) -> bool {
    let takes = |name: &Namespace| match name.collection.as_str() {
        VIEWS => selection.takes_database(&name.db),
        _ => selection.takes(&name.db, &name.collection),
    };
    match entry.operation {
        Operation::Noop | Operation::Bookkeeping(_) => true,
        Operation::Insert(key) | Operation::Delete(key) | Operation::Update { key, .. } => {
            entry.view(key).or_else(|| Namespace::parse(entry.ns)).is_none_or(|name| takes(&name))
        }
        Operation::Command { command: Command::RenameCollection, body } => {
            let named = ["renameCollection", "to"].map(|key| body.get_str(key).ok());
            named.into_iter().flatten().filter_map(Namespace::parse).any(|name| takes(&name))
        }
        Operation::Command { command: Command::CommitTransaction | Command::AbortTransaction, .. } => true,
        Operation::Command { .. } => match entry.namespace() {
            Some(name) => takes(&name),
            None => selection.takes_database(entry.db()),
        },
    }
}

fn noop(entry: &RawDocument) -> Result<RawDocumentBuf> {
    let mut noop = RawDocumentBuf::new();
    noop.append(cstr!("op"), "n");
    noop.append(cstr!("ns"), "");
    noop.append(cstr!("o"), RawDocumentBuf::new());
    for field in entry {
        let (key, value) = field.map_err(unreadable)?;
        if KEPT.contains(&key.as_str()) {
            noop.append(key, value);
        }
    }
    Ok(noop)
}

fn unreadable(cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Damaged, format!("an entry of the oplog is not readable: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{Document, Timestamp, doc};

    fn selected(entry: Document) -> Option<Document> {
        let selection = Selection::only(&["shop".to_owned(), "blog.posts".to_owned()]);
        let bytes = entry.to_vec().unwrap();
        select(&bytes, &selection).unwrap().map(|raw| Document::try_from(raw.as_ref()).unwrap())
    }

    fn entry(op: &str, ns: &str, o: Document) -> Document {
        doc! {"ts": Timestamp { time: 5, increment: 6 }, "t": 1_i64, "v": 2_i64, "op": op, "ns": ns, "o": o, "o2": {"_id": 1}}
    }

    #[test]
    fn what_is_not_selected_becomes_a_noop_of_the_same_instant() {
        let left_out = doc! {"op": "n", "ns": "", "o": {}, "ts": Timestamp { time: 5, increment: 6 }, "t": 1_i64, "v": 2_i64};
        for other in [
            entry("i", "other.orders", doc! {"_id": 1}),
            entry("u", "blog.drafts", doc! {"$v": 2}),
            entry("c", "other.$cmd", doc! {"create": "x"}),
            entry("c", "other.$cmd", doc! {"dropDatabase": 1}),
            entry("i", "other.system.views", doc! {"_id": "other.view"}),
            entry("i", "config.transactions", doc! {"_id": 1}),
        ] {
            assert_eq!(selected(other.clone()), Some(left_out.clone()), "{other}");
        }
        for own in [
            entry("i", "shop.orders", doc! {"_id": 1}),
            entry("i", "shop.system.buckets.weather", doc! {"_id": 1}),
            entry("d", "blog.posts", doc! {"_id": 1}),
            entry("i", "shop.system.views", doc! {"_id": "shop.view"}),
            entry("c", "shop.$cmd", doc! {"create": "system.views"}),
            entry("n", "", doc! {"msg": "periodic noop"}),
        ] {
            assert_eq!(selected(own.clone()), None, "{own}");
        }
    }

    #[test]
    fn a_transaction_keeps_what_is_selected_of_it() {
        let operation = |ns: &str| doc! {"op": "i", "ns": ns, "o": {"_id": 1}};
        let apply = |of: &[&str], more: Document| {
            let mut o = doc! {"applyOps": of.iter().map(|ns| operation(ns)).collect::<Vec<_>>()};
            o.extend(more);
            let mut entry = entry("c", "admin.$cmd", o);
            entry.insert("lsid", doc! {"id": 1});
            entry.insert("txnNumber", 7_i64);
            entry
        };
        assert_eq!(selected(apply(&["shop.a", "blog.posts"], doc! {})), None);
        let both = selected(apply(&["other.a", "shop.a"], doc! {"prepare": false})).unwrap();
        assert_eq!(both, apply(&["shop.a"], doc! {"prepare": false}));
        assert_eq!(selected(apply(&["other.a"], doc! {})).unwrap().get_str("op").unwrap(), "n");
        // Parts are counted: they stay.
        let part = selected(apply(&["other.a"], doc! {"partialTxn": true})).unwrap();
        assert_eq!(part, apply(&[], doc! {"partialTxn": true}));
        let mut last = apply(&["other.a"], doc! {"count": 2});
        last.insert("prevOpTime", doc! {"ts": Timestamp { time: 5, increment: 5 }, "t": 1_i64});
        assert_eq!(selected(last).unwrap().get_str("op").unwrap(), "c");
    }
}
