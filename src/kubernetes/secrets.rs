//! Secrets: which ones there have to be, how they get into pods, and where they may come from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Plan;
use super::objects::metadata;

/// What a secret is for. A pod gets those alone that its job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To reach the store, and who is told how runs end: every job.
    Store,
    /// To read a source: backups.
    Source,
    /// To restore into staging: drills.
    Staging,
}

/// A file that the configuration names, from a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretFile {
    /// The Secret's name.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// The file below [`Mounts::dir`].
    pub path: String,
    /// What it is for.
    pub purposes: BTreeSet<Purpose>,
}

/// An environment variable that the configuration names, from a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretVariable {
    /// The variable.
    pub variable: String,
    /// The Secret's name.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// What it is for.
    pub purpose: Purpose,
}

/// What pods read from Secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The directory that all files are below.
    pub dir: String,
    /// The files.
    pub files: Vec<SecretFile>,
    /// The variables.
    pub variables: Vec<SecretVariable>,
}

/// The volume and the mount of the files for these purposes, if there are any.
pub(super) fn volume(mounts: &Mounts, purposes: &[Purpose]) -> Option<(Value, Value)> {
    let mut by_secret: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let wanted = |file: &&SecretFile| purposes.iter().any(|purpose| file.purposes.contains(purpose));
    for file in mounts.files.iter().filter(wanted) {
        by_secret.entry(&file.secret).or_default().push(json!({"key": file.key, "path": file.path}));
    }
    if by_secret.is_empty() {
        return None;
    }
    // A Secret that is missing is told by the source that needs it, and stops no other source.
    let sources: Vec<Value> = by_secret
        .into_iter()
        .map(|(name, items)| json!({"secret": {"name": name, "items": items, "optional": true}}))
        .collect();
    Some((
        json!({"name": "secrets", "projected": {"#": "Mode 0440.", "defaultMode": 0o440, "sources": sources}}),
        json!({"name": "secrets", "mountPath": mounts.dir, "readOnly": true}),
    ))
}

/// The variables of a container for these purposes.
pub(super) fn variables(mounts: &Mounts, purposes: &[Purpose]) -> Vec<Value> {
    let from = |variable: &SecretVariable| {
        let reference = json!({"name": variable.secret, "key": variable.key, "optional": true});
        json!({"name": variable.variable, "valueFrom": {"secretKeyRef": reference}})
    };
    mounts.variables.iter().filter(|variable| purposes.contains(&variable.purpose)).map(from).collect()
}

/// An ExternalSecret for each Secret; the remote key is `lifeboat/` and the Secret's name.
pub(super) fn external(plan: &Plan, store: &str) -> Vec<Value> {
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &plan.mounts.files {
        keys.entry(&file.secret).or_default().insert(&file.key);
    }
    for variable in &plan.mounts.variables {
        keys.entry(&variable.secret).or_default().insert(&variable.key);
    }
    let one = |(name, keys): (&str, BTreeSet<&str>)| {
        let remote = |key: &str| json!({"secretKey": key, "remoteRef": {"key": format!("lifeboat/{name}"), "property": key}});
        json!({
            "apiVersion": "external-secrets.io/v1",
            "kind": "ExternalSecret",
            "metadata": metadata(plan, name),
            "spec": {
                "refreshInterval": "1h",
                "secretStoreRef": {"kind": "ClusterSecretStore", "name": store},
                "target": {"name": name},
                "data": keys.into_iter().map(remote).collect::<Vec<_>>(),
            },
        })
    };
    keys.into_iter().map(one).collect()
}
