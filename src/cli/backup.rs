//! `lifeboat backup`.

use std::time::Duration;

use super::prune::duration;
use super::shard::Sharding;
use super::status::promises;
use super::{Context, Measure, Outcome, Several};
use crate::catalog::Manifest;
use crate::config::{ShrinkAction, Source};
use crate::engines::Engine;
use crate::error::Result;
use crate::operations::backup::{Request, ShrinkGuard, backup};
use crate::pipeline::progress::Progress;
use crate::reports::messages::{Backup, Phase, RecoveryPoint};
use crate::reports::{metrics, size, time};

/// Stream a backup of each source into the store
///
/// Locks, takes a snapshot, streams the dump through compression into the store with nothing on disk, counts
/// every row on the way, and writes the manifest last. When anything fails, nothing is left.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat backup orders
  lifeboat backup orders customers
  lifeboat backup --all --json
  lifeboat backup --all --shard 0/8
  lifeboat backup orders --dry-run")]
pub struct Args {
    /// The sources
    #[arg(value_name = "SOURCE", required_unless_present = "all", conflicts_with = "all")]
    sources: Vec<String>,

    /// Every source that is configured
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    sharding: Sharding,

    /// Look whether a backup would succeed, and make none
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Add a label to the manifest; may be given more than once
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,

    /// Wait this long for another run's lease; 0: do not wait [else: until it is known whether that run lives]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lease_wait: Option<Duration>,
}

/// Backs the sources up, one after the other; one that fails does not stop the others.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let sources = args.sharding.sources(context, &args.sources)?;
    let mut several = Several::new(&context.ui, sources.len());
    for source in sources {
        let work = one(context, source, &args);
        let outcome = if args.dry_run { work.await } else { context.told(&source.name, work).await };
        several.add(&source.name, outcome)?;
    }
    several.finish()
}

async fn one(context: &Context, source: &Source, args: &Args) -> Result<()> {
    let engine = context.engine(source)?;
    if args.dry_run {
        return preflight(context, source, engine.as_ref()).await;
    }
    context.note(&source.name, metrics::promises(&promises(source)));
    let begun = context.clock.now();
    let progress = Progress::default();
    let ui = context.ui.about(&source.name);
    let shown = ui.follow(&format!("backup of {}", source.name), &progress, Measure::Raw);
    let outcome = commit(context, source, engine.as_ref(), args, &progress).await;
    shown.end(outcome.is_ok());
    let seconds = context.clock.now().since(begun).as_secs_f64();
    match &outcome {
        Ok(manifest) => {
            manifest.warnings.iter().for_each(|warning| ui.warn(warning));
            context.note(&source.name, metrics::backup(manifest));
            let message = message(manifest, seconds);
            context.summarize(&source.name, sentence(&message).trim_end());
            context.ui.result(&message, || sentence(&message));
        }
        // What did not work is told by the error; this line is for whoever reads JSON alone.
        Err(_) => context.ui.message(&failed(source, engine.as_ref(), seconds)),
    }
    outcome.map(drop)
}

async fn commit(
    context: &Context,
    source: &Source,
    engine: &dyn Engine,
    args: &Args,
    progress: &Progress,
) -> Result<Manifest> {
    let catalog = context.catalog(&source.name).await?;
    let mut labels = source.labels.clone();
    labels.extend(args.labels.iter().cloned());
    let shrink = &source.policy.shrink;
    let request = Request {
        catalog: &catalog,
        run: &context.run,
        engine,
        tuning: context.tuning()?,
        lease: context.lease_options(args.lease_wait)?,
        policy: Some(source.policy.name.clone()),
        labels,
        shrink: ShrinkGuard {
            share: f64::from(shrink.share) / 100.0,
            fail: shrink.action == ShrinkAction::Fail,
        },
        require_consistent: source.policy.objectives.consistent,
        progress,
        cancel: &context.cancel,
        now: context.now,
        clock: context.clock,
    };
    Ok(backup(&request).await?.manifest().clone())
}

/// What `--dry-run` says.
async fn preflight(context: &Context, source: &Source, engine: &dyn Engine) -> Result<()> {
    let findings = context.cancel.guard(engine.preflight()).await?;
    super::doctor::show(context, Some(&source.name), &findings);
    super::doctor::judge(&findings, &format!("a backup of {} would fail or be partial", source.name))
}

fn message(manifest: &Manifest, seconds: f64) -> Backup {
    Backup {
        source: manifest.source.clone(),
        engine: manifest.engine.clone(),
        method: manifest.method.clone(),
        id: Some(manifest.id.to_string()),
        status: "committed".to_owned(),
        recovery_point: Some(RecoveryPoint {
            time: manifest.recovery_point.time,
            position: manifest.recovery_point.position.clone(),
        }),
        consistency: Some(manifest.consistency.word().to_owned()),
        raw_bytes: manifest.totals.raw_bytes,
        stored_bytes: manifest.totals.stored_bytes,
        items: manifest.totals.items,
        rows: manifest.totals.rows,
        seconds,
        phases: manifest.phases.iter().map(|p| Phase { name: p.name.clone(), seconds: p.seconds }).collect(),
        warnings: manifest.warnings.clone(),
        suspicious: manifest.suspicious.clone(),
    }
}

fn failed(source: &Source, engine: &dyn Engine, seconds: f64) -> Backup {
    Backup {
        source: source.name.clone(),
        engine: source.engine.clone(),
        method: engine.method().to_owned(),
        id: None,
        status: "failed".to_owned(),
        recovery_point: None,
        consistency: None,
        raw_bytes: 0,
        stored_bytes: 0,
        items: 0,
        rows: 0,
        seconds,
        phases: Vec::new(),
        warnings: Vec::new(),
        suspicious: None,
    }
}

fn sentence(backup: &Backup) -> String {
    let mut text = format!(
        "{} {}: committed, {}\n  {} rows in {}, {} stored as {}\n",
        backup.source,
        backup.id.as_deref().unwrap_or_default(),
        time::seconds(backup.seconds),
        size::count(backup.rows),
        size::plural(backup.items, "item"),
        size::bytes(backup.raw_bytes),
        size::bytes(backup.stored_bytes),
    );
    if let Some(point) = &backup.recovery_point {
        text.push_str(&format!("  brings back {}", time::instant(point.time)));
        if let Some(position) = &point.position {
            text.push_str(&format!(" ({position})"));
        }
        text.push('\n');
    }
    text
}

fn label(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
