//! Restoring: a new database, three passes of `pg_restore`, and nothing half-visible.
//!
//! The work happens in a database of a temporary name, which gets its real name as the very last
//! step. So a restore that fails, is stopped or is killed never leaves something that looks like the
//! database; and one that replaces a database removes the old one only when the new one is whole.

mod existing;
mod feed;
mod globals;
pub(in crate::engines::postgres) mod leftovers;
mod load;
mod messages;
mod passes;
mod statements;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use crate::engines::postgres::archive::inventory as counted;
use crate::engines::postgres::archive::rewrite::list_file;
use crate::engines::postgres::archive::{Archive, TableRef};
use crate::engines::postgres::connect::Session;
use crate::engines::postgres::engine::{dump_major, resolve_endpoint};
use crate::engines::postgres::identity::Identity;
use crate::engines::postgres::properties::{self, CreateOptions, Properties};
use crate::engines::postgres::staging::roles;
use crate::engines::postgres::tools::Tool;
use crate::engines::postgres::{Postgres, claim, exhausted, settings};
use crate::engines::{Origin, Phase, RestoreOptions, Restored, Target};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::child::{self, Outcome};
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::CleanEnd;

use feed::Head;
use messages::Said;
use passes::{Files, Pass};

/// What `pg_restore`'s sessions get besides the pinned settings: memory to sort indexes, and no wait
/// for each table's commit to reach the disk; the commit that ends the restore waits for all of them.
const LOADING: &str = "-c maintenance_work_mem=256MB -c synchronous_commit=off";

/// The same for rows that go into tables with triggers and foreign keys: those rest meanwhile, as the rows
/// have been through them already. For superusers, and whom the setting was granted to.
const LOADING_DATA_ONLY: &str =
    "-c maintenance_work_mem=256MB -c synchronous_commit=off -c session_replication_role=replica";

/// Connections of the last pass, at most: each may use `maintenance_work_mem`.
const MAX_JOBS: usize = 8;

/// Everything that is known before the first change is made.
struct Plan<'a> {
    from: &'a BackupReader,
    options: &'a RestoreOptions,
    properties: Properties,
    inventory: Inventory,
    head: Head,
    /// The entries to restore, if not all.
    wanted: Option<Vec<i32>>,
    tool: Tool,
    /// Options of the sessions of `pg_restore`.
    loading: &'static str,
    /// The database as it shall be called.
    name: String,
}

/// What the passes did.
#[derive(Default)]
struct Done {
    archive: Option<Archive>,
    phases: Vec<Phase>,
    warnings: Vec<String>,
}

impl Postgres {
    /// Restores into a target. See [`crate::engines::Engine::restore`].
    pub(super) async fn restore_into(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        if let Some((from, to)) = options.renames.first() {
            return Err(Error::new(
                Kind::Usage,
                format!("cannot restore {from} as {to}: pg_restore renames nothing"),
            )
            .hint("the database gets another name by --to or --to-database; rename tables afterwards"));
        }
        let connection = resolve_endpoint(&target.endpoint, &self.settings.host)?;
        let name = target.database.clone().unwrap_or_else(|| connection.database.clone());
        let looking = async {
            let admin = existing::administrate(&connection, &name).await?;
            let identity = Identity::of(&admin).await?;
            let exists = existing::check(&admin, &identity, origin, &name, options).await?;
            let plan = self.plan(from, origin, options, &admin, name.clone()).await?;
            Ok((admin, exists, plan))
        };
        let (admin, exists, plan) = options.cancel.guard(looking).await?;
        let shown = admin.connection().with_database(&name).to_string();
        if options.dry_run {
            return Ok(nothing_done(shown, &plan));
        }

        let before = from.progress().raw();
        let mut warnings: Vec<String> = plan.tool.warning.iter().cloned().collect();
        let mut phases = Vec::new();
        if options.globals {
            let began = Instant::now();
            warnings.extend(globals::restore(from, &admin).await?);
            phases.push(phase("globals", began));
        }
        let done = if options.data_only {
            let filling = async {
                existing::check_empty(&admin.connection().with_database(&name), &plan.targets()).await?;
                self.run_passes(&plan, &admin, &name).await
            };
            options.cancel.guard(filling).await?
        } else {
            self.fill_new_database(&plan, &admin, exists).await?
        };
        warnings.extend(done.warnings);
        phases.extend(done.phases);
        let inventory = plan.counted(done.archive)?;
        let totals = inventory.totals();
        Ok(Restored {
            target: shown,
            rows: totals.rows,
            raw_bytes: from.progress().raw() - before,
            inventory,
            phases,
            warnings,
            advice: match options.schema_only {
                true => Vec::new(),
                false => {
                    vec!["run ANALYZE before it takes queries: statistics are not part of a dump".to_owned()]
                }
            },
            end: CleanEnd::of(format!("{} {}", plan.tool.name, plan.tool.version)),
        })
    }

