//! `lifeboat hold`.

use super::{About as _, Context, Outcome};
use crate::catalog::marks;
use crate::error::Result;
use crate::reports::messages::Hold;

/// Keep a backup whatever the policy says, until it is released
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat hold orders 20261124T020000Z-7f3k9q --reason 'audit 2026'
  lifeboat hold orders latest")]
pub struct Args {
    /// The source
    source: String,

    /// The backup: its id, the beginning of its id, or `latest`
    id: String,

    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Puts the backup on hold.
pub async fn run(args: Args, context: &Context) -> Outcome {
    context.cancel.guard(hold(&args, context)).await.about(&args.source)
}

async fn hold(args: &Args, context: &Context) -> Result<()> {
    let catalog = context.catalog_of_any(&args.source).await?;
    let id = catalog.find(&args.id).await?.id;
    let who = format!("{}@{}", context.user(), context.run.host);
    catalog.hold(&id, &marks::Hold::new(&args.reason, &who, context.now)).await?;
    let message = Hold {
        source: args.source.clone(),
        id: id.to_string(),
        held: true,
        reason: (!args.reason.is_empty()).then(|| args.reason.clone()),
    };
    context.ui.result(&message, || format!("{} {id}: on hold\n", args.source));
    Ok(())
}
