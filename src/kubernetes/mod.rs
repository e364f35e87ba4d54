//! Kubernetes manifests for a configuration: what runs it as CronJobs, from the API's point of view.
//!
//! Pure: [`manifests`] makes files of a [`Plan`], and reads and writes nothing. The kinds and fields are
//! those of Kubernetes 1.33 and later.

mod jobs;
mod network;
mod objects;
mod secrets;
mod settings;
pub mod yaml;

use std::collections::BTreeMap;

use serde_json::Value;

pub use network::Egress;
pub use secrets::{Mounts, Purpose, SecretFile, SecretVariable};
pub use settings::{Schedules, Settings};

/// Where the configuration is in a pod.
pub const CONFIG_DIR: &str = "/etc/lifeboat";

/// What the manifests are made from.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the caller chose.
    pub settings: Settings,
    /// The configuration file's text, and those of the policy files by policy name. Without secrets.
    pub config: String,
    /// The text of each policy file, by the policy's name.
    pub policies: BTreeMap<String, String>,
    /// True when the configuration names a directory of policies, which is another one in a pod.
    pub policy_dir: bool,
    /// What pods read from Secrets.
    pub mounts: Mounts,
    /// The directory of a `file://` store, which becomes a volume.
    pub store_dir: Option<String>,
    /// What pods may connect to.
    pub egress: Egress,
    /// How many sources there are.
    pub sources: usize,
    /// True when a drill has somewhere to restore to.
    pub drills: bool,
    /// True when a drill starts a server of its own in the pod.
    pub ephemeral: bool,
    /// True when the dump tool is one that takes much memory (mongodump).
    pub large_tools: bool,
}

/// A file of manifests.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// True for what `kustomization.yaml` lists.
    pub resource: bool,
    /// Its documents.
    pub documents: Vec<Value>,
}

impl File {
    fn new(name: &str, documents: Vec<Value>) -> File {
        File { name: name.to_owned(), resource: true, documents }
    }

    /// The file's text: YAML documents.
    pub fn text(&self) -> String {
        self.documents.iter().map(yaml::document).collect::<Vec<_>>().join("---\n")
    }
}

/// All files, in the order in which they are applied; `kustomization.yaml` is the last.
pub fn manifests(plan: &Plan) -> Vec<File> {
    let mut files = vec![
        File::new("namespace.yaml", vec![objects::namespace(plan)]),
        File::new("serviceaccount.yaml", vec![objects::service_account(plan)]),
        File::new("configmap.yaml", vec![objects::config_map(plan)]),
        File::new("networkpolicies.yaml", network::policies(plan)),
    ];
    if plan.store_dir.is_some() {
        files.push(File::new("volume.yaml", vec![objects::volume_claim(plan)]));
    }
    if let Some(store) = &plan.settings.secret_store {
        files.push(File::new("externalsecrets.yaml", secrets::external(plan, store)));
    }
    for (name, job) in jobs::cron_jobs(plan) {
        files.push(File::new(&format!("cronjob-{name}.yaml"), vec![job]));
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let kustomization = objects::kustomization(&names);
    files.push(File {
        name: "kustomization.yaml".to_owned(),
        resource: false,
        documents: vec![kustomization],
    });
    files
}
