//! What whoever makes manifests chooses.

use std::time::Duration;

/// When each kind of job runs, in cron's five fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedules {
    /// Of `backup`.
    pub backup: String,
    /// Of `prune`.
    pub prune: String,
    /// Of `verify`.
    pub verify: String,
    /// Of `drill`.
    pub drill: String,
    /// Of `status`.
    pub status: String,
}

/// What whoever makes manifests chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The namespace.
    pub namespace: String,
    /// The image.
    pub image: String,
    /// The image of drills: the one with database servers, where they are started in the pod.
    pub drill_image: String,
    /// When jobs run.
    pub schedules: Schedules,
    /// The zone of the schedules, as the IANA names it.
    pub time_zone: String,
    /// Pods that share the sources of a job; 1 is a plain Job.
    pub shards: u32,
    /// Pods of a job that run at once, with shards.
    pub parallelism: u32,
    /// How long a pod of `backup`, `verify` and `drill` may run.
    pub deadline: Duration,
    /// The size of the volume on which drills start a server of their own.
    pub drill_volume: String,
    /// The port of a Prometheus push gateway that pods may connect to.
    pub push_gateway: Option<u16>,
    /// The ClusterSecretStore that ExternalSecrets are made for.
    pub secret_store: Option<String>,
}
