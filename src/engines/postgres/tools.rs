//! The vendor's tools: which are installed, and which one fits a server.
//!
//! `pg_dump` refuses servers newer than itself, and a newer `pg_dump` writes settings that an older
//! server does not know. So the server's own major is taken, else the next newer with a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// Directories of packages: Debian, Red Hat, Homebrew on Arm and Intel. `*` is any one name.
const DIRECTORIES: [&str; 4] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
];

/// How long `--version` may take.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);

/// The programs that are asked for their version, the first one that is there.
const PROBES: [&str; 3] = ["pg_dump", "postgres", "psql"];

/// One directory with tools of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The directory.
    pub directory: PathBuf,
    /// The major version.
    pub major: u32,
    /// The full version, as in `15.18`.
    pub version: String,
    /// True for the directory that the configuration names: it wins over others of its major.
    pub configured: bool,
}

/// A chosen tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The name, as in `pg_dump`.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// Its major version.
    pub major: u32,
    /// Its full version.
    pub version: String,
    /// What somebody should know, if it is not of the wanted major.
    pub warning: Option<String>,
}

/// What is installed, newest last.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    installations: Vec<Installation>,
    /// The configured directory: it goes before all others that fit.
    configured: Option<PathBuf>,
}

impl Tools {
    /// Looks into the configured directory, every directory of `path` (a `PATH`), and those of
    /// packages. Fails only when the configured directory has no tools.
    pub async fn discover(configured: Option<&Path>, path: Option<&str>) -> Result<Tools> {
        let mut tools = Tools::default();
        let mut seen = BTreeSet::new();
        if let Some(directory) = configured {
            let Some(found) = probe(directory, true).await else {
                return Err(Error::new(
                    Kind::Config,
                    format!("the configured directory {} has no PostgreSQL tools", directory.display()),
                )
                .hint("name the directory that holds pg_dump, as in /usr/lib/postgresql/17/bin"));
            };
            seen.insert(canonical(directory));
            tools.installations.push(found);
            tools.configured = Some(directory.to_path_buf());
        }
        let from_path = path.unwrap_or_default().split(':').filter(|part| part.starts_with('/'));
        let candidates = from_path.map(PathBuf::from).chain(DIRECTORIES.iter().flat_map(|p| expand(p)));
        for directory in candidates {
            if seen.insert(canonical(&directory))
                && let Some(found) = probe(&directory, false).await
            {
                tools.installations.push(found);
            }
        }
        // Stable: of one major, the configured directory and then the order of PATH stays.
        tools.installations.sort_by_key(|found| found.major);
        Ok(tools)
    }

    /// All installations, oldest first.
    pub fn installations(&self) -> &[Installation] {
        &self.installations
    }

    /// The tool for a server of this major: its own major, else the next newer with a warning.
    pub fn choose(&self, name: &str, server_major: u32) -> Result<Tool> {
        let fitting = || {
            self.installations
                .iter()
                .filter(|found| found.major >= server_major && found.directory.join(name).is_file())
        };
        let configured = fitting().find(|found| Some(&found.directory) == self.configured.as_ref());
        let Some(found) = configured.or_else(|| fitting().next()) else {
            return Err(self.missing(name, server_major));
        };
        let warning = (found.major != server_major).then(|| {
            format!(
                "{name} {} is used for a server of version {server_major}, since that is what there is",
                found.version
            )
        });
        Ok(Tool {
            name: name.to_string(),
            path: found.directory.join(name),
            major: found.major,
            version: found.version.clone(),
            warning,
        })
    }

    /// `pg_restore` for an archive of a `pg_dump` of one major into a server of another: an older
    /// `pg_restore` may refuse the archive, or not know the server.
    pub fn choose_restore(&self, dump_major: u32, target_major: u32) -> Result<Tool> {
        self.choose("pg_restore", dump_major.max(target_major))
    }

    fn missing(&self, name: &str, major: u32) -> Error {
        let found: Vec<String> = self
            .installations
            .iter()
            .filter(|found| found.directory.join(name).is_file())
            .map(|found| format!("{} in {}", found.version, found.directory.display()))
            .collect();
        let found =
            if found.is_empty() { "none is installed".into() } else { format!("found {}", found.join(", ")) };
        let package = if matches!(name, "initdb" | "postgres" | "pg_ctl" | "pg_amcheck") {
            "postgresql"
        } else {
            "postgresql-client"
        };
        if major == 0 {
            return Error::new(Kind::Failed, format!("no {name}: {found}"))
                .hint(format!("install the package {package}, or name a directory that has it by `tools`"));
        }
        Error::new(Kind::Failed, format!("no {name} of version {major} or newer: {found}")).hint(format!(
            "install the package {package}-{major}, or name a directory that has it by `tools`"
        ))
    }
}

