//! What `pg_restore` says on stderr, and which of it may be tolerated.
//!
//! Source: PostgreSQL's `pg_restore.c` and `pg_backup_archiver.c` (`warn_or_exit_horribly`): an error
//! of the server is `pg_restore: error: could not execute query: ERROR:  …`, and a run that went on
//! after errors ends with `pg_restore: warning: errors ignored on restore: N` and exit status 1.

/// Settings that a newer `pg_restore` sends and an older server does not know.
///
/// `transaction_timeout` came with PostgreSQL 17, `idle_in_transaction_session_timeout` is older
/// than every version supported here.
const NEWER_SETTINGS: [&str; 1] = ["transaction_timeout"];

/// Errors that were said on stderr, sorted out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Errors, a line each, in order.
    pub errors: Vec<String>,
    /// Errors that come only from a newer tool talking to an older server.
    pub tolerated: Vec<String>,
    /// The number in "errors ignored on restore", if it was said.
    pub ignored: Option<usize>,
    /// Warnings, a line each, in order.
    pub warnings: Vec<String>,
}

impl Said {
    /// Sorts the lines out.
    pub fn read(stderr: &str) -> Said {
        let mut said = Said::default();
        for line in stderr.lines() {
            let text = match line.split_once(": ") {
                Some((tool, rest)) if tool.starts_with("pg_") || tool == "psql" => rest,
                _ => continue,
            };
            if let Some(error) = text.strip_prefix("error: ") {
                if tolerable(error) {
                    said.tolerated.push(error.to_owned());
                } else {
                    said.errors.push(error.to_owned());
                }
            } else if let Some(warning) = text.strip_prefix("warning: ") {
                match warning.strip_prefix("errors ignored on restore: ") {
                    Some(count) => said.ignored = count.trim().parse().ok(),
                    None => said.warnings.push(warning.to_owned()),
                }
            }
        }
        said
    }

    /// True when a run that exited with 1 did so for tolerated errors alone: every error that it
    /// counted is one of them.
    pub fn only_tolerated(&self) -> bool {
        self.errors.is_empty() && !self.tolerated.is_empty() && self.ignored == Some(self.tolerated.len())
    }
}

fn tolerable(error: &str) -> bool {
    NEWER_SETTINGS
        .iter()
        .any(|name| error.ends_with(&format!("ERROR:  unrecognized configuration parameter \"{name}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWER: &str = "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\nCommand was: SET transaction_timeout = 0;\n";

    #[test]
    fn the_setting_of_a_newer_tool_is_tolerated_alone() {
        let said = Said::read(&format!("{NEWER}pg_restore: warning: errors ignored on restore: 1\n"));
        assert!(said.only_tolerated(), "{said:?}");
    }

    #[test]
    fn another_error_beside_it_is_not() {
        let text = format!(
            "{NEWER}pg_restore: error: could not execute query: ERROR:  role \"x\" does not exist\npg_restore: warning: errors ignored on restore: 2\n"
        );
        let said = Said::read(&text);
        assert!(!said.only_tolerated());
        assert_eq!(said.errors, ["could not execute query: ERROR:  role \"x\" does not exist"]);
    }

    #[test]
    fn an_error_that_was_not_seen_is_counted_too() {
        let said = Said::read(&format!("{NEWER}pg_restore: warning: errors ignored on restore: 2\n"));
        assert!(!said.only_tolerated());
    }

    #[test]
    fn a_run_without_a_word_has_tolerated_nothing() {
        assert!(!Said::read("").only_tolerated());
    }
}
