//! `lifeboat status`.

use std::time::Duration;

use super::shard::Sharding;
use super::{Context, Outcome, Several};
use crate::config::Source;
use crate::error::{Error, Kind, Result};
use crate::operations::status::{Newest, Promises, Standing, judge};
use crate::reports::messages::Status;
use crate::reports::table::{Column, Table};
use crate::reports::{metrics, time};

/// Show sources against their objectives; exit code 7 on a miss
///
/// Looks at the newest backup (freshness), at what it brings back (rpo: the age of its recovery point), and at
/// the newest backup that a drill has proven (proven_within).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat status
  lifeboat status orders billing
  lifeboat status --json | jq -r 'select(.verdict == \"missed\") | .source'")]
pub struct Args {
    /// The sources; all that are configured when left out
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,

    #[command(flatten)]
    sharding: Sharding,
}

/// What the recovery point means.
const LOST: &str =
    "What was written after its recovery point a source would lose now: nothing is kept between backups.\n";

/// Prints a table and what is missed, or a `status` line for each source.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let sources = args.sharding.sources(context, &args.sources)?;
    let mut several = Several::new(&context.ui, sources.len());
    let mut judged = Vec::new();
    for source in &sources {
        if let Some(standing) =
            several.add(&source.name, context.told(&source.name, standing(context, source)).await)?
        {
            judged.push((source.name.as_str(), standing));
        }
    }
    for (name, standing) in &judged {
        context.ui.message(&message(name, standing));
    }
    if !judged.is_empty() {
        context.ui.text(&text(&judged, context));
    }
    for (name, standing) in &judged {
        standing.warnings.iter().for_each(|warning| context.ui.about(name).warn(warning));
    }
    several.finish()?;
    let missed: Vec<&str> =
        judged.iter().filter(|(_, standing)| !standing.misses.is_empty()).map(|(name, _)| *name).collect();
    if missed.is_empty() {
        return Ok(());
    }
    let message =
        format!("{} of {} sources miss an objective: {}", missed.len(), sources.len(), missed.join(", "));
    let hint = format!("`lifeboat backup {0}` makes a backup, `lifeboat drill {0}` proves it", missed[0]);
    Err(Error::new(Kind::Objective, message).hint(hint).into())
}

async fn standing(context: &Context, source: &Source) -> Result<Standing> {
    let catalog = context.catalog(&source.name).await?;
    let listing = context.cancel.guard(catalog.list()).await?;
    let promises = promises(source);
    let standing = judge(&listing, &promises, context.now);
    context.note(&source.name, metrics::promises(&promises));
    context.note(&source.name, metrics::status(&standing, context.now));
    Ok(standing)
}

/// What the policy promises of the backups of a source.
pub(super) fn promises(source: &Source) -> Promises {
    let objectives = &source.policy.objectives;
    Promises { rpo: objectives.rpo, freshness: objectives.freshness, proven_within: objectives.proven_within }
}

fn message(source: &str, standing: &Standing) -> Status {
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
    let id = |newest: &Option<Newest>| newest.as_ref().map(|newest| newest.id.clone());
    let age = |newest: &Option<Newest>| newest.as_ref().map(|newest| newest.age.as_secs_f64());
    Status {
        source: source.to_owned(),
        verdict: if standing.misses.is_empty() { "ok" } else { "missed" }.to_owned(),
        newest_id: id(&standing.newest),
        newest_age_seconds: age(&standing.newest),
        newest_proven_id: id(&standing.newest_proven),
        newest_proven_age_seconds: age(&standing.newest_proven),
        recovery_point_age_seconds: seconds(standing.recovery_point_age),
        worst_gap_seconds: seconds(standing.worst_gap),
        objectives_missed: standing.misses.iter().map(|miss| miss.objective.to_owned()).collect(),
        backups: standing.backups,
        stored_bytes: standing.stored_bytes,
    }
}

fn text(judged: &[(&str, Standing)], context: &Context) -> String {
    let mut table = Table::new([
        Column::Text("SOURCE"),
        Column::Whole("VERDICT"),
        Column::Number("BACKUPS"),
        Column::Number("NEWEST"),
        Column::Number("PROVEN"),
        Column::Number("RECOVERY POINT"),
        Column::Number("WORST GAP"),
    ]);
    for (name, standing) in judged {
        let duration = |duration: Option<Duration>| duration.map_or("none".to_owned(), time::duration);
        table.row([
            (*name).to_owned(),
            if standing.misses.is_empty() { "ok" } else { "MISSED" }.to_owned(),
            standing.backups.to_string(),
            duration(standing.newest.as_ref().map(|newest| newest.age)),
            duration(standing.newest_proven.as_ref().map(|newest| newest.age)),
            duration(standing.recovery_point_age),
            duration(standing.worst_gap),
        ]);
    }
    let mut text = table.render(context.ui.style());
    // No engine archives a log between backups: the recovery point is as old as the backup, and that is said.
    if judged.iter().any(|(_, standing)| standing.recovery_point_age.is_some()) {
        text.push_str(LOST);
    }
    for (name, standing) in judged {
        for miss in &standing.misses {
            text.push_str(&format!("{name} misses {}: {}\n", miss.objective, miss.message));
        }
    }
    text
}
