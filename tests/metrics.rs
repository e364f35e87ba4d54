//! Metrics: a real push gateway, textfiles, and everything that can go wrong with them.

mod common;
#[path = "common/scripted.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod scripted;

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::cli::{PLAIN, Ran, World};
use common::gateway::{Gateway, LOGIN, Listener, Manner, free_port};
use common::lifeboat::{run, run_with, source, succeed};
use common::postgres::shared;
use scripted::{Scripted, ok};
use tokio_rustls::TlsAcceptor;

const OBJECTIVES: &str = "[objectives]\nrto = \"10m\"\nrpo = \"24h\"\nproven_within = \"7d\"\n";

fn metrics(lines: &str) -> String {
    format!("[metrics]\n{lines}\n")
}

/// The value of the sample of this metric whose labels are these, among others.
fn value(lines: &[String], metric: &str, labels: &[&str]) -> Option<f64> {
    let of = |line: &&String| {
        line.starts_with(&format!("{metric}{{")) && labels.iter().all(|label| line.contains(label))
    };
    let found: Vec<&String> = lines.iter().filter(of).collect();
    assert!(found.len() <= 1, "{metric} {labels:?}: {found:#?}");
    found.first()?.rsplit_once(' ')?.1.parse().ok()
}

fn ended_well_with_a_warning(ran: &Ran, says: &str) {
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("warning") && ran.stderr.contains(says), "{says:?} is not in {}", ran.stderr);
}

#[test]
fn status_tells_of_every_source_in_a_group_of_its_own() {
    let gateway = Gateway::start();
    let two = PLAIN.to_owned() + &PLAIN.replace("orders", "billing");
    let config = metrics(&format!(
        "push_url = \"{}/\"\nlabels = {{ cluster = \"eu/1\", team = \"a\" }}",
        gateway.url()
    ));
    let world = World::new(&format!("{config}{OBJECTIVES}{two}"));
    let id = world.backup("orders", 2, |_| {});
    world.drilled("orders", &id, true);
    let ran = world.run(&["status"]);
    assert_eq!(ran.code, 7, "billing has none: {ran:#?}");
    let lines = gateway.metrics();
    let orders = ["source=\"orders\"", "command=\"status\"", "job=\"lifeboat\"", "cluster=\"eu/1\""];
    let get = |metric| value(&lines, metric, &orders).unwrap_or_else(|| panic!("no {metric}: {lines:#?}"));
    let now = chrono::Utc::now().timestamp() as f64;
    for metric in ["lifeboat_newest_backup_timestamp_seconds", "lifeboat_recovery_point_timestamp_seconds"] {
        assert!((7199.0..7500.0).contains(&(now - get(metric))), "{metric} {}", get(metric));
    }
    assert_eq!((get("lifeboat_backups"), get("lifeboat_last_run_success")), (1.0, 1.0));
    assert!(get("lifeboat_stored_bytes") > 0.0);
    let billing = ["source=\"billing\"", "team=\"a\""];
    assert_eq!(value(&lines, "lifeboat_newest_proven_backup_timestamp_seconds", &billing), Some(0.0));
    let missed = ["source=\"billing\"", "objective=\"backup\""];
    assert_eq!(value(&lines, "lifeboat_objective_missed", &missed), Some(1.0));
    assert_eq!(
        value(&lines, "lifeboat_objective_seconds", &["source=\"orders\"", "\"rpo\""]),
        Some(86_400.0)
    );
    assert_eq!(value(&lines, "push_failure_time_seconds", &orders), Some(0.0));
}

