//! `lifeboat k8s`: what it prints, what it refuses, and that `k8s-cronjobs/` holds it.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cli::World;
use serde_json::Value;

/// Sources of both engines, with all kinds of secrets.
const CONFIG: &str = r#"
[store]
url = "s3://acme/backups"
endpoint = "http://s3.internal:9000"
access_key_id_file = "/secrets/store/id"
secret_access_key_file = "/secrets/store/key"

[policies.local]
retention.timezone = "America/Sao_Paulo"
retention.daily = 7

[sources.orders]
engine = "postgres"
url = "postgres://backup@db.internal:5433/orders?sslrootcert=/secrets/ca.pem"
password_file = "/secrets/orders/password"
policy = "local"

[sources.orders.staging]
url = "postgres://drill@staging.internal/postgres"
password_env = "STAGING_PASSWORD"

[sources.my_shop]
engine = "mongodb"
url = "mongodb://backup@a.internal,b.internal/"
password_file = "/secrets/shop/password"
"#;

fn world(config: &str) -> World {
    let world = World::new("");
    world.write("lifeboat.toml", config);
    world
}

/// The objects by kind and name.
fn objects(world: &World, arguments: &[&str]) -> BTreeMap<String, Value> {
    let ran = world.run(&[&["k8s", "--json"], arguments].concat());
    assert_eq!(ran.code, 0, "{ran:#?}");
    let documents = ran.lines().into_iter().flat_map(|line| line["documents"].as_array().unwrap().clone());
    documents
        .map(|object| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"])), object)
        })
        .collect()
}

