//! The options that every command has.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::cli::log::{Level, LogFormat};
use crate::cli::ui::{Ui, Wish};

/// The options that every command has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Globals {
    /// Configuration [else: LIFEBOAT_CONFIG, ./lifeboat.toml, /etc/lifeboat/lifeboat.toml]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Print the result as one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,

    /// Show no progress, neither bars nor lines
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// How status lines on stderr look: text, or json for a log collector
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true,
        global = true
    )]
    pub log_format: LogFormat,

    /// Tell more on stderr (-vv: everything)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Tell less on stderr: warnings and errors (-qq: errors alone)
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "verbose")]
    pub quiet: u8,
}

impl Globals {
    /// The output that these options ask for.
    pub(super) fn ui(&self, run: &str) -> Ui {
        Ui::new(
            Wish {
                json: self.json,
                progress: !self.no_progress,
                format: self.log_format,
                level: Level::lowest(self.verbose, self.quiet),
                colour: wants_colour(),
            },
            run,
        )
    }
}

/// Where a mistake in the command line is told to a program.
pub(super) fn ui_before_parsing() -> Ui {
    let wish =
        Wish { json: true, progress: false, format: LogFormat::Text, level: Level::Warn, colour: false };
    Ui::new(wish, "")
}

/// No colour with a `NO_COLOR` that is not empty (no-color.org) and on a dumb terminal.
fn wants_colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