#[test]
fn a_failed_backup_leaves_the_last_success_where_it_was() {
    let gateway = Gateway::start();
    let config = metrics(&format!("push_url = \"{}\"\ntextfile_dir = \"textfile\"", gateway.url()));
    let server = shared(17);
    let world = World::new(&format!("{config}{OBJECTIVES}"));
    std::fs::create_dir(world.path().join("textfile")).unwrap();
    let database = world.wait(server.database());
    world.wait(server.sql(&database, "CREATE TABLE t AS SELECT generate_series(1, 500) AS i"));
    let head = std::fs::read_to_string(world.path().join("lifeboat.toml")).unwrap();
    world.write("lifeboat.toml", &(head.clone() + &source("orders", server, &database)));
    let done = succeed(&world, &["backup", "orders"]);
    let group = ["source=\"orders\"", "command=\"backup\""];
    let before = gateway.metrics();
    let get = |lines: &[String], metric: &str| value(lines, metric, &group);
    assert_eq!(get(&before, "lifeboat_backup_rows"), Some(500.0));
    for (metric, field) in [("raw", "raw_bytes"), ("stored", "stored_bytes")] {
        let pushed = get(&before, &format!("lifeboat_backup_{metric}_bytes"));
        assert_eq!(pushed, done[field].as_f64(), "{field}");
    }
    let success = get(&before, "lifeboat_last_success_timestamp_seconds").unwrap();
    assert!((chrono::Utc::now().timestamp() as f64 - success).abs() < 60.0);
    assert_eq!(get(&before, "lifeboat_last_run_error"), Some(0.0));

    // The same source on a server that is not there.
    let url = format!("postgres://x@127.0.0.1:{}/orders", free_port());
    let section = format!("\n[sources.orders]\nengine = \"postgres\"\nurl = \"{url}\"\n");
    world.write("lifeboat.toml", &(head + &section));
    let ran = run(&world, &["backup", "orders"]);
    assert_eq!(ran.code, 4, "{ran:#?}");
    let after = gateway.metrics();
    assert_eq!(get(&after, "lifeboat_last_success_timestamp_seconds"), Some(success));
    assert_eq!(get(&after, "lifeboat_last_run_success"), Some(0.0));
    let kind = ["source=\"orders\"", "kind=\"unreachable\""];
    assert_eq!(value(&after, "lifeboat_last_run_error", &kind), Some(1.0));
    assert!(!after.iter().any(|line| line.contains("kind=\"none\"")), "{after:#?}");
    assert_eq!(get(&after, "lifeboat_backup_rows"), Some(500.0), "the last good backup's");
    assert!(get(&after, "lifeboat_last_run_timestamp_seconds").unwrap() >= success);

    // The file says the same, metric by metric.
    let file = world.path().join("textfile/lifeboat_orders_backup.prom");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for metric in
        ["lifeboat_last_success_timestamp_seconds", "lifeboat_last_run_success", "lifeboat_backup_rows"]
    {
        assert_eq!(get(&lines, metric), get(&after, metric), "{metric}");
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_dir(world.path().join("textfile")).unwrap().count(), 1, "nothing else is left");
    lint(&text);

    // A dry run and a slip of the pen tell nothing.
    run(&world, &["backup", "orders", "--dry-run"]);
    run(&world, &["verify", "odrers"]);
    assert_eq!(gateway.metrics(), after);
}

/// Prometheus' own opinion of a text.
fn lint(text: &str) {
    let promtool = std::env::var_os("LIFEBOAT_TEST_PROMTOOL")
        .unwrap_or_else(|| "/var/cache/lifeboat/promtool/promtool".into());
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}

