//! Finds and reads the configuration file and policies.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::LoadRequest;
use super::document::{Field, parse};
use super::environment::CONFIG_VARIABLE;
use super::near::{list, nearest};
use super::schema::is_name;
use crate::error::{Error, Explain, Kind, Result};

const FILE_NAME: &str = "lifeboat.toml";

/// A file as it is opened, and as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) real: PathBuf,
    pub(crate) shown: PathBuf,
}

impl Located {
    fn new(request: &LoadRequest, shown: impl Into<PathBuf>) -> Self {
        let shown = shown.into();
        Located { real: request.cwd.join(&shown), shown }
    }
}

/// The configuration file: `--config`, else `LIFEBOAT_CONFIG`, else `lifeboat.toml` in the working directory,
/// else the one of the system. The first two have to exist, `None` when there is none at all.
pub(crate) fn config_file(request: &LoadRequest) -> Result<Option<Located>> {
    if let Some(path) = &request.explicit_path {
        let located = Located::new(request, path);
        return must_exist(located, "--config", "name a file that exists with --config").map(Some);
    }
    if let Some(path) = request.env.get(CONFIG_VARIABLE).filter(|path| !path.is_empty()) {
        let located = Located::new(request, path);
        return must_exist(located, CONFIG_VARIABLE, "correct or unset LIFEBOAT_CONFIG").map(Some);
    }
    let usual = [PathBuf::from(FILE_NAME), request.system_dir.join(FILE_NAME)];
    Ok(usual.into_iter().map(|path| Located::new(request, path)).find(|located| exists(&located.real)))
}

/// What to say when there is no file and the environment does not make up for it.
pub(crate) fn no_file(request: &LoadRequest) -> Error {
    let system = request.system_dir.join(FILE_NAME);
    Error::new(Kind::Config, format!("no configuration: neither {FILE_NAME} nor {} exists", system.display()))
        .hint(format!("write {FILE_NAME}, name one with --config, or set LIFEBOAT_STORE_URL and LIFEBOAT_SOURCE_<NAME>_URL"))
}

/// True unless there certainly is no such file: one that may not be read is an error later, not a reason to
/// go on with another.
fn exists(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

fn must_exist(located: Located, by: &str, hint: &str) -> Result<Located> {
    if exists(&located.real) {
        return Ok(located);
    }
    let message = format!("there is no configuration file {} (named by {by})", located.shown.display());
    Err(Error::new(Kind::Config, message).hint(hint))
}

/// Reads and parses a file.
pub(crate) fn read(located: &Located) -> Result<Vec<Field>> {
    let shown = located.shown.display();
    let text = std::fs::read(&located.real)
        .explain(Kind::Config, || format!("cannot read {shown}"))
        .map_err(|error| error.hint("check that it is a file and that this user may read it"))?;
    let text = String::from_utf8(text).map_err(|_| {
        Error::new(Kind::Config, format!("{shown} is not UTF-8 text")).hint("save the file in UTF-8")
    })?;
    parse(text.strip_prefix('\u{feff}').unwrap_or(&text), &located.shown)
}

/// Where policies are looked for.
pub(crate) struct PolicyDirs {
    dirs: Vec<Located>,
}

impl PolicyDirs {
    /// `policy_dir`, else nothing; then `policies/` beside the configuration file; then the system's.
    pub(crate) fn new(request: &LoadRequest, file: Option<&Located>, policy_dir: Option<&Path>) -> Self {
        let beside = file.map(|file| file.shown.parent().unwrap_or(Path::new("")).join("policies"));
        let all = policy_dir.map(Path::to_owned).into_iter().chain(beside);
        let mut dirs: Vec<Located> = Vec::new();
        for dir in all.chain([request.system_dir.join("policies")]) {
            let located = Located::new(request, dir);
            if !dirs.iter().any(|known| known.real == located.real) {
                dirs.push(located);
            }
        }
        PolicyDirs { dirs }
    }

    /// The file of a policy, in the first directory that has it.
    pub(crate) fn find(&self, name: &str) -> Option<Located> {
        let file = format!("{name}.toml");
        let located = |dir: &Located| Located { real: dir.real.join(&file), shown: dir.shown.join(&file) };
        self.dirs.iter().map(located).find(|located| exists(&located.real))
    }

    /// The error about a policy that is nowhere; `inline` are the names of the policies in the file itself.
    pub(crate) fn unknown(&self, name: &str, used_by: &str, inline: &[String]) -> Error {
        let mut found: BTreeSet<String> = inline.iter().cloned().collect();
        for dir in &self.dirs {
            let entries = std::fs::read_dir(&dir.real).into_iter().flatten().flatten();
            let names = entries
                .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned()));
            found.extend(names.filter(|name| is_name(name)));
        }
        let found = || found.iter().map(String::as_str);
        let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.shown.display().to_string()).collect();
        let message = format!("{used_by}: there is no policy `{name}` in {}", dirs.join(", "));
        let hint = match nearest(name, found()) {
            Some(near) => format!("did you mean `{near}`? found: {}", list(found())),
            None => format!("policies found: {}", list(found())),
        };
        Error::new(Kind::Config, message).hint(hint)
    }
}
