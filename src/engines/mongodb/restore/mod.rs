//! Restores: the archive into mongorestore, then the captured operations, then the indexes.
//!
//! mongorestore gets an archive in which every name is already the new one, so that none of its own rules about
//! names applies, and no index: those are built last, by ourselves, which also tells their time apart. A restore
//! that fails removes what it made. A database that is replaced is dropped only after the whole backup has been
//! read and checked once.

mod access;
mod existing;
pub use existing::drop_database;
mod feed;
mod indexes;
mod plan;
mod replay;
mod said;

use std::time::{Duration, Instant};

use super::archive::state::Defined;
use super::archive::{ArchiveReader, Event, Namespace, Prelude};
use super::connect::{self, Server};
use super::content;
use super::counted::{Counting, Proof, documents_of, proof};
use super::dump::DUMP;
use super::engine::{Mongo, resolve};
use super::tools::Tool;
use super::uri::Uri;
use crate::engines::{Origin, Phase, RestoreOptions, Restored, Target};
use crate::error::{Error, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::child::Child;
use crate::pipeline::inventory::{Inventory, Item};
use crate::pipeline::object::CleanEnd;
use crate::pipeline::progress::Progress;

use feed::{Feed, Incoming};
use plan::Plan;
use replay::Replay;

/// How long a mongorestore that takes no more may still say why.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long the removal of an unfinished restore may take.
const UNDOING: Duration = Duration::from_secs(60);

/// Insertion workers for one collection, at most.
const WORKERS: usize = 4;

/// What the work came to.
struct Done {
    counting: Counting,
    documents: u64,
    applied: u64,
    indexes: usize,
    phases: Vec<Phase>,
    warnings: Vec<String>,
}

/// What every step of the work needs.
struct Work<'a> {
    from: &'a BackupReader,
    plan: &'a Plan<'a>,
    server: &'a Server,
    uri: &'a Uri,
    tool: &'a Tool,
}

impl Mongo {
    /// Restores into a target. See [`crate::engines::Engine::restore`].
    pub(super) async fn restore_into(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        let inventory = options.cancel.guard(from.inventory()).await?;
        let plan = Plan::new(&inventory, target, options)?;
        let uri = resolve(&target.endpoint, &self.settings.host)?;
        if let Some(name) = uri.target_by_mistake().filter(|_| !options.staging) {
            return Err(Error::new(
                Kind::Usage,
                format!("the URL names the database {name} without a user to log in there"),
            )
            .hint(format!(
                "the database of a MongoDB URL is where users log in; for a target: --to-database {name}"
            )));
        }
        let looking = async {
            let server = connect::connect(&uri, "primary").await?;
            let tool = self.tool("mongorestore").await?;
            tool.check_server(&server.version)?;
            if plan.replays() {
                replay::check(&server).await?;
            }
            let prelude = prelude(from).await?;
            let made = existing::check(&server, &plan, &prelude).await?;
            Ok((server, tool, made))
        };
        let (server, tool, made) = options.cancel.guard(looking).await?;
        let mut warnings = doubts(origin, &server, options);
        let shown = shown(&server, &plan);
        if options.dry_run {
            return Ok(nothing_done(shown, &plan, warnings));
        }
        let mut phases = Vec::new();
        if !options.replace.is_empty() {
            let began = Instant::now();
            from.progress().phase("check");
            options.cancel.guard(self.check_whole(from, &inventory)).await?;
            phases.push(Phase { name: "check".into(), seconds: began.elapsed().as_secs_f64() });
            for name in &options.replace {
                existing::drop_database(&server, name).await?;
            }
        }
        // A backup that was checked first has been read once already.
        let before = from.progress().raw();
        let mut slot = None;
        let work = Work { from, plan: &plan, server: &server, uri: &uri, tool: &tool };
        let outcome = options.cancel.guard(self.work(&work, &mut slot)).await;
        if let Some(child) = slot.take() {
            child.stop().await;
        }
        let done = match outcome {
            Ok(done) => done,
            Err(error) => return Err(self.undone(&server, &made, options, error).await),
        };
        phases.extend(done.phases);
        warnings.extend(done.warnings);
        let entries = &done.counting.tally;
        if entries.entries > 0 {
            tracing::info!(entries = entries.entries, applied = done.applied, "captured operations applied");
        }
        Ok(Restored {
            target: shown,
            rows: done.documents,
            raw_bytes: from.progress().raw() - before,
            inventory: restored(&plan),
            phases,
            warnings,
            advice: advice(&done.counting, &plan, done.indexes),
            end: CleanEnd::of(format!("{} {}", tool.name, tool.version)),
        })
    }

