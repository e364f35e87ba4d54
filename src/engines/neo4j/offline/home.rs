//! A Neo4j home on this machine as the target of a restore: `file:///var/lib/neo4j`, and when a store was written to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::engines::Endpoint;
use crate::engines::neo4j::layout::Layout;
use crate::error::{Error, Explain, Kind, Result};

/// Where a stopped server's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// `NEO4J_HOME`.
    pub home: PathBuf,
    /// `NEO4J_CONF`, if it is not `conf` in the home.
    pub conf: Option<PathBuf>,
}

impl Home {
    /// Reads `file:///HOME?conf=/CONF`; `None` for the URL of a server.
    ///
    /// # Errors
    /// [`Kind::Config`] for a path that is not absolute, or an option that is not known.
    pub fn of(endpoint: &Endpoint) -> Result<Option<Home>> {
        let Some(rest) = endpoint.url.expose().strip_prefix("file://") else { return Ok(None) };
        let wrong = |what: &str| {
            Error::new(Kind::Config, format!("the target {what}"))
                .hint("write file:///var/lib/neo4j, or file:///var/lib/neo4j?conf=/etc/neo4j")
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') {
            return Err(wrong("is no absolute path"));
        }
        let conf = match query.split_once('=') {
            Some(("conf", path)) if path.starts_with('/') => Some(PathBuf::from(path)),
            None if query.is_empty() => None,
            _ => return Err(wrong("has an option that is not known")),
        };
        Ok(Some(Home { home: PathBuf::from(path), conf }))
    }

    /// The environment of neo4j-admin for it.
    pub fn environment(&self, of_process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut environment = of_process.clone();
        environment.insert("NEO4J_HOME".to_owned(), self.home.display().to_string());
        match &self.conf {
            Some(conf) => environment.insert("NEO4J_CONF".to_owned(), conf.display().to_string()),
            None => environment.remove("NEO4J_CONF"),
        };
        environment
    }
}

/// When a stopped store was written to last, by its files.
///
/// # Errors
/// [`Kind::Config`] when it is not there.
pub fn last_write(environment: &BTreeMap<String, String>, database: &str) -> Result<DateTime<Utc>> {
    let layout = Layout::read(environment)?;
    let mut newest: Option<std::time::SystemTime> = None;
    for directory in layout.of_database(database) {
        newest = newest.max(newest_in(&directory)?);
    }
    newest.map(DateTime::<Utc>::from).ok_or_else(|| {
        Error::new(
            Kind::Config,
            format!("there are no files of {database} in {}", layout.databases.display()),
        )
        .hint("options.home and options.conf, or NEO4J_HOME and NEO4J_CONF, name the server's home")
    })
}

fn newest_in(directory: &Path) -> Result<Option<std::time::SystemTime>> {
    let unread = || format!("cannot read {}", directory.display());
    let mut newest = None;
    for entry in std::fs::read_dir(directory).explain(Kind::Config, unread)? {
        let data = entry.and_then(|entry| entry.metadata()).explain(Kind::Config, unread)?;
        newest = newest.max(data.modified().ok());
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(url: &str) -> Result<Option<Home>> {
        Home::of(&Endpoint { url: url.into(), ..Endpoint::default() })
    }

    #[test]
    fn a_home_is_a_path() {
        assert_eq!(home("neo4j://h").unwrap(), None);
        let plain = home("file:///var/lib/neo4j").unwrap().unwrap();
        assert_eq!((plain.home.to_str(), plain.conf.clone()), (Some("/var/lib/neo4j"), None));
        let other = home("file:///n?conf=/etc/neo4j").unwrap().unwrap();
        assert_eq!(other.environment(&BTreeMap::new())["NEO4J_CONF"], "/etc/neo4j");
        let inherited = BTreeMap::from([("NEO4J_CONF".to_owned(), "/x".to_owned())]);
        assert!(!plain.environment(&inherited).contains_key("NEO4J_CONF"));
        for url in ["file://host/x", "file:///n?x=1", "file:///n?conf=y"] {
            assert_eq!(home(url).unwrap_err().kind(), Kind::Config, "{url}");
        }
    }
}
