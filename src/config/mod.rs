//! One resolved configuration, out of defaults, the file, policies, the environment and flags.
//!
//! Precedence: defaults < file < policy < environment (`LIFEBOAT_…`) < flags. Every key is described in
//! `docs/configuration.md`. Nothing here reads the environment or the command line: the caller hands
//! both in with a [`LoadRequest`]. Every error is of [`Kind::Config`] (or [`Kind::Usage`] for a
//! flag), and names the place: `lifeboat.toml:12:3`.

mod checks;
mod document;
mod environment;
mod layers;
mod locate;
mod model;
mod near;
mod origin;
mod outlets;
mod policy;
mod schema;
mod secrets;
mod smtp;
mod sources;
mod store;
mod urls;
mod values;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

pub use checks::{Check, CheckKind, Expect, Number, Scalar};
pub use model::{
    BackupConfig, Checksums, ConditionalWrites, Database, Source, Staging, StagingTarget, StoreConfig,
};
pub use near::nearest;
pub use origin::{Origin, ShownValue};
pub use outlets::{Login, MetricsConfig, NotifyConfig, NotifyOn, Push};
pub use policy::{Amcheck, DrillPolicy, NO_POLICY, Objectives, Policy, Shrink, ShrinkAction};
pub use smtp::Smtp;
pub(crate) use urls::percent_decoded;

use layers::{Layers, Reader};
use origin::Place;
use sources::Sources;

/// A setting given by a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The flag as the user wrote it, for messages: `--keep-daily`.
    pub flag: String,
    /// The dotted key: `retention.daily` (of every policy), `store.url`, `sources.orders.url`.
    pub key: String,
    /// The value as text.
    pub value: String,
}

/// Everything that a configuration is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct LoadRequest {
    /// The file named by `--config`.
    pub explicit_path: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The working directory: `lifeboat.toml` is looked for here, and relative paths of flags begin here.
    pub cwd: PathBuf,
    /// What flags set.
    pub overrides: Vec<Override>,
    /// `LIFEBOAT_…` variables that the caller reads itself, so that no warning is given about them.
    pub other_variables: Vec<String>,
    /// Where the system's configuration is.
    pub system_dir: PathBuf,
}

impl LoadRequest {
    /// A request without flags or environment, for the usual system directory `/etc/lifeboat`.
    pub fn new(cwd: impl Into<PathBuf>) -> Self {
        LoadRequest {
            explicit_path: None,
            env: BTreeMap::new(),
            cwd: cwd.into(),
            overrides: Vec::new(),
            other_variables: Vec::new(),
            system_dir: PathBuf::from("/etc/lifeboat"),
        }
    }
}

/// Shows the names of the environment's variables alone: their values may be secrets.
impl fmt::Debug for LoadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadRequest")
            .field("explicit_path", &self.explicit_path)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .field("overrides", &self.overrides)
            .field("other_variables", &self.other_variables)
            .field("system_dir", &self.system_dir)
            .finish()
    }
}

/// The resolved configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The configuration file, as messages name it. `None` when there is none.
    pub file: Option<PathBuf>,
    /// Where backups go.
    pub store: StoreConfig,
    /// How backups are made.
    pub backup: BackupConfig,
    /// Where metrics go.
    pub metrics: MetricsConfig,
    /// Who is told how runs end.
    pub notify: NotifyConfig,
    /// What is backed up, by name.
    pub sources: BTreeMap<String, Source>,
    /// What is allowed and deserves a look, one line each.
    pub warnings: Vec<String>,
    shown: Vec<ShownValue>,
}

impl Config {
    /// The source of that name.
    ///
    /// Fails with [`Kind::Usage`] and the nearest name when there is none.
    pub fn source(&self, name: &str) -> Result<&Source> {
        self.sources.get(name).ok_or_else(|| {
            let names = || self.sources.keys().map(String::as_str);
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("configured sources: {}", near::list(names())),
            };
            Error::new(Kind::Usage, format!("there is no source `{name}`")).hint(hint)
        })
    }

    /// The policy of a source. Without one in the configuration it keeps every backup and promises nothing.
    pub fn policy_for<'a>(&self, source: &'a Source) -> &'a Policy {
        &source.policy
    }

    /// Every value with its origin, sorted by key, secrets masked.
    pub fn show(&self) -> Vec<ShownValue> {
        self.shown.clone()
    }
}

