//! What a source that is wrong gets: a clear error, the documented exit code, and a store as before.

mod common;

use common::bad_input::{Case, Tools, orders, wait_until};
use common::postgres::{Extra, PASSWORD, Server, shared, unique};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// Runs the asynchronous helpers of the server.
fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn sql(server: &Server, database: &str, text: &str) {
    wait(server.sql(database, text));
}

fn tools(server: &Server) -> String {
    format!("tools = \"{}\"", server.bin.display())
}

/// A case whose source is this URL.
fn case(url: &str) -> Case {
    Case::file(&orders(url, &tools(shared(17))))
}

#[test]
fn a_wrong_password() {
    let case = case(&shared(17).url_as("postgres", "wrong-secret", "postgres"));
    assert_told!(case.fails(4), @r"
    error: orders: HOST refused the password of `postgres`
    hint: check the password; password_file, the URL, PGPASSWORD and the password file are asked in this order
    ");
    assert_told!(case.fails_in_json(4), @r#"{"message_type":"error","schema":1,"kind":"unreachable","message":"HOST refused the password of `postgres`","hint":"check the password; password_file, the URL, PGPASSWORD and the password file are asked in this order","source":"orders"}"#);
    let dry = case.run(&["backup", "orders", "--dry-run"]);
    assert_eq!(dry.code, 4, "{dry:?}");
    assert!(!format!("{dry:?}").contains("wrong-secret"));
}

#[test]
fn a_missing_database() {
    assert_told!(case(&shared(17).url("no such db")).fails(4), @r"
    error: orders: database `no such db` does not exist on HOST
    hint: the server has: DATABASES
    ");
}

#[test]
fn an_unreachable_host() {
    // A port that is bound and does not listen: nobody else gets it meanwhile.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let refused = case(&format!("postgres://backup:hidden@127.0.0.1:{port}/orders?connect_timeout=1"));
    assert_told!(refused.fails(4), @r"
    error: postgres://backup@HOST/orders cannot be reached after 9 tries in 9 s: HOST refuses connections: Connection refused (os error 111)
    hint: check that the server runs and listens on this address
    ");
    let unknown = case("postgres://backup:hidden@no-such-host.invalid/orders?connect_timeout=1");
    let told = unknown.fails(4);
    assert!(told.contains("`no-such-host.invalid` cannot be resolved"), "{told}");
}

#[test]
fn a_role_without_select_on_one_table() {
    let server = shared(17);
    let (database, role) = wait(async { (server.database().await, server.role("").await) });
    sql(
        server,
        &database,
        &format!(
            "CREATE TABLE open(a int); CREATE TABLE \"Closed One\"(a int); GRANT SELECT ON open TO {role}"
        ),
    );
    assert_told!(case(&server.url_as(&role, "role", &database)).fails(4), @r#"
    error: orders: postgres://role@HOST/db would not be backed up whole: privileges: `role` may not read 1 table: public.Closed One
    hint: run GRANT pg_read_all_data TO "role"
    "#);
}

#[test]
fn row_security_that_hides_rows() {
    let server = shared(17);
    let (database, role) = wait(async { (server.database().await, server.role("").await) });
    sql(
        server,
        &database,
        &format!(
            "CREATE TABLE t(a int); INSERT INTO t VALUES (1), (2); GRANT SELECT ON t TO {role};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON t USING (a = 1)"
        ),
    );
    assert_told!(case(&server.url_as(&role, "role", &database)).fails(4), @r#"
    error: orders: postgres://role@HOST/db would not be backed up whole: row security: row-level security hides rows from `role` in 1 table: public.t
    hint: run ALTER ROLE "role" BYPASSRLS as a superuser
    "#);
}

#[test]
fn a_table_that_somebody_has_locked() {
    let server = shared(17);
    let database = wait(server.database());
    sql(server, &database, "CREATE TABLE t(a int)");
    let case = Case::file(&format!(
        "[backup]\nlock_timeout = \"100ms\"\nlock_attempts = 1\n{}",
        orders(&server.url(&database), &tools(server))
    ));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let session = runtime.block_on(server.session(&database));
    runtime.block_on(session.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")).unwrap();
    assert_told!(case.fails(1), @r"
    error: orders: the tables of postgres://postgres@HOST/db could not be locked in 1 attempt: pid N has locked public.t (user postgres, application test, idle in transaction for N s): BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE
    hint: wait until that session ends, end it by SELECT pg_terminate_backend(N), or raise lock_timeout
    ");
}

#[test]
fn ddl_queued_behind_the_holder() {
    let server = shared(17);
    let database = wait(server.database());
    sql(server, &database, "CREATE TABLE t(a int)");
    let paused = Tools::with_pg_dump(&server.bin, "pause; exec \"$real\" \"$@\"");
    let case = Case::file(&format!(
        "[backup]\nlock_timeout = \"300ms\"\nlock_attempts = 1\n{}",
        orders(&server.url(&database), &paused.config())
    ));
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    paused.wait_for_pause(&mut running);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ddl = runtime.block_on(server.session(&database));
    let altering = runtime.spawn(async move { ddl.batch_execute("ALTER TABLE t ADD COLUMN b int").await });
    let watcher = runtime.block_on(server.session(&database));
    wait_until("the DDL waits", || {
        let query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
        let row = runtime.block_on(watcher.query_one(query, &[])).unwrap();
        row.get::<_, i64>(0) == 1
    });
    paused.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_told!(common::bad_input::told(&ran), @r"
    error: orders: the tables of postgres://postgres@HOST/db could not be locked in 1 attempt: pid N waits to lock public.t (user postgres, application test, active for N s): ALTER TABLE t ADD COLUMN b int
    hint: wait until that session ends, end it by SELECT pg_terminate_backend(N), or raise lock_timeout
    ");
    case.assert_untouched();
    // The backup let go, so the change went through.
    runtime.block_on(altering).unwrap().unwrap();
}

/// A server with a certificate for `localhost`, and the file of its authority.
fn encrypted(expired: bool) -> (Server, tempfile::TempDir) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if expired {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    }
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let settings = ["ssl = on", "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'"];
    let server = Server::start(
        17,
        Extra {
            settings: settings.map(String::from).into(),
            hba: Vec::new(),
            files: vec![("server.crt", certificate), ("server.key", key.serialize_pem())],
        },
    );
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("root.crt"), root).unwrap();
    (server, files)
}

#[test]
fn certificates_that_do_not_match_or_have_expired() {
    let (server, files) = encrypted(false);
    let url = |server: &Server, files: &tempfile::TempDir| {
        format!(
            "{}?sslmode=verify-full&sslrootcert={}/root.crt",
            server.url("postgres"),
            files.path().display()
        )
    };
    assert_told!(case(&url(&server, &files)).fails(4), @r"
    error: orders: HOST: the server's certificate is for localhost, not for 127.0.0.1
    hint: use a host name that the certificate lists as subject alternative name, or sslmode=verify-ca
    ");
    drop(server);
    let (server, files) = encrypted(true);
    assert_told!(case(&url(&server, &files).replace("127.0.0.1", "localhost")).fails(4), @r"
    error: orders: LOCALHOST: the server's certificate has expired
    hint: renew the server's certificate; check this machine's clock too
    ");
}

#[test]
fn strange_names_and_passwords_work_and_never_show() {
    let server = shared(17);
    const STRANGE: &str = r"p:@/?#%' \ x";
    let database = format!("a \"b\" = 'c' {}", unique("n"));
    let role = unique("role");
    let quoted = database.replace('"', "\"\"");
    sql(
        server,
        "postgres",
        &format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{}'", STRANGE.replace('\'', "''")),
    );
    sql(server, "postgres", &format!("CREATE DATABASE \"{quoted}\" TEMPLATE template0"));
    sql(server, &database, "CREATE TABLE \"T=1\"(a int); INSERT INTO \"T=1\" SELECT generate_series(1, 10)");
    let paused = Tools::with_pg_dump(&server.bin, "\"$real\" \"$@\" | { head -c 100; pause; cat; }");
    let url = server.url_as(&role, "x", &database).replace(":%78@", "@");
    let more = format!("password_file = \"secret\"\n{}", paused.config());
    let mut case = Case::file(&orders(&url, &more));
    case.world.write("secret", STRANGE);
    let mut running = case.start(&["backup", "orders", "--json", "-v"]);
    paused.wait_for_pause(&mut running);
    // Everything that runs now, as every user of the machine can see it.
    let mut seen = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(process.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        seen += usize::from(line.contains("--format=custom"));
        assert!(!line.contains(STRANGE) && !line.contains("%40%2f%3f"), "{line}");
    }
    assert!(seen > 0, "the dump was not seen");
    paused.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.lines()[0]["rows"], 10);

    let restored = unique("restored");
    let to = server.url_as(&role, "x", &restored).replace(":%78@", "@");
    let secret = case.world.path().join("secret");
    let back =
        case.run(&["restore", "orders", "--to", &to, "--password-file", secret.to_str().unwrap(), "-v"]);
    assert_eq!(back.code, 0, "{back:?}");
    let text = format!("{}{}{}{}", ran.stdout, ran.stderr, back.stdout, back.stderr);
    assert!(!text.contains(STRANGE), "{text}");
    let catalog = case.world.catalog("orders");
    case.remember();
    for key in case.stored().keys() {
        let (bytes, _) = case.world.wait(catalog.store().get(key)).unwrap().unwrap();
        let bytes = if key.ends_with(".zst") { lifeboat_zstd(&bytes) } else { bytes.to_vec() };
        assert!(!String::from_utf8_lossy(&bytes).contains(STRANGE), "{key}");
    }
    sql(server, "postgres", &format!("DROP DATABASE {restored}"));
}

/// The bytes of a zstd stream; what is none stays.
fn lifeboat_zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::decode_all(bytes).unwrap_or_else(|_| bytes.to_vec())
}

#[test]
fn a_password_file_of_the_user_and_a_directory_that_cannot_be_written() {
    let server = shared(17);
    let database = wait(server.database());
    let mut case = case(&format!("postgres://postgres@127.0.0.1:{}/{database}", server.port));
    let told = case.fails(4);
    assert_told!(told, @r"
    error: orders: HOST wants a password for `postgres`
    hint: give it by password_file, PGPASSWORD or a password file (PGPASSFILE)
    ");
    let home = case.world.path().to_owned();
    let escaped = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    case.world.write(".pgpass", &format!("127.0.0.1:*:{database}:postgres:{escaped}\n"));
    let pgpass = home.join(".pgpass");
    std::fs::set_permissions(&pgpass, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    case.environment.push(("HOME".to_owned(), home.display().to_string()));
    // An empty database is a backup, too.
    let ran = case.run(&["backup", "orders", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((&ran.lines()[0]["rows"], &ran.lines()[0]["status"]), (&0.into(), &"committed".into()));
    assert_eq!(case.run(&["verify", "orders"]).code, 0);

    case.remember();
    case.environment.push(("TMPDIR".to_owned(), "/proc/no-such-directory".to_owned()));
    assert_told!(case.fails(1), @r#"
    error: orders: cannot make a private directory in /proc/no-such-directory: No such file or directory (os error 2) at path "/proc/no-such-directory/lifeboat-RANDOM"
    hint: set TMPDIR to a directory that can be written; a few kilobytes are needed
    "#);
}

#[test]
fn nobody_reads_the_output() {
    use std::process::Stdio;
    let server = shared(17);
    let case = case(&server.url(&wait(server.database())));
    let before = case.stored().len();
    let mut child = case.world.command(&["backup", "orders"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(case.stored().len() > before);
}
