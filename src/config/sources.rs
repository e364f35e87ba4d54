//! `[sources.NAME]`, read and joined with its policy.

use std::collections::{BTreeMap, HashMap};

use super::checks;
use super::document::{Data, Field, plain_table};
use super::environment::variable;
use super::layers::{Entry, Layers, Reader};
use super::locate::PolicyDirs;
use super::model::{Database, Source, Staging, StagingTarget};
use super::origin::{Origin, Place, ShownValue};
use super::policy::{self, Found, NO_POLICY, Policy};
use super::schema::{FileKind, NAME_HINT, POLICY, flatten, is_name};
use super::secrets::{PasswordFrom, world_readable};
use super::urls::{self, Split};
use super::{LoadRequest, locate};
use crate::error::{Error, Kind, Result};

/// Reads sources and the policies they name.
pub(crate) struct Sources<'a> {
    pub(crate) request: &'a LoadRequest,
    pub(crate) main: &'a Layers,
    pub(crate) file_dir: &'a std::path::Path,
    pub(crate) policy_dirs: &'a PolicyDirs,
    pub(crate) policies: HashMap<String, Policy>,
    pub(crate) shown: Vec<ShownValue>,
    pub(crate) warnings: Vec<String>,
}

impl Sources<'_> {
    /// Reads every source, and every policy of the file even where no source names it.
    pub(crate) fn read_all(&mut self) -> Result<BTreeMap<String, Source>> {
        for name in self.main.names("policies") {
            self.policy(&name, "")?;
        }
        let mut sources = BTreeMap::new();
        for name in self.main.names("sources") {
            let source = self.source(&name)?;
            sources.insert(name, source);
        }
        Ok(sources)
    }

    fn source(&mut self, name: &str) -> Result<Source> {
        let prefix = format!("sources.{name}");
        let layers = self.main.under(&prefix);
        let section = self.main.sections.get(&prefix);
        let mut reader = Reader::new(&layers, &prefix, self.file_dir, &self.request.cwd);
        let owner = format!("source {name}");
        let missing = |key: &str, hint: &str| {
            let place = section.map_or(String::new(), |place| format!("{place}: "));
            Error::new(Kind::Config, format!("{place}{owner} has no {key}"))
                .hint(format!("add {hint} to [{prefix}], or set {}", variable(&format!("{prefix}.{key}"))))
        };
        let engine = reader.text("engine")?.ok_or_else(|| missing("engine", "`engine = \"postgres\"`"))?;
        let url = reader
            .hidden_text("url")?
            .ok_or_else(|| missing("url", "`url = \"postgres://user@host/database\"`"))?;
        let (database, hosts) = self.database(&mut reader, "", &owner, url)?;
        let method = reader.text("method")?;
        let tools = reader.path("tools")?;
        let labels = labels(&mut reader)?;
        let options = options(&mut reader)?;
        let staging = self.staging(&mut reader, &owner, &hosts, tools.as_ref())?;
        let policy_name = match reader.hidden_text("policy")? {
            Some((policy, entry)) => {
                if !is_name(&policy) {
                    return Err(reader.wrong("policy", entry, "the name of a policy").hint(NAME_HINT));
                }
                policy
            }
            None => NO_POLICY.to_owned(),
        };
        reader.show("policy", policy_name.clone());
        let used_by = match reader.entry("policy") {
            Some(entry) => format!("{}: {owner}", entry.place),
            None => owner,
        };
        let own_checks = own_checks(&mut reader)?;
        self.shown.append(&mut reader.shown);
        let mut policy = self.policy(&policy_name, &used_by)?;
        policy.drill.checks.extend(own_checks);
        checks::refuse_twins(&policy.drill.checks, &format!("source {name} with its policy"))?;
        Ok(Source {
            name: name.to_owned(),
            engine,
            database,
            method,
            labels,
            tools,
            options,
            staging,
            policy,
        })
    }

    fn database(
        &mut self,
        reader: &mut Reader<'_>,
        section: &str,
        owner: &str,
        (url, entry): (String, &Entry),
    ) -> Result<(Database, String)> {
        let key = |name: &str| format!("{section}{name}");
        let split = urls::split(&url).map_err(|problem| {
            reader
                .refuse(&key("url"), entry, problem)
                .hint("write scheme://user@host:port/database, the password apart")
        })?;
        reader.show(&key("url"), split.masked.clone());
        let Split { url, password, hosts, .. } = split;
        let password_from = self.password(reader, section, password.map(|secret| (secret, &entry.place)))?;
        Ok((Database { url, owner: owner.to_owned(), password_from }, hosts))
    }

    /// Where the password comes from: of several the one with the highest precedence.
    fn password(
        &mut self,
        reader: &mut Reader<'_>,
        section: &str,
        in_url: Option<(crate::secret::Secret, &Place)>,
    ) -> Result<PasswordFrom> {
        let key = |name: &str| format!("{section}{name}");
        let mut given: Vec<(String, Origin, PasswordFrom)> = Vec::new();
        if let Some((secret, place)) = in_url {
            let url = reader.full(&key("url"));
            self.warnings.push(format!(
                "{place}: {url} holds a password; password_file or {} is safer",
                variable(&reader.full(&key("password")))
            ));
            given.push((url, place.origin.clone(), PasswordFrom::Given(secret)));
        }
        if let Some(path) = reader.path(&key("password_file"))? {
            self.warnings.extend(world_readable(&path, &reader.full(&key("password_file"))));
            given.push(self.given(reader, &key("password_file"), PasswordFrom::File(path)));
        }
        if let Some((name, entry)) = reader.hidden_text(&key("password_env"))? {
            // Not quoted and not shown otherwise: the password itself may stand there by mistake.
            if !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
                let problem = "this is not the name of an environment variable";
                return Err(reader
                    .refuse(&key("password_env"), entry, problem)
                    .hint("give the variable's name, in upper case: its value is the password"));
            }
            reader.show(&key("password_env"), name.clone());
            let value = self.request.env.get(&name).filter(|value| !value.is_empty());
            let from =
                value.map_or(PasswordFrom::Unset(name), |value| PasswordFrom::Given(value.as_str().into()));
            given.push(self.given(reader, &key("password_env"), from));
        }
        if let Some((secret, _)) = reader.hidden_text(&key("password"))? {
            reader.show(&key("password"), "***");
            given.push(self.given(reader, &key("password"), PasswordFrom::Given(secret.as_str().into())));
        }
        let Some(best) = given.iter().map(|(_, origin, _)| origin.rank()).max() else {
            return Ok(PasswordFrom::Nowhere);
        };
        let mut best: Vec<_> = given.into_iter().filter(|(_, origin, _)| origin.rank() == best).collect();
        let last = best.pop();
        if let (Some((key, origin, _)), Some((other, ..))) = (&last, best.last()) {
            return Err(Error::new(
                Kind::Config,
                format!("{origin}: {key} and {other} both give a password"),
            )
            .hint("keep one of them"));
        }
        Ok(last.map_or(PasswordFrom::Nowhere, |(_, _, from)| from))
    }

    fn given(&self, reader: &Reader<'_>, key: &str, from: PasswordFrom) -> (String, Origin, PasswordFrom) {
        let origin = reader.entry(key).map_or(Origin::Default, |entry| entry.place.origin.clone());
        (reader.full(key), origin, from)
    }

    fn staging(
        &mut self,
        reader: &mut Reader<'_>,
        owner: &str,
        source_hosts: &str,
        source_tools: Option<&std::path::PathBuf>,
    ) -> Result<Option<Staging>> {
        let Some(url) = reader.hidden_text("staging.url")? else {
            let Some(place) = self.main.sections.get(&reader.full("staging")) else {
                return Ok(None);
            };
            return Err(Error::new(Kind::Config, format!("{place}: the staging of {owner} has no url"))
                .hint(
                    "add `url = \"ephemeral\"` for a throwaway local server, or the URL of a staging server",
                ));
        };
        let target = if url.0 == "ephemeral" {
            reader.show("staging.url", "ephemeral");
            StagingTarget::Ephemeral
        } else {
            let place = url.1.place.clone();
            let (database, hosts) = self.database(reader, "staging.", &format!("staging of {owner}"), url)?;
            if !hosts.is_empty() && hosts == source_hosts {
                self.warnings.push(format!(
                    "{place}: the staging of {owner} is on the source's own server ({hosts}); \
                     drills will load it, and do not show that the backup outlives it"
                ));
            }
            StagingTarget::Server(database)
        };
        let tools = reader.path("staging.tools")?.or_else(|| source_tools.cloned());
        Ok(Some(Staging { target, tools }))
    }

    /// A policy by name, read once.
    fn policy(&mut self, name: &str, used_by: &str) -> Result<Policy> {
        if let Some(policy) = self.policies.get(name) {
            return Ok(policy.clone());
        }
        let found = self.find_policy(name, used_by)?;
        if let Some((place, hidden)) = found.hides {
            let hidden = hidden.display();
            self.warnings.push(format!("{place}: the policy {name} of this file hides {hidden}"));
        }
        let layers = policy::layered(self.main, &found.layers);
        let mut reader = Reader::new(&layers, &format!("policies.{name}"), self.file_dir, &self.request.cwd);
        let policy = policy::read(name, self.main, &mut reader)?;
        self.shown.append(&mut reader.shown);
        self.policies.insert(name.to_owned(), policy.clone());
        Ok(policy)
    }

    fn find_policy(&self, name: &str, used_by: &str) -> Result<Found> {
        let inline = self.main.names("policies");
        let prefix = format!("policies.{name}");
        if name == NO_POLICY {
            return match self.main.sections.get(&prefix) {
                None => Ok(Found { layers: Layers::default(), hides: None }),
                Some(place) => {
                    Err(Error::new(Kind::Config, format!("{place}: a policy cannot be named {NO_POLICY}"))
                        .hint("`policy = \"none\"` means that a source has none; choose another name"))
                }
            };
        }
        let file = self.policy_dirs.find(name);
        if let Some(place) = self.main.sections.get(&prefix) {
            let hides = file.map(|file| (place.clone(), file.shown));
            return Ok(Found { layers: self.main.under(&prefix), hides });
        }
        let Some(file) = file else {
            return Err(self.policy_dirs.unknown(name, used_by, &inline));
        };
        let fields = locate::read(&file)?;
        Ok(Found { layers: flatten(&fields, POLICY, FileKind::Policy(&file.shown))?, hides: None })
    }
}

