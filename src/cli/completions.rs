//! `lifeboat completions`.

use clap_complete::Shell;

use super::{Context, Outcome};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat completions bash > /etc/bash_completion.d/lifeboat
  lifeboat completions zsh > ~/.zfunc/_lifeboat
  lifeboat completions fish > ~/.config/fish/completions/lifeboat.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "lifeboat", &mut script);
    context.ui.write(&String::from_utf8_lossy(&script));
    Ok(())
}
