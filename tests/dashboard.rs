//! From a run to the dashboard: lifeboat pushes, a real Prometheus scrapes and evaluates, every query answers.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::cli::World;
use common::gateway::{Gateway, free_port};
use common::lifeboat::{run, source, succeed};
use common::postgres::shared;
use serde_json::Value;

const DASHBOARD: &str = include_str!("../k8s-cronjobs/dashboards/lifeboat.json");

/// The shell ends the server, and removes its files, when the pipe to this process closes.
const SHELL: &str = r#"
directory=$1; shift
"$@" >"$directory/log" 2>&1 </dev/null &
cat >/dev/null
kill $!; wait $!
rm -rf "$directory"
"#;

struct Prometheus {
    port: u16,
    shell: Child,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// `prometheus`, which comes with promtool.
fn binary() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("LIFEBOAT_TEST_PROMTOOL")
        .map(|promtool| PathBuf::from(promtool).with_file_name("prometheus"))
        .into_iter()
        .chain(std::env::split_paths(&on_path).map(|directory| directory.join("prometheus")))
        .chain([PathBuf::from("/var/cache/lifeboat/promtool/prometheus")])
        .find(|path| path.is_file())
        .expect("no prometheus beside promtool: run scripts/services get promtool")
}

impl Prometheus {
    fn start(gateway: &Gateway) -> Prometheus {
        let directory = tempfile::tempdir().unwrap().keep();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s-cronjobs/alerts/lifeboat.rules.yaml");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [\"{}\"]\nscrape_configs:\n  \
             - job_name: pushgateway\n    honor_labels: true\n    static_configs: [{{targets: [\"127.0.0.1:{}\"]}}]\n",
            rules.display(),
            gateway.port
        );
        std::fs::write(directory.join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let mut command = Command::new("sh");
        command.args(["-c", SHELL, "sh"]).arg(&directory).arg(binary());
        command.arg(format!("--config.file={}", directory.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let shell = command.stdin(Stdio::piped()).spawn().unwrap();
        Prometheus { port, shell }
    }

    /// The result of an instant query; `None` while the server is not ready.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        if head.contains(" 503 ") {
            return None;
        }
        let answer: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{query}: {error}: {text}"));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned()
    }

    /// Waits until a query has an answer.
    fn wait_for(&self, query: &str) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            if let Some(result) = self.query(query).filter(|result| !result.is_empty()) {
                return result;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{query} has no answer");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Every query of every panel.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<String> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(queries.len() > 15);
    queries
}

#[test]
fn every_panel_has_data_and_an_alert_fires() {
    let gateway = Gateway::start();
    let server = shared(17);
    let world = World::new(&format!(
        "[metrics]\npush_url = \"{}\"\n[objectives]\nrto = \"1ms\"\nrpo = \"24h\"\n[retention]\ndaily = 7\n",
        gateway.url()
    ));
    let database = world.wait(server.database());
    world.wait(server.sql(&database, "CREATE TABLE t AS SELECT generate_series(1, 500) AS i"));
    let head = std::fs::read_to_string(world.path().join("lifeboat.toml")).unwrap();
    world.write("lifeboat.toml", &(head + &source("orders", server, &database)));
    succeed(&world, &["backup", "orders"]);
    succeed(&world, &["prune", "orders"]);
    let drill = run(&world, &["drill", "orders", "--staging", &server.url("postgres")]);
    assert_eq!(drill.code, 7, "no drill takes a millisecond: {drill:#?}");
    succeed(&world, &["status"]);

    let prometheus = Prometheus::start(&gateway);
    prometheus.wait_for("lifeboat_last_run_timestamp_seconds{command=\"status\"}");
    for query in queries() {
        let result = prometheus.query(&query.replace("$source", ".*"));
        assert!(result.is_some_and(|result| !result.is_empty()), "{query} has no answer");
    }
    let fired = prometheus.wait_for("ALERTS{alertname=\"LifeboatRtoMissed\", alertstate=\"firing\"}");
    assert_eq!(fired[0]["metric"]["source"], "orders");
    assert_eq!(fired[0]["metric"]["severity"], "warning");
    let others = prometheus.query("ALERTS{alertname!=\"LifeboatRtoMissed\"}").unwrap();
    assert!(others.is_empty(), "{others:?}");
}
