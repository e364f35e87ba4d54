//! `lifeboat release`.

use super::{About as _, Context, Outcome};
use crate::error::Result;
use crate::reports::messages::Hold;

/// End the hold on a backup; the policy decides about it again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat release orders 20261124T020000Z-7f3k9q")]
pub struct Args {
    /// The source
    source: String,

    /// The backup: its id, the beginning of its id, or `latest`
    id: String,
}

/// Ends the hold.
pub async fn run(args: Args, context: &Context) -> Outcome {
    context.cancel.guard(release(&args, context)).await.about(&args.source)
}

async fn release(args: &Args, context: &Context) -> Result<()> {
    let catalog = context.catalog_of_any(&args.source).await?;
    let id = catalog.find(&args.id).await?.id;
    if !catalog.unhold(&id).await? {
        context.ui.about(&args.source).warn(&format!("backup {id} was not on hold"));
    }
    let message = Hold { source: args.source.clone(), id: id.to_string(), held: false, reason: None };
    context.ui.result(&message, || format!("{} {id}: not on hold\n", args.source));
    Ok(())
}
