//! Counting and digesting the documents of a collection on a server, as an archive's are.

use std::sync::Arc;

use mongodb::bson::{Timestamp, doc};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::archive::Namespace;
use super::connect::Server;
use crate::error::{Error, Kind, Result};
use crate::pipeline::digest::RowDigest;
use crate::pipeline::progress::Progress;

/// What a collection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Documents.
    pub rows: u64,
    /// Bytes of documents.
    pub bytes: u64,
    /// Their digest.
    pub digest: RowDigest,
}

/// Reads every document of a collection; with an instant, as it was then (a snapshot read).
///
/// Source: the server's manual, "Read Concern snapshot": outside transactions since MongoDB 5.0, for as long as
/// `minSnapshotHistoryWindowInSeconds` back, and not for capped collections.
///
/// # Errors
/// Those of the driver.
pub async fn read(
    server: &Server,
    name: &Namespace,
    at: Option<Timestamp>,
    progress: &Progress,
) -> mongodb::error::Result<Held> {
    let mut command = doc! {"find": &name.collection, "filter": {}};
    if let Some(at) = at {
        command.insert("readConcern", doc! {"level": "snapshot", "atClusterTime": at});
    }
    let mut cursor = server.cursor(&name.db, command).await?;
    let mut held = Held::default();
    let mut told = 0;
    while cursor.advance().await? {
        let document = cursor.current().as_bytes();
        held.rows += 1;
        held.bytes += document.len() as u64;
        held.digest.add(document);
        if held.bytes - told > 1 << 20 {
            progress.add_raw(held.bytes - told);
            told = held.bytes;
        }
    }
    progress.add_raw(held.bytes - told);
    Ok(held)
}

/// Reads several collections, as many at once as given. The answers are in the order of the names.
///
/// # Errors
/// [`Kind::Failed`] when a reader ends unexpectedly; an error of one collection is its own answer.
pub async fn read_all(
    server: &Server,
    names: &[Namespace],
    at: Option<Timestamp>,
    readers: usize,
    progress: &Progress,
) -> Result<Vec<mongodb::error::Result<Held>>> {
    let turns = Arc::new(Semaphore::new(readers.max(1)));
    let mut tasks = JoinSet::new();
    for (place, name) in names.iter().cloned().enumerate() {
        let (server, progress, turns) = (server.clone(), progress.clone(), turns.clone());
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            (place, read(&server, &name, at, &progress).await)
        });
    }
    let mut answers: Vec<Option<mongodb::error::Result<Held>>> = names.iter().map(|_| None).collect();
    while let Some(done) = server.while_alive(tasks.join_next()).await? {
        let (place, answer) =
            done.map_err(|cause| Error::new(Kind::Failed, "a reader ended unexpectedly").because(cause))?;
        answers[place] = Some(answer);
    }
    Ok(answers.into_iter().flatten().collect())
}
