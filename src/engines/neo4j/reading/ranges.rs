//! Several connections that read at once, each a range of ids.
//!
//! Neo4j has no index of ids that a range could use: each reader scans all, which is cheap, and is sent its own range,
//! which is what costs. (200,000 nodes: a scan with its filter takes 0.2 s of the server's time, to send them 3 s.)

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cypher;
use crate::bolt::{self, Connection, Params};
use crate::engines::neo4j::connect::Server;
use crate::engines::neo4j::graph::format;
use crate::error::{Error, Kind, Result};

/// Bytes of records that are handed over at once.
pub(super) const BATCH: usize = 128 << 10;

/// Batches of all readers that wait.
const WAITING: usize = 4;

/// Records that a server sends before it is asked for more.
const FETCH: u32 = 2_000;

/// What is read.
pub(super) struct What {
    /// The pattern.
    pattern: &'static str,
    /// Its id.
    id: &'static str,
    /// What is returned.
    fields: &'static str,
    /// The query for the largest id.
    pub(super) largest: &'static str,
    /// The type of its records in an export.
    pub(super) kind: u8,
}

pub(super) const NODES: What = What {
    pattern: "MATCH (n)",
    id: "id(n)",
    fields: "id(n), labels(n), properties(n)",
    largest: "MATCH (n) RETURN max(id(n))",
    kind: format::NODE,
};

pub(super) const RELATIONSHIPS: What = What {
    pattern: "MATCH (a)-[r]->(b)",
    id: "id(r)",
    fields: "id(r), id(a), id(b), type(r), properties(r)",
    largest: "MATCH ()-[r]->() RETURN max(id(r))",
    kind: format::RELATIONSHIP,
};

/// Records as they came.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
}

impl Batch {
    fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
    }

    /// The records.
    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }

    /// How many bytes they are in an export.
    pub(super) fn export_bytes(&self) -> u64 {
        (self.bytes.len() + 5 * self.ends.len()) as u64
    }
}

/// Readers under way. They end when this is dropped.
pub(super) struct Reading {
    batches: mpsc::Receiver<Result<Batch, bolt::Error>>,
    readers: JoinSet<Connection>,
}

/// Lets each connection read its share of the ids below `end`; a single one reads all.
pub(super) fn start(server: &Server, what: &What, end: u64, connections: Vec<Connection>) -> Reading {
    let (sender, batches) = mpsc::channel(WAITING);
    let mut readers = JoinSet::new();
    let shares = connections.len() as u64;
    for (share, mut connection) in (0..).zip(connections) {
        connection.set_fetch(FETCH);
        let (query, params) = match shares {
            1 => (format!("{} RETURN {}", what.pattern, what.fields), Params::default()),
            _ => {
                let bound =
                    |share: u64| i64::try_from(u128::from(end) * u128::from(share) / u128::from(shares));
                let to = if share + 1 == shares { i64::MAX } else { bound(share + 1).unwrap_or(i64::MAX) };
                let query = format!(
                    "{} WHERE {id} >= $from AND {id} < $to RETURN {}",
                    what.pattern,
                    what.fields,
                    id = what.id
                );
                (query, Params::new().int("from", bound(share).unwrap_or(i64::MAX)).int("to", to))
            }
        };
        let (query, sender) = (cypher(server, &query), sender.clone());
        readers.spawn(async move {
            if let Err(error) = read(&mut connection, &query, &params, &sender).await {
                // Whoever does not listen any more knows why.
                let _ = sender.send(Err(error)).await;
            }
            connection
        });
    }
    Reading { batches, readers }
}

async fn read(
    connection: &mut Connection,
    query: &str,
    params: &Params,
    batches: &mpsc::Sender<Result<Batch, bolt::Error>>,
) -> Result<(), bolt::Error> {
    connection.run(query, params).await?;
    let mut batch = Batch::default();
    while let Some(record) = connection.next().await? {
        batch.push(record);
        if batch.bytes.len() >= BATCH && batches.send(Ok(std::mem::take(&mut batch))).await.is_err() {
            return Ok(());
        }
    }
    if !batch.ends.is_empty() {
        let _ = batches.send(Ok(batch)).await;
    }
    Ok(())
}

impl Reading {
    /// The next records; `None` at the end of all.
    pub(super) async fn next(&mut self) -> Option<Result<Batch, bolt::Error>> {
        self.batches.recv().await
    }

    /// Gives the connections back, once all was read.
    ///
    /// # Errors
    /// [`Kind::Failed`] when a reader ended unexpectedly.
    pub(super) async fn finish(mut self) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        while let Some(ended) = self.readers.join_next().await {
            connections.push(
                ended.map_err(|cause| {
                    Error::new(Kind::Failed, "a reader ended unexpectedly").because(cause)
                })?,
            );
        }
        Ok(connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_its_records_apart() {
        let mut batch = Batch::default();
        for record in [&b"one"[..], b"", b"three"] {
            batch.push(record);
        }
        assert_eq!(batch.records().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(batch.export_bytes(), 8 + 15);
    }
}