    async fn plan<'a>(
        &self,
        from: &'a BackupReader,
        origin: &Origin,
        options: &'a RestoreOptions,
        admin: &Session,
        name: String,
    ) -> Result<Plan<'a>> {
        let properties: Properties = serde_json::from_value(origin.properties.clone())
            .explain(Kind::Damaged, || "the manifest does not tell the database's properties".to_owned())?;
        let dump_major = dump_major(origin).unwrap_or(admin.major());
        let tool = self.tools().await?.choose_restore(dump_major, admin.major()).map_err(|error| {
            // A tool that is not installed here says nothing about the backup that a drill looks at.
            let kind = if options.staging { Kind::Unreachable } else { error.kind() };
            Error::new(kind, error.chain()).hint(error.hint_text().unwrap_or("install it"))
        })?;
        if options.data_only && tool.major > admin.major() {
            return Err(not_in_one_transaction(&tool, admin));
        }
        let head = feed::head(from).await?;
        let wanted = match options.only.as_slice() {
            [] => None,
            names => {
                let mut tables: Vec<TableRef> = Vec::new();
                for name in names {
                    tables.extend(head.toc.match_tables(name)?);
                }
                Some(head.toc.closure_for_tables(&tables))
            }
        };
        let inventory = from.inventory().await?;
        let loading = match options.data_only && existing::may_rest_triggers(admin).await? {
            true => LOADING_DATA_ONLY,
            false => LOADING,
        };
        Ok(Plan { from, options, properties, inventory, head, wanted, tool, loading, name })
    }

    /// Restores under a temporary name, then takes the place of what shall be replaced.
    async fn fill_new_database(&self, plan: &Plan<'_>, admin: &Session, exists: bool) -> Result<Done> {
        let options = plan.options;
        let create = CreateOptions {
            owner: !(options.no_owner || options.staging),
            settings: true,
            acl: !(options.no_acl || options.staging),
            tablespace: !options.staging,
            access: !options.staging,
        };
        let work = existing::work_name(&plan.name, options.staging);
        if options.staging {
            // Owners and privileges are left out, and policies name roles all the same.
            roles::make(admin, &roles::needed(&plan.head.toc), &plan.name).await?;
        }
        let error = match self.fill(plan, admin, &work, create, exists).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        // A drill's staging place removes its own database.
        let removed = if options.staging { Ok(()) } else { existing::remove(admin, &work).await };
        Err(match removed {
            Ok(()) => error,
            // A new error, since the first hint given stays, and says that nothing was left.
            Err(left) => Error::new(error.kind(), error.chain())
                .hint(format!("drop the unfinished database {work} by hand: {left}")),
        })
    }

    async fn fill(
        &self,
        plan: &Plan<'_>,
        admin: &Session,
        work: &str,
        create: CreateOptions,
        exists: bool,
    ) -> Result<Done> {
        let began = Instant::now();
        claim::take(admin, work).await?;
        let mut warnings = properties::create_database(admin, work, &plan.properties, create).await?;
        existing::mark(admin, work, &plan.name).await?;
        let created = phase("create database", began);
        let loading = async {
            let done = self.run_passes(plan, admin, work).await?;
            // Before the database is given its name: what was read must be what was backed up.
            plan.check(done.archive.as_ref())?;
            Ok(done)
        };
        let mut done = plan.options.cancel.guard(loading).await?;
        done.phases.insert(0, created);

        // Not to be cut off any more: halfway, the name would be nobody's, or closed to everybody.
        let began = Instant::now();
        admin.batch("SET synchronous_commit = on").await?;
        warnings.append(&mut done.warnings);
        warnings.extend(properties::finish_database(admin, work, &plan.properties, create).await?);
        if work != plan.name {
            let comment = plan.properties.comment.as_deref();
            warnings.extend(existing::take_place(admin, work, &plan.name, comment, exists).await?);
        }
        done.phases.push(phase("name", began));
        Ok(Done { warnings, ..done })
    }

    async fn run_passes(&self, plan: &Plan<'_>, admin: &Session, database: &str) -> Result<Done> {
        let scratch = tempfile::Builder::new()
            .prefix("lifeboat-")
            .tempdir_in(self.temporary_directory())
            .explain(plan.local(), || "cannot make a temporary directory".to_owned())
            .map_err(|e| e.hint("set TMPDIR to a directory that can be written"))?;
        let toc = scratch.path().join("toc.dump");
        plan.head.save(&toc, plan.local())?;
        let list = match &plan.wanted {
            None => None,
            Some(ids) => {
                let path = scratch.path().join("wanted.list");
                std::fs::write(&path, list_file(&plan.head.toc, ids))
                    .explain(plan.local(), || format!("cannot write {}", path.display()))?;
                Some(path)
            }
        };
        let files = Files { toc: &toc, list: list.as_deref() };
        let mut done = Done::default();
        for pass in Pass::of(plan.options) {
            let began = Instant::now();
            plan.from.progress().phase(pass.phase());
            self.run_pass(pass, plan, admin, database, files, &mut done).await?;
            done.phases.push(phase(pass.phase(), began));
        }
        Ok(done)
    }

    async fn run_pass(
        &self,
        pass: Pass,
        plan: &Plan<'_>,
        admin: &Session,
        database: &str,
        files: Files<'_>,
        done: &mut Done,
    ) -> Result<()> {
        if pass == Pass::Data {
            let scratch = files.toc.parent().unwrap_or(files.toc);
            let (archive, warnings) = self.load(plan, admin, database, scratch).await?;
            done.archive = Some(archive);
            done.warnings.extend(warnings);
            return Ok(());
        }
        // Where errors are tolerated they are counted, and pg_restore does not count those of its jobs.
        let stops = plan.stops(admin);
        let jobs = if stops { self.settings.host.threads.clamp(1, MAX_JOBS) } else { 1 };
        let arguments = passes::arguments(pass, plan.options, files, stops, jobs);
        let connection = admin.connection().with_database(database);
        let spec = self.child(&connection, &plan.tool, admin.version(), plan.loading, arguments)?;
        let outcome = child::spawn(spec)?.outcome().await?;
        done.warnings.extend(plan.conclude(pass, outcome)?);
        Ok(())
    }

    fn temporary_directory(&self) -> PathBuf {
        self.settings.host.environment.get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }
}

