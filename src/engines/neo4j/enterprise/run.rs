//! Running the tool: for as long as something happens.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use super::files;
use crate::engines::neo4j::admin;
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::child::{self, Spec};

/// How often to look how far it is.
const EVERY: Duration = Duration::from_secs(1);

/// How long it may take to say something about files.
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes of an answer that are read, at most.
const ANSWER: u64 = 1 << 20;

/// Runs the tool to its end, and gives up when neither its words nor the files in these directories grow for `stall`.
/// Returns what it said.
///
/// # Errors
/// What the tool's words mean; [`Kind::Failed`] when nothing happens any more.
pub(super) async fn watched(
    spec: Spec,
    directories: &[&Path],
    stall: Duration,
    what: &str,
) -> Result<Vec<String>> {
    let mut running = child::spawn(spec)?;
    let unreadable = || "the output of neo4j-admin cannot be read".to_owned();
    let output = running.take_output();
    let mut output = output.ok_or_else(|| Error::new(Kind::Failed, "neo4j-admin has no output"))?;
    let said = tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
    let watching = async {
        let mut seen = (0, 0);
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(EVERY.min(stall)).await;
            let found = directories.iter().filter_map(|path| files::walk(path).ok()).flatten();
            let (count, bytes) = found.fold((0_u64, 0), |(count, sum), (_, bytes)| (count + 1, sum + bytes));
            if (count, bytes) != seen {
                seen = (count, bytes);
                since = Instant::now();
            }
            if since.elapsed() >= stall {
                return;
            }
        }
    };
    let outcome = tokio::select! {
        ended = running.ended() => Some(ended?),
        () = watching => None,
    };
    let Some(outcome) = outcome else {
        running.stop().await;
        let seconds = stall.as_secs();
        return Err(Error::new(Kind::Failed, format!("{what}: neo4j-admin wrote nothing for {seconds} s: it was ended"))
            .hint("a large checkpoint on the server can take that long: options.stall_timeout_seconds is the patience"));
    };
    said.await
        .map_err(|cause| Error::new(Kind::Failed, unreadable()).because(cause))?
        .explain(Kind::Failed, unreadable)?;
    admin::succeeded(&outcome, what)?;
    Ok(outcome.facts.messages)
}

/// Asks the tool something. Returns its answer.
///
/// # Errors
/// What the tool's words mean.
pub(super) async fn ask(spec: Spec, what: &str) -> Result<String> {
    let mut running = child::spawn(spec)?;
    let mut answer = Vec::new();
    let work = async {
        if let Some(output) = running.take_output() {
            let mut output = output.take(ANSWER);
            let unread = || format!("{what}: the answer of neo4j-admin cannot be read");
            output.read_to_end(&mut answer).await.explain(Kind::Failed, unread)?;
            tokio::io::copy(&mut output.into_inner(), &mut tokio::io::sink())
                .await
                .explain(Kind::Failed, unread)?;
        }
        running.ended().await
    };
    let outcome = tokio::time::timeout(PATIENCE, work).await.map_err(|_| {
        let seconds = PATIENCE.as_secs();
        Error::new(Kind::Failed, format!("{what}: neo4j-admin did not end within {seconds} s"))
    })??;
    admin::succeeded(&outcome, what)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
