//! The command lines of Neo4j Enterprise's online backup, in both command languages.
//!
//! Source: Neo4j operations manual 5, "Back up an online database", "Restore a database backup", "Inspect the metadata
//! of a backup file"; operations manual 4.4, the same chapters. None of this was tried on an Enterprise server.

use std::path::Path;

use crate::engines::neo4j::connect::major_minor;
use crate::engines::neo4j::tools::{Syntax, Tool};
use crate::pipeline::child::Spec;

/// What a backup is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// The whole store.
    Full,
    /// What was committed since the last artifact in the directory; the whole store where there is none.
    Auto,
}

impl Type {
    /// The tool's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Type::Full => "FULL",
            Type::Auto => "AUTO",
        }
    }
}

/// From this version on `--temp-path` is known.
const TEMP_PATH: (u32, u32) = (5, 24);

fn temporary(tool: &Tool, at: &Path) -> Option<String> {
    let known = major_minor(&tool.version).is_some_and(|version| version >= TEMP_PATH);
    known.then(|| format!("--temp-path={}", at.display()))
}

/// Backs a database up from a server's backup address.
pub(super) fn backup(tool: &Tool, from: &str, to: &Path, temp: &Path, kind: Type, database: &str) -> Spec {
    tool.spec(match tool.syntax {
        Syntax::Five => {
            let mut arguments = vec![
                "database".to_owned(),
                "backup".to_owned(),
                format!("--from={from}"),
                format!("--to-path={}", to.display()),
            ];
            arguments.extend(temporary(tool, temp));
            arguments.extend([
                format!("--type={}", kind.word()),
                "--include-metadata=all".to_owned(),
                database.to_owned(),
            ]);
            arguments
        }
        // Where the directory has a backup already, what is missing is added to it.
        Syntax::Four => vec![
            "backup".to_owned(),
            format!("--backup-dir={}", to.display()),
            format!("--from={from}"),
            format!("--database={database}"),
            "--fallback-to-full=true".to_owned(),
            "--check-consistency=false".to_owned(),
        ],
    })
}

/// Lists what artifacts are in a directory; only 5.x has artifacts.
pub(super) fn inspect(tool: &Tool, directory: &Path) -> Spec {
    tool.spec(vec![
        "database".to_owned(),
        "backup".to_owned(),
        format!("--inspect-path={}", directory.display()),
    ])
}

/// Makes a database, which is not there, of a chain's last artifact, or of 4.x's directory.
pub(super) fn restore(tool: &Tool, from: &Path, temp: &Path, database: &str) -> Spec {
    tool.spec(match tool.syntax {
        Syntax::Five => {
            let mut arguments =
                vec!["database".to_owned(), "restore".to_owned(), format!("--from-path={}", from.display())];
            arguments.extend(temporary(tool, temp));
            arguments.push(database.to_owned());
            arguments
        }
        Syntax::Four => {
            vec!["restore".to_owned(), format!("--from={}", from.display()), format!("--database={database}")]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(spec: &Spec) -> String {
        let words: Vec<_> = spec.arguments.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn command_lines_are_those_of_the_manuals() {
        let tool = |version: &str, syntax| Tool {
            path: "/n/bin/neo4j-admin".into(),
            version: version.into(),
            syntax,
            environment: Default::default(),
        };
        let (to, temp) = (Path::new("/b"), Path::new("/t"));
        let made = |tool: &Tool| words(&backup(tool, "h:6362", to, temp, Type::Auto, "db"));
        let restored = |tool: &Tool| words(&restore(tool, Path::new("/b/x"), temp, "db"));
        let newest = tool("2025.09.0", Syntax::Five);
        assert_eq!(
            made(&newest),
            "database backup --from=h:6362 --to-path=/b --temp-path=/t --type=AUTO --include-metadata=all db"
        );
        assert_eq!(restored(&newest), "database restore --from-path=/b/x --temp-path=/t db");
        assert_eq!(words(&inspect(&newest, to)), "database backup --inspect-path=/b");
        let older = tool("5.20.0", Syntax::Five);
        assert_eq!(
            made(&older),
            "database backup --from=h:6362 --to-path=/b --type=AUTO --include-metadata=all db"
        );
        assert_eq!(restored(&older), "database restore --from-path=/b/x db");
        let four = tool("4.4.12", Syntax::Four);
        assert_eq!(
            made(&four),
            "backup --backup-dir=/b --from=h:6362 --database=db --fallback-to-full=true --check-consistency=false"
        );
        assert_eq!(restored(&four), "restore --from=/b/x --database=db");
    }
}
