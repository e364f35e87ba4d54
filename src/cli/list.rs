//! `lifeboat list`.

use super::{About as _, Context, Outcome, Several};
use crate::error::Result;
use crate::reports::listing;

/// List backups: age, size, rows, proven or not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat list
  lifeboat list orders
  lifeboat list orders --json | jq -r 'select(.proven) | .id'")]
pub struct Args {
    /// The source; all that are configured when left out
    source: Option<String>,
}

/// Prints a table, or a `backup_entry` line for each backup.
pub async fn run(args: Args, context: &Context) -> Outcome {
    if let Some(source) = &args.source {
        return list(context, source).await.about(source);
    }
    let sources = context.sources(&[])?;
    let mut several = Several::new(&context.ui, sources.len());
    for (number, source) in sources.iter().enumerate() {
        if number > 0 {
            context.ui.text("\n");
        }
        several.add(&source.name, list(context, &source.name).await)?;
    }
    several.finish()
}

async fn list(context: &Context, source: &str) -> Result<()> {
    let ui = context.ui.about(source);
    let catalog = context.catalog_of_any(source).await?;
    let listing = context.cancel.guard(catalog.list()).await?;
    for broken in &listing.broken {
        ui.warn(&format!("{} is not readable: {}", broken.key, broken.error));
    }
    let entries = listing::entries(source, &listing);
    for entry in &entries {
        ui.message(entry);
    }
    ui.text(&listing::text(source, &entries, context.now, ui.style()));
    Ok(())
}
