//! Every key there is, in the file, in a policy and in the environment.

use std::path::Path;

use super::document::{Data, Field, Item, Spot};
use super::layers::{Entry, Layers};
use super::near::{list, nearest};
use super::origin::{Origin, Place};
use crate::error::{Error, Kind, Result};

/// What stands under a key.
pub(crate) enum Node {
    /// One value; the environment and flags may give it too.
    Value,
    /// A table or list that only a file can give, kept whole.
    Whole,
    /// A secret that only the environment can give.
    Secret,
    /// A section with keys of its own.
    Section(&'static [Key]),
    /// A table of sections, each under a name of the user's choice.
    Named(&'static [Key]),
}

/// A key and what stands under it.
pub(crate) type Key = (&'static str, Node);

use Node::{Named, Secret, Section, Value, Whole};

const STORE: &[Key] = &[
    ("url", Value),
    ("endpoint", Value),
    ("region", Value),
    ("path_style", Value),
    ("checksums", Value),
    ("conditional_writes", Value),
    ("part_size", Value),
    ("uploads_in_flight", Value),
    ("access_key_id_file", Value),
    ("secret_access_key_file", Value),
    ("ca_file", Value),
];

const BACKUP: &[Key] =
    &[("compression_level", Value), ("threads", Value), ("lock_timeout", Value), ("lock_attempts", Value)];

const METRICS: &[Key] = &[
    ("push_url", Value),
    ("push_user", Value),
    ("push_password_file", Value),
    ("push_token_file", Value),
    ("ca_file", Value),
    ("timeout", Value),
    ("textfile_dir", Value),
    ("labels", Whole),
    ("push_password", Secret),
    ("push_token", Secret),
];

const NOTIFY: &[Key] = &[
    ("on", Value),
    ("timeout", Value),
    ("ca_file", Value),
    ("webhook_url_file", Value),
    ("slack_url_file", Value),
    ("ping_url_file", Value),
    ("smtp_url", Value),
    ("smtp_from", Value),
    ("smtp_to", Value),
    ("smtp_password_file", Value),
    ("smtp_password", Secret),
    ("webhook_url", Secret),
    ("slack_url", Secret),
    ("ping_url", Secret),
];

const STAGING: &[Key] = &[
    ("url", Value),
    ("password_file", Value),
    ("password_env", Value),
    ("tools", Value),
    ("password", Secret),
];

/// The keys of a source.
pub(crate) const SOURCE: &[Key] = &[
    ("engine", Value),
    ("url", Value),
    ("password_file", Value),
    ("password_env", Value),
    ("method", Value),
    ("policy", Value),
    ("tools", Value),
    ("labels", Whole),
    ("options", Whole),
    ("checks", Whole),
    ("staging", Section(STAGING)),
    ("password", Secret),
];

const RETENTION: &[Key] = &[
    ("timezone", Value),
    ("last", Value),
    ("within", Value),
    ("hourly", Value),
    ("daily", Value),
    ("weekly", Value),
    ("monthly", Value),
    ("yearly", Value),
];

const OBJECTIVES: &[Key] =
    &[("rto", Value), ("rpo", Value), ("freshness", Value), ("proven_within", Value), ("consistency", Value)];
const DRILL: &[Key] = &[("amcheck", Value), ("evidence_keep", Value), ("checks", Whole)];
const SHRINK: &[Key] = &[("share", Value), ("action", Value)];

/// The keys of a policy.
pub(crate) const POLICY: &[Key] = &[
    ("retention", Section(RETENTION)),
    ("objectives", Section(OBJECTIVES)),
    ("drill", Section(DRILL)),
    ("shrink", Section(SHRINK)),
];

/// The keys of the configuration file. A policy's sections may stand there too, as the base of all policies.
pub(crate) const FILE: &[Key] = &[
    ("policy_dir", Value),
    ("store", Section(STORE)),
    ("backup", Section(BACKUP)),
    ("metrics", Section(METRICS)),
    ("notify", Section(NOTIFY)),
    ("sources", Named(SOURCE)),
    ("policies", Named(POLICY)),
    ("retention", Section(RETENTION)),
    ("objectives", Section(OBJECTIVES)),
    ("drill", Section(DRILL)),
    ("shrink", Section(SHRINK)),
];

/// The dotted keys under `keys` that text can give (the environment, flags), each with its kind.
pub(crate) fn text_keys(keys: &'static [Key], prefix: &str) -> Vec<(String, &'static Node)> {
    let mut found = Vec::new();
    for (key, node) in keys {
        match node {
            Value | Secret => found.push((join(prefix, key), node)),
            Section(inner) => found.extend(text_keys(inner, &join(prefix, key))),
            Whole | Named(_) => {}
        }
    }
    found
}

/// `prefix.key`, or the key alone.
pub(crate) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Source and policy names: `[a-z0-9][a-z0-9_-]{0,62}`. A source's name is a path segment in the bucket.
pub(crate) fn is_name(name: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(letters)
        && name.chars().all(|letter| letters(letter) || letter == '_' || letter == '-')
}

/// Lays a document out as dotted keys, and refuses every key that is not known.
pub(crate) fn flatten(fields: &[Field], keys: &'static [Key], origin: FileKind<'_>) -> Result<Layers> {
    let mut layers = Layers::default();
    Walk { origin }.section(fields, keys, "", &mut layers)?;
    Ok(layers)
}

/// Which file a document is.
#[derive(Clone, Copy)]
pub(crate) enum FileKind<'a> {
    /// The configuration file.
    Main(&'a Path),
    /// A policy file.
    Policy(&'a Path),
}

struct Walk<'a> {
    origin: FileKind<'a>,
}

impl Walk<'_> {
    fn place(&self, spot: Spot) -> Place {
        let origin = match self.origin {
            FileKind::Main(path) => Origin::File(path.to_owned(), spot.line),
            FileKind::Policy(path) => Origin::Policy(path.to_owned(), spot.line),
        };
        Place { origin, column: spot.column }
    }

    fn section(
        &self,
        fields: &[Field],
        keys: &'static [Key],
        prefix: &str,
        layers: &mut Layers,
    ) -> Result<()> {
        for field in fields {
            let known = keys.iter().find(|(key, _)| *key == field.key);
            let path = join(prefix, &field.key);
            match known.map(|(_, node)| node) {
                Some(Value | Whole) => {
                    let place = self.place(field.spot);
                    layers.entries.insert(path, Entry { data: field.item.data.clone(), place });
                }
                Some(Section(inner)) => {
                    layers.sections.insert(path.clone(), self.place(field.spot));
                    self.section(self.table(&path, &field.item, field.spot)?, inner, &path, layers)?;
                }
                Some(Named(inner)) => {
                    for named in self.table(&path, &field.item, field.spot)? {
                        self.check_name(&path, named)?;
                        let path = join(&path, &named.key);
                        layers.sections.insert(path.clone(), self.place(named.spot));
                        self.section(self.table(&path, &named.item, named.spot)?, inner, &path, layers)?;
                    }
                }
                Some(Secret) => return Err(self.secret_in_file(&path, field)),
                None => return Err(self.unknown(keys, prefix, field)),
            }
        }
        Ok(())
    }

    fn table<'i>(&self, path: &str, item: &'i Item, spot: Spot) -> Result<&'i [Field]> {
        match &item.data {
            Data::Table(fields) => Ok(fields),
            other => {
                let message = format!("{}: {path} is a section, not {}", self.place(spot), other.kind());
                Err(Error::new(Kind::Config, message).hint(format!("write its keys below a line [{path}]")))
            }
        }
    }

