//! `lifeboat drill`.

use std::path::{Path, PathBuf};

use chrono::Utc;

use super::shard::Sharding;
use super::{Context, Measure, Outcome, Several};
use crate::config::{self, Amcheck, CheckKind, Expect, Number, Scalar, Source};
use crate::drill::checks::{Check, Expectation};
use crate::drill::evidence::Operator;
use crate::drill::objectives::Objectives;
use crate::drill::run::{Request, Structure, Wanted, drill};
use crate::engines::{Endpoint, Query, Staging};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::progress::Progress;
use crate::reports::table::Style;
use crate::reports::{drills, junit, metrics};

/// Restore into staging, compare, check, measure RTO and RPO, record
///
/// Restores a backup into a place of its own, compares every table, sequence, large object and
/// definition with what was in the backup's own snapshot, runs the policy's checks, and judges the
/// measured times against the policy's objectives. The record goes into the store; a backup that
/// passed is proven. What the drill made is removed on every way out. Exit code 6: the data is not what
/// it should be; 7: it is, and an objective was missed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat drill orders
  lifeboat drill orders --backup 20261124T020000Z-7f3k9q
  lifeboat drill --all
  lifeboat drill orders --staging ephemeral --junit drill.xml
  lifeboat drill orders --json | jq 'select(.message_type == \"drill\") | .rto_seconds'")]
pub struct Args {
    /// The sources
    #[arg(value_name = "SOURCE", required_unless_present = "all", conflicts_with = "all")]
    sources: Vec<String>,

    /// Every source that has a place to restore to
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    sharding: Sharding,

    /// The backup: its id, the beginning of its id, or `latest`
    #[arg(long, value_name = "ID", default_value = "latest")]
    backup: String,

    /// Where to restore to, in place of what is configured: a server that databases can be made on, or
    /// `ephemeral` for a throwaway server on this machine
    #[arg(long, value_name = "URL")]
    staging: Option<String>,

    /// Write the outcome as JUnit XML, for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Leave the restored database on the staging server, and print where it is; a drill more than a
    /// day later removes it
    #[arg(long)]
    keep_staging: bool,
}

/// Drills, and prints what was found and measured.
pub async fn run(args: Args, context: &Context) -> Outcome {
    // The recovery time counts from the start of the command; of further sources from when it is their turn.
    let mut began = context.clock.now();
    let mut sources = context.sources(&args.sources)?;
    if args.all {
        sources = with_staging(&args, context, sources)?;
    }
    let sources = args.sharding.of(context, sources);
    let mut several = Several::new(&context.ui, sources.len());
    let mut suites = Vec::new();
    for source in sources {
        let work = prove(&args, context, source, began, &mut suites);
        several.add(&source.name, context.told(&source.name, work).await)?;
        began = context.clock.now();
    }
    let written = match &args.junit {
        Some(path) if !suites.is_empty() => write_junit(path, &suites),
        _ => Ok(()),
    };
    match (several.finish(), written) {
        (Ok(()), written) => Ok(written?),
        (Err(failure), written) => {
            if let Err(error) = written {
                context.ui.failure(&error.into());
            }
            Err(failure)
        }
    }
}

/// Of all sources those that can be drilled. The others are named: nobody should take them for proven.
fn with_staging<'a>(args: &Args, context: &Context, sources: Vec<&'a Source>) -> Result<Vec<&'a Source>> {
    let (able, unable): (Vec<_>, Vec<_>) =
        sources.into_iter().partition(|source| args.staging.is_some() || source.staging.is_some());
    if able.is_empty() {
        return Err(Error::new(Kind::Config, "no source has staging")
            .hint("add [sources.NAME.staging] with a url, or give --staging"));
    }
    if !unable.is_empty() {
        let names: Vec<&str> = unable.iter().map(|source| source.name.as_str()).collect();
        context.ui.warn(&format!("not drilled, since they have no staging: {}", names.join(", ")));
    }
    Ok(able)
}

fn write_junit(path: &Path, suites: &[junit::Suite]) -> Result<()> {
    std::fs::write(path, junit::document(suites))
        .explain(Kind::Failed, || format!("cannot write {}", path.display()))
        .map_err(|error| error.hint("give --junit a file in a directory that can be written"))
}

