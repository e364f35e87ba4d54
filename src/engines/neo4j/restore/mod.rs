//! Restores of an export: rows in batches, relationships by the ids that their ends got, definitions last.
//!
//! The target is an empty database. A claim in it says that a restore is under way, so that a half one is recognised
//! whatever ended it; a restore that fails by itself empties the database again.

pub mod claim;
pub mod existing;
mod load;
mod schema;
mod undo;

use std::collections::BTreeSet;
use std::time::Instant;

use super::connect::{Server, connect, look};
use super::engine::{Neo4j, resolve};
use super::export::GRAPH;
use super::graph::counting::Counting;
use super::graph::format::Record;
use super::graph::schema::Statement;
use super::graph::tally;
use crate::bolt::Connection;
use crate::bolt::packstream::Value;
use crate::engines::{Origin, Phase, RestoreOptions, Restored, Target};
use crate::error::{Error, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::CleanEnd;

use claim::Claim;
use load::Loaded;
use undo::Hand;

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
            check_labels(&inventory, options)?;
            let held = existing::held(&mut connection, &server).await?;
            let replace = existing::check(&server, &held, origin, options)?;
            Ok((inventory, connection, server, replace.then_some(held.claim)))
        };
        let (inventory, mut connection, server, replaced) = options.cancel.guard(looking).await?;
        let shown = format!("{} (database {})", server.shown, server.database);
        let mut warnings = doubts(origin, &server, options);
        if options.dry_run {
            return Ok(nothing_done(shown, inventory, options, warnings));
        }
        let mut phases = Vec::new();
        if replaced.is_some() {
            let began = Instant::now();
            from.progress().phase("check");
            options.cancel.guard(self.check_whole(from, &inventory)).await?;
            phases.push(Phase { name: "check".into(), seconds: began.elapsed().as_secs_f64() });
        }
        let mine = match options.staging {
            true => None,
            false => Some(claimed(&mut connection, &server, replaced, origin, options).await?),
        };
        let before = from.progress().raw();
        let mut hand = Hand::default();
        let work = async {
            if replaced.is_some() {
                existing::empty_claimed(&mut connection, &server, false).await?;
            }
            let second = connect(&uri).await?;
            self.work(from, &inventory, &server, (&mut connection, second, &mut hand), options).await
        };
        let done = match options.cancel.guard(work).await {
            Ok(done) => done,
            Err(error) => {
                return Err(undo::undone(&uri, &server, (connection, hand), mine, options, error).await);
            }
        };
        if let Some(mine) = mine {
            claim::check(&mut connection, &server, mine).await?;
            claim::release(&mut connection, &server).await?;
        }
        phases.extend(done.phases);
        if done.dangling > 0 {
            warnings.push(format!(
                "{} relationships were left out, since an end of each is not in the backup",
                done.dangling
            ));
        }
        let mut advice = match done.definitions {
            0 => Vec::new(),
            count => vec![format!("{} made, and online", super::graph::schema::counted(count))],
        };
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
        (connection, second, hand): (&mut Connection, Connection, &mut Hand),
        options: &RestoreOptions,
    ) -> Result<Done> {
        let (mut phases, mut lap) = (Vec::new(), Instant::now());
        let mut end_phase = |name: &str, phases: &mut Vec<Phase>| {
            phases.push(Phase { name: name.into(), seconds: lap.elapsed().as_secs_f64() });
            lap = Instant::now();
        };
        from.progress().phase("load");
        let only: BTreeSet<&str> = options.only.iter().map(String::as_str).collect();
        let (mut loader, worker) =
            load::pair(second, server, Some(server.database.clone()), hand.stop.clone());
        hand.start(worker);
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
        let loaded = hand.loaded().await?;
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
        end_phase("index", &mut phases);
        if options.schema_only {
            counted.items.clear();
        }
        let definitions = if options.data_only { 0 } else { statements.len() };
        Ok(Done { inventory: counted, loaded, dangling, users, definitions, phases })
    }
}

/// Claims the target, and looks again whether it is as it was before: nobody else fills it from here on.
async fn claimed(
    connection: &mut Connection,
    server: &Server,
    replaced: Option<Option<Claim>>,
    origin: &Origin,
    options: &RestoreOptions,
) -> Result<Claim> {
    let mine = claim::take_over(connection, server, replaced.flatten()).await?;
    if replaced.is_none() {
        let looked = existing::held(connection, server).await;
        let held = looked.map(|held| existing::Held { claim: None, ..held });
        if let Err(error) = held.and_then(|held| existing::check(server, &held, origin, options)) {
            claim::release(connection, server).await?;
            return Err(error);
        }
    }
    Ok(mine)
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

/// A label that is not there would restore nothing, and say that all is well.
fn check_labels(inventory: &Inventory, options: &RestoreOptions) -> Result<()> {
    let sets = inventory.items.iter().filter(|item| item.kind == tally::NODES);
    let there: BTreeSet<String> = sets.flat_map(|item| tally::labels(&item.name)).collect();
    match options.only.iter().find(|label| !there.contains(*label)) {
        None => Ok(()),
        Some(label) => Err(Error::new(Kind::Usage, format!("the backup has no node with the label {label}"))
            .hint("`lifeboat show SOURCE ID --inventory` lists what it has; labels are given without : and backticks")),
    }
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
