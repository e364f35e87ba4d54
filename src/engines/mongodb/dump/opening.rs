//! The operations that were under way as mongodump looked where the oplog ends.
//!
//! mongodump takes the newest entry that it sees as the beginning of what it captures. But entries become visible
//! in another order than that of their times: one that is older than what was seen may be committed just after, and
//! then be neither in what was listed and read nor in what is captured. So the oplog is read from before the
//! dump, up to which everything was committed by a majority, to the first entry that was captured; what is found
//! goes in front of it. Applying more than needed is as good: see [`crate::engines::mongodb::restore`].
//!
//! Sources: the server's `oplog_hole` documentation (`src/mongo/db/repl/README.md`, "Oplog Visibility"), mongo-tools'
//! `mongodump/oplog_dump.go`.

use mongodb::bson::{Timestamp, doc};

use crate::engines::mongodb::connect::{Server, explain, position};
use crate::error::{Error, Kind, Result};

/// Bytes of entries that may have come between; they are held in memory.
const MOST: usize = 48 << 20;

/// Where a dump has to begin, at the latest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    server: &'a Server,
    committed: Timestamp,
}

impl<'a> Opening<'a> {
    /// Asks up to where everything is committed, before mongodump is started.
    ///
    /// # Errors
    /// Those of [`explain`]; [`Kind::Failed`] when the server does not tell.
    pub(super) async fn before(server: &'a Server) -> Result<Opening<'a>> {
        let hello = server.read("admin", doc! {"hello": 1}).await?;
        let written = hello.get_document("lastWrite").ok();
        let committed = written
            .and_then(|written| written.get_document("majorityOpTime").ok())
            .and_then(|time| time.get_timestamp("ts").ok());
        match committed {
            Some(committed) => Ok(Opening { server, committed }),
            None => Err(Error::new(
                Kind::Failed,
                format!("{} does not tell up to where its writes are committed", server.shown),
            )
            .hint("set options.oplog = \"off\" for a backup of several moments")),
        }
    }

    /// The entries after that, and before the first that was captured.
    ///
    /// # Errors
    /// Those of [`explain`]; [`Kind::Failed`] when they are not there any more, or too many.
    pub(super) async fn entries(&self, first: Timestamp) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        if first <= self.committed {
            return Ok(found);
        }
        let command = doc! {
            "find": "oplog.rs",
            "filter": {"ts": {"$gte": self.committed, "$lt": first}},
            "readConcern": {"level": "majority", "afterClusterTime": first},
        };
        let told = |cause: mongodb::error::Error| explain(&self.server.shown, &cause);
        let work = async {
            let mut cursor = self.server.cursor("local", command).await.map_err(told)?;
            let (mut bytes, mut oldest) = (0, None);
            while cursor.advance().await.map_err(told)? {
                let entry = cursor.current();
                let ts = entry.get_timestamp("ts").map_err(|cause| {
                    Error::new(Kind::Failed, "an entry of the oplog has no time").because(cause)
                })?;
                oldest.get_or_insert(ts);
                if ts > self.committed {
                    bytes += entry.as_bytes().len();
                    found.push(entry.as_bytes().to_vec());
                }
                if bytes > MOST {
                    return Err(Error::new(
                        Kind::Failed,
                        format!("{} MiB were written while mongodump started", MOST >> 20),
                    )
                    .hint("take the backup again, at a quieter time"));
                }
            }
            // Its own entry has to be there still, or some after it may have gone as well.
            if oldest != Some(self.committed) {
                return Err(Error::new(
                    Kind::Failed,
                    format!(
                        "the oplog of {} does not reach back to {}",
                        self.server.shown,
                        position(self.committed)
                    ),
                )
                .hint("it is too small for the time of a dump: enlarge it (replSetResizeOplog)"));
            }
            Ok(())
        };
        self.server.while_alive(work).await??;
        Ok(found)
    }
}
