//! Applies the captured oplog to restored collections, under their new names.
//!
//! mongorestore does that only under the old names, so it is done here: documents by the server's own
//! `applyOps`, which knows every form of an update; definitions by the commands that made them. Indexes are
//! not built here but afterwards. Applying an operation twice gives the same, as for a secondary: the dump may
//! hold its effect already.
//!
//! Sources: the server's `apply_ops.cpp` and `oplog.cpp`; mongo-tools' `mongorestore/oplog.go`.

use mongodb::bson::raw::cstr;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc};

use super::plan::{Plan, is_access};
use crate::engines::mongodb::archive::Namespace;
use crate::engines::mongodb::archive::oplog::{Command, Entry, Operation};
use crate::engines::mongodb::connect::Server;
use crate::engines::mongodb::ttl;
use crate::error::{Error, Kind, Result};

/// Operations in one `applyOps`, at most.
const MOST: usize = 1000;

/// Bytes in one `applyOps`, at most: the server takes commands of 16 MiB and 16 KiB.
const BYTES: usize = 8 << 20;

/// Views are documents of this collection.
const VIEWS: &str = "system.views";

/// Collects operations and applies them in batches.
pub struct Replay<'a> {
    server: &'a Server,
    plan: &'a Plan<'a>,
    batch: RawArrayBuf,
    operations: usize,
    bytes: usize,
    /// Operations on documents that were applied.
    pub applied: u64,
    /// Operations on what is not restored.
    pub skipped: u64,
}

