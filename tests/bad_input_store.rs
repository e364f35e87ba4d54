//! What a store that is wrong, or holds what it should not, gets; and configurations that make no sense.

mod common;
#[path = "common/scripted.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod scripted;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use common::bad_input::{Case, Tools, orders, told};
use common::cli::{self, PLAIN, World};
use common::postgres::{shared, unique};
use common::proxy::{Mode, Proxy};
use common::s3;
use lifeboat::stores::open::StoreSpec;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A source with three tables of some thousand rows.
fn source() -> String {
    static URL: OnceLock<String> = OnceLock::new();
    let server = shared(17);
    let url = URL.get_or_init(|| {
        let database = wait(server.database());
        wait(server.sql(
            &database,
            "CREATE TABLE a(a int, b text); INSERT INTO a SELECT g, md5(g::text) FROM generate_series(1, 40000) g;
             CREATE TABLE b AS TABLE a; CREATE TABLE c AS TABLE a",
        ));
        server.url(&database)
    });
    orders(url, &format!("tools = \"{}\"", server.bin.display()))
}

/// A run against this store, which has none of our objects.
fn backup_to(spec: &StoreSpec, section: &str, secret: &str) -> (i32, String) {
    let world = World::on(tempfile::TempDir::new().unwrap(), spec.clone(), &format!("{section}{}", source()));
    let output = world
        .command(&["backup", "orders", "--no-progress"])
        .env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains(secret), "{stderr}");
    let ran = cli::Ran { code: output.status.code().unwrap(), stdout: String::new(), stderr };
    (ran.code, told(&ran))
}

