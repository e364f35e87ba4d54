//! Running the backup tool, and telling which of the files in its directory are the backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::{self, Listed};
use super::commands::{self, Type};
use super::{files, run};
use crate::engines::neo4j::admin;
use crate::engines::neo4j::engine::Neo4j;
use crate::engines::neo4j::tools::{Syntax, Tool};
use crate::error::{Error, Kind, Result};

/// What the tool made.
pub(super) struct Made {
    /// In the order in which they belong together.
    pub(super) files: Vec<PathBuf>,
    /// The last transaction, where the tool tells.
    pub(super) transaction: Option<u64>,
    /// `FULL`, `AUTO`; 4.x decides itself.
    pub(super) kind: Type,
    pub(super) warnings: Vec<String>,
}

impl Neo4j {
    /// Runs the tool, and looks what it has left.
    pub(super) async fn run_backup(
        &self,
        tool: &Tool,
        database: &str,
        (to, temp): (&Path, &Path),
        room: Arc<tempfile::TempDir>,
    ) -> Result<Made> {
        let before = files::walk(to)?;
        let kind = match (&self.options.backup_directory, tool.syntax) {
            (Some(_), Syntax::Five) => self.next_type(tool, to, database, &before).await?,
            (Some(_), Syntax::Four) => Type::Auto,
            (None, _) => Type::Full,
        };
        let what = format!("backing up the database {database}");
        let mut spec = commands::backup(tool, &self.backup_address(), to, temp, kind, database);
        spec.guard = Some(Box::new(room));
        let messages = run::watched(spec, &[to, temp], self.options.stall(), &what).await?;
        let mut warnings = admin::warnings(&messages);
        let after = files::walk(to)?;
        let nothing = |what: String| {
            Error::new(Kind::Failed, what)
                .hint("look what `neo4j-admin database backup` says when run by hand")
        };
        if tool.syntax == Syntax::Four {
            let directory = to.join(database);
            let files: Vec<PathBuf> =
                after.into_iter().map(|(path, _)| path).filter(|path| path.starts_with(&directory)).collect();
            if files.is_empty() {
                return Err(nothing(format!("{what}: neo4j-admin ended with status 0 and left nothing")));
            }
            return Ok(Made { files, transaction: None, kind, warnings });
        }
        let new: Vec<&PathBuf> = after
            .iter()
            .map(|(path, _)| path)
            .filter(|path| !before.iter().any(|(old, _)| old == *path) && is_artifact(path))
            .collect();
        let [made] = new.as_slice() else {
            let what = format!(
                "{what}: neo4j-admin ended with status 0 and left {} artifacts instead of 1",
                new.len()
            );
            return Err(nothing(what));
        };
        let listed = run::ask(commands::inspect(tool, to), "looking at the backup").await?;
        let chain = match chain::read(&listed) {
            Some(listed) => chain::newest(listed, database)?,
            // Alone it needs nobody to say what it belongs to.
            None if kind == Type::Full => {
                warnings.push(format!("neo4j-admin {} does not tell what is in its artifact", tool.version));
                Vec::new()
            }
            None => {
                let what = format!(
                    "{what}: what neo4j-admin {} says of its artifacts is not understood",
                    tool.version
                );
                return Err(Error::new(Kind::Failed, what).hint("leave out options.backup_directory"));
            }
        };
        let mut files: Vec<PathBuf> = chain.iter().map(|artifact| to.join(&artifact.file)).collect();
        if files.is_empty() {
            files.push((*made).clone());
        }
        if files.last() != Some(made) {
            let what = format!("{what}: {} is not the last of its chain", made.display());
            return Err(Error::new(Kind::Damaged, what)
                .hint("begin a new chain: empty options.backup_directory, or name another"));
        }
        Ok(Made { files, transaction: chain::last_transaction(&chain), kind, warnings })
    }

    /// A chain whose additions have grown larger than what they were added to is not worth it any more.
    async fn next_type(
        &self,
        tool: &Tool,
        to: &Path,
        database: &str,
        there: &[(PathBuf, u64)],
    ) -> Result<Type> {
        if !there.iter().any(|(path, _)| is_artifact(path)) {
            return Ok(Type::Auto);
        }
        let listed = run::ask(commands::inspect(tool, to), "looking at options.backup_directory").await?;
        let Some(Ok(chain)) = chain::read(&listed).map(|listed| chain::newest(listed, database)) else {
            return Ok(Type::Full);
        };
        let size = |artifact: &Listed| {
            let found = there.iter().find(|(path, _)| path.ends_with(&artifact.file));
            found.map_or(0, |(_, bytes)| *bytes)
        };
        let added: u64 = chain.iter().skip(1).map(size).sum();
        let long = chain.len() >= files::MOST || added > chain.first().map_or(0, size);
        Ok(if long { Type::Full } else { Type::Auto })
    }
}

fn is_artifact(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "backup")
}
