//! `lifeboat prune`.

use std::time::Duration;

use super::shard::Sharding;
use super::{Context, Outcome, Several};
use crate::catalog::Catalog;
use crate::catalog::lease::Lease;
use crate::config::{Override, Source};
use crate::error::Result;
use crate::operations::prune::{Deed, Prospect, Rules, act, look};
use crate::reports::messages::{Decision, Prune};
use crate::reports::{metrics, pruning};
use crate::retention::Action;
use crate::stores::Versioning;

/// Remove what the policy does not keep, and leftovers of crashes
///
/// Prints what stays and what goes, each with its reasons, and then acts under the lease of the source. With
/// --dry-run it prints the very plan and does nothing. The newest backup, the newest proven one, and those on
/// hold or in use always stay. Without a policy everything stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat prune --dry-run
  lifeboat prune orders
  lifeboat prune orders --keep-daily 14 --dry-run
  lifeboat prune orders -n --json | jq -r 'select(.action == \"remove\") | .id'")]
pub struct Args {
    /// The sources; all that are configured when left out
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,

    #[command(flatten)]
    sharding: Sharding,

    /// Print the plan and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Wait this long for another run's lease; 0: do not wait [else: until it is known whether that run lives]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lease_wait: Option<Duration>,

    #[command(flatten)]
    keep: Keep,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Instead of the policy's rules")]
struct Keep {
    /// Keep so many of the newest backups
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,

    /// Keep all that are not older (30d, 2h)
    #[arg(long, value_name = "DURATION")]
    keep_within: Option<String>,

    /// Keep the newest backup of so many hours
    #[arg(long, value_name = "N")]
    keep_hourly: Option<u32>,

    /// Keep the newest backup of so many days
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,

    /// Keep the newest backup of so many weeks
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,

    /// Keep the newest backup of so many months
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,

    /// Keep the newest backup of so many years
    #[arg(long, value_name = "N")]
    keep_yearly: Option<u32>,
}

impl Keep {
    fn overrides(&self) -> Vec<Override> {
        let text = |number: Option<u32>| number.map(|number| number.to_string());
        let given = [
            ("last", text(self.keep_last)),
            ("within", self.keep_within.clone()),
            ("hourly", text(self.keep_hourly)),
            ("daily", text(self.keep_daily)),
            ("weekly", text(self.keep_weekly)),
            ("monthly", text(self.keep_monthly)),
            ("yearly", text(self.keep_yearly)),
        ];
        let set = |(rule, value): (&str, Option<String>)| {
            Some(Override { flag: format!("--keep-{rule}"), key: format!("retention.{rule}"), value: value? })
        };
        given.into_iter().filter_map(set).collect()
    }
}

/// Prints the plan of each source and acts on it.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let context = &context.with_overrides(args.keep.overrides());
    let sources = args.sharding.sources(context, &args.sources)?;
    let mut several = Several::new(&context.ui, sources.len());
    for source in sources {
        let work = prune(context, source, &args);
        let outcome = if args.dry_run { work.await } else { context.told(&source.name, work).await };
        several.add(&source.name, outcome)?;
    }
    several.finish()
}

async fn prune(context: &Context, source: &Source, args: &Args) -> Result<()> {
    let catalog = context.catalog(&source.name).await?;
    let rules = Rules {
        retention: &source.policy.retention,
        evidence_keep: source.policy.drill.evidence_keep,
        garbage_grace: context.timings.garbage_grace,
    };
    if args.dry_run {
        let prospect = context.cancel.guard(look(&catalog, rules, None, context.now)).await?;
        show_plan(context, &source.name, &prospect);
        show_end(context, &source.name, &prospect, None, false);
        return Ok(());
    }
    let ui = context.ui.about(&source.name);
    let options = context.lease_options(args.lease_wait)?;
    let lease = context.cancel.guard(Lease::acquire(&catalog, &context.run, &options, context.clock)).await?;
    lease.warnings().iter().for_each(|warning| ui.warn(warning));
    let outcome = context.cancel.guard(under_lease(context, &catalog, rules, &lease)).await;
    // A lease that cannot be given back runs out by itself.
    if let Err(error) = lease.release().await {
        ui.warn(&format!("the lease was not given back, it runs out in a minute: {error}"));
    }
    outcome
}

