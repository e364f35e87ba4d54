//! Restores of an export: rows in batches, relationships by the ids that their ends got, definitions last.
//!
//! The target is an empty database. A claim in it says that a restore is under way, so that a half one is recognised
//! whatever ended it; a restore that fails by itself empties the database again.

pub mod claim;
pub mod existing;
mod load;
mod schema;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::connect::{Server, connect, look};
use super::engine::{Neo4j, resolve};
use super::export::GRAPH;
use super::graph::counting::Counting;
use super::graph::format::Record;
use super::graph::schema::Statement;
use crate::bolt::Connection;
use crate::bolt::packstream::Value;
use crate::engines::{Origin, Phase, RestoreOptions, Restored, Target};
use crate::error::{Error, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::CleanEnd;

use load::Loaded;

/// How long the removal of an unfinished restore may take.
const UNDOING: Duration = Duration::from_secs(60);

/// The same when the process was told to stop: it has to end within 10 seconds.
const UNDOING_WHEN_STOPPED: Duration = Duration::from_secs(6);

/// What the work came to.
struct Done {
    inventory: Inventory,
    loaded: Loaded,
    dangling: u64,
    users: Vec<String>,
    definitions: usize,
    phases: Vec<Phase>,
}

impl Neo4j {
    /// Restores an export into a target. See [`crate::engines::Engine::restore`].
    pub(super) async fn import(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        check_options(options)?;
        let uri = resolve(&target.endpoint, &self.settings.host)?;
        let database = target.database.clone().or_else(|| uri.database.clone());
        let uri = uri.with_database(database);
        let looking = async {
            let inventory = from.inventory().await?;
            let mut connection = connect(&uri).await?;
            let server = look(&mut connection, &uri).await?;
            check_version(&server)?;
            let held = existing::held(&mut connection, &server).await?;
            let replace = existing::check(&server, &held, origin, options)?;
            Ok((inventory, connection, server, replace))
        };
        let (inventory, mut connection, server, replace) = options.cancel.guard(looking).await?;
        let shown = format!("{} (database {})", server.shown, server.database);
        let mut warnings = doubts(origin, &server, options);
        if options.dry_run {
            return Ok(nothing_done(shown, inventory, options, warnings));
        }
        let mut phases = Vec::new();
        if replace {
            let began = Instant::now();
            from.progress().phase("check");
            options.cancel.guard(self.check_whole(from, &inventory)).await?;
            phases.push(Phase { name: "check".into(), seconds: began.elapsed().as_secs_f64() });
            options.cancel.guard(existing::empty(&mut connection, &server, false)).await?;
        }
        let before = from.progress().raw();
        let work = async {
            let second = connect(&uri).await?;
            self.work(from, &inventory, &server, (&mut connection, second), options).await
        };
        let done = match options.cancel.guard(work).await {
            Ok(done) => done,
            Err(error) => return Err(undone(&uri, &server, options, error).await),
        };
        phases.extend(done.phases);
        if done.dangling > 0 {
            warnings.push(format!(
                "{} relationships were left out, since an end of each is not in the backup",
                done.dangling
            ));
        }
        let mut advice =
            vec![format!("{} constraints and indexes were made, and are online", done.definitions)];
        if !options.staging && !done.users.is_empty() {
            advice.push(format!(
                "users of the source, to be made again by CREATE USER: {}",
                done.users.join(", ")
            ));
        } else if !options.staging {
            advice.push("users and roles are not in an export".to_owned());
        }
        Ok(Restored {
            target: shown,
            rows: done.loaded.nodes + done.loaded.relationships,
            raw_bytes: from.progress().raw() - before,
            inventory: done.inventory,
            phases,
            warnings,
            advice,
            end: CleanEnd::of("the server made every node and relationship"),
        })
    }

    /// Reads the whole backup once and compares it with its inventory, before anything is removed for it.
    async fn check_whole(&self, from: &BackupReader, inventory: &Inventory) -> Result<()> {
        let counted = self.count_export(from).await?;
        differs(inventory, &counted)
    }

    async fn work(
        &self,
        from: &BackupReader,
        inventory: &Inventory,
        server: &Server,
        (connection, second): (&mut Connection, Connection),
        options: &RestoreOptions,
    ) -> Result<Done> {
        let (mut phases, mut lap) = (Vec::new(), Instant::now());
        let mut end_phase = |name: &str, phases: &mut Vec<Phase>| {
            phases.push(Phase { name: name.into(), seconds: lap.elapsed().as_secs_f64() });
            lap = Instant::now();
        };
        from.progress().phase("load");
        if !options.staging {
            claim::take(connection, server, false).await?;
        }
        let only: BTreeSet<&str> = options.only.iter().map(String::as_str).collect();
        let (mut loader, worker) = load::pair(second, server, Some(server.database.clone()));
        let worker = tokio::spawn(worker.run());
        // Dropped with this future: a restore that is cancelled sends nothing more.
        let mut worker = AbortOnDrop(worker);
        let mut counting = Counting::default();
        let (mut statements, mut users): (Vec<Statement>, Vec<String>) = (Vec::new(), Vec::new());
        let mut left_out = Selection::new(&only);
        let mut stream = from.stream(GRAPH)?;
        let mut refused = false;
        while let Some(chunk) = stream.next().await? {
            from.progress().add_raw(chunk.len() as u64);
            counting.feed(&chunk, &mut |record, whole| {
                match record {
                    Record::Header(header) => check_format(&header)?,
                    Record::Node(node, record) if !options.schema_only => {
                        if left_out.takes_node(node.id, || node.sorted_labels())? {
                            loader.node(&node, record)?;
                        }
                    }
                    Record::Relationship(relationship) if whole && !options.schema_only => {
                        if left_out.takes_relationship(relationship.start, relationship.end) {
                            loader.relationship(&relationship)?;
                        }
                    }
                    Record::Definition(statement) => statements.push(statement),
                    Record::User(user) => {
                        users.extend(user.get("name").and_then(Value::as_str).map(str::to_owned));
                    }
                    Record::Node(..) | Record::Relationship(_) => {}
                }
                Ok(())
            })?;
            refused = !loader.push().await;
            if refused {
                break;
            }
        }
        loader.finish().await;
        let loaded = (&mut worker.0).await;
        let loaded = loaded
            .map_err(|cause| Error::new(Kind::Failed, "the loader ended unexpectedly").because(cause))??;
        if refused {
            return Err(Error::new(Kind::Failed, "the loader ended early"));
        }
        let dangling = counting.tally.dangling();
        let mut counted = counting.finish()?;
        differs(inventory, &counted)?;
        end_phase("load", &mut phases);
        from.progress().phase("index");
        if !options.data_only {
            schema::build(connection, server, &statements).await?;
        }
        // That of a drill stays until its database is emptied.
        if !options.staging {
            claim::release(connection, server).await?;
        }
        end_phase("index", &mut phases);
        if options.schema_only {
            counted.items.clear();
        }
        let definitions = if options.data_only { 0 } else { statements.len() };
        Ok(Done { inventory: counted, loaded, dangling, users, definitions, phases })
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<Result<Loaded>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// With `--only`: nodes that have one of the labels, and the relationships between them.
struct Selection<'a> {
    labels: &'a BTreeSet<&'a str>,
    taken: super::graph::ids::Ids<bool>,
}

impl<'a> Selection<'a> {
    fn new(labels: &'a BTreeSet<&'a str>) -> Self {
        Selection { labels, taken: super::graph::ids::Ids::default() }
    }

    fn takes_node<'n>(&mut self, id: u64, labels: impl FnOnce() -> Result<Vec<&'n str>>) -> Result<bool> {
        if self.labels.is_empty() {
            return Ok(true);
        }
        let takes = labels()?.iter().any(|label| self.labels.contains(label));
        if takes {
            self.taken.insert(id, true);
        }
        Ok(takes)
    }

    fn takes_relationship(&self, start: u64, end: u64) -> bool {
        self.labels.is_empty() || self.taken.get(start).is_some() && self.taken.get(end).is_some()
    }
}

pub(super) fn differs(inventory: &Inventory, counted: &Inventory) -> Result<()> {
    match inventory.differences(counted).first() {
        None => Ok(()),
        Some(first) => Err(Error::new(Kind::Damaged, format!("the backup is not what was written: {first}"))),
    }
}

/// Empties the database after a failure.
async fn undone(uri: &super::uri::Uri, server: &Server, options: &RestoreOptions, error: Error) -> Error {
    let database = &server.database;
    let patience = if options.cancel.signal().is_some() { UNDOING_WHEN_STOPPED } else { UNDOING };
    let undoing = async {
        let mut connection = connect(uri).await?;
        existing::empty(&mut connection, server, options.data_only).await
    };
    let error = match options.replace.is_empty() {
        true => error,
        false => {
            let hint = error.hint_text().unwrap_or("restore again").to_owned();
            Error::new(error.kind(), format!("{} ({database} was emptied before)", error.chain())).hint(hint)
        }
    };
    let left = match tokio::time::timeout(patience, undoing).await {
        Ok(Ok(())) => return error,
        Ok(Err(left)) => left.chain(),
        Err(_) => format!("not done within {} s", patience.as_secs()),
    };
    Error::new(error.kind(), error.chain()).hint(format!(
        "what was restored so far is still in {database} ({left}); the next restore takes --replace {database}"
    ))
}

fn check_options(options: &RestoreOptions) -> Result<()> {
    let wrong = |message: &str, hint: &str| Err(Error::new(Kind::Usage, message).hint(hint));
    if !options.renames.is_empty() {
        return wrong(
            "--map is not for exports of Neo4j: labels and types keep their names",
            "choose the database by --to-database",
        );
    }
    if options.schema_only && !options.only.is_empty() {
        return wrong("--schema-only and --only do not go together for Neo4j", "leave one of them out");
    }
    Ok(())
}

fn check_version(server: &Server) -> Result<()> {
    match server.major_minor() {
        Some((major, _)) if major < 5 => Err(Error::new(
            Kind::Unreachable,
            format!("{} is Neo4j {}, and an export goes into 5 or newer", server.shown, server.version),
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_format(header: &Value) -> Result<()> {
    match header.get("format").and_then(Value::as_int) {
        Some(1) => Ok(()),
        other => {
            Err(Error::new(Kind::Damaged, format!("the export has the format {other:?}, and this reads 1"))
                .hint("a newer lifeboat reads it"))
        }
    }
}

/// What a careful operator is told before.
fn doubts(origin: &Origin, server: &Server, options: &RestoreOptions) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(source) = origin.server.get("version")
        && super::connect::major_minor(source) > server.major_minor()
    {
        doubts.push(format!("the backup is of Neo4j {source}, and the target is older: {}", server.version));
    }
    if options.no_owner || options.no_acl {
        doubts.push("--no-owner and --no-acl mean nothing for Neo4j: nobody owns a node".to_owned());
    }
    doubts
}

fn nothing_done(
    target: String,
    mut inventory: Inventory,
    options: &RestoreOptions,
    warnings: Vec<String>,
) -> Restored {
    if options.schema_only {
        inventory.items.clear();
    }
    Restored {
        target,
        rows: inventory.totals().rows,
        raw_bytes: 0,
        inventory,
        phases: Vec::new(),
        warnings,
        advice: Vec::new(),
        end: CleanEnd::of("a plan"),
    }
}