    async fn undone(
        &self,
        server: &Server,
        made: &existing::Made,
        options: &RestoreOptions,
        error: Error,
    ) -> Error {
        // A drill's databases are removed by its site.
        if options.staging {
            return error;
        }
        if options.data_only {
            // The collections are the operator's, and others may have written to them meanwhile.
            let hint = error.hint_text().map_or(String::new(), |hint| format!("; {hint}"));
            return Error::new(error.kind(), error.chain()).hint(format!(
                "documents restored so far stay: empty the collections before the next try{hint}"
            ));
        }
        let error = match options.replace.is_empty() {
            true => error,
            false => {
                let names = options.replace.join(", ");
                let hint = error.hint_text().unwrap_or("restore again").to_owned();
                Error::new(error.kind(), format!("{} ({names} was dropped before)", error.chain())).hint(hint)
            }
        };
        match tokio::time::timeout(UNDOING, existing::undo(server, made)).await {
            Ok(Ok(())) => error,
            Ok(Err(left)) => {
                Error::new(error.kind(), error.chain()).hint(format!("{}; drop it by hand", left.chain()))
            }
            Err(_) => Error::new(error.kind(), error.chain())
                .hint("what was restored so far could not be removed in time; drop it by hand"),
        }
    }

    /// Reads the whole backup once and compares it with its inventory, before anything is dropped for it.
    async fn check_whole(&self, from: &BackupReader, inventory: &Inventory) -> Result<()> {
        let counted = self.count(from).await?;
        match inventory.differences(&counted).first() {
            None => Ok(()),
            Some(first) => {
                Err(Error::new(Kind::Damaged, format!("the backup is not what was written: {first}")))
            }
        }
    }

    async fn work(&self, work: &Work<'_>, slot: &mut Option<Child>) -> Result<Done> {
        let Work { from, plan, server, tool, .. } = *work;
        let (mut phases, mut warnings) = (Vec::new(), Vec::new());
        let mut lap = Instant::now();
        let mut end_phase = |name: &str, phases: &mut Vec<Phase>| {
            phases.push(Phase { name: name.into(), seconds: lap.elapsed().as_secs_f64() });
            lap = Instant::now();
        };
        from.progress().phase("load");
        let workers = if has_capped(plan) { 1 } else { self.readers().min(WORKERS) };
        let environment = &self.settings.host.environment;
        let users = access::existing(server, plan).await?;
        let feed = Feed::start(plan, tool, work.uri, environment, (workers, users), slot)?;
        let mut incoming =
            Incoming { counting: Counting::default(), operations: Vec::new(), feed: Some(feed) };
        let mut replay = Replay::new(server, plan);
        let mut documents = 0;
        let mut stream = from.stream(DUMP)?;
        while let Some(chunk) = stream.next().await? {
            incoming.take(plan, &chunk)?;
            from.progress().add_raw(chunk.len() as u64);
            if let Some(feed) = incoming.feed.as_mut()
                && let Err(refused) = feed.push(server).await
            {
                return Err(last_words(tool, slot, refused).await);
            }
            if !incoming.operations.is_empty() {
                if let Some(mut feed) = incoming.feed.take() {
                    documents = feed.finish(server, tool, slot).await?;
                    warnings.extend(access::warnings(plan, &feed.left_out));
                    end_phase("load", &mut phases);
                    self.before_replay(work).await?;
                    from.progress().phase("replay");
                }
                for operation in incoming.operations.drain(..) {
                    replay.entry(&operation).await?;
                }
            }
        }
        let counting = incoming.counting;
        if let Some(mut feed) = incoming.feed.take() {
            documents = feed.finish(server, tool, slot).await?;
            warnings.extend(access::warnings(plan, &feed.left_out));
            end_phase("load", &mut phases);
        }
        replay.flush().await?;
        // The stream has been verified to its end; so has the archive, now.
        let summary = ArchiveReader::finish(counting.reader)?;
        let counting = Counting { reader: ArchiveReader::new(), tally: counting.tally };
        let counted = counting.tally.inventory(&summary, &|_| None);
        if let Some(first) = plan.inventory.differences(&counted).first() {
            return Err(Error::new(Kind::Damaged, format!("the backup is not what was written: {first}")));
        }
        if replay.applied > 0 {
            end_phase("replay", &mut phases);
        }
        from.progress().phase("index");
        let indexes = match plan.options.data_only {
            true => 0,
            false => {
                let wanted = wanted_indexes(plan, &counting);
                indexes::build(server, wanted, plan.options.staging, self.readers()).await?
            }
        };
        end_phase("index", &mut phases);
        Ok(Done { counting, documents, applied: replay.applied, indexes, phases, warnings })
    }