#[test]
fn a_bucket_that_does_not_exist() {
    let mut spec = s3::fresh_spec();
    spec.url = "s3://no-such-bucket/production".to_owned();
    let (code, told) = backup_to(&spec, "", s3::SECRET_KEY);
    assert_eq!(code, 5);
    assert_told!(told, @r"
    error: cannot read s3://no-such-bucket/production/orders/lease.json: bucket no-such-bucket does not exist (NoSuchBucket)
    hint: create bucket no-such-bucket at http://HOST, or correct url in [store]
    ");
}

#[test]
fn wrong_keys() {
    let (code, told) = backup_to(&s3::fresh_spec(), "", "not-the-secret-key");
    assert_eq!(code, 5);
    assert_told!(told, @r"
    error: cannot read s3://backups/PREFIX/orders/lease.json: the secret key does not fit the access key (SignatureDoesNotMatch)
    hint: check AWS_SECRET_ACCESS_KEY for a cut or extra character, and that no proxy rewrites requests
    ");
}

#[test]
fn a_store_that_cannot_be_reached() {
    let mut spec = s3::fresh_spec();
    spec.endpoint = Some(format!("http://127.0.0.1:{}", s3::free_port()));
    let (code, told) = backup_to(&spec, "", s3::SECRET_KEY);
    assert_eq!(code, 5);
    assert_told!(told, @r"
    error: cannot read s3://backups/PREFIX/orders/lease.json: http://HOST refused the connection
    hint: check that the store is running and that endpoint has the right port
    ");
}

#[test]
fn a_store_with_an_expired_certificate() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let tls = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
    .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let answers = vec![scripted::xml(404, "NoSuchKey", "")];
    let server = runtime.block_on(scripted::Scripted::start_with(answers, Some(acceptor)));
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, certificate.pem()).unwrap();
    let mut spec = s3::fresh_spec();
    spec.endpoint = Some(server.endpoint.clone());
    let (code, told) = backup_to(&spec, &format!("ca_file = \"{}\"\n", ca.display()), s3::SECRET_KEY);
    assert_eq!(code, 5);
    assert_told!(told, @r"
    error: cannot read s3://backups/PREFIX/orders/lease.json: the TLS certificate of https://LOCALHOST has expired
    hint: renew the certificate of the store, and check the clock of this machine
    ");
}

#[test]
fn configurations_that_make_no_sense() {
    let case = Case::file(&format!("{PLAIN}polcy = \"standard\"\n"));
    assert_told!(case.fails(3), @r"
    error: lifeboat.toml:7:1: unknown key `polcy` in [sources.orders]
    hint: did you mean `policy`?
    ");
    let case = Case::file(&format!("{PLAIN}policy = \"standrad\"\n"));
    assert_told!(case.fails(3), @r"
    error: lifeboat.toml:7:1: source orders: there is no policy `standrad` in policies, /etc/lifeboat/policies
    hint: policies found: none
    ");
    let case = Case::file(PLAIN);
    let ran = case.run(&["backup", "ordres"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: there is no source `ordres`
    hint: did you mean `orders`?
    ");
    let ran = case.run(&["backup", "ordres", "--json"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_told!(told(&ran), @r#"{"message_type":"error","schema":1,"kind":"usage","message":"there is no source `ordres`","hint":"did you mean `orders`?","source":null}"#);
}

/// A case with a good backup, and its id.
fn backed_up() -> (Case, String) {
    let case = Case::file(&source());
    let ran = case.run(&["backup", "orders", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let id = ran.lines()[0]["id"].as_str().unwrap().to_owned();
    (case, id)
}

/// The file of an object.
fn object(case: &Case, id: &str, name: &str) -> PathBuf {
    case.world.path().join("store/orders/data").join(id).join(name)
}

/// Databases of the shared server with this name, or made for it.
fn databases(wanted: &str) -> Vec<String> {
    wait(async {
        let session = shared(17).session("postgres").await;
        let query = "SELECT datname::text FROM pg_database WHERE datname = $1
                     OR shobj_description(oid, 'pg_database') LIKE '%restore of ' || $1 || ';%'";
        session.query(query, &[&wanted]).await.unwrap().iter().map(|row| row.get(0)).collect()
    })
}

/// A restore that must fail with this code and leave no database.
fn restore_fails(case: &Case, code: i32, more: &[&str]) -> String {
    let name = unique("back");
    let to = shared(17).url(&name);
    let mut args = vec!["restore", "orders", "--no-progress", "--to", &to];
    args.extend(more);
    let ran = case.run(&args);
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
    assert_eq!(databases(&name), [""; 0]);
    told(&ran)
}

fn verify_fails(case: &Case) -> String {
    let ran = case.run(&["verify", "orders", "--no-progress"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    let ran_json = case.run(&["verify", "orders", "--no-progress", "--json"]);
    assert_eq!((ran_json.code, ran_json.lines()[0]["verdict"].as_str()), (6, Some("failed")), "{ran_json:?}");
    told(&ran)
}

#[test]
fn a_truncated_object() {
    let (mut case, id) = backed_up();
    let dump = object(&case, &id, "postgres.dump.zst");
    let bytes = std::fs::read(&dump).unwrap();
    std::fs::write(&dump, &bytes[..bytes.len() - 1]).unwrap();
    case.remember();
    assert_told!(verify_fails(&case), @r"
    error: backup ID is not what was written: orders/data/ID/postgres.dump.zst has N bytes instead of N
    hint: restore another backup (`lifeboat list`), and look for the cause in the store
    ");
    assert_told!(restore_fails(&case, 6, &[]), @r"
    error: backup ID cannot be restored: orders/data/ID/postgres.dump.zst has N bytes instead of N
    hint: restore another backup (`lifeboat list`); `lifeboat verify` reads this one to its end
    ");
    case.assert_untouched();
}

#[test]
fn a_flipped_bit() {
    let (mut case, id) = backed_up();
    let dump = object(&case, &id, "postgres.dump.zst");
    let mut bytes = std::fs::read(&dump).unwrap();
    // In the last table's frame.
    let at = bytes.len() - 100_000;
    bytes[at] ^= 1;
    std::fs::write(&dump, &bytes).unwrap();
    case.remember();
    assert_told!(verify_fails(&case), @r"
    error: orders: backup ID is not what was written: a zstd frame is damaged: Restored data doesn't match checksum
    hint: restore another backup (`lifeboat list`), and look for the cause in the store
    ");
    assert_told!(restore_fails(&case, 6, &[]), @r"
    error: orders: backup ID cannot be restored: a zstd frame is damaged: Restored data doesn't match checksum
    hint: restore another backup (`lifeboat list`); `lifeboat verify` reads this one to its end
    ");
    assert_told!(restore_fails(&case, 6, &["--only", "public.c"]), @r"
    error: orders: backup ID cannot be restored: a zstd frame is damaged: Restored data doesn't match checksum
    hint: restore another backup (`lifeboat list`); `lifeboat verify` reads this one to its end
    ");
    case.assert_untouched();
}

#[test]
fn a_deleted_object() {
    let (mut case, id) = backed_up();
    std::fs::remove_file(object(&case, &id, "postgres.dump.zst")).unwrap();
    case.remember();
    assert_told!(verify_fails(&case), @r"
    error: backup ID is not what was written: orders/data/ID/postgres.dump.zst is missing
    hint: restore another backup (`lifeboat list`), and look for the cause in the store
    ");
    assert_told!(restore_fails(&case, 6, &[]), @r"
    error: backup ID cannot be restored: orders/data/ID/postgres.dump.zst is missing
    hint: restore another backup (`lifeboat list`); `lifeboat verify` reads this one to its end
    ");
    case.assert_untouched();
}

#[test]
fn a_manifest_of_a_newer_version() {
    let (mut case, id) = backed_up();
    let manifest = case.world.path().join(format!("store/orders/manifests/{id}.json"));
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("\"schema\":1") || text.contains("\"schema\": 1"), "{text}");
    let newer = text.replace("\"schema\":1,", "\"schema\":99,").replace("\"schema\": 1,", "\"schema\": 99,");
    std::fs::write(&manifest, newer).unwrap();
    case.remember();
    assert_told!(verify_one(&case), @r"
    error: the newest backup of orders, ID, cannot be read: the manifest of backup ID of orders was written by a newer lifeboat (schema 99, this one reads 1)
    hint: upgrade lifeboat to read this backup
    ");
    assert_told!(restore_fails(&case, 6, &[]), @r"
    error: the newest backup of orders, ID, cannot be read: the manifest of backup ID of orders was written by a newer lifeboat (schema 99, this one reads 1)
    hint: upgrade lifeboat to read this backup
    ");
    let listed = case.run(&["list", "orders", "--json"]);
    let told: Vec<bool> = listed.lines().iter().map(|entry| entry["unreadable"].is_string()).collect();
    assert_eq!((listed.code, told), (0, vec![true, false]), "{listed:?}");
    let pruned = case.run(&["prune", "orders"]);
    assert_eq!(pruned.code, 0, "{pruned:?}");
    case.assert_untouched();
}

fn verify_one(case: &Case) -> String {
    let ran = case.run(&["verify", "orders", "--no-progress"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    told(&ran)
}

/// A small file system of its own, gone with this value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(kilobytes: u32) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={kilobytes}k,mode=0777");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output()
            .unwrap();
        mounted.status.success().then_some(SmallDisk(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk() {
    match SmallDisk::mount(1500) {
        Some(disk) => {
            let mut spec = StoreSpec::new(format!("file://{}/store", disk.path().display()));
            spec.credentials = Some(s3::credentials());
            let case = Case::on(spec, &source());
            assert_told!(case.fails(5), @r"
            error: cannot store part 1 of file://PATH: cannot write PATH: No space left on device (os error 28)
            hint: N bytes and N files are left on the disk of PATH; make room, or prune old backups
            ");
        }
        // Without the right to mount: the limit of a file's size, which fails the same write in another way.
        None => {
            let case = Case::file(&source());
            let binary = env!("CARGO_BIN_EXE_lifeboat");
            let script = format!("trap '' XFSZ; ulimit -f 1000; exec {binary} backup orders --no-progress");
            let output = std::process::Command::new("bash")
                .args(["-c", &script])
                .current_dir(case.world.path())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(5), "{output:?}");
            case.assert_untouched();
        }
    }
}

/// A case whose store is behind a proxy, and a `pg_dump` that pauses when half of it is there.
fn behind_proxy() -> (Proxy, Tools, Case, StoreSpec) {
    let direct = s3::fresh_spec();
    let proxy = Proxy::start(direct.endpoint.as_ref().unwrap());
    let mut spec = direct.clone();
    spec.endpoint = Some(proxy.endpoint());
    let server = shared(17);
    let tools = Tools::pausing(&server.bin, 2_000_000);
    let plain = format!("tools = \"{}\"", server.bin.display());
    let case = Case::on(spec, &source().replace(&plain, &tools.config()));
    (proxy, tools, case, direct)
}

#[test]
fn a_store_that_is_busy_for_a_while() {
    let (proxy, tools, case, _) = behind_proxy();
    let mut running = case.start(&["backup", "orders", "--no-progress", "--json"]);
    tools.wait_for_pause(&mut running);
    proxy.set(Mode::Busy(3));
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(proxy.refused(), 3);
    assert_eq!(ran.lines()[0]["rows"], 120_000);
    assert_eq!(case.run(&["verify", "orders"]).code, 0);
    assert_eq!(case.open_uploads(), 0);
}

#[test]
fn a_store_whose_conditional_writes_are_weak() {
    let mut case = Case::file(&source());
    case.environment.push(("LIFEBOAT_STORE_CONDITIONAL_WRITES".into(), "weak".into()));
    for command in ["backup", "prune"] {
        let ran = case.run(&[command, "orders", "--lease-wait", "0"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("the lease of orders uses one key per run instead"), "{ran:?}");
    }
    case.environment.pop();
    let trusting = case.run(&["backup", "orders", "--lease-wait", "0"]);
    assert_eq!(trusting.code, 0, "{trusting:?}");
    assert!(!trusting.stderr.contains("one key per run"), "{trusting:?}");
}
