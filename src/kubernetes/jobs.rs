//! The CronJobs: one for each kind of job.

use std::time::Duration;

use serde_json::{Value, json};

use super::Plan;
use super::objects::{NAME, config_volume, metadata};
use super::secrets::{self, Purpose};

/// User and group in the image.
const USER: u32 = 65532;
/// Between a pod's deadline and the job's: the kubelet ends the pod, and its log stays to be read. The job's
/// own deadline, which deletes pods, is for a kubelet that does not answer.
const DEADLINE_MARGIN: u64 = 120;

/// A job with retries and rounds of pods ends before the next one of a day.
const LONGEST: u64 = 23 * 3600;

/// A kind of job.
struct Kind<'a> {
    name: &'static str,
    schedule: &'a str,
    /// The arguments that choose what is worked on.
    arguments: &'a [&'a str],
    /// How late it may still start.
    late: u64,
    /// How long a pod may run.
    deadline: Duration,
    /// Exit codes after which another try would end the same.
    hopeless: &'a [u8],
    retries: u32,
    sharded: bool,
    purposes: &'a [Purpose],
    resources: Resources,
    volume: Option<&'a str>,
    image: &'a str,
}

struct Resources {
    comment: &'static str,
    cpu: (&'static str, &'static str),
    memory: &'static str,
}

/// The CronJobs by their kind.
pub(super) fn cron_jobs(plan: &Plan) -> Vec<(&'static str, Value)> {
    let (settings, schedules) = (&plan.settings, &plan.settings.schedules);
    let hour = Duration::from_secs(3600);
    let streams = || match plan.large_tools {
        true => Resources {
            comment: "Measured: lifeboat 76 MiB at its peak, pg_dump 20 MiB, mongodump up to 260 MiB. None grows\n\
                      with the data. The processor's limit is also the number of compression threads.",
            cpu: ("250m", "2"),
            memory: "512Mi",
        },
        false => Resources {
            comment: "Measured: lifeboat 76 MiB at its peak, pg_dump 20 MiB. Neither grows with the data. The\n\
                      processor's limit is also the number of compression threads.",
            cpu: ("250m", "2"),
            memory: "256Mi",
        },
    };
    let small = || Resources {
        comment: "Measured: lifeboat 76 MiB at its peak.",
        cpu: ("50m", "1"),
        memory: "128Mi",
    };
    let drill = match plan.ephemeral {
        true => Resources {
            comment: "Measured: 852 MiB at its peak, page cache included: mongod 254 MiB, lifeboat 129 MiB,\n\
                      postgres 127 MiB, mongorestore 85 MiB. A server takes more where it restores more.",
            cpu: ("500m", "2"),
            memory: "2Gi",
        },
        false => streams(),
    };
    let kinds = [
        Kind {
            name: "backup",
            schedule: &schedules.backup,
            arguments: &["--all"],
            late: 3600,
            deadline: settings.deadline,
            hopeless: &[2, 3, 9],
            retries: 2,
            sharded: true,
            purposes: &[Purpose::Store, Purpose::Source],
            resources: streams(),
            volume: None,
            image: &settings.image,
        },
        Kind {
            name: "prune",
            schedule: &schedules.prune,
            arguments: &[],
            late: 3600,
            deadline: hour,
            hopeless: &[2, 3, 9],
            retries: 2,
            sharded: true,
            purposes: &[Purpose::Store],
            resources: small(),
            volume: None,
            image: &settings.image,
        },
        Kind {
            name: "verify",
            schedule: &schedules.verify,
            arguments: &["--all-sources"],
            late: 3600,
            deadline: settings.deadline,
            hopeless: &[2, 3, 6],
            retries: 1,
            sharded: true,
            purposes: &[Purpose::Store],
            resources: Resources { cpu: ("250m", "2"), memory: "256Mi", ..small() },
            volume: None,
            image: &settings.image,
        },
        Kind {
            name: "drill",
            schedule: &schedules.drill,
            arguments: &["--all"],
            late: 3600,
            deadline: settings.deadline,
            hopeless: &[2, 3, 6, 7],
            retries: 1,
            sharded: true,
            purposes: &[Purpose::Store, Purpose::Staging],
            resources: drill,
            volume: plan.ephemeral.then_some(settings.drill_volume.as_str()),
            image: &settings.drill_image,
        },
        Kind {
            name: "status",
            schedule: &schedules.status,
            arguments: &[],
            late: 300,
            deadline: Duration::from_secs(600),
            hopeless: &[2, 3, 7],
            retries: 1,
            sharded: false,
            purposes: &[Purpose::Store],
            resources: small(),
            volume: None,
            image: &settings.image,
        },
    ];
    let wanted = kinds.into_iter().filter(|kind| kind.name != "drill" || plan.drills);
    wanted.map(|kind| (kind.name, cron_job(plan, &kind))).collect()
}