    /// For a drill: collections that were written to and cannot be compared afterwards are compared now.
    async fn before_replay(&self, work: &Work<'_>) -> Result<()> {
        if !work.plan.options.staging {
            return Ok(());
        }
        let items: Vec<&Item> = work
            .plan
            .inventory
            .items
            .iter()
            .filter(|item| {
                matches!(proof(item), Proof::Replay { .. }) && work.plan.takes(&documents_of(item))
            })
            .collect();
        let names: Vec<Namespace> = items.iter().map(|item| work.plan.name(&documents_of(item))).collect();
        let answers =
            content::read_all(work.server, &names, None, self.readers(), &Progress::default()).await?;
        for (item, answer) in items.into_iter().zip(answers) {
            let held = answer.map_err(|cause| connect::explain(&work.server.shown, &cause))?;
            if (held.rows, held.bytes, held.digest) != (item.rows, item.bytes, item.digest) {
                return Err(Error::new(
                    Kind::Damaged,
                    format!(
                        "{}: {} documents in the backup, {} restored before the captured operations (digests {} and {})",
                        item.full_name(),
                        item.rows,
                        held.rows,
                        item.digest,
                        held.digest
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// What mongorestore says about why it takes no more.
async fn last_words(tool: &Tool, slot: &mut Option<Child>, refused: Error) -> Error {
    let Some(child) = slot.as_mut() else { return refused };
    match tokio::time::timeout(LAST_WORDS, child.ended()).await {
        Ok(Ok(ended)) => {
            *slot = None;
            feed::failed(tool, ended.code, ended.signal, &said::read(&ended.facts.messages), 0)
        }
        _ => refused,
    }
}

/// The prelude of a stored archive; no more than its first frames are read.
async fn prelude(from: &BackupReader) -> Result<Prelude> {
    let mut stream = from.stream(DUMP)?;
    let mut reader = ArchiveReader::new();
    let mut found = None;
    while let Some(chunk) = stream.next().await? {
        reader.feed(&chunk, &mut |event| {
            if let Event::Prelude { prelude, .. } = event {
                found = Some(prelude.clone());
            }
            Ok(())
        })?;
        if let Some(prelude) = found {
            return Ok(prelude);
        }
    }
    Err(Error::new(Kind::Damaged, "the archive ends before its first block"))
}

/// The indexes of what is restored, after the captured changes.
fn wanted_indexes(plan: &Plan<'_>, counting: &Counting) -> Vec<(Namespace, Defined)> {
    let all = counting.tally.definitions.iter();
    all.filter(|(name, _)| plan.takes(name) && !plan::is_access(name))
        .map(|(name, defined)| (plan.name(name), defined.clone()))
        .collect()
}

/// In a capped collection the order of documents matters, and one worker keeps it. The inventory does not tell
/// which are: so one worker where the plan is not only of plain collections.
fn has_capped(plan: &Plan<'_>) -> bool {
    plan.inventory.settings.contains_key("capped")
}

/// What a careful operator is told before.
fn doubts(origin: &Origin, server: &Server, options: &RestoreOptions) -> Vec<String> {
    let mut doubts = Vec::new();
    let version = |text: &str| super::tools::major_minor(text);
    if let Some(source) = origin.server.get("version")
        && version(source) > version(&server.version)
    {
        doubts
            .push(format!("the backup is of MongoDB {source}, and the target is older: {}", server.version));
    }
    if options.no_owner || options.no_acl {
        doubts.push("--no-owner and --no-acl mean nothing for MongoDB: nobody owns a collection".to_owned());
    }
    doubts
}

fn shown(server: &Server, plan: &Plan<'_>) -> String {
    let databases: std::collections::BTreeSet<&str> =
        plan.targets.values().map(|name| name.db.as_str()).collect();
    let some: Vec<&str> = databases.iter().copied().take(3).collect();
    let more = match databases.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} ({}{more})", server.shown, some.join(", "))
}

/// The items that are restored.
fn restored(plan: &Plan<'_>) -> Inventory {
    let mut inventory = plan.inventory.clone();
    inventory.items.retain(|item| plan.targets.contains_key(&super::counted::namespace(item)));
    inventory
}

fn nothing_done(target: String, plan: &Plan<'_>, warnings: Vec<String>) -> Restored {
    let inventory = if plan.options.schema_only { Inventory::default() } else { restored(plan) };
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

fn advice(counting: &Counting, plan: &Plan<'_>, indexes: usize) -> Vec<String> {
    let mut advice = vec![format!("{indexes} indexes were built")];
    let expiring = counting
        .tally
        .definitions
        .iter()
        .filter(|(name, defined)| plan.takes(name) && indexes::expires(defined));
    let names: Vec<String> = expiring.map(|(name, _)| plan.name(name).to_string()).take(3).collect();
    if !names.is_empty() && !plan.options.staging {
        advice.push(format!("documents past their time to live go within a minute: {}", names.join(", ")));
    }
    if !plan.users && !plan.options.staging {
        advice.push("users and roles were not restored (--globals does)".to_owned());
    }
    advice
}
