//! From the store through the archive's reader and rewriter into mongorestore, and what it makes of it.

use std::collections::BTreeSet;

use tokio::io::AsyncWriteExt as _;

use super::plan::{Plan, is_access};
use super::{access, said};
use crate::engines::mongodb::archive::rewrite::{BoxedPlan, Kept, Placement, Rewriter};
use crate::engines::mongodb::archive::{CollectionEntry, Event};
use crate::engines::mongodb::child;
use crate::engines::mongodb::connect::Server;
use crate::engines::mongodb::counted::Counting;
use crate::engines::mongodb::tools::Tool;
use crate::engines::mongodb::ttl;
use crate::engines::mongodb::uri::Uri;
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::child::{self as process, Child, Input};

/// What becomes of each namespace of the archive.
fn placement(plan: &Plan<'_>, entry: &CollectionEntry) -> Placement {
    let name = &entry.namespace;
    if !plan.takes(name) {
        return Placement::Drop;
    }
    let mut kept = Kept::as_it_is(entry);
    kept.namespace = plan.name(name);
    kept.documents = !plan.options.schema_only || is_access(name);
    kept.changed = is_access(name);
    if let Some(metadata) = &mut kept.metadata {
        // A new collection is another one than that of the source.
        metadata.uuid = None;
        if plan.options.staging {
            ttl::COLLECTION.shift(&mut metadata.options);
        }
    }
    kept.into()
}

/// A mongorestore that is being fed. Its child is held by the caller, who has to end it on every way out.
pub struct Feed<'a> {
    rewriter: Rewriter<BoxedPlan<'a>>,
    input: Option<Input>,
    out: Vec<u8>,
    /// Documents handed over.
    pub documents: u64,
    counted: Vec<bool>,
    /// Which namespaces are of users and roles.
    access: Vec<bool>,
    /// Users and roles that the target has.
    existing: BTreeSet<String>,
    /// Those of them that the archive has too.
    pub left_out: BTreeSet<String>,
}

/// mongorestore's arguments; none of them is a secret.
fn arguments(plan: &Plan<'_>, workers: usize) -> Vec<String> {
    let mut arguments = vec![
        "--archive".to_owned(),
        // Built afterwards, when the captured operations have been applied.
        "--noIndexRestore".to_owned(),
        "--stopOnError".to_owned(),
        // What the source held, the restored collection holds: a rule that is younger than a document is no reason.
        "--bypassDocumentValidation".to_owned(),
        format!("--numInsertionWorkersPerCollection={workers}"),
    ];
    if plan.options.data_only {
        arguments.push("--noOptionsRestore".to_owned());
    }
    arguments
}

impl<'a> Feed<'a> {
    /// Starts mongorestore. The child goes into `slot`.
    ///
    /// # Errors
    /// [`Kind::Failed`] when it cannot be started.
    pub fn start(
        plan: &'a Plan<'a>,
        tool: &Tool,
        uri: &Uri,
        environment: &std::collections::BTreeMap<String, String>,
        (workers, existing): (usize, BTreeSet<String>),
        slot: &mut Option<Child>,
    ) -> Result<Feed<'a>> {
        let mut spec = child::spec(tool, uri, environment, arguments(plan, workers))?;
        spec.feed = true;
        let mut running = process::spawn(spec)?;
        // It prints nothing there; closed, it cannot wait for a reader.
        let output = running.take_output();
        drop(output.map(|output| tokio::spawn(drain(output))));
        let input = running.take_input();
        *slot = Some(running);
        let plan = move |entry: &CollectionEntry| -> Result<Placement> { Ok(placement(plan, entry)) };
        Ok(Feed {
            rewriter: Rewriter::new(Box::new(plan) as BoxedPlan<'a>),
            input,
            out: Vec::new(),
            documents: 0,
            counted: Vec::new(),
            access: Vec::new(),
            existing,
            left_out: BTreeSet::new(),
        })
    }