fn labels(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let Some(entry) = reader.entry("labels") else {
        return Ok(labels);
    };
    let Data::Table(fields) = &entry.data else {
        return Err(reader
            .wrong("labels", entry, "a table")
            .hint("write `labels = { team = \"payments\" }`"));
    };
    for field in fields {
        let Data::Text(text) = &field.item.data else {
            let (place, kind) = (entry.place.part(field.item.spot), field.item.data.kind());
            let message = format!("{place}: label {} must be a text, not {kind}", field.key);
            return Err(Error::new(Kind::Config, message).hint("put the value in double quotes"));
        };
        labels.insert(field.key.clone(), text.clone());
    }
    let shown: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    reader.show("labels", shown.join(", "));
    Ok(labels)
}

fn options(reader: &mut Reader<'_>) -> Result<toml::Table> {
    let Some(entry) = reader.entry("options") else {
        return Ok(toml::Table::new());
    };
    let Data::Table(fields) = &entry.data else {
        let section = reader.full("options");
        return Err(reader
            .wrong("options", entry, "a table")
            .hint(format!("write options below [{section}]")));
    };
    show_options(reader, entry, "options", fields);
    Ok(plain_table(fields))
}

fn show_options(reader: &mut Reader<'_>, entry: &Entry, prefix: &str, fields: &[Field]) {
    for field in fields {
        let key = format!("{prefix}.{}", field.key);
        let value = match &field.item.data {
            _ if looks_secret(&field.key) => "***".to_owned(),
            Data::Table(inner) => {
                show_options(reader, entry, &key, inner);
                continue;
            }
            Data::Text(text) => text.clone(),
            Data::List(items) => format!("a list of {}", items.len()),
            Data::Date(date) => date.to_string(),
            other => other.shown(),
        };
        let origin = entry.place.part(field.spot).origin;
        reader.shown.push(ShownValue { key: reader.full(&key), value, origin });
    }
}

/// True for an engine's option that may hold a secret, to be on the safe side in `config show`.
fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "secret", "token", "key", "credential"].iter().any(|word| key.contains(word))
        && !key.ends_with("_file")
}

fn own_checks(reader: &mut Reader<'_>) -> Result<Vec<checks::Check>> {
    let Some(entry) = reader.entry("checks") else {
        return Ok(Vec::new());
    };
    let checks = checks::read(entry, &reader.full("checks"))?;
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    reader.show("checks", names.join(", "));
    Ok(checks)
}
