//! Where passwords come from, and how they are read.

use std::path::{Path, PathBuf};

use crate::error::{Error, Explain, Kind, Result};
use crate::secret::Secret;

/// Where the password of a database comes from. It is read when it is needed, so that a job which
/// has only its own source's secret can run with a configuration of many sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PasswordFrom {
    /// There is none.
    Nowhere,
    /// The environment or the URL gave it.
    Given(Secret),
    /// This file holds it.
    File(PathBuf),
    /// This environment variable should hold it and is not set.
    Unset(String),
}

impl PasswordFrom {
    /// Reads the password. `owner` is whose it is, for messages: `source orders`.
    pub(crate) fn read(&self, owner: &str) -> Result<Option<Secret>> {
        match self {
            PasswordFrom::Nowhere => Ok(None),
            PasswordFrom::Given(secret) => Ok(Some(secret.clone())),
            PasswordFrom::File(path) => read_secret(path, &format!("password file of {owner}")).map(Some),
            PasswordFrom::Unset(name) => Err(Error::new(
                Kind::Config,
                format!("{owner}: the environment has no {name} for its password"),
            )
            .hint(format!("set {name}, or use password_file"))),
        }
    }
}

/// Reads a secret from a file, without the line end at its end. `what` names the file in messages.
///
/// Fails when the file cannot be read, is not UTF-8, or is empty.
pub(crate) fn read_secret(path: &Path, what: &str) -> Result<Secret> {
    let bytes = std::fs::read(path)
        .explain(Kind::Config, || format!("cannot read the {what}, {}", path.display()))
        .map_err(|error| {
            error.hint("check that the secret is mounted there and that this user may read it")
        })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::new(Kind::Config, format!("the {what}, {}, is not UTF-8 text", path.display()))
            .hint("store the plain secret in it, not an encoded or encrypted form")
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Error::new(Kind::Config, format!("the {what}, {}, is empty", path.display()))
            .hint("write the secret into it"));
    }
    Ok(Secret::new(line))
}

/// A warning when everybody on the host may read the file.
pub(crate) fn world_readable(path: &Path, key: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let warning = || format!("{key}: {} is readable by everybody; chmod it to 0400 or 0440", path.display());
    (mode & 0o004 != 0).then(warning)
}