fn pod(objects: &BTreeMap<String, Value>, kind: &str) -> Value {
    objects[&format!("CronJob/lifeboat-{kind}")]["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone()
}

fn arguments(objects: &BTreeMap<String, Value>, kind: &str) -> String {
    let arguments = pod(objects, kind)["containers"][0]["args"].as_array().unwrap().clone();
    arguments.iter().map(|argument| argument.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// The paths of secrets in a pod.
fn secrets(objects: &BTreeMap<String, Value>, kind: &str) -> Vec<String> {
    let pod = pod(objects, kind);
    let volumes = pod["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "secrets").unwrap();
    assert_eq!(volume["projected"]["defaultMode"], 0o440);
    let mut paths = Vec::new();
    for source in volume["projected"]["sources"].as_array().unwrap() {
        for item in source["secret"]["items"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            paths.push(format!("{} {}", text(&source["secret"]["name"]), text(&item["path"])));
        }
    }
    paths
}

fn ports(objects: &BTreeMap<String, Value>, policy: &str) -> Vec<u64> {
    let ports = &objects[&format!("NetworkPolicy/{policy}")]["spec"]["egress"][0]["ports"];
    ports.as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()).collect()
}

#[test]
fn the_manifests_follow_the_configuration() {
    let world = world(CONFIG);
    let objects = objects(&world, &[]);
    for kind in ["backup", "prune", "verify", "drill", "status"] {
        let job = &objects[&format!("CronJob/lifeboat-{kind}")]["spec"];
        assert_eq!(job["timeZone"], "America/Sao_Paulo", "{kind}");
        assert_eq!(job["concurrencyPolicy"], "Forbid", "{kind}");
        let pod = pod(&objects, kind);
        assert_eq!(pod["automountServiceAccountToken"], false, "{kind}");
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["readOnlyRootFilesystem"], true, "{kind}");
        let (job_ends, pod_ends) =
            (&job["jobTemplate"]["spec"]["activeDeadlineSeconds"], &pod["activeDeadlineSeconds"]);
        assert!(job_ends.as_u64() > pod_ends.as_u64(), "{kind}: the pod's deadline comes first");
    }
    assert_eq!(arguments(&objects, "backup"), "backup --all --json --log-format=json");
    // The file as it is.
    assert_eq!(objects["ConfigMap/lifeboat"]["data"]["lifeboat.toml"], CONFIG);
    assert_eq!(
        objects["Namespace/lifeboat"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    assert_eq!(ports(&objects, "lifeboat-sources"), [5433, 27017]);
    assert_eq!(ports(&objects, "lifeboat-staging"), [5432]);
    assert_eq!(ports(&objects, "lifeboat-store"), [443, 9000]);
}

#[test]
fn a_pod_gets_only_the_secrets_of_its_job() {
    let world = world(CONFIG);
    let objects = objects(&world, &[]);
    let store = ["lifeboat-store store/id", "lifeboat-store store/key"];
    for kind in ["prune", "verify", "drill", "status"] {
        assert_eq!(secrets(&objects, kind), store, "{kind}");
    }
    let backup = secrets(&objects, "backup");
    assert_eq!(backup.len(), 5, "{backup:?}");
    assert!(
        backup.iter().any(|s| s.starts_with("lifeboat-my-shop-") && s.ends_with(" shop/password")),
        "{backup:?}"
    );
    assert!(backup.contains(&"lifeboat-orders ca.pem".to_owned()), "{backup:?}");
    let variables = |kind| pod(&objects, kind)["containers"][0]["env"].clone();
    assert_eq!(variables("drill")[0]["valueFrom"]["secretKeyRef"]["name"], "lifeboat-orders");
    assert!(variables("backup").is_null());
}

#[test]
fn a_graph_with_tls_gets_its_port_and_its_files() {
    let neo4j = "[sources.graph]\nengine = \"neo4j\"\n\
                 url = \"neo4j+s://backup@graph.internal/neo4j?tlsCAFile=/secrets/graph/ca.crt\"\n\
                 password_file = \"/secrets/graph/password\"\n[sources.graph.staging]\n\
                 url = \"bolt+ssc://neo4j@staging.internal:7688/neo4j\"\npassword_file = \"/secrets/graph/staging\"\n";
    let objects = objects(&world(&format!("[store]\nurl = \"s3://acme/b\"\n{neo4j}")), &[]);
    assert_eq!(ports(&objects, "lifeboat-sources"), [7687]);
    assert_eq!(ports(&objects, "lifeboat-staging"), [7688]);
    assert_eq!(secrets(&objects, "backup"), ["lifeboat-graph ca.crt", "lifeboat-graph password"]);
    assert_eq!(secrets(&objects, "drill"), ["lifeboat-graph staging"]);
    let volume = &pod(&objects, "backup")["containers"][0]["volumeMounts"];
    let mount = volume.as_array().unwrap().iter().find(|mount| mount["name"] == "secrets").unwrap();
    assert_eq!(mount["mountPath"], "/secrets/graph");
}

#[test]
fn who_is_told_how_runs_end_has_secrets_and_a_port_of_its_own() {
    let notify = "[notify]\nsmtp_url = \"smtps://me@mail.internal:2465\"\nsmtp_from = \"a@example.com\"\n\
                  smtp_to = [\"b@example.com\"]\nsmtp_password_file = \"/secrets/notify/smtp\"\n\
                  webhook_url_file = \"/secrets/notify/hook\"\nca_file = \"/secrets/notify/ca.crt\"\n\
                  [metrics]\npush_url = \"http://push:9091\"\npush_token_file = \"/secrets/metrics/token\"\n";
    let objects = objects(&world(&format!("{CONFIG}{notify}")), &[]);
    assert_eq!(ports(&objects, "lifeboat-notify"), [443, 2465]);
    for kind in ["backup", "prune", "verify", "drill", "status"] {
        let secrets = secrets(&objects, kind);
        for path in [
            "lifeboat-metrics metrics/token",
            "lifeboat-notify notify/ca.crt",
            "lifeboat-notify notify/hook",
            "lifeboat-notify notify/smtp",
        ] {
            assert!(secrets.iter().any(|secret| secret == path), "{kind}: {path} is not in {secrets:?}");
        }
    }
}

#[test]
fn shards_make_indexed_jobs_that_retry_what_failed() {
    let world = world(CONFIG);
    let objects = objects(&world, &["--shards", "8", "--parallelism", "3"]);
    let job = &objects["CronJob/lifeboat-backup"]["spec"]["jobTemplate"]["spec"];
    assert_eq!(
        (&job["completionMode"], &job["completions"], &job["parallelism"]),
        (&"Indexed".into(), &8.into(), &3.into())
    );
    assert_eq!((&job["backoffLimitPerIndex"], &job["backoffLimit"]), (&2.into(), &Value::Null));
    assert_eq!(job["podFailurePolicy"]["rules"][1]["action"], "FailIndex");
    assert!(arguments(&objects, "backup").contains("--shard=$(JOB_COMPLETION_INDEX)/8"));
    assert!(!arguments(&objects, "status").contains("--shard"));
}

#[test]
fn more_than_a_handful_of_sources_is_shared() {
    let source = |n: usize| format!("[sources.s{n}]\nengine = \"postgres\"\nurl = \"postgres://u@h/d{n}\"\n");
    let config = |n| "[store]\nurl = \"s3://b\"\n".to_owned() + &(0..n).map(source).collect::<String>();
    let job = |n: usize| {
        objects(&world(&config(n)), &[])["CronJob/lifeboat-backup"]["spec"]["jobTemplate"]["spec"].clone()
    };
    assert!(job(5)["completions"].is_null());
    assert_eq!(job(6)["completions"], 2);
    assert_eq!(job(300)["completions"], 60);
}

#[test]
fn ephemeral_staging_gets_a_volume_and_the_image_with_servers() {
    let config = CONFIG.replace("postgres://drill@staging.internal/postgres", "ephemeral");
    let world = world(&config.replace("password_env = \"STAGING_PASSWORD\"", ""));
    let objects = objects(&world, &["--image", "r/lifeboat:1", "--drill-volume", "50Gi"]);
    let drill = pod(&objects, "drill");
    assert_eq!(drill["containers"][0]["image"], "r/lifeboat:1-drill");
    assert!(drill["volumes"].to_string().contains("50Gi"), "{drill}");
    assert_eq!(pod(&objects, "backup")["containers"][0]["image"], "r/lifeboat:1");
    assert!(!objects.contains_key("NetworkPolicy/lifeboat-staging"));
}

#[test]
fn throwaway_servers_of_neo4j_are_in_another_image() {
    let graph = "[sources.graph]\nengine = \"neo4j\"\nurl = \"neo4j://backup@graph.internal/neo4j\"\n\
                 [sources.graph.staging]\nurl = \"ephemeral\"\n";
    let alone = world(&format!("[store]\nurl = \"s3://acme/b\"\n{graph}"));
    let objects = objects(&alone, &["--image", "r/lifeboat:1"]);
    assert_eq!(pod(&objects, "drill")["containers"][0]["image"], "r/lifeboat:1-neo4j");
    let config = CONFIG.replace("postgres://drill@staging.internal/postgres", "ephemeral");
    let both = world(&format!("{}{graph}", config.replace("password_env = \"STAGING_PASSWORD\"", "")));
    let ran = both.run(&["k8s"]);
    assert!(ran.stderr.contains("--drill-image"), "{ran:#?}");
}

#[test]
fn pods_reach_the_push_gateway_that_the_configuration_names() {
    let without = objects(&world(CONFIG), &[]);
    assert!(!without.contains_key("NetworkPolicy/lifeboat-metrics"));
    let world = world(&format!("{CONFIG}\n[metrics]\npush_url = \"http://push.monitoring:9091/gateway\"\n"));
    assert_eq!(ports(&objects(&world, &[]), "lifeboat-metrics"), [9091]);
    // A proxy on the way, such as a mesh's
    assert_eq!(ports(&objects(&world, &["--push-gateway", "15001"]), "lifeboat-metrics"), [15001]);
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let cases = [
        ("postgres://backup@db", "postgres://backup:hunter2@db"),
        ("sslrootcert=/secrets/ca.pem", "sslpassword=hunter2"),
        ("postgres://drill@", "postgres://drill:hunter2@"),
    ];
    for (from, to) in cases {
        let world = world(&CONFIG.replace("password_env = \"STAGING_PASSWORD\"", "").replace(from, to));
        let mut command = world.command(&["k8s"]);
        // What the environment puts over it does not make the file harmless.
        let output =
            command.env("LIFEBOAT_SOURCE_ORDERS_URL", "postgres://backup@db/orders").output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(3), "{to}: {stderr}");
        assert!(stdout.is_empty(), "{to}: something was printed");
        assert!(!stderr.contains("hunter2") && stderr.contains("password_file"), "{to}: {stderr}");
    }
}

#[test]
fn what_cannot_be_so_in_a_cluster_is_refused() {
    let cases = [
        ("/secrets/orders/password", "secrets/password", "where no Secret can be mounted"),
        ("/secrets/orders/password", "/run/password", "have only / in common"),
        ("s3://acme/backups", "memory:", "gone with its pod"),
    ];
    for (from, to, says) in cases {
        let ran = world(&CONFIG.replace(from, to)).run(&["k8s"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{to}: {ran:#?}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains("hint: "), "{to}: {ran:#?}");
    }
    let world = World::new("");
    std::fs::remove_file(world.path().join("lifeboat.toml")).unwrap();
    let mut command = world.command(&["k8s"]);
    command.env("LIFEBOAT_STORE_URL", "s3://b").env("LIFEBOAT_SOURCE_A_URL", "postgres://u@h/d");
    let output = command.env("LIFEBOAT_SOURCE_A_ENGINE", "postgres").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    for wrong in [
        ["--backup-at", "0 2 * *"],
        ["--time-zone", "Mars/Olympus"],
        ["--namespace", "A"],
        ["--drill-volume", "x"],
    ] {
        assert_eq!(self::world(CONFIG).run(&[&["k8s"], wrong.as_slice()].concat()).code, 2, "{wrong:?}");
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s-cronjobs")
}

/// Runs the command of the README in `k8s-cronjobs/`, into another directory.
fn generate(into: &Path, more: &[&str]) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lifeboat"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .args(["--config", "k8s-cronjobs/lifeboat.toml", "k8s", "--output"])
        .arg(into)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn files(dir: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), text(&entry.path()))).collect()
}

#[test]
fn the_base_is_what_the_command_writes() {
    let dir = tempfile::TempDir::new().unwrap();
    generate(dir.path(), &[]);
    let (written, base) = (files(dir.path()), files(&example().join("base")));
    assert!(written.len() >= 10);
    assert_eq!(written.keys().collect::<Vec<_>>(), base.keys().collect::<Vec<_>>());
    for (name, text) in written {
        assert!(
            text == base[&name],
            "base/{name} is not what `lifeboat k8s` writes: see k8s-cronjobs/README.md"
        );
    }
}

#[test]
fn the_external_secrets_of_the_overlay_are_what_the_command_writes() {
    let dir = tempfile::TempDir::new().unwrap();
    generate(dir.path(), &["--external-secrets", "vault"]);
    let name = "externalsecrets.yaml";
    let overlay = files(&example().join("overlays/example-production"));
    assert_eq!(files(dir.path())[name], overlay[name]);
}

#[test]
fn the_configuration_in_the_overlay_for_dumps_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s-cronjobs/overlays/neo4j-dump");
    let text = std::fs::read_to_string(root.join("configuration.yaml")).unwrap();
    let object: Value = serde_yaml_ng::from_str(&text).unwrap();
    let world = world(object["data"]["lifeboat.toml"].as_str().unwrap());
    let ran = world.run(&["config", "check", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.lines()[0]["sources"], serde_json::json!(["graph"]));
    let shown = world.run(&["config", "show"]).stdout;
    for mount in ["/etc/lifeboat/neo4j", "/secrets/graph/password"] {
        assert!(shown.contains(mount), "{mount} is not in {shown}");
    }
}

#[test]
fn the_text_is_what_a_yaml_reader_reads_back() {
    let world = world(&format!("# \ttabs, \u{e9} and \"quotes\"\n{CONFIG}"));
    let text = world.run(&["k8s", "--external-secrets", "vault"]).stdout;
    let mut read = BTreeMap::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let object = <Value as serde::Deserialize>::deserialize(document).unwrap();
        let name = |value: &Value| value.as_str().unwrap().to_owned();
        read.insert(format!("{}/{}", name(&object["kind"]), name(&object["metadata"]["name"])), object);
    }
    assert_eq!(read, objects(&world, &["--external-secrets", "vault"]));
}