fn cron_job(plan: &Plan, kind: &Kind<'_>) -> Value {
    let settings = &plan.settings;
    let indexed = kind.sharded && settings.shards > 1;
    let deadline = kind.deadline.as_secs();
    // Pods of an Indexed Job come in rounds.
    let rounds = if indexed { u64::from(settings.shards.div_ceil(settings.parallelism.max(1))) } else { 1 };
    let tries = u64::from(kind.retries) + 1;
    let all = (deadline + DEADLINE_MARGIN).saturating_mul(rounds).saturating_mul(tries);
    let end = if indexed { "FailIndex" } else { "FailJob" };
    let mut job = json!({
        "activeDeadlineSeconds": all.min(LONGEST).max(deadline + DEADLINE_MARGIN),
        "ttlSecondsAfterFinished": 3 * 24 * 3600,
        "podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": end, "onExitCodes": {"containerName": NAME, "operator": "In", "values": kind.hopeless}},
        ]},
        "template": {
            "metadata": {"labels": labels(kind)},
            "spec": pod(plan, kind, indexed),
        },
    });
    if indexed {
        job["completionMode"] = "Indexed".into();
        job["completions"] = settings.shards.into();
        job["parallelism"] = settings.parallelism.min(settings.shards).into();
        job["backoffLimitPerIndex"] = kind.retries.into();
    } else {
        job["backoffLimit"] = kind.retries.into();
    }
    let mut metadata = metadata(plan, &format!("{NAME}-{}", kind.name));
    metadata["labels"] = labels(kind);
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata,
        "spec": {
            "schedule": kind.schedule,
            "timeZone": settings.time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": kind.late,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 5,
            "jobTemplate": {"metadata": {"labels": labels(kind)}, "spec": job},
        },
    })
}

fn labels(kind: &Kind<'_>) -> Value {
    json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": kind.name})
}

fn pod(plan: &Plan, kind: &Kind<'_>, indexed: bool) -> Value {
    let mut arguments: Vec<String> = vec![kind.name.to_owned()];
    arguments.extend(kind.arguments.iter().map(|argument| (*argument).to_owned()));
    if indexed {
        // Kubernetes puts the pod's index there.
        arguments.push(format!("--shard=$(JOB_COMPLETION_INDEX)/{}", plan.settings.shards));
    }
    arguments.extend(["--json".to_owned(), "--log-format=json".to_owned()]);
    let (config, config_mount) = config_volume(plan);
    let (mut volumes, mut mounts) = (vec![config], vec![config_mount]);
    if let Some((volume, mount)) = secrets::volume(&plan.mounts, kind.purposes) {
        volumes.push(volume);
        mounts.push(mount);
    }
    if let Some(dir) = &plan.store_dir {
        volumes.push(json!({"name": "store", "persistentVolumeClaim": {"claimName": "lifeboat-store"}}));
        mounts.push(json!({"name": "store", "mountPath": dir}));
    }
    volumes.push(scratch(kind));
    mounts.push(json!({"name": "tmp", "mountPath": "/tmp"}));
    let mut variables = secrets::variables(&plan.mounts, kind.purposes);
    if plan.policy_dir {
        variables
            .push(json!({"name": "LIFEBOAT_POLICY_DIR", "value": format!("{}/policies", super::CONFIG_DIR)}));
    }
    let resources = &kind.resources;
    let mut container = json!({
        "name": NAME,
        "image": kind.image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        // lifeboat writes its last error there; a process that was killed could not.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "#": resources.comment,
            "requests": {"cpu": resources.cpu.0, "memory": resources.memory, "ephemeral-storage": "64Mi"},
            "limits": {"cpu": resources.cpu.1, "memory": resources.memory, "ephemeral-storage": "256Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
        },
        "volumeMounts": mounts,
    });
    if !variables.is_empty() {
        container["env"] = variables.into();
    }
    json!({
        "serviceAccountName": NAME,
        "automountServiceAccountToken": false,
        // A Service named lifeboat would otherwise set LIFEBOAT_… variables.
        "enableServiceLinks": false,
        "restartPolicy": "Never",
        // lifeboat ends within 10 s, or 20 s where the store does not answer.
        "activeDeadlineSeconds": kind.deadline.as_secs(),
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
        }],
        "containers": [container],
        "volumes": volumes,
    })
}

/// `/tmp`: small, or as large as a database for a server that a drill starts in the pod.
fn scratch(kind: &Kind<'_>) -> Value {
    match kind.volume {
        None => json!({"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}),
        Some(size) => json!({
            "name": "tmp",
            "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": size}},
            }}},
        }),
    }
}
