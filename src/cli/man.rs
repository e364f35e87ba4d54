//! `lifeboat man`.

use std::path::PathBuf;

use super::{Context, Outcome};
use crate::error::{Explain as _, Kind, Result};

/// Print the manual page, or write all pages
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat man | man -l -
  lifeboat man --to /usr/local/share/man/man1")]
pub struct Args {
    /// Write the pages of all commands into this directory instead
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Prints or writes the pages.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let command = super::command().disable_help_flag(false);
    let Some(directory) = args.to else {
        let page = page(command)?;
        context.ui.write(&String::from_utf8_lossy(&page));
        return Ok(());
    };
    std::fs::create_dir_all(&directory)
        .explain(Kind::Failed, || format!("cannot make the directory {}", directory.display()))?;
    clap_mangen::generate_to(command, &directory)
        .explain(Kind::Failed, || format!("cannot write manual pages to {}", directory.display()))?;
    context.ui.info(&format!("manual pages are in {}", directory.display()));
    Ok(())
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command);
    man.render(&mut page).explain(Kind::Failed, || "cannot make the manual page".to_owned())?;
    Ok(page)
}
