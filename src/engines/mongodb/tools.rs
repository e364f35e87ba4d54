//! MongoDB's database tools and server programs: where they are and how new.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// How long `--version` may take.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);

/// Which server version each version of the tools is made for: the first tools that list it as supported.
/// Source: the database tools' release notes and their "Compatibility" page.
const SUPPORT: [((u32, u32), (u32, u32)); 5] =
    [((5, 0), (100, 4)), ((6, 0), (100, 6)), ((7, 0), (100, 8)), ((8, 0), (100, 10)), ((8, 2), (100, 13))];

/// A program with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The name, as in `mongodump`.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// The version, as in `100.12.2`.
    pub version: String,
}

/// Finds a program in the configured directory, else in those of `path` (a `PATH`).
///
/// # Errors
/// [`Kind::Config`] when the configured directory does not have it, [`Kind::Failed`] when no directory has.
pub async fn find(name: &str, configured: Option<&Path>, path: Option<&str>) -> Result<Tool> {
    let package = if name == "mongod" { "the MongoDB server" } else { "the MongoDB database tools" };
    if let Some(directory) = configured {
        return probe(name, directory).await.ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!("the configured directory {} has no {name}", directory.display()),
            )
            .hint(format!("`tools` names the directory that holds {name}; leave it out to search PATH"))
        });
    }
    for directory in path.unwrap_or_default().split(':').filter(|part| part.starts_with('/')) {
        if let Some(tool) = probe(name, Path::new(directory)).await {
            return Ok(tool);
        }
    }
    Err(Error::new(Kind::Failed, format!("{name} is not installed"))
        .hint(format!("install {package}, or name the directory that has {name} by `tools`")))
}

async fn probe(name: &str, directory: &Path) -> Option<Tool> {
    let path = directory.join(name);
    if !path.is_file() {
        return None;
    }
    let asked = tokio::process::Command::new(&path)
        .arg("--version")
        .env_clear()
        .envs(BTreeMap::from([("LC_ALL", "C")]))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(VERSION_PATIENCE, asked).await.ok()?.ok()?;
    let version = read_version(&String::from_utf8_lossy(&output.stdout));
    Some(Tool { name: name.to_owned(), path, version: version.unwrap_or_else(|| "unknown".to_owned()) })
}

/// Reads `mongodump version: 100.12.2` or `db version v6.0.5`.
fn read_version(text: &str) -> Option<String> {
    let rest = text.lines().find_map(|line| line.split_once("version"))?.1;
    let version = rest.trim_start_matches([':', ' ', 'v']).split_whitespace().next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

/// Major and minor of `6.0.5`.
pub fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some((number(parts.next()?)?, parts.next().and_then(number).unwrap_or(0)))
}

impl Tool {
    /// Looks whether these tools are made for a server of this version.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the server is newer than what they know.
    pub fn check_server(&self, server: &str) -> Result<()> {
        let (Some(tool), Some(server_version)) = (major_minor(&self.version), major_minor(server)) else {
            return Ok(()); // a build without a version says nothing
        };
        let needed = SUPPORT.iter().rev().find(|(known, _)| *known <= server_version);
        let newest = SUPPORT.last().map_or((0, 0), |(known, _)| *known);
        let needed = match needed {
            // A server that nobody knew when this was written: tools newer than all of the table.
            Some((_, tools)) if server_version.0 > newest.0 => (tools.0, tools.1 + 1),
            Some((_, tools)) => *tools,
            None => return Ok(()),
        };
        if tool >= needed {
            return Ok(());
        }
        Err(Error::new(
            Kind::Failed,
            format!("{} {} is older than the server, MongoDB {server}", self.name, self.version),
        )
        .hint(format!("install the MongoDB database tools {}.{} or newer", needed.0, needed.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(version: &str) -> Tool {
        Tool { name: "mongodump".into(), path: PathBuf::from("/x/mongodump"), version: version.into() }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(read_version("mongodump version: 100.12.2\ngit version: 8876\n").unwrap(), "100.12.2");
        assert_eq!(read_version("db version v6.0.5\nBuild Info: {").unwrap(), "6.0.5");
        assert_eq!(read_version("mongodump version: built-without-version-string"), None);
        assert_eq!(major_minor("8.2.0-rc1"), Some((8, 2)));
        assert_eq!(major_minor("x"), None);
    }

    #[test]
    fn tools_older_than_the_server_are_refused() {
        assert!(tool("100.12.2").check_server("6.0.5").is_ok());
        assert!(tool("100.12.2").check_server("4.2.0").is_ok());
        let error = tool("100.5.0").check_server("6.0.5").unwrap_err();
        assert_eq!(error.message(), "mongodump 100.5.0 is older than the server, MongoDB 6.0.5");
        assert!(error.hint_text().unwrap().contains("100.6"));
        assert!(tool("100.12.2").check_server("9.0.0").is_err());
        assert!(tool("100.14.0").check_server("9.0.0").is_ok());
        assert!(tool("unknown").check_server("8.0.0").is_ok());
    }

    #[tokio::test]
    async fn a_missing_tool_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = find("mongodump", Some(empty.path()), None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        let path = empty.path().display().to_string();
        let error = find("mongodump", None, Some(&path)).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Failed, "mongodump is not installed"));
    }
}
