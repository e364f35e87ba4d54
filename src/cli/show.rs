//! `lifeboat show`.

use super::{About as _, Context, Outcome};
use crate::catalog::evidence::Evidence;
use crate::catalog::{Catalog, Manifest};
use crate::error::{Explain as _, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::progress::Progress;
use crate::reports::details::{self, Details};
use crate::reports::messages::{BackupDetails, BackupEntry, DrillRecord, ItemLine, Use};

/// Show all there is to know about one backup
///
/// Prints the manifest with its objects, phases and warnings, the drills with their verdicts, and the commands
/// that restore the backup without lifeboat.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat show orders
  lifeboat show orders 20261124T020000Z-7f3k9q
  lifeboat show orders latest --inventory
  lifeboat show orders --json | jq .manifest.restore_by_hand")]
pub struct Args {
    /// The source
    source: String,

    /// The backup: its id, the beginning of its id, or `latest`
    #[arg(default_value = "latest")]
    id: String,

    /// Show the items (tables, …) with their rows, too
    #[arg(long)]
    inventory: bool,
}

/// Prints the details, or a `backup_entry` line with them, and an `item` line for each item.
pub async fn run(args: Args, context: &Context) -> Outcome {
    context.cancel.guard(show(&args, context)).await.about(&args.source)
}

async fn show(args: &Args, context: &Context) -> Result<()> {
    let ui = &context.ui;
    let catalog = context.catalog_of_any(&args.source).await?;
    let manifest = catalog.find(&args.id).await?;
    let inventory = if args.inventory { Some(inventory(&catalog, &manifest, context).await?) } else { None };
    let mut drills: Vec<Evidence> =
        catalog.evidence().await?.into_iter().filter(|drill| drill.id == manifest.id).collect();
    drills.reverse();
    let store = catalog.store();
    let held = store.head(&catalog.keys().hold(&manifest.id)).await?.is_some();
    let hold = match catalog.read_hold(&manifest.id).await {
        Err(error) if error.kind() == Kind::Damaged => {
            ui.warn(&format!("the backup is on hold, but why is not readable: {error}"));
            None
        }
        hold => hold?,
    };
    let uses: Vec<Use> = uses(&catalog, &manifest).await?;
    let names: Vec<String> = uses.iter().map(|one| format!("{} {}", one.command, one.run)).collect();
    let text = Details { manifest: &manifest, drills: &drills, hold: hold.as_ref(), uses: &names };
    let proven = drills.iter().any(|drill| drill.passed);
    let reason = hold.as_ref().map(|hold| hold.reason.clone());
    ui.result(&entry(&manifest, proven, held, details(&manifest, &drills, uses, reason)?), || {
        details::text(&text, context.now, ui.style())
    });
    if let Some(inventory) = inventory {
        for item in &inventory.items {
            ui.message(&ItemLine {
                source: args.source.clone(),
                id: manifest.id.to_string(),
                kind: item.kind.clone(),
                namespace: item.schema.clone(),
                name: item.name.clone(),
                rows: item.rows,
                bytes: item.bytes,
                digest: item.digest.to_string(),
                value: item.value.clone(),
                proof: item.proof().map(str::to_owned),
            });
        }
        ui.text(&format!("\nInventory\n{}", details::inventory(&inventory, ui.style())));
    }
    Ok(())
}

async fn inventory(catalog: &Catalog, manifest: &Manifest, context: &Context) -> Result<Inventory> {
    let prefix = catalog.keys().data(&manifest.id);
    let store = catalog.store().clone();
    let reader =
        BackupReader::open(store, prefix, manifest.objects.clone(), context.threads()?, Progress::default())
            .await?;
    reader.inventory().await
}

/// Who has marked the backup as being read. A mark that was left by a crash is among them until it is old.
async fn uses(catalog: &Catalog, manifest: &Manifest) -> Result<Vec<Use>> {
    let mut uses = Vec::new();
    for entry in catalog.store().list(&catalog.keys().uses(&manifest.id)).await? {
        let Some((body, _)) = catalog.store().get(&entry.key).await? else { continue };
        let record: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |field: &str| record[field].as_str().unwrap_or("?").to_owned();
        uses.push(Use { run: text("run"), command: text("command") });
    }
    Ok(uses)
}

fn details(
    manifest: &Manifest,
    drills: &[Evidence],
    uses: Vec<Use>,
    hold_reason: Option<String>,
) -> Result<BackupDetails> {
    let verdict = |passed| if passed { "passed" } else { "failed" };
    Ok(BackupDetails {
        manifest: serde_json::to_value(manifest)
            .explain(Kind::Failed, || format!("the manifest of {} has no JSON form", manifest.id))?,
        drills: drills
            .iter()
            .map(|drill| DrillRecord { time: drill.time, verdict: verdict(drill.passed).to_owned() })
            .collect(),
        uses,
        hold_reason,
    })
}

fn entry(manifest: &Manifest, proven: bool, held: bool, details: BackupDetails) -> BackupEntry {
    BackupEntry {
        source: manifest.source.clone(),
        id: manifest.id.to_string(),
        engine: Some(manifest.engine.clone()),
        method: Some(manifest.method.clone()),
        time: manifest.recovery_point.time,
        raw_bytes: Some(manifest.totals.raw_bytes),
        stored_bytes: Some(manifest.totals.stored_bytes),
        rows: Some(manifest.totals.rows),
        items: Some(manifest.totals.items),
        proven,
        held,
        consistency: Some(manifest.consistency.word().to_owned()),
        suspicious: manifest.suspicious.clone(),
        policy: manifest.policy.clone(),
        labels: manifest.labels.clone(),
        unreadable: None,
        details: Some(details),
    }
}
