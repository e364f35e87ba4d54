//! The runs of `pg_restore` that make up a restore, and their arguments.
//!
//! A restore is three passes over one archive: definitions (`--section=pre-data`), data
//! (`--section=data`) and what is faster to make afterwards (`--section=post-data`: indexes,
//! constraints, triggers, refreshes). Only the data pass needs the stream; the other two read a file
//! that holds the archive's table of contents alone, whose size grows with the number of tables and
//! not with the data. So post-data runs on several connections (`pg_restore` refuses `--jobs` on a
//! pipe), and the time of each pass is known.

use std::ffi::OsString;
use std::path::Path;

use crate::engines::RestoreOptions;

/// One run of `pg_restore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Types, tables, functions.
    Definitions,
    /// Rows, large objects, values of sequences.
    Data,
    /// Indexes, constraints, triggers, refreshes of materialized views.
    Finish,
}

impl Pass {
    /// The passes that the options ask for, in order.
    pub fn of(options: &RestoreOptions) -> Vec<Pass> {
        match (options.schema_only, options.data_only) {
            (true, _) => vec![Pass::Definitions, Pass::Finish],
            (_, true) => vec![Pass::Data],
            _ => vec![Pass::Definitions, Pass::Data, Pass::Finish],
        }
    }

    /// The name of the phase.
    pub fn phase(self) -> &'static str {
        match self {
            Pass::Definitions => "definitions",
            Pass::Data => "load",
            Pass::Finish => "index",
        }
    }

    fn section(self) -> &'static str {
        match self {
            Pass::Definitions => "--section=pre-data",
            Pass::Data => "--section=data",
            Pass::Finish => "--section=post-data",
        }
    }
}

/// What the arguments depend on, besides the options.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The archive without data.
    pub toc: &'a Path,
    /// The list of entries, if not all are wanted.
    pub list: Option<&'a Path>,
}

/// The arguments of a pass. `stop` makes it end at the first error; `jobs` is for the last pass.
///
/// The connection comes by the environment: no name or password is in here.
pub fn arguments(
    pass: Pass,
    options: &RestoreOptions,
    files: Files<'_>,
    stop: bool,
    jobs: usize,
) -> Vec<OsString> {
    // Large objects and values of sequences count as data, though large objects are made before it.
    let section = if options.data_only { "--data-only" } else { pass.section() };
    let mut arguments: Vec<OsString> = vec!["--no-password".into(), section.into(), "--format=custom".into()];
    if options.schema_only {
        arguments.push("--schema-only".into());
    }
    if options.data_only && stop {
        arguments.push("--single-transaction".into());
    }
    // Without a name pg_restore would print SQL; this one is a reference to the environment's own.
    arguments.push("--dbname=service=lifeboat".into());
    if stop {
        arguments.push("--exit-on-error".into());
    }
    for (wanted, flag) in [
        (options.no_owner || options.staging, "--no-owner"),
        (options.no_acl || options.staging, "--no-privileges"),
        (options.staging, "--no-tablespaces"),
        (options.staging, "--no-subscriptions"),
        (options.staging, "--no-security-labels"),
    ] {
        if wanted {
            arguments.push(flag.into());
        }
    }
    if let Some(list) = files.list {
        let mut flag = OsString::from("--use-list=");
        flag.push(list);
        arguments.push(flag);
    }
    if pass == Pass::Finish && jobs > 1 {
        arguments.push(format!("--jobs={jobs}").into());
    }
    if pass != Pass::Data {
        arguments.push(files.toc.into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pass: Pass, options: &RestoreOptions, jobs: usize) -> Vec<String> {
        let files = Files { toc: Path::new("/t/toc"), list: None };
        let words = arguments(pass, options, files, true, jobs);
        words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn only_the_data_pass_reads_the_stream() {
        let options = RestoreOptions::default();
        assert_eq!(
            words(Pass::Data, &options, 4),
            [
                "--no-password",
                "--section=data",
                "--format=custom",
                "--dbname=service=lifeboat",
                "--exit-on-error"
            ]
        );
        assert_eq!(words(Pass::Finish, &options, 4)[5..], ["--jobs=4", "/t/toc"]);
        assert_eq!(words(Pass::Definitions, &options, 4)[5..], ["/t/toc"]);
    }

    #[test]
    fn staging_leaves_out_what_it_must_not_have() {
        let options = RestoreOptions { staging: true, ..RestoreOptions::default() };
        let words = words(Pass::Definitions, &options, 1);
        for flag in ["--no-owner", "--no-privileges", "--no-tablespaces", "--no-subscriptions"] {
            assert!(words.iter().any(|word| word == flag), "{flag} is missing in {words:?}");
        }
    }

    #[test]
    fn parts_of_a_restore_are_passes_left_out() {
        let schema = RestoreOptions { schema_only: true, ..RestoreOptions::default() };
        assert_eq!(Pass::of(&schema), [Pass::Definitions, Pass::Finish]);
        let data = RestoreOptions { data_only: true, ..RestoreOptions::default() };
        assert_eq!(Pass::of(&data), [Pass::Data]);
    }
}
