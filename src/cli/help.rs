//! The text around `--help`: the grouped table of commands, exit codes, and mistakes as errors.

use std::fmt::Write as _;

use crate::error::{Error, Kind};

/// The end of `-h`.
pub(super) const SHORT_END: &str =
    "`lifeboat COMMAND --help` tells more, with examples; `lifeboat --help` lists the exit codes.";

/// The end of `--help`.
pub(super) const LONG_END: &str = "\
Exit codes:
  0    all well
  1    failed
  2    the command line does not make sense
  3    the configuration or a policy is missing or wrong
  4    the source or target server cannot be reached, or refuses
  5    the store cannot be reached, refuses, or is full
  6    a backup or restored data is not what it should be
  7    an objective (RTO, RPO, freshness) was missed
  8    some sources succeeded and some failed
  9    another run holds the lease
  130  interrupted (SIGINT)
  143  told to stop (SIGTERM)

Results go to stdout, status and errors to stderr. The fields of --json are in docs/json.md.
Environment: LIFEBOAT_CONFIG, and LIFEBOAT_… for every key of the configuration; NO_COLOR.

Examples:
  lifeboat config check
  lifeboat list orders
  lifeboat status --json";

/// The help template of the whole command, with its commands in groups.
pub(super) fn template(command: &clap::Command, groups: &[(&str, &[&str])]) -> String {
    let wide = groups.iter().flat_map(|(_, names)| names.iter()).map(|name| name.len()).max().unwrap_or(0);
    let mut template = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (group, names) in groups {
        // Writing to a String cannot fail.
        let _ = write!(template, "\n{group}:\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(template, "  {name:wide$}  {about}");
        }
    }
    template.push_str("\nOptions:\n{options}{after-help}");
    template
}

/// A mistake in the command line as an error: clap's first line is the message, the rest the hint.
pub(super) fn usage_error(error: &clap::Error) -> Error {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("the command line does not make sense");
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let rest: Vec<&str> = lines
        .map(|line| line.strip_prefix("tip: ").unwrap_or(line))
        .filter(|line| !line.starts_with("Usage:"))
        .collect();
    Error::new(Kind::Usage, message).hint(rest.join("; "))
}