impl<'a> Replay<'a> {
    /// Begins.
    pub fn new(server: &'a Server, plan: &'a Plan<'a>) -> Replay<'a> {
        Replay { server, plan, batch: RawArrayBuf::new(), operations: 0, bytes: 0, applied: 0, skipped: 0 }
    }

    /// Takes one entry of the oplog, in order.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the server does not apply it, or nobody could.
    pub async fn entry(&mut self, bytes: &[u8]) -> Result<()> {
        let entry = Entry::parse(bytes)?;
        match entry.operation {
            Operation::Command { command: Command::ApplyOps, .. } => {
                // The parts of a transaction are in the oplog only when it was committed.
                let mut nested = entry.nested()?;
                while let Some(position) = nested.iter().position(is_apply_ops) {
                    let inner = nested.remove(position).nested()?;
                    nested.splice(position..position, inner);
                }
                for operation in nested {
                    self.operation(&operation).await?;
                }
                Ok(())
            }
            _ => self.operation(&entry).await,
        }
    }

    async fn operation(&mut self, entry: &Entry<'_>) -> Result<()> {
        let Some(name) = entry.namespace() else {
            // A command on a whole database; one that drops it is not in a backup.
            return Ok(());
        };
        match entry.operation {
            Operation::Noop | Operation::Bookkeeping(_) => return Ok(()),
            // Those that the target has stay as they are, and the archive has the others.
            _ if is_access(&name)
                || !self.plan.takes(&name.time_series().unwrap_or_else(|| name.clone())) =>
            {
                self.skipped += 1;
                return Ok(());
            }
            _ => {}
        }
        match entry.operation {
            Operation::Noop | Operation::Bookkeeping(_) => Ok(()),
            Operation::Insert(document) if name.collection == VIEWS => {
                self.view(&name, document, Some(document)).await
            }
            Operation::Update { change, key } if name.collection == VIEWS => {
                self.view(&name, key, Some(change)).await
            }
            Operation::Delete(key) if name.collection == VIEWS => self.view(&name, key, None).await,
            Operation::Insert(document) => self.document("i", &name, document, None).await,
            Operation::Update { change, key } => self.document("u", &name, change, Some(key)).await,
            Operation::Delete(key) => self.document("d", &name, key, None).await,
            Operation::Command { command, body } => self.command(command, &name, body).await,
        }
    }

    async fn document(
        &mut self,
        op: &str,
        name: &Namespace,
        change: &RawDocument,
        key: Option<&RawDocument>,
    ) -> Result<()> {
        if self.plan.options.schema_only {
            return Ok(());
        }
        let mut operation = RawDocumentBuf::new();
        let target = self.plan.name(name);
        operation.append(cstr!("op"), op);
        operation.append(cstr!("ns"), target.to_string());
        operation.append(cstr!("o"), change.to_owned());
        if let Some(key) = key {
            operation.append(cstr!("o2"), key.to_owned());
        }
        let size = operation.as_bytes().len();
        if self.operations > 0 && self.bytes + size > BYTES {
            self.flush().await?;
        }
        self.bytes += size;
        self.operations += 1;
        self.batch.push(operation);
        if self.operations >= MOST { self.flush().await } else { Ok(()) }
    }

    /// Applies what has been collected.
    ///
    /// # Errors
    /// Those of [`Replay::entry`].
    pub async fn flush(&mut self) -> Result<()> {
        if self.operations == 0 {
            return Ok(());
        }
        let wanted = self.operations as u64;
        let mut command = RawDocumentBuf::new();
        command.append(cstr!("applyOps"), std::mem::take(&mut self.batch));
        (self.operations, self.bytes) = (0, 0);
        let answer = self.server.run_raw("admin", command).await.map_err(|error| {
            let hint = if error.message().contains("not authorized") {
                "applying the captured oplog needs a role with anyAction on anyResource on the target, as \
                 mongorestore --oplogReplay does"
            } else {
                "the target has to be a mongod, not mongos, of the source's version or newer"
            };
            Error::new(error.kind(), format!("the captured operations cannot be applied: {}", error.chain()))
                .hint(hint)
        })?;
        let results = answer.get_array("results").map(Vec::as_slice).unwrap_or_default();
        let good = results.iter().filter(|result| **result == Bson::Boolean(true)).count() as u64;
        if good != wanted {
            return Err(Error::new(
                Kind::Failed,
                format!("the target applied {good} of {wanted} captured operations"),
            )
            .hint("look into the target server's log"));
        }
        self.applied += wanted;
        Ok(())
    }

    /// Views are made, changed and dropped by documents of `system.views`, whose `_id` is the full name.
    async fn view(
        &mut self,
        name: &Namespace,
        key: &RawDocument,
        document: Option<&RawDocument>,
    ) -> Result<()> {
        let Some(own) = key.get_str("_id").ok().and_then(Namespace::parse) else { return Ok(()) };
        let target = self.plan.name(&own);
        let Some(document) = document else {
            self.flush().await?;
            return self.run(&target, doc! {"drop": &target.collection}).await;
        };
        let document = owned(document)?;
        let (Ok(on), Some(pipeline)) = (document.get_str("viewOn"), document.get("pipeline")) else {
            return Err(Error::new(
                Kind::Failed,
                format!("the change of the view {own} in {name} cannot be followed"),
            ));
        };
        if on.starts_with("system.buckets.") {
            return Ok(()); // it comes with its time series
        }
        self.flush().await?;
        let mut command = doc! {"create": &target.collection, "viewOn": on, "pipeline": pipeline.clone()};
        if let Some(collation) = document.get("collation") {
            command.insert("collation", collation.clone());
        }
        // It may be there already, in another form.
        self.run(&target, doc! {"drop": &target.collection}).await?;
        self.run(&target, command).await
    }

    async fn command(&mut self, command: Command, name: &Namespace, body: &RawDocument) -> Result<()> {
        let logical = name.time_series().unwrap_or_else(|| name.clone());
        let target = self.plan.name(&logical);
        let mut body = owned(body)?;
        let known = match command {
            Command::Create => {
                self.flush().await?;
                return self.create(&target, body).await;
            }
            Command::Drop => Some(doc! {"drop": &target.collection}),
            Command::CollMod => {
                // What it says of indexes is in their definitions when they are built.
                body.remove("index");
                let mut changed = doc! {"collMod": &target.collection};
                changed.extend(body.into_iter().skip(1));
                if self.plan.options.staging {
                    ttl::COLLECTION.shift(&mut changed);
                }
                (changed.len() > 1).then_some(changed)
            }
            // Indexes are built afterwards; a backup in which a collection went has not been committed.
            _ => None,
        };
        let Some(known) = known else { return Ok(()) };
        self.flush().await?;
        self.run(&target, known).await
    }

    /// A collection that was made during the dump. It may be in the archive already, then it stays.
    async fn create(&self, target: &Namespace, body: Document) -> Result<()> {
        let mut command = doc! {"create": &target.collection};
        for (key, value) in body.into_iter().skip(1) {
            if key != "idIndex" {
                command.insert(key, value);
            }
        }
        if command.contains_key("timeseries") {
            command.remove("validator");
            command.remove("clusteredIndex");
            if let Ok(series) = command.get_document_mut("timeseries") {
                // The server derives it, and takes it only where it fits the granularity.
                if series.contains_key("granularity") {
                    series.remove("bucketMaxSpanSeconds");
                }
            }
        }
        if self.plan.options.staging {
            ttl::COLLECTION.shift(&mut command);
        }
        match self.server.run(&target.db, command).await {
            Err(error) if !error.message().contains("NamespaceExists") => {
                Err(error.while_doing(format!("{target}, made during the dump, cannot be made")))
            }
            _ => Ok(()),
        }
    }

    /// A command that may find its object gone.
    async fn run(&self, target: &Namespace, command: Document) -> Result<()> {
        match self.server.run(&target.db, command).await {
            Err(error) if !error.message().contains("NamespaceNotFound") => {
                Err(error.while_doing(format!("a captured change of {target} cannot be applied")))
            }
            _ => Ok(()),
        }
    }
}

fn is_apply_ops(entry: &Entry<'_>) -> bool {
    matches!(entry.operation, Operation::Command { command: Command::ApplyOps, .. })
}

fn owned(document: &RawDocument) -> Result<Document> {
    Document::try_from(document)
        .map_err(|cause| Error::new(Kind::Damaged, "an entry of the oplog is not readable").because(cause))
}