#[test]
fn drill_prune_and_verify_tell_what_they_found() {
    let gateway = Gateway::start();
    let server = shared(17);
    let config = metrics(&format!("push_url = \"{}\"", gateway.url()));
    let world = World::new(&format!("{config}{OBJECTIVES}\n[retention]\ndaily = 1\n"));
    let database = world.wait(server.database());
    world.wait(server.sql(&database, "CREATE TABLE t AS SELECT generate_series(1, 500) AS i"));
    let head = std::fs::read_to_string(world.path().join("lifeboat.toml")).unwrap();
    world.write("lifeboat.toml", &(head + &source("orders", server, &database)));
    let old = world.backup("orders", 24 * 30, |_| {});
    world.backup("orders", 24 * 31, |_| {});
    succeed(&world, &["backup", "orders"]);
    succeed(&world, &["verify", "orders"]);
    let staging = server.url("postgres");
    let drill = succeed(&world, &["drill", "orders", "--staging", &staging]);
    succeed(&world, &["prune", "orders"]);
    let lines = gateway.metrics();
    let get = |metric: &str, command: &str, label: &str| {
        value(&lines, metric, &["source=\"orders\"", &format!("command=\"{command}\""), label])
    };
    assert_eq!(get("lifeboat_drill_passed", "drill", ""), Some(1.0));
    assert!(get("lifeboat_drill_last_passed_timestamp_seconds", "drill", "").is_some());
    let (pushed, told) = (get("lifeboat_drill_rto_seconds", "drill", ""), drill["rto_seconds"].as_f64());
    // The last digit may differ after a way through JSON.
    assert!((pushed.unwrap() - told.unwrap()).abs() < 1e-6, "{pushed:?} {told:?}");
    assert_eq!(get("lifeboat_objective_seconds", "drill", "objective=\"rto\""), Some(600.0));
    assert_eq!(get("lifeboat_objective_missed", "drill", "objective=\"rto\""), Some(0.0));
    let phases: Vec<&str> =
        drill["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert!(phases.contains(&"load"));
    for phase in phases {
        let label = format!("phase=\"{phase}\"");
        assert!(get("lifeboat_drill_phase_duration_seconds", "drill", &label).is_some(), "{phase}");
    }
    assert_eq!(get("lifeboat_verify_backups", "verify", ""), Some(1.0));
    assert_eq!(get("lifeboat_verify_failed_backups", "verify", ""), Some(0.0));
    assert_eq!(get("lifeboat_prune_removed_backups", "prune", ""), Some(2.0), "{old} and the other");
    assert_eq!(get("lifeboat_retention_backups", "prune", "tier=\"daily\""), Some(1.0));
    assert_eq!(get("lifeboat_retention_backups", "prune", "tier=\"proven\""), Some(1.0));

    // Damage: no success, and the kind says so.
    let data = world.path().join("store/orders/data");
    let dump = walk(&data).into_iter().find(|path| path.to_string_lossy().contains("dump")).unwrap();
    let mut bytes = std::fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&dump, bytes).unwrap();
    assert_eq!(run(&world, &["verify", "orders"]).code, 6);
    let after = gateway.metrics();
    let damaged = ["command=\"verify\"", "kind=\"damaged\""];
    assert_eq!(value(&after, "lifeboat_last_run_error", &damaged), Some(1.0));
    assert_eq!(value(&after, "lifeboat_verify_failed_backups", &["source=\"orders\""]), Some(1.0));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_gateway_that_asks_for_a_password_gets_it_and_a_wrong_one_is_a_warning() {
    let gateway = Gateway::with_login();
    let config = format!(
        "push_url = \"{}\"\npush_user = \"{}\"\npush_password_file = \"password\"",
        gateway.url(),
        LOGIN.0
    );
    let world = World::new(&format!("{}{PLAIN}", metrics(&config)));
    world.backup("orders", 1, |_| {});
    world.write("password", "wr0ng-secret\n");
    let ran = world.run(&["status"]);
    ended_well_with_a_warning(&ran, "the push gateway answered 401");
    assert!(ran.stderr.contains("push_password_file") && !ran.stderr.contains("wr0ng"), "{}", ran.stderr);
    assert_eq!(gateway.metrics_with_login(), Vec::<String>::new());
    world.write("password", LOGIN.1);
    let ran = world.run(&["status"]);
    assert!(ran.code == 0 && !ran.stderr.contains("pushed"), "{ran:#?}");
    assert!(!gateway.metrics_with_login().is_empty());
    std::fs::remove_file(world.path().join("password")).unwrap();
    ended_well_with_a_warning(&world.run(&["status"]), "metrics were not pushed");
}

#[test]
fn a_gateway_that_fails_is_a_warning_and_takes_no_time() {
    let silent = Listener::start(Manner::Silent);
    let broken = Listener::start(Manner::Answers(500));
    let moved = Listener::start(Manner::Answers(302));
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let unknown = "http://no-such-host.invalid:9091".to_owned();
    for (url, says) in [
        (silent.url(), "no answer within 1s"),
        (broken.url(), "the push gateway answered 500: the reason\n"),
        (moved.url(), "the push gateway answered 302"),
        (nobody, "no connection, or no answer"),
        (unknown, "metrics were not pushed"),
    ] {
        let world =
            World::new(&format!("{}{PLAIN}", metrics(&format!("push_url = \"{url}\"\ntimeout = \"1s\""))));
        world.backup("orders", 1, |_| {});
        let begun = Instant::now();
        let ran = world.run(&["status"]);
        ended_well_with_a_warning(&ran, says);
        assert!(begun.elapsed() < Duration::from_secs(20), "{url}: {:?}", begun.elapsed());
    }
    assert_eq!(broken.heard().len(), 1, "a push is not repeated");
}

#[test]
fn after_two_failures_a_run_with_many_sources_leaves_the_gateway_alone() {
    let broken = Listener::start(Manner::Answers(503));
    let many: String =
        (0..6).map(|n| PLAIN.replace("[sources.orders]", &format!("[sources.s{n}]"))).collect();
    let world = World::new(&format!("{}{many}", metrics(&format!("push_url = \"{}\"", broken.url()))));
    (0..6).for_each(|n| drop(world.backup(&format!("s{n}"), 1, |_| {})));
    let ran = world.run(&["status"]);
    ended_well_with_a_warning(&ran, "it is not tried again in this run");
    assert_eq!((ran.stderr.matches("not pushed").count(), broken.heard().len()), (2, 2), "{}", ran.stderr);
}

#[test]
fn a_textfile_that_cannot_be_written_is_a_warning() {
    let world = World::new(&format!("{}{PLAIN}", metrics("textfile_dir = \"nowhere\"")));
    world.backup("orders", 1, |_| {});
    ended_well_with_a_warning(&world.run(&["status"]), "nowhere/lifeboat_orders_status.prom");
}

#[test]
fn the_environment_sets_it_too_and_a_token_is_a_bearer() {
    let listener = Listener::start(Manner::Answers(202));
    let world = World::new(PLAIN);
    world.backup("orders", 1, |_| {});
    let variables =
        [("LIFEBOAT_METRICS_PUSH_URL", listener.url()), ("LIFEBOAT_METRICS_PUSH_TOKEN", "t0ken".to_owned())];
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ran = run_with(&world, &["status"], &variables);
    assert!(ran.code == 0 && !ran.stderr.contains("warning"), "{ran:#?}");
    let heard = listener.heard();
    assert_eq!(heard[0].0, "POST /metrics/job/lifeboat/source/orders/command/status HTTP/1.1");
    assert!(heard[0].1.contains("\nlifeboat_backups 1\n"), "{}", heard[0].1);
    let shown = run_with(&world, &["config", "show"], &variables);
    assert!(shown.stdout.contains("metrics.push_token") && !shown.stdout.contains("t0ken"), "{shown:#?}");
}

#[test]
fn a_gateway_over_tls_is_believed_when_its_authority_is() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let world = World::new(&format!("{}{PLAIN}", metrics("push_url = \"https://replaced\"")));
    world.backup("orders", 1, |_| {});
    let server = world.wait(Scripted::start_with(vec![ok("", "")], Some(TlsAcceptor::from(Arc::new(tls)))));
    world.write("ca.pem", &certificate.pem());
    let url = ("LIFEBOAT_METRICS_PUSH_URL", server.endpoint.as_str());
    ended_well_with_a_warning(&run_with(&world, &["status"], &[url]), "metrics were not pushed");
    assert_eq!(server.lines(), Vec::<String>::new());
    let ran = run_with(&world, &["status"], &[url, ("LIFEBOAT_METRICS_CA_FILE", "ca.pem")]);
    assert!(ran.code == 0 && !ran.stderr.contains("warning"), "{ran:#?}");
    assert_eq!(server.lines(), ["POST /metrics/job/lifeboat/source/orders/command/status"]);
    let heads = server.requests().concat();
    assert!(heads.contains("text/plain; version=0.0.4"), "{heads}");
}
