//! From neo4j-admin's standard output into an object: every byte passes the reader of dumps first.

use std::time::Duration;

use crate::engines::neo4j::admin;
use crate::engines::neo4j::archive::{ArchiveReader, Summary};
use crate::engines::neo4j::tools::Tool;
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::child::{self, Output};
use crate::pipeline::object::{Role, Stored};
use crate::pipeline::{ObjectWriter, Sink};

/// Bytes that are read at once, at most.
const CHUNK: usize = 512 * 1024;

/// How a dump is made.
pub(super) struct Dump<'a> {
    pub(super) tool: &'a Tool,
    pub(super) stall: Duration,
    pub(super) sink: &'a Sink,
}

/// A whole dump, stored.
pub(super) struct Whole {
    pub(super) stored: Stored,
    pub(super) summary: Summary,
    pub(super) warnings: Vec<String>,
}

impl Dump<'_> {
    /// Dumps a database into an object.
    ///
    /// # Errors
    /// Those of the tool and the store; [`Kind::Damaged`] when the dump is not whole, whatever the tool says.
    pub(super) async fn run(&self, database: &str, object: &str, role: Role) -> Result<Whole> {
        let what = format!("dumping the database {database}");
        let mut writer = self.sink.object_as_is(object, role, super::CONTENT);
        let mut running = child::spawn(self.tool.dump(database))?;
        let output = running.take_output();
        let output = output.ok_or_else(|| Error::new(Kind::Failed, "neo4j-admin has no output"))?;
        let read = self.pass_through(output, &mut writer).await;
        let reader = match read {
            Ok(reader) => reader,
            // What the tool says at its end is worth more than that its output is no dump.
            Err(error) if error.kind() == Kind::Damaged => {
                let ending = tokio::time::timeout(Duration::from_secs(10), running.ended()).await;
                return Err(match ending {
                    Ok(Ok(outcome)) if outcome.code.is_some_and(|code| code != 0) => {
                        admin::problem(&outcome, &what)
                    }
                    _ => error.while_doing(what),
                });
            }
            Err(error) => return Err(error),
        };
        let outcome = running.outcome().await?;
        admin::succeeded(&outcome, &what)?;
        if !outcome.streams_complete {
            return Err(admin::problem(&outcome, &what));
        }
        // Status 0 is also what it gives when nobody read on.
        let summary = reader.finish().map_err(|error| error.while_doing(what))?;
        let warnings = admin::warnings(&outcome.facts.messages);
        let stored = writer.finish(outcome.facts.clean_end()).await?;
        Ok(Whole { stored, summary, warnings })
    }

    async fn pass_through(&self, output: Output, writer: &mut ObjectWriter) -> Result<ArchiveReader> {
        let unreadable = || "the output of neo4j-admin cannot be read".to_owned();
        let mut chunks = output.into_chunks(CHUNK).explain(Kind::Failed, unreadable)?;
        let mut reader = ArchiveReader::new()?;
        loop {
            // The time that the store takes is not the tool's.
            let next = tokio::time::timeout(self.stall, chunks.next()).await.map_err(|_| {
                let seconds = self.stall.as_secs();
                Error::new(Kind::Failed, format!("neo4j-admin gave nothing for {seconds} s: it was ended"))
                    .hint("look at the disk of the server's data, and at options.stall_timeout_seconds")
            })?;
            let Some(chunk) = next.explain(Kind::Failed, unreadable)? else { return Ok(reader) };
            reader.feed(&chunk)?;
            writer.write(&chunk).await?;
            chunks.recycle(chunk);
        }
    }
}
