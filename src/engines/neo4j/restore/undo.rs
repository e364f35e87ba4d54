//! The end of a restore that failed or was stopped: what it made goes, and nothing else.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::claim::{self, Claim};
use super::existing;
use super::load::{Loaded, Worker};
use crate::bolt::Connection;
use crate::engines::RestoreOptions;
use crate::engines::neo4j::connect::{Server, connect};
use crate::engines::neo4j::reading::Stop;
use crate::engines::neo4j::uri::Uri;
use crate::error::{Error, Kind, Result};

/// How long the removal of an unfinished restore may take.
const UNDOING: Duration = Duration::from_secs(60);

/// The same when the process was told to stop: it has to end within 10 seconds.
const UNDOING_WHEN_STOPPED: Duration = Duration::from_secs(6);

/// The task that writes batches. It outlives the work that feeds it: what it has sent may be committed at any time
/// until the server has answered, so nothing can be undone before.
#[derive(Debug, Default)]
pub struct Hand {
    task: Option<JoinHandle<Result<Loaded>>>,
    /// Ends it after the batch that it is at.
    pub stop: Stop,
}

impl Hand {
    /// Starts it.
    pub fn start(&mut self, worker: Worker) {
        self.task = Some(tokio::spawn(worker.run()));
    }

    /// Waits for its end, which has to be near: the loader is finished.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn loaded(&mut self) -> Result<Loaded> {
        let Some(task) = &mut self.task else { return Ok(Loaded::default()) };
        let loaded = task.await;
        self.task = None;
        loaded.map_err(|cause| Error::new(Kind::Failed, "the loader ended unexpectedly").because(cause))?
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Empties the database after a failure. `mine` is the claim; `None`: it belongs to a drill, and goes with its site.
pub async fn undone(
    uri: &Uri,
    server: &Server,
    (mut connection, mut hand): (Connection, Hand),
    mine: Option<Claim>,
    options: &RestoreOptions,
    error: Error,
) -> Error {
    let database = &server.database;
    let patience = if options.cancel.signal().is_some() { UNDOING_WHEN_STOPPED } else { UNDOING };
    let mut error = match options.replace.is_empty() {
        true => error,
        false => {
            let hint = error.hint_text().unwrap_or("restore again").to_owned();
            Error::new(error.kind(), format!("{} ({database} was emptied before)", error.chain())).hint(hint)
        }
    };
    hand.stop.raise();
    let undoing = async {
        // A statement that is under way there is ended, so that it makes nothing afterwards.
        let _ = connection.reset().await;
        let _ = hand.loaded().await;
        let mut connection = connect(uri).await?;
        if let Some(mine) = mine {
            claim::check(&mut connection, server, mine).await?;
        }
        match mine {
            Some(_) => existing::empty(&mut connection, server, options.data_only).await,
            None => existing::empty_claimed(&mut connection, server, options.data_only).await,
        }
    };
    let left = match tokio::time::timeout(patience, undoing).await {
        Ok(Ok(())) => return error,
        Ok(Err(left)) => left.chain(),
        Err(_) => format!("not done within {} s", patience.as_secs()),
    };
    error = Error::new(error.kind(), error.chain());
    error.hint(format!(
        "what was restored so far is still in {database} ({left}); the next restore takes --replace {database}"
    ))
}