impl Plan<'_> {
    /// Whether a run ends at its first error. A newer tool says something that an older server does
    /// not know: it must go on after that.
    fn stops(&self, admin: &Session) -> bool {
        self.tool.major <= admin.major()
    }

    /// Judges how a run ended; returns what somebody should know.
    fn conclude(&self, pass: Pass, outcome: Outcome) -> Result<Vec<String>> {
        let said = Said::read(&outcome.facts.messages.join("\n"));
        let mut warnings: Vec<String> =
            said.warnings.iter().map(|line| format!("pg_restore: {line}")).collect();
        match (outcome.code, outcome.signal) {
            (Some(0), _) if said.errors.is_empty() => {}
            (Some(1), _) if said.only_tolerated() => warnings.push(format!(
                "{} {} said to the older server what it does not know, which is harmless: {}",
                self.tool.name,
                self.tool.version,
                said.tolerated.join("; ")
            )),
            (code, signal) => {
                let error = failed(&self.tool, pass, code, signal, &said);
                let messages = outcome.facts.messages.iter().map(String::as_str);
                // Whoever kills the tool, or the kernel that has no memory, knows nothing of the backup.
                return Err(match exhausted::first(messages) {
                    None if !matches!(signal, Some(9 | 15)) => error,
                    line => self.not_the_backup(&error, line),
                });
            }
        }
        Ok(warnings)
    }

    /// What says nothing about the backup: a drill records no verdict then.
    fn not_the_backup(&self, error: &Error, line: Option<&str>) -> Error {
        let place = if self.options.staging { "staging" } else { "the target" };
        let line =
            line.filter(|line| !error.message().contains(line.trim_start_matches("pg_restore: error: ")));
        let line = line.map_or_else(String::new, |line| format!(": {line}"));
        Error::new(Kind::Unreachable, format!("{place} gave up, not the backup: {}{line}", error.chain()))
            .hint("look into the server's log, its disk and memory, and at the memory limit here; run it again then")
    }

    /// What errors of this machine's own disk are: in a drill nothing about the backup.
    fn local(&self) -> Kind {
        if self.options.staging { Kind::Unreachable } else { Kind::Failed }
    }

    /// The tables whose rows are wanted.
    fn targets(&self) -> Vec<TableRef> {
        let ids: Option<HashSet<i32>> = self.wanted.as_ref().map(|ids| ids.iter().copied().collect());
        let wanted = |id: i32| ids.as_ref().is_none_or(|ids| ids.contains(&id));
        let entries = self.head.toc.entries().iter().filter(|entry| wanted(entry.dump_id));
        entries.filter_map(|entry| entry.copy.as_ref().map(|copy| copy.table.clone())).collect()
    }

    /// Fails unless what was read is what the backup says of itself.
    fn check(&self, archive: Option<&Archive>) -> Result<()> {
        let Some(archive) = archive else { return Ok(()) };
        let mut differences = self.expected().differences(&self.count(archive));
        if differences.is_empty() {
            return Ok(());
        }
        let more = match differences.len() {
            1 => String::new(),
            count => format!(" ({count} differences)"),
        };
        let first = differences.swap_remove(0);
        Err(Error::new(Kind::Damaged, format!("what was restored is not what was backed up: {first}{more}"))
            .hint("restore another backup (`lifeboat list`), and run `lifeboat verify` on this one"))
    }

    fn counted(&self, archive: Option<Archive>) -> Result<Inventory> {
        self.check(archive.as_ref())?;
        Ok(archive.map_or_else(Inventory::default, |archive| self.count(&archive)))
    }

    /// What is to be read: the backup's own inventory, or its part for the tables that are wanted.
    fn expected(&self) -> Inventory {
        self.part(self.inventory.clone())
    }

    /// What was read.
    fn count(&self, archive: &Archive) -> Inventory {
        let mut inventory = counted::inventory(archive, &|_| None);
        inventory.settings = settings::recorded();
        self.part(inventory)
    }

    /// Of some tables only the tables themselves are counted: what else the archive has was not read.
    fn part(&self, mut inventory: Inventory) -> Inventory {
        if self.wanted.is_some() {
            let targets: HashSet<TableRef> = self.targets().into_iter().collect();
            inventory.definitions.clear();
            inventory.items.retain(|item| {
                let table = TableRef { schema: item.schema.clone(), name: item.name.clone() };
                item.kind == counted::TABLE && targets.contains(&table)
            });
        }
        inventory
    }
}

