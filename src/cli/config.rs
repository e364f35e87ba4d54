//! `lifeboat config`.

use clap::Subcommand;

use super::{Context, Outcome};
use crate::error::Result;
use crate::reports::messages::{ConfigCheck, ConfigValue};
use crate::reports::size;
use crate::reports::table::{Column, Table};

/// Check the configuration, or show each value with its origin
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  lifeboat config check
  lifeboat --config /etc/lifeboat/lifeboat.toml config show
  LIFEBOAT_STORE_URL=file:///tmp/b lifeboat config show --json"
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read the configuration and all policies, and say what is wrong
    Check,
    /// Print every value and where it came from, secrets masked
    Show,
}

/// Checks or shows.
pub async fn run(args: Args, context: &Context) -> Outcome {
    match args.action {
        Action::Check => check(context)?,
        Action::Show => show(context)?,
    }
    Ok(())
}

fn check(context: &Context) -> Result<()> {
    let config = context.config()?;
    let file = config.file.as_ref().map_or("the environment".to_owned(), |file| file.display().to_string());
    for source in config.sources.values() {
        // The engine looks at its part: URL, method, options.
        context.reading_engine(&source.engine, &source.name)?;
    }
    let message = ConfigCheck {
        file: file.clone(),
        sources: config.sources.keys().cloned().collect(),
        warnings: config.warnings.clone(),
    };
    let (sources, warnings) = (config.sources.len() as u64, config.warnings.len() as u64);
    context.ui.result(&message, || {
        let (sources, warnings) = (size::plural(sources, "source"), size::plural(warnings, "warning"));
        format!("{file}: ok, {sources}, {warnings}\n")
    });
    Ok(())
}

fn show(context: &Context) -> Result<()> {
    let mut table = Table::new([Column::Whole("KEY"), Column::Text("VALUE"), Column::Text("ORIGIN")]);
    for value in context.config()?.show() {
        context.ui.message(&ConfigValue {
            key: value.key.clone(),
            value: value.value.clone(),
            origin: value.origin.to_string(),
        });
        table.row([value.key, value.value, value.origin.to_string()]);
    }
    context.ui.text(&table.render(context.ui.style()));
    Ok(())
}