    fn check_name(&self, path: &str, field: &Field) -> Result<()> {
        if is_name(&field.key) {
            return Ok(());
        }
        let what = if path == "sources" { "source" } else { "policy" };
        let message = format!("{}: {:?} cannot be the name of a {what}", self.place(field.spot), field.key);
        Err(Error::new(Kind::Config, message).hint(NAME_HINT))
    }

    fn secret_in_file(&self, path: &str, field: &Field) -> Error {
        let (what, instead) = match path.rsplit_once('.') {
            Some(("metrics" | "notify", key)) => ("a secret", format!("{key}_file")),
            _ => ("a password", "password_file or password_env".to_owned()),
        };
        let message = format!("{}: {path}: {what} does not belong in this file", self.place(field.spot));
        Error::new(Kind::Config, message)
            .hint(format!("use {instead}, or set {}", super::environment::variable(path)))
    }

    fn unknown(&self, keys: &'static [Key], prefix: &str, field: &Field) -> Error {
        let section = if prefix.is_empty() { String::new() } else { format!(" in [{prefix}]") };
        let message = format!("{}: unknown key `{}`{section}", self.place(field.spot), field.key);
        let known = || keys.iter().filter(|(_, node)| !matches!(node, Secret)).map(|(key, _)| *key);
        let root = match self.origin {
            FileKind::Main(_) => FILE,
            FileKind::Policy(_) => POLICY,
        };
        let hint = match nearest(&field.key, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match home_of(&field.key, root, "") {
                Some(home) => format!("`{}` belongs in [{home}]", field.key),
                None => format!("known keys: {}", list(known())),
            },
        };
        Error::new(Kind::Config, message).hint(hint)
    }
}

/// What a name may look like.
pub(crate) const NAME_HINT: &str =
    "names begin with a-z or 0-9, go on with a-z, 0-9, _ and -, and have at most 63 letters";

/// The first section that has such a key.
fn home_of(key: &str, keys: &'static [Key], prefix: &str) -> Option<String> {
    keys.iter().find_map(|(name, node)| {
        let path = join(prefix, name);
        match node {
            Section(inner) if inner.iter().any(|(known, _)| *known == key) => Some(path),
            Section(inner) => home_of(key, inner, &path),
            Named(inner) if inner.iter().any(|(known, _)| *known == key) => Some(format!("{path}.NAME")),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_path_segments() {
        for good in ["orders", "0", "a-b_c", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "Orders", "a.b", "a/b", "é", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
