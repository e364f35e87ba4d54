//! `lifeboat verify`.

use super::shard::Sharding;
use super::{Context, Measure, Outcome, Several};
use crate::catalog::{BackupId, Catalog};
use crate::error::{Error, Kind, Result};
use crate::operations::verify::{self, Verified};
use crate::pipeline::progress::Progress;
use crate::reports::messages::Verify;
use crate::reports::{metrics, size, time};

/// Read a backup back from the store and check it, without a server
///
/// Reads every object to its end: sizes, SHA-256, frames, the structure of the dump; counts every row again
/// and compares with the inventory. A drill proves more: it restores.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat verify orders
  lifeboat verify orders --backup 20261124T020000Z-7f3k9q
  lifeboat verify orders --all --json
  lifeboat verify --all-sources")]
pub struct Args {
    /// The sources
    #[arg(value_name = "SOURCE", required_unless_present = "all_sources", conflicts_with = "all_sources")]
    sources: Vec<String>,

    /// Every source that is configured
    #[arg(long)]
    all_sources: bool,

    #[command(flatten)]
    sharding: Sharding,

    /// The backup: its id, the beginning of its id, or `latest`
    #[arg(long, value_name = "ID", default_value = "latest", conflicts_with = "all")]
    backup: String,

    /// Every backup of a source, newest first
    #[arg(long)]
    all: bool,
}

/// Prints a line for each backup. Exit code 6 when one does not pass.
pub async fn run(args: Args, context: &Context) -> Outcome {
    // A source by name may have left the configuration, but not the store.
    let names = match args.sharding.is_asked() || args.all_sources {
        true => args.sharding.sources(context, &args.sources)?.iter().map(|s| s.name.clone()).collect(),
        false => args.sources.clone(),
    };
    let mut several = Several::new(&context.ui, names.len());
    for name in &names {
        several.add(name, context.told(name, verify_chosen(name, &args, context)).await)?;
    }
    several.finish()
}

async fn verify_chosen(source: &str, args: &Args, context: &Context) -> Result<()> {
    let catalog = context.catalog_of_any(source).await?;
    let ids: Vec<BackupId> = if args.all {
        let mut ids = catalog.ids().await?;
        ids.reverse();
        ids
    } else {
        vec![catalog.find(&args.backup).await?.id]
    };
    if ids.is_empty() {
        return Err(catalog.find("latest").await.err().unwrap_or_else(|| {
            Error::new(Kind::Failed, "a backup appeared meanwhile").hint("run the command again")
        }));
    }
    let mut failed: Vec<Error> = Vec::new();
    let mut all: Vec<Verified> = Vec::new();
    for id in &ids {
        let verified = match verify_one(&catalog, id, context).await {
            // A manifest that cannot be read is a backup that does not pass.
            Err(error) if error.kind() == Kind::Damaged => {
                Verified { problems: vec![error.chain()], ..Verified::default() }
            }
            verified => verified?,
        };
        show(source, id, &verified, context);
        if !verified.problems.is_empty() {
            failed.push(verify::failed(id, &verified));
        }
        all.push(verified);
    }
    context.note(source, metrics::verify(&all));
    match failed.len() {
        0 => Ok(()),
        1 => Err(failed.remove(0)),
        n => Err(Error::new(Kind::Damaged, format!("{n} of {} backups are not what was written", ids.len()))
            .hint("restore one that passed, and look for the cause in the store")),
    }
}

async fn verify_one(catalog: &Catalog, id: &BackupId, context: &Context) -> Result<Verified> {
    let manifest = catalog.load(id).await?;
    let engine = context.reading_engine(&manifest.engine, catalog.source())?;
    let progress = Progress::default();
    progress.backup(id.as_str());
    let ui = context.ui.about(catalog.source());
    let shown =
        ui.follow(&format!("verify {id}"), &progress, Measure::Stored { of: manifest.totals.stored_bytes });
    let threads = context.threads()?;
    let work = verify::verify(catalog, id, engine.as_ref(), threads, &progress, &context.run, context.clock);
    let outcome = context.cancel.guard(work).await;
    shown.end(outcome.as_ref().is_ok_and(|verified| verified.problems.is_empty()));
    if outcome.as_ref().is_err_and(|error| matches!(error.kind(), Kind::Interrupted(_))) {
        // The work was dropped, and with it the guard of the mark. Left there, it would only grow old.
        let _ = catalog.store().delete(&catalog.keys().use_by(id, &context.run.id)).await;
    }
    outcome
}

fn show(source: &str, id: &BackupId, verified: &Verified, context: &Context) {
    let passed = verified.problems.is_empty();
    let message = Verify {
        source: source.to_owned(),
        id: id.to_string(),
        verdict: if passed { "passed" } else { "failed" }.to_owned(),
        objects: verified.objects,
        raw_bytes: verified.raw_bytes,
        seconds: verified.seconds,
        rows: verified.rows,
        problems: verified.problems.clone(),
    };
    context.ui.result(&message, || match passed {
        true => format!(
            "{source} {id}: passed, {} in {}, {} rows, {}\n",
            size::bytes(verified.raw_bytes),
            size::plural(verified.objects, "object"),
            size::count(verified.rows),
            time::seconds(verified.seconds)
        ),
        false => {
            let problems: String = verified.problems.iter().map(|problem| format!("  {problem}\n")).collect();
            format!("{source} {id}: FAILED\n{problems}")
        }
    });
}