fn canonical(directory: &Path) -> PathBuf {
    directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf())
}

/// The directories that fit a pattern with one `*` in one segment.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .map(|name| PathBuf::from(format!("{parent}/{name}{after}")))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// Asks a directory's tools for their version. `None` when there are none that answer.
async fn probe(directory: &Path, configured: bool) -> Option<Installation> {
    let program = PROBES.iter().map(|name| directory.join(name)).find(|path| path.is_file())?;
    // Debian's /usr/bin/pg_dump is a script that picks a version by itself.
    if canonical(&program).file_name().is_some_and(|name| name == "pg_wrapper") {
        return None;
    }
    let asked = tokio::process::Command::new(&program)
        .arg("--version")
        .env_clear()
        .envs(BTreeMap::from([("LC_ALL", "C")]))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(VERSION_PATIENCE, asked).await.ok()?.ok()?;
    let (major, version) = read_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Installation { directory: directory.to_path_buf(), major, version, configured })
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian …)` or `… 18beta1`.
fn read_version(text: &str) -> Option<(u32, String)> {
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    let version = rest.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn install(root: &Path, name: &str, version: &str, tools: &[&str]) -> PathBuf {
        let bin = root.join(name);
        std::fs::create_dir_all(&bin).unwrap();
        for tool in tools {
            let file = bin.join(tool);
            std::fs::write(&file, format!("#!/bin/sh\necho '{tool} (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        bin
    }

    #[test]
    fn versions_are_read() {
        let text = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(read_version(text), Some((15, "15.18".into())));
        assert_eq!(read_version("postgres (PostgreSQL) 18beta1"), Some((18, "18beta1".into())));
        assert_eq!(read_version("psql 9"), None);
    }

    #[tokio::test]
    async fn the_servers_own_major_is_taken_else_the_next_newer() {
        let root = tempfile::tempdir().unwrap();
        let new = install(root.path(), "new", "97.1", &["pg_dump", "pg_restore"]);
        let old = install(root.path(), "old", "95.3", &["pg_dump", "pg_restore"]);
        let bare = install(root.path(), "bare", "96.0", &["postgres"]);
        let path = format!("{}:{}:{}", new.display(), old.display(), bare.display());
        let tools = Tools::discover(None, Some(&path)).await.unwrap();
        let own = tools.choose("pg_dump", 95).unwrap();
        assert_eq!((own.path, own.version.as_str(), own.warning), (old.join("pg_dump"), "95.3", None));
        let newer = tools.choose("pg_dump", 96).unwrap();
        assert_eq!(newer.major, 97);
        assert!(newer.warning.unwrap().contains("a server of version 96"));
        assert_eq!(tools.choose_restore(97, 95).unwrap().major, 97);
        assert_eq!(tools.choose_restore(95, 95).unwrap().major, 95);
        let error = tools.choose("pg_dump", 98).unwrap_err();
        assert!(error.message().starts_with("no pg_dump of version 98 or newer: found "), "{error:?}");
        assert!(error.hint_text().unwrap().contains("postgresql-client-98"));
        assert!(
            tools.choose("initdb", 96).unwrap_err().hint_text().unwrap().contains("package postgresql-96")
        );
    }

    #[tokio::test]
    async fn the_configured_directory_wins_and_must_have_tools() {
        let root = tempfile::tempdir().unwrap();
        let first = install(root.path(), "first", "96.1", &["pg_dump"]);
        let mine = install(root.path(), "mine", "96.0", &["pg_dump"]);
        let path = first.display().to_string();
        let tools = Tools::discover(Some(&mine), Some(&path)).await.unwrap();
        assert_eq!(tools.choose("pg_dump", 96).unwrap().version, "96.0");
        let error = Tools::discover(Some(root.path()), None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
    }

    #[tokio::test]
    async fn debians_wrapper_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let bin = install(root.path(), "bin", "96.1", &["pg_wrapper"]);
        std::os::unix::fs::symlink(bin.join("pg_wrapper"), bin.join("pg_dump")).unwrap();
        assert_eq!(probe(&bin, false).await, None);
    }
}