fn phase(name: &str, began: Instant) -> Phase {
    Phase { name: name.to_owned(), seconds: began.elapsed().as_secs_f64() }
}

fn nothing_done(target: String, plan: &Plan<'_>) -> Restored {
    let inventory = if plan.options.schema_only { Inventory::default() } else { plan.expected() };
    Restored {
        target,
        rows: inventory.totals().rows,
        raw_bytes: 0,
        inventory,
        phases: Vec::new(),
        warnings: plan.tool.warning.iter().cloned().collect(),
        advice: Vec::new(),
        end: CleanEnd::of("a plan"),
    }
}

/// A newer `pg_restore` sets what an older server does not know (17: `transaction_timeout`). That is
/// tolerated where a failure removes the database; in a transaction it would undo everything, and
/// without one a failure in the middle would leave rows in somebody's tables.
fn not_in_one_transaction(tool: &Tool, admin: &Session) -> Error {
    let (server, name) = (admin.major(), &tool.name);
    Error::new(
        Kind::Unreachable,
        format!("{name} {} cannot load into a server of version {server} all or nothing", tool.version),
    )
    .hint(format!(
        "--data-only needs a backup by pg_dump {server} and {name} {server} here, or a target of version {}; or restore into a new database",
        tool.major
    ))
}

fn failed(tool: &Tool, pass: Pass, code: Option<i32>, signal: Option<i32>, said: &Said) -> Error {
    let status = match (code, signal) {
        (Some(code), _) => format!("failed with status {code}"),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    };
    let first = said.errors.first().or(said.tolerated.first());
    let first = first.map_or_else(String::new, |line| format!(": {line}"));
    let error = Error::new(
        Kind::Failed,
        format!("{} {} {status} in the {} pass{first}", tool.name, tool.version, pass.phase()),
    );
    if first.contains("role \"") && first.contains("does not exist") {
        return error.hint(
            "restore the roles first (--globals), or leave owners and privileges out (--no-owner --no-acl)",
        );
    }
    if first.contains("violates foreign key constraint") {
        return error
            .hint("restore as a superuser: then foreign keys and triggers rest while rows are loaded");
    }
    if first.contains("extension") {
        return error.hint("install the extension's package on the target server");
    }
    if first.contains("must be superuser") || first.contains("permission denied") {
        return error
            .hint("restore as a superuser, or leave owners and privileges out (--no-owner --no-acl)");
    }
    error.hint("the message is the server's own; nothing of the unfinished database was kept")
}
