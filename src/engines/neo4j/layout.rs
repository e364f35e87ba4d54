//! Where a stopped server keeps its databases: `neo4j.conf`, or what Neo4j takes where that says nothing.
//!
//! Source: Neo4j's configuration settings `server.directories.*` (5.x) and `dbms.directories.*` (4.x).

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Explain as _, Kind, Result};

/// The directories of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// A directory with a directory for each database.
    pub databases: PathBuf,
    /// The same for their transaction logs.
    pub transactions: PathBuf,
}

impl Layout {
    /// Reads the configuration that `NEO4J_CONF` names, else that of `NEO4J_HOME`.
    ///
    /// # Errors
    /// [`Kind::Config`] when neither is set, when it cannot be read, or when it leaves a path to a command.
    pub fn read(environment: &BTreeMap<String, String>) -> Result<Layout> {
        let path = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let Some(home) = path("NEO4J_HOME") else {
            return Err(Error::new(Kind::Config, "NEO4J_HOME is not set, so the server's data is not found")
                .hint("set it to the server's home, as in /var/lib/neo4j"));
        };
        let file = path("NEO4J_CONF").unwrap_or_else(|| home.join("conf")).join("neo4j.conf");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path("NEO4J_CONF").is_none() => {
                String::new()
            }
            Err(error) => {
                return Err(
                    Error::new(Kind::Config, format!("cannot read {}", file.display())).because(error)
                );
            }
        };
        Layout::of(&home, &text).explain(Kind::Config, || format!("{} is not understood", file.display()))
    }

    fn of(home: &Path, text: &str) -> Result<Layout> {
        let setting = |last: &str| -> Result<Option<PathBuf>> {
            let keys = [format!("server.directories.{last}"), format!("dbms.directories.{last}")];
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            let found = lines.rfind(|(key, _)| keys.contains(&key.trim().to_owned()));
            let Some((key, value)) = found else { return Ok(None) };
            let value = value.trim();
            if value.starts_with("$(") || value.is_empty() {
                return Err(Error::new(Kind::Config, format!("{} is no path", key.trim()))
                    .hint("write the path itself: lifeboat runs no commands of that file"));
            }
            Ok(Some(home.join(value)))
        };
        let data = setting("data")?.unwrap_or_else(|| home.join("data"));
        let transactions = setting("transaction.logs.root")?.unwrap_or_else(|| data.join("transactions"));
        Ok(Layout { databases: data.join("databases"), transactions })
    }

    /// Makes the directories of a home that was never started. They get the owner of what they are made in.
    ///
    /// # Errors
    /// [`Kind::Config`] when the home itself is not there, or nothing can be made in it.
    pub fn make(&self) -> Result<()> {
        for directory in [&self.databases, &self.transactions] {
            let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(directory);
            // A name that is wrong would otherwise become a home.
            if directory.ancestors().take(3).all(|path| path != there) {
                return Err(Error::new(
                    Kind::Config,
                    format!("there is no Neo4j home at {}", there.display()),
                )
                .hint("name the directory that is NEO4J_HOME"));
            }
            let unmade = || format!("cannot make {}", directory.display());
            let owner = std::fs::metadata(there).explain(Kind::Config, unmade)?;
            std::fs::create_dir_all(directory).explain(Kind::Config, unmade)?;
            let made = directory.ancestors().take_while(|path| *path != there);
            for path in made.filter(|_| nix::unistd::geteuid().is_root()) {
                std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
                    .explain(Kind::Config, unmade)?;
            }
        }
        Ok(())
    }

    /// The directories of a database: its store, and its transaction logs.
    pub fn of_database(&self, database: &str) -> [PathBuf; 2] {
        [self.databases.join(database), self.transactions.join(database)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_home_gets_its_directories_and_a_wrong_one_none() {
        let at = tempfile::tempdir().unwrap();
        let layout = Layout::of(at.path(), "").unwrap();
        layout.make().unwrap();
        assert!(layout.databases.is_dir() && layout.transactions.is_dir());
        let wrong = Layout::of(&at.path().join("typo"), "").unwrap();
        assert_eq!(wrong.make().unwrap_err().kind(), Kind::Config);
        assert!(!at.path().join("typo").exists());
    }

    fn of(text: &str) -> Layout {
        Layout::of(Path::new("/n"), text).unwrap()
    }

    #[test]
    fn directories_are_those_of_the_configuration() {
        let layout = of("# server.directories.data=/x\nserver.bolt.listen_address=:7687\n");
        assert_eq!(
            layout.of_database("a"),
            ["/n/data/databases/a", "/n/data/transactions/a"].map(PathBuf::from)
        );
        let layout = of("server.directories.data = /fast/data\n");
        assert_eq!(layout.databases, PathBuf::from("/fast/data/databases"));
        assert_eq!(layout.transactions, PathBuf::from("/fast/data/transactions"));
        let layout = of("dbms.directories.data=d\ndbms.directories.transaction.logs.root=/logs\n");
        assert_eq!(layout.databases, PathBuf::from("/n/d/databases"));
        assert_eq!(layout.transactions, PathBuf::from("/logs"));
    }

    #[test]
    fn a_path_that_is_a_command_is_refused() {
        let error = Layout::of(Path::new("/n"), "server.directories.data=$(pwd)").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(Layout::read(&BTreeMap::new()).unwrap_err().kind(), Kind::Config);
    }
}