async fn prove(
    args: &Args,
    context: &Context,
    source: &Source,
    began: crate::clock::Mono,
    suites: &mut Vec<junit::Suite>,
) -> Result<()> {
    let staging = staging(args, context, source)?;
    let engine = context.reading_engine(&source.engine, &source.name)?;
    let catalog = context.catalog(&source.name).await?;
    let wanted = wanted(source);
    let progress = Progress::default();
    let ui = context.ui.about(&source.name);
    let shown = ui.follow(&format!("drill of {}", source.name), &progress, Measure::Raw);
    let request = Request {
        catalog: &catalog,
        backup: &args.backup,
        run: &context.run,
        engine: engine.as_ref(),
        staging: &staging,
        wanted: &wanted,
        operator: Operator { host: context.run.host.clone(), user: context.user(), trigger: trigger() },
        keep: args.keep_staging,
        threads: context.threads()?,
        progress: &progress,
        cancel: &context.cancel,
        now: Utc::now(),
        clock: context.clock,
        began,
    };
    let outcome = drill(&request).await;
    shown.end(outcome.is_ok());
    let outcome = outcome?;
    let evidence = &outcome.evidence;
    context.note(&source.name, metrics::drill(evidence));
    context.summarize(&source.name, drills::text(evidence, Style::PLAIN).trim_end());
    ui.result(&drills::message(evidence, &outcome.key), || drills::text(evidence, ui.style()));
    evidence.warnings.iter().for_each(|warning| ui.warn(warning));
    if let Some(kept) = &outcome.kept {
        let database = kept.database.as_deref().unwrap_or_default();
        ui.warn(&format!("the database {database} was kept on {}", evidence.staging));
    }
    suites.push(drills::suite(evidence));
    outcome.judge()
}

/// The flag's staging place, else the configured one.
fn staging(args: &Args, context: &Context, source: &Source) -> Result<Staging> {
    let staging = match args.staging.as_deref() {
        Some("ephemeral") => Staging::Ephemeral { tools: source.tools.clone() },
        Some(url) => {
            Staging::Server(Endpoint { url: url.into(), password: None, tools: source.tools.clone() })
        }
        None => context.staging(source)?.ok_or_else(|| {
            Error::new(Kind::Config, format!("source {} has no staging", source.name)).hint(format!(
                "add [sources.{}.staging] with a url, or give --staging URL or --staging ephemeral",
                source.name
            ))
        })?,
    };
    if args.keep_staging && matches!(staging, Staging::Ephemeral { .. }) {
        return Err(Error::new(Kind::Usage, "a throwaway server ends with its drill, and cannot be kept")
            .hint("give --keep-staging a staging server by URL"));
    }
    Ok(staging)
}

/// What the policy wants.
fn wanted(source: &Source) -> Wanted {
    let policy = &source.policy;
    Wanted {
        checks: policy.drill.checks.iter().map(check).collect(),
        structure: match policy.drill.amcheck {
            Amcheck::Auto => Structure::Auto,
            Amcheck::On => Structure::On,
            Amcheck::Off => Structure::Off,
        },
        objectives: Objectives { rto: policy.objectives.rto, rpo: policy.objectives.rpo },
    }
}

fn check(check: &config::Check) -> Check {
    let (query, expectation) = match &check.kind {
        CheckKind::Sql { query, expect } => (Query::Value(query.clone()), expectation(expect)),
        CheckKind::Rows { table, expect } => (Query::Rows(table.clone()), expectation(expect)),
        CheckKind::Freshness { table, column, max_age } => (
            Query::Age { table: table.clone(), column: column.clone() },
            Expectation::AtMost(max_age.as_secs_f64()),
        ),
    };
    Check { name: check.name.clone(), query, expectation }
}

fn expectation(expect: &Expect) -> Expectation {
    let number = |number: &Number| match number {
        Number::Integer(whole) => *whole as f64,
        Number::Float(number) => *number,
    };
    match expect {
        Expect::AtLeast(least) => Expectation::AtLeast(number(least)),
        Expect::AtMost(most) => Expectation::AtMost(number(most)),
        Expect::Equals(Scalar::Number(value)) => Expectation::Equals(value.to_string()),
        Expect::Equals(Scalar::Text(text)) => Expectation::Equals(text.clone()),
        Expect::Equals(Scalar::Bool(flag)) => Expectation::Equals(flag.to_string()),
    }
}

/// What started this run, as CI systems tell it: the URL of the job.
fn trigger() -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // GitLab, Jenkins and those like it, GitHub.
    variable("CI_JOB_URL").or_else(|| variable("BUILD_URL")).or_else(|| {
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?))
    })
}
