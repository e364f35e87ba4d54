//! The command line: one file a command, each with its documented `Args` and one `run` function.
//!
//! A new command is a file, its `mod` and a name in the table [`Command`]. This is the only room that
//! prints, reads the environment and knows what time it is.

mod backup;
mod completions;
mod config;
mod context;
mod convert;
mod doctor;
mod drill;
mod failure;
mod globals;
mod help;
mod hold;
pub mod init;
mod k8s;
mod list;
mod log;
mod man;
mod outlets;
mod progress;
mod prune;
mod release;
mod restore;
mod shard;
mod show;
mod signals;
mod status;
mod termination;
mod timings;
mod ui;
mod verify;

use std::ffi::OsString;
use std::io::ErrorKind;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::duty;
use crate::error::{Error, Explain as _, Kind};

pub use context::Context;
pub use failure::{About, Failure, Outcome, Several};
pub use globals::Globals;
pub use log::{Level, LogFormat};
pub use progress::{Measure, Shown};
pub use ui::Ui;

/// Makes the table of commands: groups with a heading, and in them names of commands and their modules.
macro_rules! commands {
    ($($group:literal: { $($name:ident = $module:ident),* $(,)? })*) => {
        /// All commands.
        #[derive(Debug, Subcommand)]
        pub enum Command { $($(
            #[allow(missing_docs, reason = "documented by its arguments")]
            $name($module::Args),
        )*)* }

        /// The groups in `--help`: heading, and names of commands.
        const GROUPS: &[(&str, &[&str])] = &[$(($group, &[$(stringify!($module)),*])),*];

        impl Command {
            /// The command's word, as marks and the lease have it.
            fn word(&self) -> &'static str {
                match self { $($( Command::$name(_) => stringify!($module), )*)* }
            }

            async fn run(self, context: &Context) -> Outcome {
                match self { $($( Command::$name(args) => $module::run(args, context).await, )*)* }
            }
        }
    };
}

commands! {
    "Back up and restore": {
        Backup = backup,
        Restore = restore,
        Convert = convert,
    }
    "Look": {
        List = list,
        Show = show,
        Status = status,
    }
    "Prove": {
        Verify = verify,
        Drill = drill,
    }
    "Keep": {
        Prune = prune,
        Hold = hold,
        Release = release,
    }
    "Set up": {
        Doctor = doctor,
        Config = config,
        K8s = k8s,
        Completions = completions,
        Man = man,
    }
}

/// Backups that are proven: PostgreSQL, MongoDB and Neo4j to S3 and back, kept by policy, restored in drills
/// that measure RTO and RPO.
#[derive(Debug, Parser)]
#[command(
    name = "lifeboat",
    version,
    max_term_width = 100,
    after_help = help::SHORT_END,
    after_long_help = help::LONG_END,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// The command line as clap knows it, with the commands grouped in its help.
pub fn command() -> clap::Command {
    let command = Cli::command();
    let template = help::template(&command, GROUPS);
    command.help_template(template)
}

/// Parses the command line. Help and version are printed here, and so is what does not make sense.
///
/// # Errors
/// The exit code when there is nothing to run: 0 after help, 2 after a mistake.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let args: Vec<OsString> = args.into_iter().collect();
    let json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let parsed = command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let error = match parsed {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    if !error.use_stderr() {
        return match error.print() {
            Err(broken) if broken.kind() != ErrorKind::BrokenPipe => Err(Kind::Failed.exit_code()),
            _ => Err(0),
        };
    }
    let mistake = Failure::from(help::usage_error(&error));
    let ui = globals::ui_before_parsing();
    if json {
        ui.failure(&mistake);
    } else {
        // When stderr is closed, the exit code still tells.
        let _ = error.print();
    }
    leave_word(&ui, vec![ui::plain(&mistake)]);
    Err(Kind::Usage.exit_code())
}

/// Runs a command to its end, or until a second signal. Returns the exit code.
pub async fn run(cli: Cli) -> u8 {
    let Cli { globals, command } = cli;
    log::show_debug_output(globals.verbose, globals.log_format);
    let (canceller, cancel) = crate::cancel::pair();
    let context = Context::new(globals, command.word(), cancel);
    let mut signals = match signals::Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return conclude(&context.ui, Err(error.into())),
    };
    tokio::select! {
        outcome = async {
            let outcome = Box::pin(command.run(&context)).await;
            // A child that was told to stop may take a moment; without us nobody would end it.
            crate::pipeline::child::settle().await;
            // Nor would anybody start a database that was stopped for us.
            duty::all_done().await;
            outcome
        } => conclude(&context.ui, owed(&context.ui, outcome)),
        signal = signals.second(canceller) => {
            crate::pipeline::child::kill_all();
            tokio::select! {
                () = duty::all_done() => {}
                _ = signals.next() => {}
            }
            let _ = owed(&context.ui, Ok(()));
            Kind::Interrupted(signal).exit_code()
        }
    }
}

/// Adds what was owed and could not be done: shown, and the outcome of work that went well.
fn owed(ui: &Ui, outcome: Outcome) -> Outcome {
    duty::failures().into_iter().fold(outcome, |outcome, failure| {
        let failure = Failure::from(failure);
        match outcome {
            Ok(()) => Err(failure),
            Err(earlier) => {
                ui.failure(&failure);
                Err(earlier)
            }
        }
    })
}

/// Shows what went wrong, if anything did. Returns the exit code.
fn conclude(ui: &Ui, outcome: Outcome) -> u8 {
    match outcome.and_then(|()| Ok(ui.check()?)) {
        Ok(()) => 0,
        Err(failure) => {
            let earlier = ui.failures();
            ui.failure(&failure);
            leave_word(ui, [vec![ui::plain(&failure)], earlier].concat());
            failure.error.kind().exit_code()
        }
    }
}

/// Writes errors into the container's termination log, if there is one.
fn leave_word(ui: &Ui, errors: Vec<String>) {
    if let Err(problem) = termination::write(&errors) {
        ui.warn(&problem);
    }
}

impl Cli {
    /// Shows that the process could not even begin, and what it could not do. Returns the exit code.
    pub fn cannot(self, what: &str, error: std::io::Error) -> u8 {
        let outcome: Result<(), Error> = Err(error).explain(Kind::Failed, || format!("cannot {what}"));
        conclude(
            &Context::new(self.globals, self.command.word(), crate::cancel::Cancel::never()).ui,
            outcome.map_err(Failure::from),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group_and_has_examples() {
        let command = command();
        for sub in command.get_subcommands() {
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&sub.get_name())).count();
            assert_eq!(groups, 1, "{}", sub.get_name());
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            assert!((1..=65).contains(&about.len()), "{}: must fit 80 columns in the table", sub.get_name());
            let end = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(end.starts_with("Examples:"), "{}", sub.get_name());
        }
    }
}
