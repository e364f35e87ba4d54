//! `LIFEBOAT_…` variables and flags, laid over the file.
//!
//! One rule: `LIFEBOAT_<SECTION>_<KEY>` is `section.key`, and `LIFEBOAT_SOURCE_<NAME>_<KEY>` is
//! `sources.name.key`, all in upper case, with `_` for everything that is no letter or digit.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::Layers;
use super::near::nearest;
use super::origin::Origin;
use super::schema::{FILE, Node, SOURCE, is_name, text_keys};
use super::{LoadRequest, Override};
use crate::error::{Error, Kind, Result};

const PREFIX: &str = "LIFEBOAT_";
/// The variable that names the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "LIFEBOAT_CONFIG";
/// Variables that belong to tests and build machines, not to the configuration.
const NOT_OURS: [&str; 3] = ["LIFEBOAT_TEST_", "LIFEBOAT_BENCH_", "LIFEBOAT_CACHE"];

/// The environment variable of a dotted key.
pub(crate) fn variable(key: &str) -> String {
    let key = key.strip_prefix("sources.").map_or_else(|| key.to_owned(), |rest| format!("source.{rest}"));
    let letters = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("{PREFIX}{}", letters.collect::<String>())
}

/// Sources that the environment alone makes, by `LIFEBOAT_SOURCE_<NAME>_URL`: only without a file, since with
/// one the name is more likely misspelt. The name is taken in lower case.
pub(crate) fn sources_of(env: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let name = |variable: &String| {
        let name = variable.strip_prefix("LIFEBOAT_SOURCE_")?.strip_suffix("_URL")?.to_ascii_lowercase();
        (is_name(&name) && !name.ends_with("_staging")).then_some(name)
    };
    let given = env.iter().filter(|(_, value)| !value.is_empty());
    given.filter_map(|(variable, _)| Some((name(variable)?, variable.clone()))).collect()
}

/// Sources that flags name.
pub(crate) fn sources_of_flags(overrides: &[Override]) -> Vec<(String, String)> {
    let name = |key: &str| {
        let name = key.strip_prefix("sources.")?.strip_suffix(".url")?;
        (!name.contains('.')).then(|| name.to_owned())
    };
    overrides.iter().filter_map(|over| Some((name(&over.key)?, over.flag.clone()))).collect()
}

/// Lays environment and flags over the file, and returns warnings about variables that mean nothing.
///
/// An empty variable is the same as none. Fails when a variable could mean two sources, or a flag no key.
pub(crate) fn overlay(layers: &mut Layers, request: &LoadRequest) -> Result<Vec<String>> {
    let mut keys = text_keys(FILE, "");
    for name in layers.names("sources") {
        keys.extend(text_keys(SOURCE, &format!("sources.{name}")));
    }
    let mut by_variable: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (key, _) in &keys {
        by_variable.entry(variable(key)).or_default().push(key);
    }
    let mut warnings = Vec::new();
    for (name, value) in request.env.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        match by_variable.get(name).map(Vec::as_slice) {
            Some(_) if value.is_empty() => {}
            Some([key]) => layers.set_text(key, value, Origin::Env(name.clone())),
            Some(keys) => {
                return Err(Error::new(Kind::Config, format!("{name} could mean {}", keys.join(" or ")))
                    .hint("rename one of the sources, or set the value in the file"));
            }
            None => warnings.extend(unknown(name, &by_variable, request)),
        }
    }
    for over in &request.overrides {
        let node = keys.iter().find(|(key, _)| *key == over.key).map(|(_, node)| node);
        match node {
            Some(Node::Secret) => {
                let message = format!("{}: a password is never given on the command line", over.flag);
                return Err(Error::new(Kind::Usage, message)
                    .hint(format!("use password_file, or set {}", variable(&over.key))));
            }
            Some(_) => layers.set_text(&over.key, &over.value, Origin::Flag(over.flag.clone())),
            None => {
                let near = nearest(&over.key, keys.iter().map(|(key, _)| key.as_str()));
                let hint = near.map_or("`lifeboat config show` lists the keys".to_owned(), |near| {
                    format!("did you mean `{near}`?")
                });
                let message = format!("{}: there is no setting `{}`", over.flag, over.key);
                return Err(Error::new(Kind::Usage, message).hint(hint));
            }
        }
    }
    Ok(warnings)
}

fn unknown(name: &str, known: &BTreeMap<String, Vec<&str>>, request: &LoadRequest) -> Option<String> {
    let elsewhere: BTreeSet<&str> = request.other_variables.iter().map(String::as_str).collect();
    if name == CONFIG_VARIABLE
        || elsewhere.contains(name)
        || NOT_OURS.iter().any(|ours| name.starts_with(ours))
    {
        return None;
    }
    let candidates = known.keys().map(String::as_str).chain(elsewhere).chain([CONFIG_VARIABLE]);
    // Compared without the prefix, which all of them share.
    let near = nearest(name.strip_prefix(PREFIX)?, candidates.filter_map(|name| name.strip_prefix(PREFIX)));
    let hint = near.map(|near| format!("; did you mean {PREFIX}{near}?")).unwrap_or_default();
    Some(format!("the environment variable {name} is ignored, it names no setting{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_follow_one_rule() {
        assert_eq!(variable("store.path_style"), "LIFEBOAT_STORE_PATH_STYLE");
        assert_eq!(variable("policy_dir"), "LIFEBOAT_POLICY_DIR");
        assert_eq!(variable("sources.my-db.password"), "LIFEBOAT_SOURCE_MY_DB_PASSWORD");
        assert_eq!(variable("sources.a.staging.url"), "LIFEBOAT_SOURCE_A_STAGING_URL");
    }
}