    /// Takes the next event of the archive.
    ///
    /// # Errors
    /// Those of the rewriter.
    pub fn event(&mut self, plan: &Plan<'_>, event: &Event<'_>) -> Result<()> {
        match *event {
            Event::Prelude { prelude, .. } => {
                let keeps = |entry: &CollectionEntry| match placement(plan, entry) {
                    // mongorestore does not count users and roles.
                    Placement::Keep(kept) => kept.documents && !is_access(&entry.namespace),
                    Placement::Drop => false,
                };
                self.counted = prelude.entries.iter().map(keeps).collect();
                self.access = prelude.entries.iter().map(|entry| is_access(&entry.namespace)).collect();
            }
            Event::Document { namespace, .. } if self.counted.get(namespace) == Some(&true) => {
                self.documents += 1
            }
            Event::Document { namespace, bytes, .. } if self.access.get(namespace) == Some(&true) => {
                if let Some(name) = access::whose(bytes).filter(|name| self.existing.contains(name)) {
                    self.left_out.insert(name);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.rewriter.event(event, &mut self.out)
    }

    /// Hands over what has been made so far. A mongorestore whose server has gone takes nothing, for ever.
    ///
    /// # Errors
    /// [`Kind::Failed`] when mongorestore does not take it: its own messages say why. [`Kind::Unreachable`] when
    /// the server does not answer any more.
    pub async fn push(&mut self, server: &Server) -> Result<()> {
        if let Some(input) = &mut self.input {
            server.while_alive(input.write_all(&self.out)).await?.explain(Kind::Failed, refused)?;
        }
        self.out.clear();
        Ok(())
    }

    /// Ends the input and waits for mongorestore; every document has to have arrived.
    ///
    /// # Errors
    /// [`Kind::Failed`] with what mongorestore said; those of [`Feed::push`].
    pub async fn finish(&mut self, server: &Server, tool: &Tool, slot: &mut Option<Child>) -> Result<u64> {
        self.push(server).await?;
        if let Some(mut input) = self.input.take() {
            input.shutdown().await.explain(Kind::Failed, refused)?;
        }
        let Some(running) = slot.as_mut() else {
            return Err(Error::new(Kind::Failed, "mongorestore was stopped"));
        };
        // Stays in its slot while it is waited for, so that whoever stops the restore can end it.
        let ended = server.while_alive(running.ended()).await??;
        *slot = None;
        let said = said::read(&ended.facts.messages);
        if ended.code == Some(0)
            && said.problems.is_empty()
            && said.failed == 0
            && said.restored == Some(self.documents)
        {
            return Ok(self.documents);
        }
        Err(failed(tool, ended.code, ended.signal, &said, self.documents))
    }
}

async fn drain(mut output: process::Output) {
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
}

fn refused() -> String {
    "mongorestore takes no more of the archive".to_owned()
}

/// What mongorestore's end means.
pub fn failed(tool: &Tool, code: Option<i32>, signal: Option<i32>, said: &said::Said, wanted: u64) -> Error {
    let how = match (code, signal) {
        (Some(0), _) => match said.restored {
            Some(restored) if said.problems.is_empty() => {
                format!(
                    "ended with status 0, and has restored {restored} of {wanted} documents ({} failed)",
                    said.failed
                )
            }
            _ => "ended with status 0, but not well".to_owned(),
        },
        (Some(code), _) => format!("failed with status {code}"),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    };
    let first = said.problems.iter().find(|line| line.contains("E11000") || line.contains("validation"));
    let first = first.or(said.problems.first()).map_or_else(String::new, |line| format!(": {line}"));
    let error = |kind| Error::new(kind, format!("{} {how}{first}", tool.name));
    if first.contains("E11000") {
        return error(Kind::Failed)
            .hint("the target has documents with the same _id: restore into a new database");
    }
    if first.contains("not authorized") || first.contains("Unauthorized") {
        return error(Kind::Unreachable).hint("grant the user the role restore on the database admin");
    }
    if ["No space left", "OutOfDiskSpace", "out of memory"].iter().any(|word| first.contains(word)) {
        return error(Kind::Unreachable).hint("give the target server more room");
    }
    if first.contains("will not fit in the storage engine cache") {
        return error(Kind::Unreachable)
            .hint("the target's cache is too small for the biggest documents: raise its cacheSizeGB");
    }
    let lost = ["connection", "server selection", "socket", "EOF", "not primary"];
    if lost.iter().any(|word| first.contains(word)) {
        return error(Kind::Unreachable).hint("look into the target server's log, and restore again");
    }
    error(Kind::Failed).hint("the messages of mongorestore say what it did not like")
}

/// Reads an archive from the store into reader and feed, as far as its oplog.
pub struct Incoming<'a> {
    /// The count of what came.
    pub counting: Counting,
    /// Documents of the oplog that have come and were not applied yet.
    pub operations: Vec<Vec<u8>>,
    /// The running mongorestore.
    pub feed: Option<Feed<'a>>,
}

impl Incoming<'_> {
    /// Takes the next bytes of the archive. Those of the oplog are put aside.
    ///
    /// # Errors
    /// Those of reader, tally and feed; [`Kind::Damaged`] when documents follow the oplog.
    pub fn take(&mut self, plan: &Plan<'_>, bytes: &[u8]) -> Result<()> {
        let Counting { reader, tally } = &mut self.counting;
        let (feed, operations) = (&mut self.feed, &mut self.operations);
        let mut oplog = reader.prelude().and_then(|prelude| prelude.oplog());
        reader.feed(bytes, &mut |event| {
            tally.event(&event)?;
            match event {
                Event::Prelude { prelude, .. } => oplog = prelude.oplog(),
                Event::Document { namespace, bytes, .. } if Some(namespace) == oplog => {
                    operations.push(bytes.to_vec());
                    return Ok(());
                }
                _ => {}
            }
            match feed.as_mut() {
                Some(feed) => feed.event(plan, &event),
                None => match event {
                    Event::Document { at, .. } => Err(Error::new(
                        Kind::Damaged,
                        format!("the archive has documents after its oplog, at byte {at}"),
                    )),
                    _ => Ok(()),
                },
            }
        })
    }
}
