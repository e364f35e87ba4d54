//! `lifeboat restore`.

use super::{About as _, Context, Measure, Outcome};
use crate::engines::{Endpoint, RestoreOptions, Restored, Target};
use crate::error::{Error, Kind, Result};
use crate::operations::restore::{Request, restore};
use crate::pipeline::progress::Progress;
use crate::reports::messages::{Phase, Restore};
use crate::reports::{size, time};

/// Restore a backup into a new database
///
/// The work happens under a temporary name; the database gets its own name as the very last step, so that a
/// restore that fails leaves nothing half-done. An existing database is never touched, unless it is named in full
/// with --replace: then the old one is dropped when the new one is whole. The source itself is never replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat restore orders --to postgres://admin@db.internal/orders_restored
  lifeboat restore orders --backup 20261124T020000Z-7f3k9q --to postgres://admin@db/orders_old
  lifeboat restore orders --to postgres://admin@staging/orders --replace orders
  lifeboat restore orders --to postgres://admin@db/rescue --only public.invoices
  lifeboat restore shop --to mongodb://admin@db/ --map shop=shop_restored
  lifeboat restore graph --to neo4j://neo4j@db/
  lifeboat restore graph --to file:///var/lib/neo4j --replace neo4j
  PGPASSWORD=… lifeboat restore orders --to postgres://admin@db/orders_restored")]
pub struct Args {
    /// The source
    source: String,

    /// The backup: its id, the beginning of its id, or `latest`
    #[arg(long, value_name = "ID", default_value = "latest")]
    backup: String,

    /// Where to: the server and the new database (for Neo4j one that is empty, or for a dump the home of a
    /// stopped server, file:///HOME); the password comes from --password-file, or PGPASSWORD, ~/.pgpass,
    /// MONGODB_PASSWORD, NEO4J_PASSWORD
    #[arg(long, value_name = "URL")]
    to: String,

    /// A file with the password of the target
    #[arg(long, value_name = "FILE")]
    password_file: Option<std::path::PathBuf>,

    /// The new database's name, where the URL is not to name it
    #[arg(long, value_name = "NAME")]
    to_database: Option<String>,

    /// Restore a database or collection under another name (MongoDB); may be given more than once
    #[arg(long = "map", value_name = "FROM=TO", value_parser = rename, conflicts_with = "to_database")]
    renames: Vec<(String, String)>,

    /// Replace the existing database of this name, typed in full; for MongoDB and Neo4j more than once
    #[arg(long, value_name = "NAME")]
    replace: Vec<String>,

    /// Restore roles and tablespaces first (of Neo4j the database system: users and roles); those that the
    /// target has stay as they are
    #[arg(long)]
    globals: bool,

    /// Only this table (collection, label), with its data, indexes and what it needs; may be given more than once
    #[arg(long, value_name = "TABLE", conflicts_with = "replace")]
    only: Vec<String>,

    /// Definitions without data
    #[arg(long, conflicts_with = "data_only")]
    schema_only: bool,

    /// Data into tables that exist and are empty
    #[arg(long, conflicts_with = "replace")]
    data_only: bool,

    /// Everything belongs to whoever restores
    #[arg(long)]
    no_owner: bool,

    /// Leave privileges (GRANT) out
    #[arg(long)]
    no_acl: bool,

    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// `FROM=TO`.
fn rename(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write FROM=TO, as in shop=shop_restored or shop.orders=shop.orders_old".to_owned()),
    }
}

/// Restores, and prints where the data is.
pub async fn run(args: Args, context: &Context) -> Outcome {
    restore_chosen(&args, context).await.about(&args.source)
}

async fn restore_chosen(args: &Args, context: &Context) -> Result<()> {
    let catalog = context.catalog_of_any(&args.source).await?;
    let manifest = catalog.find(&args.backup).await?;
    let engine = context.reading_engine(&manifest.engine, &args.source)?;
    let target = Target { endpoint: endpoint(args)?, database: args.to_database.clone() };
    let options = RestoreOptions {
        replace: args.replace.clone(),
        renames: args.renames.clone(),
        globals: args.globals,
        only: args.only.clone(),
        schema_only: args.schema_only,
        data_only: args.data_only,
        no_owner: args.no_owner,
        no_acl: args.no_acl,
        staging: false,
        dry_run: args.dry_run,
        cancel: context.cancel.clone(),
    };
    let begun = context.clock.now();
    let progress = Progress::default();
    progress.backup(manifest.id.as_str());
    let ui = context.ui.about(&args.source);
    let shown = ui.follow(&format!("restore of {}", manifest.id), &progress, Measure::Raw);
    let request = Request {
        catalog: &catalog,
        id: &manifest.id,
        run: &context.run,
        engine: engine.as_ref(),
        target: &target,
        options: &options,
        threads: context.threads()?,
        progress: &progress,
        clock: context.clock,
    };
    let outcome = restore(&request).await;
    shown.end(outcome.is_ok());
    let (manifest, restored) = outcome?;
    restored.warnings.iter().for_each(|warning| ui.warn(warning));
    let message = Restore {
        source: args.source.clone(),
        id: manifest.id.to_string(),
        target: restored.target.clone(),
        rows: restored.rows,
        raw_bytes: restored.raw_bytes,
        seconds: context.clock.now().since(begun).as_secs_f64(),
        phases: restored.phases.iter().map(|p| Phase { name: p.name.clone(), seconds: p.seconds }).collect(),
        warnings: restored.warnings.clone(),
    };
    context.ui.result(&message, || sentence(args, &message, &restored));
    Ok(())
}

fn sentence(args: &Args, message: &Restore, restored: &Restored) -> String {
    if args.dry_run {
        return format!(
            "{} {}: would restore up to {} rows into {} (dry run, nothing was done)\n",
            message.source,
            message.id,
            size::count(message.rows),
            message.target
        );
    }
    let phases: Vec<String> =
        restored.phases.iter().map(|p| format!("{} {}", p.name, time::seconds(p.seconds))).collect();
    let advice: String = restored.advice.iter().map(|line| format!("  {line}\n")).collect();
    format!(
        "{} {}: restored {} rows into {}, {}\n  {}\n{advice}",
        message.source,
        message.id,
        size::count(message.rows),
        message.target,
        time::seconds(message.seconds),
        phases.join(", "),
    )
}

fn endpoint(args: &Args) -> Result<Endpoint> {
    let password = match &args.password_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|cause| {
                Error::new(Kind::Config, format!("cannot read the password file {}", path.display()))
                    .because(cause)
            })?;
            Some(text.trim_end_matches(['\n', '\r']).into())
        }
    };
    Ok(Endpoint { url: args.to.as_str().into(), password, tools: None })
}
