//! Namespace, ServiceAccount, ConfigMap, volume, and the list of all.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{CONFIG_DIR, Plan};

/// The name of everything that there is one of, and the label of everything.
pub(super) const NAME: &str = "lifeboat";

pub(super) fn metadata(plan: &Plan, name: &str) -> Value {
    json!({"name": name, "namespace": plan.settings.namespace, "labels": {"app.kubernetes.io/name": NAME}})
}

pub(super) fn namespace(plan: &Plan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": plan.settings.namespace,
            "labels": {
                "app.kubernetes.io/name": NAME,
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/enforce-version": "latest",
                "pod-security.kubernetes.io/audit": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
    })
}

pub(super) fn service_account(plan: &Plan) -> Value {
    json!({
        "#": "Pods get no token of the API. Where the store's credentials come from the cloud's workload\n\
              identity, its annotation belongs here (docs/kubernetes.md).",
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(plan, NAME),
        "automountServiceAccountToken": false,
    })
}

/// The key of a policy's file in the ConfigMap: a key has no folders.
fn policy_key(policy: &str) -> String {
    format!("policies.{policy}.toml")
}

pub(super) fn config_map(plan: &Plan) -> Value {
    let mut data: BTreeMap<String, &str> = BTreeMap::new();
    data.insert("lifeboat.toml".to_owned(), &plan.config);
    for (name, text) in &plan.policies {
        data.insert(policy_key(name), text);
    }
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(plan, NAME),
        "data": data,
    })
}

/// The volume and the mount of the configuration.
pub(super) fn config_volume(plan: &Plan) -> (Value, Value) {
    let policies = plan
        .policies
        .keys()
        .map(|name| json!({"key": policy_key(name), "path": format!("policies/{name}.toml")}));
    let items: Vec<Value> =
        std::iter::once(json!({"key": "lifeboat.toml", "path": "lifeboat.toml"})).chain(policies).collect();
    (
        json!({"name": "config", "configMap": {"name": NAME, "items": items}}),
        json!({"name": "config", "mountPath": CONFIG_DIR, "readOnly": true}),
    )
}

pub(super) fn volume_claim(plan: &Plan) -> Value {
    json!({
        "#": "The store of this configuration is a directory. It needs a volume that outlives the cluster's\n\
              nodes; set its size and class in an overlay.",
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(plan, "lifeboat-store"),
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "100Gi"}}},
    })
}

pub(super) fn kustomization(resources: &[&str]) -> Value {
    let mut map = Map::new();
    map.insert(
        "#".to_owned(),
        "Written by `lifeboat k8s`: change the configuration, or an overlay, not this.".into(),
    );
    map.insert("apiVersion".to_owned(), "kustomize.config.k8s.io/v1beta1".into());
    map.insert("kind".to_owned(), "Kustomization".into());
    map.insert("resources".to_owned(), resources.into());
    Value::Object(map)
}
