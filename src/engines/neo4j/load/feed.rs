//! From the store through the reader of dumps into neo4j-admin's standard input.

use tokio::io::AsyncWriteExt as _;

use super::Request;
use crate::engines::neo4j::admin;
use crate::engines::neo4j::archive::{ArchiveReader, Summary};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::child::{self, Child};

/// Streams the dump into the tool. Returns what it held, and what the tool said.
///
/// # Errors
/// Those of the tool and the store; [`Kind::Interrupted`]. The tool has ended when this returns.
pub(super) async fn feed(request: &Request<'_>, from: &BackupReader) -> Result<(Summary, Vec<String>)> {
    let what = format!("loading the database {}", request.database);
    let mut running = child::spawn(request.tool.load(request.database))?;
    let passed = request.cancel.guard(pass_through(&mut running, request.object, from)).await;
    let summary = match passed {
        Ok(Passed::Whole(summary)) => summary,
        // It went before the dump was at its end: it says why.
        Ok(Passed::Broken) => {
            let outcome = running.ended().await?;
            return Err(admin::problem(&outcome, &what));
        }
        Err(error) => {
            // It must not write any more when what was put aside comes back.
            running.stop().await;
            return Err(error);
        }
    };
    let outcome = match request.cancel.guard(running.ended()).await {
        Ok(outcome) => outcome,
        Err(error) => {
            running.stop().await;
            return Err(error);
        }
    };
    admin::succeeded(&outcome, &what)?;
    if !outcome.streams_complete {
        return Err(admin::problem(&outcome, &what));
    }
    Ok((summary, outcome.facts.messages))
}

enum Passed {
    Whole(Summary),
    /// The tool does not take any more.
    Broken,
}

async fn pass_through(running: &mut Child, object: &str, from: &BackupReader) -> Result<Passed> {
    let missing = || Error::new(Kind::Failed, "neo4j-admin has no input");
    let mut input = running.take_input().ok_or_else(missing)?;
    let mut output = running.take_output().ok_or_else(missing)?;
    let feeding = async {
        let mut stream = from.stream(object)?;
        let mut reader = ArchiveReader::new()?;
        while let Some(bytes) = stream.next().await? {
            reader.feed(&bytes)?;
            from.progress().add_raw(bytes.len() as u64);
            if input.write_all(&bytes).await.is_err() {
                return Ok(Passed::Broken);
            }
        }
        let summary = reader.finish()?;
        // The end of the input is the word that all of it agreed.
        match input.shutdown().await {
            Ok(()) => Ok(Passed::Whole(summary)),
            Err(_) => Ok(Passed::Broken),
        }
    };
    // Nothing is expected there, and a full pipe would hold it up.
    let draining = async {
        tokio::io::copy(&mut output, &mut tokio::io::sink())
            .await
            .explain(Kind::Failed, || "the output of neo4j-admin cannot be read".to_owned())
    };
    let (passed, _) = tokio::try_join!(feeding, draining)?;
    Ok(passed)
}
