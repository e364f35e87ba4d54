//! The oplog of an archive that holds only a part of its server: operations on the rest are left out.
//!
//! An entry that changes nothing of what is kept becomes a no-op of the same time, so that the instant that
//! the oplog ends at stays what it was.

use crc_fast::{CrcAlgorithm, Digest};
use mongodb::bson::{Bson, Document, RawDocument, doc};

use super::namespace::Namespace;
use super::oplog::{Entry, Touched};
use crate::error::{Error, Kind, Result};

/// Leaves operations out of an oplog that passes, and follows the checksum of what is left.
pub struct PrunedOplog<'k> {
    keeps: Box<dyn Fn(&Namespace) -> bool + Send + 'k>,
    crc: Digest,
}

impl<'k> PrunedOplog<'k> {
    /// Keeps operations on these collections; time series are asked for by their own name.
    pub fn new(keeps: impl Fn(&Namespace) -> bool + Send + 'k) -> Self {
        PrunedOplog { keeps: Box::new(keeps), crc: Digest::new(CrcAlgorithm::Crc64Xz) }
    }

    /// The checksum of all entries that were written.
    pub fn crc(&self) -> u64 {
        self.crc.finalize()
    }

    /// Puts what is left of an entry at the end of `out`.
    ///
    /// # Errors
    /// [`Kind::Damaged`] or [`Kind::Failed`] for what is no entry that is known.
    pub fn entry(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let entry = Entry::parse(bytes)?;
        let touched = entry.touched()?;
        if touched.iter().all(|touched| self.keeps(touched)) {
            out.extend_from_slice(bytes);
        } else {
            let raw = RawDocument::from_bytes(bytes).map_err(unreadable)?;
            let whole = Document::try_from(raw).map_err(unreadable)?;
            let left = match touched.iter().any(|touched| self.keeps(touched)) {
                true => self.within(&whole),
                false => None,
            };
            let left = left.unwrap_or_else(|| no_op(&whole));
            left.to_writer(&mut *out).map_err(unreadable)?;
        }
        self.crc.update(&out[start..]);
        Ok(())
    }

    fn keeps(&self, touched: &Touched) -> bool {
        match touched {
            Touched::Namespace(name) => self.keeps_name(name),
            Touched::Database(_) => true,
        }
    }

    /// A document of `system.views` is told by the view that it makes, which is touched as well.
    fn keeps_name(&self, name: &Namespace) -> bool {
        name.collection == super::namespace::VIEWS
            || (self.keeps)(&name.time_series().unwrap_or_else(|| name.clone()))
    }

    /// An entry with a part of its operations; `None` where it has no list of them.
    fn within(&self, whole: &Document) -> Option<Document> {
        let operations = whole.get_document("o").ok()?.get_array("applyOps").ok()?;
        let kept: Vec<Bson> = operations
            .iter()
            .filter_map(|operation| {
                let operation = operation.as_document()?;
                if let Some(inner) = self.within(operation) {
                    return Some(Bson::Document(inner));
                }
                let name = Namespace::parse(operation.get_str("ns").ok()?)?;
                let name = match operation.get_str("op") {
                    Ok("c") => {
                        let first = operation.get_document("o").ok()?.values().next()?.as_str()?;
                        Namespace::new(name.db, first)
                    }
                    _ => name,
                };
                self.keeps_name(&name).then(|| Bson::Document(operation.clone()))
            })
            .collect();
        let mut left = whole.clone();
        left.get_document_mut("o").ok()?.insert("applyOps", kept);
        Some(left)
    }
}

/// An entry of the same time that does nothing.
fn no_op(whole: &Document) -> Document {
    let mut left = Document::new();
    for key in ["ts", "t", "v", "wall"] {
        if let Some(value) = whole.get(key) {
            left.insert(key, value.clone());
        }
    }
    left.extend(doc! {"op": "n", "ns": "", "o": {"msg": "left out"}});
    left
}

fn unreadable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Damaged, "an entry of the captured oplog is not readable").because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::Timestamp;

    fn entry(op: &str, ns: &str, o: Document) -> Vec<u8> {
        let ts = Timestamp { time: 7, increment: 1 };
        doc! {"ts": ts, "t": 1i64, "v": 2i64, "op": op, "ns": ns, "o": o}.to_vec().unwrap()
    }

    fn pruned(bytes: &[u8]) -> Document {
        let mut pruned = PrunedOplog::new(|name| name.db == "shop" && name.collection != "log");
        let mut out = Vec::new();
        pruned.entry(bytes, &mut out).unwrap();
        let mut crc = Digest::new(CrcAlgorithm::Crc64Xz);
        crc.update(&out);
        assert_eq!(pruned.crc(), crc.finalize());
        Document::from_reader(out.as_slice()).unwrap()
    }

    #[test]
    fn what_is_kept_passes_unchanged_and_the_rest_does_nothing() {
        for ns in ["shop.orders", "shop.system.buckets.ts"] {
            let kept = entry("i", ns, doc! {"_id": 1});
            assert_eq!(pruned(&kept).to_vec().unwrap(), kept);
        }
        for ns in ["blog.posts", "shop.log", "shop.system.buckets.log"] {
            let left = pruned(&entry("i", ns, doc! {"_id": 1, "secret": "x"}));
            assert_eq!(left.get_str("op").unwrap(), "n");
            assert_eq!(left.get_timestamp("ts").unwrap(), Timestamp { time: 7, increment: 1 });
            assert!(!left.to_string().contains("secret"));
        }
        let dropped = pruned(&entry("c", "blog.$cmd", doc! {"drop": "posts"}));
        assert_eq!(dropped.get_str("op").unwrap(), "n");
    }

    #[test]
    fn a_transaction_keeps_a_part() {
        let inner = |ns: &str| doc! {"op": "i", "ns": ns, "o": {"_id": 1}};
        let operations = vec![inner("shop.orders"), inner("blog.posts"), inner("shop.log")];
        let left = pruned(&entry("c", "admin.$cmd", doc! {"applyOps": operations}));
        let kept = left.get_document("o").unwrap().get_array("applyOps").unwrap();
        assert_eq!(kept, &[Bson::Document(inner("shop.orders"))]);
        let nothing = entry("c", "admin.$cmd", doc! {"applyOps": [inner("blog.posts")]});
        assert_eq!(pruned(&nothing).get_str("op").unwrap(), "n");
    }
}
