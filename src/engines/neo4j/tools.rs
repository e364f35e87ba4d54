//! `neo4j-admin`: where it is, how new it is, and which of the two command languages it speaks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::error::{Error, Kind, Result};

/// How long `--version` may take: a Java machine starts for it.
const VERSION_PATIENCE: Duration = Duration::from_secs(60);

/// What the tool gets of our environment: where to find Java and the server's home, and how much memory it may take.
/// Source: `neo4j-admin help`, "Environment variables".
const PASSED: [&str; 9] =
    ["PATH", "HOME", "TMPDIR", "LANG", "JAVA_HOME", "JAVA_OPTS", "HEAP_SIZE", "NEO4J_HOME", "NEO4J_CONF"];

/// The command languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `neo4j-admin dump --database=DB`, until 4.4.
    Four,
    /// `neo4j-admin database dump DB`, from 5.0 on, also 2025 and later.
    Five,
}

/// An installed `neo4j-admin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The program.
    pub path: PathBuf,
    /// The version, as in `5.26.30`.
    pub version: String,
    /// What it understands.
    pub syntax: Syntax,
    /// What it is run with.
    pub environment: BTreeMap<String, String>,
}

/// Finds the tool: in the configured directory, else in `$NEO4J_HOME/bin`, else in `PATH`. Only these three are
/// looked at, and `environment` is the process's own.
///
/// # Errors
/// [`Kind::Config`] when the configured directory does not have it or `NEO4J_CONF` names none that has a
/// `neo4j.conf`; [`Kind::Failed`] when it is nowhere, or does not run.
pub async fn find(configured: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Tool> {
    let path = locate(configured, environment)?;
    check_configuration(environment)?;
    let kept = |name: &&str| environment.get(*name).map(|value| ((*name).to_owned(), value.clone()));
    let environment: BTreeMap<String, String> = PASSED.iter().filter_map(kept).collect();
    let version = version(&path, &environment).await?;
    let syntax =
        if version.starts_with("4.") || version.starts_with("3.") { Syntax::Four } else { Syntax::Five };
    Ok(Tool { path, version, syntax, environment })
}

fn locate(configured: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<PathBuf> {
    if let Some(directory) = configured {
        let both = [directory.join("neo4j-admin"), directory.join("bin/neo4j-admin")];
        return both.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            let what = format!("the configured directory {} has no neo4j-admin", directory.display());
            Error::new(Kind::Config, what)
                .hint("`tools` names the directory that holds neo4j-admin; leave it out to search NEO4J_HOME and PATH")
        });
    }
    let home = environment.get("NEO4J_HOME").map(|home| Path::new(home).join("bin"));
    let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
    let path = path.split(':').filter(|part| part.starts_with('/')).map(PathBuf::from);
    home.into_iter().chain(path).map(|directory| directory.join("neo4j-admin")).find(|path| path.is_file()).ok_or_else(
        || {
            Error::new(Kind::Failed, "neo4j-admin is not installed").hint(
                "run lifeboat where Neo4j is installed, and name its directory by NEO4J_HOME, or its bin by `tools`",
            )
        },
    )
}

/// neo4j-admin takes its defaults when there is no such file, and then works on another store without a word.
fn check_configuration(environment: &BTreeMap<String, String>) -> Result<()> {
    let Some(directory) = environment.get("NEO4J_CONF") else { return Ok(()) };
    if Path::new(directory).join("neo4j.conf").is_file() {
        return Ok(());
    }
    Err(Error::new(Kind::Config, format!("NEO4J_CONF names {directory}, which has no neo4j.conf"))
        .hint("name the directory of the server's own neo4j.conf"))
}

async fn version(path: &Path, environment: &BTreeMap<String, String>) -> Result<String> {
    let failed = |how: String| {
        Error::new(Kind::Failed, format!("{} --version {how}", path.display()))
            .hint("it needs Java: set JAVA_HOME, or put java into PATH")
    };
    let asked = Command::new(path)
        .arg("--version")
        .env_clear()
        .envs(environment)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(VERSION_PATIENCE, asked)
        .await
        .map_err(|_| failed(format!("did not end within {} s", VERSION_PATIENCE.as_secs())))?
        .map_err(|cause| failed("cannot be run".to_owned()).because(cause))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().filter_map(read_version).next_back();
    match version {
        Some(version) if output.status.success() => Ok(version),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no version");
            Err(failed(format!("failed: {}", line.trim())))
        }
    }
}

/// Reads `5.26.30` or `neo4j-admin 4.4.12`.
fn read_version(line: &str) -> Option<String> {
    let word = line.split_whitespace().last()?;
    let numbers = word.split(['.', '-', '+']).take(2).all(|part| part.parse::<u32>().is_ok());
    (numbers && word.contains('.')).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(directory: &Path, text: &str) -> PathBuf {
        std::fs::create_dir_all(directory).unwrap();
        let path = directory.join("neo4j-admin");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn environment(pairs: &[(&str, &Path)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string())).collect()
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(read_version("5.26.30").unwrap(), "5.26.30");
        assert_eq!(read_version("neo4j-admin 4.4.12").unwrap(), "4.4.12");
        assert_eq!(read_version("2025.09.0").unwrap(), "2025.09.0");
        assert_eq!(read_version("Picked up JAVA_TOOL_OPTIONS: -Xmx1g"), None);
    }

    #[tokio::test]
    async fn the_tool_is_found_in_three_places() {
        let at = tempfile::tempdir().unwrap();
        let (home, path, tools) = (at.path().join("home"), at.path().join("path"), at.path().join("tools"));
        script(&home.join("bin"), "echo 5.26.30");
        script(&path, "echo 4.4.1");
        let found = find(None, &environment(&[("NEO4J_HOME", &home), ("PATH", &path)])).await.unwrap();
        assert_eq!((found.path, found.syntax), (home.join("bin/neo4j-admin"), Syntax::Five));
        let found = find(None, &environment(&[("PATH", &path), ("SECRET", &path)])).await.unwrap();
        assert_eq!((found.version.as_str(), found.syntax), ("4.4.1", Syntax::Four));
        assert_eq!(found.environment.keys().collect::<Vec<_>>(), ["PATH"]);
        let error = find(Some(&tools), &environment(&[("PATH", &path)])).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        let error = find(None, &BTreeMap::new()).await.unwrap_err();
        assert_eq!(error.message(), "neo4j-admin is not installed");
    }

    #[tokio::test]
    async fn a_configuration_that_is_not_there_is_refused() {
        let at = tempfile::tempdir().unwrap();
        script(at.path(), "echo 5.26.30");
        let missing = at.path().join("conf");
        let wrong = environment(&[("PATH", at.path()), ("NEO4J_CONF", &missing)]);
        let error = find(None, &wrong).await.unwrap_err();
        assert!(error.message().ends_with("which has no neo4j.conf"), "{error}");
    }

    #[tokio::test]
    async fn a_tool_without_java_says_so() {
        let at = tempfile::tempdir().unwrap();
        script(at.path(), "echo 'Unable to find Java executable.' >&2; exit 1");
        let error = find(None, &environment(&[("PATH", at.path())])).await.unwrap_err();
        assert!(error.message().ends_with("--version failed: Unable to find Java executable."), "{error}");
        assert!(error.hint_text().unwrap().contains("JAVA_HOME"));
    }
}
