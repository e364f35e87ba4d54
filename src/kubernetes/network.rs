//! What pods may connect to; nothing connects to them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Plan;
use super::objects::{NAME, metadata};

/// The TCP ports that pods connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// Of the sources.
    pub sources: BTreeSet<u16>,
    /// Of the staging servers.
    pub staging: BTreeSet<u16>,
    /// Of the store; `None` for a directory.
    pub store: Option<u16>,
    /// Of those who are told how runs end.
    pub notify: BTreeSet<u16>,
}

pub(super) fn policies(plan: &Plan) -> Vec<Value> {
    let mut policies = vec![nothing(plan), names(plan)];
    let egress = &plan.egress;
    let open = |name, comment, components: &[&str], ports: &BTreeSet<u16>| {
        policy(plan, name, comment, components, ports.iter().map(|port| tcp(*port)).collect())
    };
    if !egress.sources.is_empty() {
        let comment = "The databases. A NetworkPolicy knows no host names: narrow it in an overlay by `to`.";
        policies.push(open("lifeboat-sources", comment, &["backup"], &egress.sources));
    }
    if plan.drills && !egress.staging.is_empty() {
        let comment = "The servers that drills restore to.";
        policies.push(open("lifeboat-staging", comment, &["drill"], &egress.staging));
    }
    if let Some(port) = egress.store {
        // Credentials of workload identity come from port 443 as well.
        let ports = BTreeSet::from([port, 443]);
        policies.push(open("lifeboat-store", "The store, and the cloud's credentials.", &[], &ports));
    }
    if let Some(port) = plan.settings.push_gateway {
        let ports = BTreeSet::from([port]);
        policies.push(open("lifeboat-metrics", "The push gateway for metrics.", &[], &ports));
    }
    if !egress.notify.is_empty() {
        policies.push(open("lifeboat-notify", "Who is told how runs end.", &[], &egress.notify));
    }
    policies
}

fn nothing(plan: &Plan) -> Value {
    json!({
        "#": "Nothing connects to these pods, and they connect to nothing but what the others allow.",
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(plan, "lifeboat-nothing"),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    })
}

fn names(plan: &Plan) -> Value {
    let mut policy = policy(
        plan,
        "lifeboat-dns",
        "The cluster's DNS.",
        &[],
        vec![json!({"port": 53, "protocol": "UDP"}), json!({"port": 53, "protocol": "TCP"})],
    );
    policy["spec"]["egress"][0]["to"] =
        json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]);
    policy
}

/// Lets these components (none: all) connect to these ports.
fn policy(plan: &Plan, name: &str, comment: &str, components: &[&str], ports: Vec<Value>) -> Value {
    let mut selector = json!({"matchLabels": {"app.kubernetes.io/name": NAME}});
    if !components.is_empty() {
        selector["matchExpressions"] =
            json!([{"key": "app.kubernetes.io/component", "operator": "In", "values": components}]);
    }
    json!({
        "#": comment,
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(plan, name),
        "spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": [{"ports": ports}]},
    })
}

fn tcp(port: u16) -> Value {
    json!({"port": port, "protocol": "TCP"})
}