async fn under_lease(context: &Context, catalog: &Catalog, rules: Rules<'_>, lease: &Lease) -> Result<()> {
    let source = catalog.source();
    let prospect = look(catalog, rules, Some(lease.store_now().await?), context.now).await?;
    show_plan(context, source, &prospect);
    let mut deed = Deed::default();
    let acted = act(catalog, &prospect, lease, context.now, &mut deed).await;
    context.note(source, metrics::prune(&prospect.plan, &deed));
    let marked = deed.freed_bytes > 0 && frees_nothing(context, catalog).await;
    show_end(context, source, &prospect, Some(&deed), marked);
    acted
}

/// True when the store keeps what is deleted. That it cannot say so is no reason to fail.
async fn frees_nothing(context: &Context, catalog: &Catalog) -> bool {
    match catalog.store().versioning().await {
        Ok(Versioning::Off | Versioning::Unknown) | Err(_) => false,
        Ok(Versioning::On | Versioning::Suspended) => {
            context.ui.about(catalog.source()).warn(
                "the bucket keeps old versions: what was removed is marked as deleted and still stored; add a \
                 lifecycle rule with NoncurrentVersionExpiration and ExpiredObjectDeleteMarker to free it",
            );
            true
        }
    }
}

fn show_plan(context: &Context, source: &str, prospect: &Prospect) {
    let ui = context.ui.about(source);
    for unreadable in &prospect.unreadable {
        ui.warn(&format!("a manifest is not readable, it stays with all its data: {unreadable}"));
    }
    if prospect.plan.no_rule {
        ui.warn("the policy has no retention rule, so every backup stays");
    }
    for decision in &prospect.plan.decisions {
        ui.message(&Decision {
            source: source.to_owned(),
            id: decision.id.clone(),
            action: if decision.action == Action::Keep { "keep" } else { "remove" }.to_owned(),
            reasons: decision.reasons.iter().map(ToString::to_string).collect(),
            stored_bytes: prospect.sizes.get(&decision.id).copied(),
        });
    }
    ui.text(&pruning::plan(source, &prospect.plan, &prospect.sizes, context.now, ui.style()));
}

fn show_end(context: &Context, source: &str, prospect: &Prospect, deed: Option<&Deed>, still_stored: bool) {
    let decided = prospect.plan.decisions.len() as u64;
    let garbage = &prospect.garbage;
    let message = match deed {
        None => {
            let removed = prospect.plan.removed().count() as u64;
            Prune {
                source: source.to_owned(),
                kept: decided - removed,
                removed,
                freed_bytes: prospect.freed_bytes(),
                dry_run: true,
                policy: prospect.plan.policy.clone(),
                left: Vec::new(),
                garbage_objects: garbage.data.iter().map(|orphan| orphan.objects).sum(),
                aborted_uploads: garbage.uploads.len() as u64,
                removed_evidence: prospect.old_evidence.len() as u64,
                still_stored,
            }
        }
        Some(deed) => Prune {
            source: source.to_owned(),
            kept: decided - deed.removed.len() as u64,
            removed: deed.removed.len() as u64,
            freed_bytes: deed.freed_bytes,
            dry_run: false,
            policy: prospect.plan.policy.clone(),
            left: deed.left.iter().map(|(id, _)| id.clone()).collect(),
            garbage_objects: deed.garbage_objects,
            aborted_uploads: deed.aborted_uploads,
            removed_evidence: deed.removed_evidence,
            still_stored,
        },
    };
    for (id, why) in deed.map(|deed| deed.left.as_slice()).unwrap_or_default() {
        context.ui.about(source).warn(&format!("backup {id} was left: {why}"));
    }
    context.ui.result(&message, || pruning::end(&message));
}

/// A duration as people write it; `0` is none at all.
pub(super) fn duration(text: &str) -> std::result::Result<Duration, String> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 30s, 5m or 1h 30m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_the_rules_of_the_policy() {
        let keep = Keep {
            keep_last: Some(0),
            keep_within: Some("2d".into()),
            keep_hourly: None,
            keep_daily: Some(7),
            keep_weekly: None,
            keep_monthly: None,
            keep_yearly: None,
        };
        let text: Vec<String> =
            keep.overrides().into_iter().map(|o| format!("{} {}={}", o.flag, o.key, o.value)).collect();
        assert_eq!(
            text,
            [
                "--keep-last retention.last=0",
                "--keep-within retention.within=2d",
                "--keep-daily retention.daily=7"
            ]
        );
    }

    #[test]
    fn a_wait_may_be_nothing() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").unwrap_err().contains("write it as 30s"));
    }
}