/// Finds and reads the configuration file and policies, and lays environment and flags over them.
///
/// Passwords are not read here but by [`Database::password`], so that a job which has only its own
/// source's secret can run with a configuration of many sources.
pub fn load(request: &LoadRequest) -> Result<Config> {
    let file = locate::config_file(request)?;
    let mut main = match &file {
        Some(located) => {
            schema::flatten(&locate::read(located)?, schema::FILE, schema::FileKind::Main(&located.shown))?
        }
        None => Layers::default(),
    };
    add_sources(&mut main, request, file.is_some())?;
    let mut warnings = environment::overlay(&mut main, request)?;
    if file.is_none() && !main.entries.contains_key("store.url") {
        return Err(locate::no_file(request));
    }
    let file_dir = file.as_ref().and_then(|file| file.real.parent()).unwrap_or(&request.cwd);
    let mut reader = Reader::new(&main, "", file_dir, &request.cwd);
    let store =
        store::read_store(&mut reader, file.as_ref().map(|file| file.shown.as_path()), &mut warnings)?;
    let backup = store::read_backup(&mut reader)?;
    let metrics = outlets::read_metrics(&mut reader, &mut warnings)?;
    let notify = outlets::read_notify(&mut reader, &mut warnings)?;
    let policy_dir = policy_dir(&mut reader, request)?;
    let mut shown = reader.shown;
    let policy_dirs = locate::PolicyDirs::new(request, file.as_ref(), policy_dir.as_deref());
    let mut reading = Sources {
        request,
        main: &main,
        file_dir,
        policy_dirs: &policy_dirs,
        policies: HashMap::new(),
        shown: Vec::new(),
        warnings: Vec::new(),
    };
    let sources = reading.read_all()?;
    shown.append(&mut reading.shown);
    warnings.append(&mut reading.warnings);
    if sources.is_empty() {
        warnings.push("no source is configured; add a section [sources.NAME]".to_owned());
    }
    shown.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(Config { file: file.map(|file| file.shown), store, backup, metrics, notify, sources, warnings, shown })
}

/// Makes sections for sources that flags name and, without a file, for those of the environment.
fn add_sources(main: &mut Layers, request: &LoadRequest, has_file: bool) -> Result<()> {
    let from_env = if has_file { Vec::new() } else { environment::sources_of(&request.env) };
    let env = from_env.into_iter().map(|(name, variable)| (name, Origin::Env(variable)));
    let flags = environment::sources_of_flags(&request.overrides);
    let flags = flags.into_iter().map(|(name, flag)| (name, Origin::Flag(flag)));
    for (name, origin) in env.chain(flags) {
        if !schema::is_name(&name) {
            return Err(Error::new(
                Kind::Usage,
                format!("{origin}: {name:?} cannot be the name of a source"),
            )
            .hint(schema::NAME_HINT));
        }
        main.sections.entry(format!("sources.{name}")).or_insert(Place { origin, column: 0 });
    }
    Ok(())
}

fn policy_dir(reader: &mut Reader<'_>, request: &LoadRequest) -> Result<Option<PathBuf>> {
    let Some(dir) = reader.path("policy_dir")? else {
        return Ok(None);
    };
    if let (false, Some(entry)) = (dir.is_dir(), reader.entry("policy_dir")) {
        return Err(reader
            .wrong("policy_dir", entry, "a directory")
            .hint("make the directory, or correct its path"));
    }
    Ok(Some(shorter(&dir, &request.cwd)))
}

/// A path as messages name it: without the working directory before it.
fn shorter(path: &Path, cwd: &Path) -> PathBuf {
    path.strip_prefix(cwd).unwrap_or(path).to_owned()
}
