//! Whether a database was left alone: bookmarks that are compared, and a watch while an export runs.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::bolt::Connection;
use crate::engines::neo4j::connect::{bookmark, connect, explain};
use crate::engines::neo4j::reading::Stop;
use crate::engines::neo4j::uri::Uri;
use crate::error::Result;

/// How often the watch looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long nothing may have been committed for a database to count as quiet.
const QUIET: Duration = Duration::from_millis(1000);

/// A second connection, that asks for bookmarks.
pub struct Pulse {
    connection: Connection,
    shown: String,
    database: Option<String>,
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pulse({})", self.shown)
    }
}

impl Pulse {
    /// Connects.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn new(uri: &Uri) -> Result<Pulse> {
        Ok(Pulse { connection: connect(uri).await?, shown: uri.to_string(), database: uri.database.clone() })
    }

    /// The bookmark of now.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn bookmark(&mut self) -> Result<String> {
        let bookmark = bookmark(&mut self.connection, self.database.as_deref()).await;
        bookmark.map_err(|cause| explain(&self.shown, cause))
    }

    /// Waits until nothing is committed for a moment, or the time is over.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn wait_for_quiet(&mut self, at_most: Duration) -> Result<()> {
        let end = Instant::now() + at_most;
        let mut last = self.bookmark().await?;
        while Instant::now() < end {
            tokio::time::sleep(QUIET.min(at_most)).await;
            let next = self.bookmark().await?;
            if next == last {
                break;
            }
            last = next;
        }
        Ok(())
    }

    /// Looks again and again, and raises `stop` when a bookmark is not `first` any more.
    pub fn watch(mut self, first: String, stop: Stop) -> Watch {
        Watch(Some(tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                // One that cannot be asked is asked again at the end, where it matters.
                match self.bookmark().await {
                    Ok(bookmark) if bookmark == first => {}
                    Ok(_) => stop.raise(),
                    Err(_) => return self,
                }
                if stop.is_raised() {
                    return self;
                }
            }
        })))
    }
}

/// A watch that is under way; ends when dropped.
#[derive(Debug)]
pub struct Watch(Option<JoinHandle<Pulse>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}
