use super::*;
use std::time::Duration;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn inputs(url: &str, pairs: &[(&str, &str)]) -> Inputs<'static> {
    Inputs { url: Secret::new(url), variables: variables(pairs), ..Inputs::default() }
}

fn resolved(url: &str, pairs: &[(&str, &str)]) -> Connection {
    resolve(&inputs(url, pairs)).unwrap()
}

fn failed(url: &str) -> Error {
    resolve(&inputs(url, &[])).unwrap_err()
}

#[test]
fn the_url_wins_over_the_service_which_wins_over_variables() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services");
    std::fs::write(&file, "[s]\nhost=from-service\nport=1111\nuser=service\n").unwrap();
    let file = file.display().to_string();
    let pairs = [("PGSERVICEFILE", file.as_str()), ("PGUSER", "env"), ("PGDATABASE", "env"), ("PGPORT", "9")];
    let c = resolved("postgres://url@/?service=s&port=2222", &pairs);
    assert_eq!(c.to_string(), "postgres://url@from-service:2222/env");
}

#[test]
fn the_password_of_the_configuration_wins_and_nothing_shows_it() {
    let mut given = inputs("postgres://u:from-url@h/d", &[("PGPASSWORD", "from-env")]);
    let password = |given: &Inputs<'_>| resolve(given).unwrap().hosts[0].password.clone();
    assert_eq!(password(&given), Some("from-url".into()));
    given.password = Some("from-config".into());
    assert_eq!(password(&given), Some("from-config".into()));
    given.password = None;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "from file\n").unwrap();
    given.password_file = Some(&file);
    assert_eq!(password(&given), Some("from file".into()));
    let shown = format!("{given:?} {:?} {}", resolve(&given).unwrap(), resolve(&given).unwrap());
    assert!(!shown.contains("from-url") && !shown.contains("from file"), "{shown}");
    std::fs::write(&file, "\n").unwrap();
    assert!(resolve(&given).unwrap_err().message().ends_with("is empty"));
}

#[test]
fn hosts_ports_and_addresses_are_paired() {
    let c = resolved("postgres://u@a:1,b:2/d?hostaddr=10.0.0.1,::1", &[]);
    assert_eq!(c.hosts[1].to_string(), "b:2");
    assert_eq!(c.hosts[1].addr, Some("::1".parse().unwrap()));
    assert_eq!(resolved("host=a,b port=7 user=u", &[]).to_string(), "postgres://u@a:7,b:7/u");
    assert_eq!(resolved("hostaddr=::1 user=u", &[]).to_string(), "postgres://u@[::1]:5432/u");
    let socket = resolved("postgres://u@%2Fsome%2Fdir:5433/d", &[]);
    assert_eq!(socket.hosts[0].name, HostName::Socket("/some/dir".into()));
    assert_eq!(failed("host=a,b,c port=1,2 user=u").message(), "3 hosts but 2 ports");
    assert_eq!(failed("host=a hostaddr=::1,::2 user=u").message(), "1 hosts but 2 host addresses");
    assert!(failed("postgres://u:hunter2/x@h/d").message().contains("the port"));
    assert!(!format!("{:?}", failed("postgres://u:hunter2/x@h/d")).contains("hunter2"));
}

#[test]
fn pgpass_is_asked_for_each_host() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".pgpass");
    std::fs::write(&file, "a:5432:d:u:one\nb:*:*:*:two\nlocalhost:*:*:*:three\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let home = dir.path().display().to_string();
    let c = resolved("postgres://u@a,b,c,%2Ftmp/d", &[("HOME", &home)]);
    let passwords: Vec<_> = c.hosts.iter().map(|host| host.password.clone()).collect();
    assert_eq!(passwords, [Some("one".into()), Some("two".into()), None, Some("three".into())]);

    let env = c.environment(&variables(&[]), "").unwrap();
    let text = std::fs::read_to_string(&env.variables()["PGPASSFILE"]).unwrap();
    assert_eq!(text, "a:5432:*:u:one\nb:5432:*:u:two\nlocalhost:5432:*:u:three\n");
}

#[test]
fn tls_follows_libpq() {
    assert_eq!(resolved("postgres://u@h", &[]).tls.mode, Mode::Prefer);
    assert_eq!(resolved("postgres://u@h", &[("PGSSLMODE", "require")]).tls.mode, Mode::Require);
    let system = resolved("postgres://u@h?sslrootcert=system", &[]);
    assert_eq!((system.tls.mode, system.tls.roots), (Mode::VerifyFull, Roots::System));
    assert!(failed("postgres://u@h?sslrootcert=system&sslmode=require").hint_text().is_some());
    assert!(failed("postgres://u@h?sslmode=verify-full").message().contains("needs a root certificate"));
    assert!(failed("postgres://u@h?sslmode=verify_full").hint_text().unwrap().contains("verify-full"));
    assert!(failed("postgres://u@h?sslcert=/c").message().contains("has no key"));
    assert!(failed("postgres://u@h?sslnegotiation=direct").hint_text().is_some());
    let one = resolved("postgres://u@h?ssl_min_protocol_version=TLSv1.3", &[]).tls;
    assert!(!one.tls12 && one.tls13);

    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".postgresql")).unwrap();
    let root = dir.path().join(".postgresql/root.crt");
    std::fs::write(&root, "").unwrap();
    let home = dir.path().display().to_string();
    let c = resolved("postgres://u@h?sslmode=require", &[("HOME", &home)]);
    assert_eq!(c.tls.roots, Roots::File(root));
}

#[test]
fn a_child_gets_the_connection_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    let c = resolved("postgres://u:s3cret@h:6000/d?options=-c%20a%3Db", &[]);
    let process = variables(&[
        ("PATH", "/bin"),
        ("PGPASSWORD", "other"),
        ("PGSYSCONFDIR", "/x"),
        ("AWS_SECRET_ACCESS_KEY", "k"),
    ]);
    let env = c.environment(&process, "-c timezone=UTC").unwrap();
    let v = env.variables().clone();
    assert_eq!((v["PGHOST"].as_str(), v["PGPORT"].as_str()), ("h", "6000"));
    assert_eq!(v["PGOPTIONS"], "-c a=b -c timezone=UTC");
    assert_eq!((v["PATH"].as_str(), v["LC_ALL"].as_str()), ("/bin", "C"));
    for absent in ["PGPASSWORD", "PGSYSCONFDIR", "AWS_SECRET_ACCESS_KEY", "PGHOSTADDR"] {
        assert!(!v.contains_key(absent), "{absent}");
    }
    assert!(!format!("{env:?}").contains("s3cret"));
    let file = PathBuf::from(&v["PGPASSFILE"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "*:*:*:*:s3cret\n");
    assert!(std::fs::read_to_string(&v["PGSERVICEFILE"]).unwrap().contains("keepalives_idle=60\n"));
    drop(env);
    assert!(!file.exists());
}

#[test]
fn a_pinned_connection_has_one_host_with_its_address() {
    let c = resolved("postgres://u@a,b/d?target_session_attrs=standby&load_balance_hosts=random", &[]);
    let pinned = c.pinned(&c.hosts[1], Some("10.0.0.9".parse().unwrap()));
    assert_eq!(pinned.with_database("x").to_string(), "postgres://u@b:5432/x");
    let env = pinned.environment(&variables(&[]), "").unwrap();
    assert_eq!(env.variables()["PGHOSTADDR"], "10.0.0.9");
    assert_eq!(env.variables()["PGTARGETSESSIONATTRS"], "any");
}

#[test]
fn times_and_names_have_defaults() {
    let c = resolved("user=u connect_timeout=1 tcp_user_timeout=500", &[("PGAPPNAME", "nightly")]);
    assert_eq!(c.connect_timeout, Duration::from_secs(2));
    assert_eq!(c.keepalives.user_timeout, Duration::from_millis(500));
    assert_eq!(c.application_name, "nightly");
    assert_eq!(resolved("user=u", &[]).application_name, "lifeboat");
    assert!(failed("user=u connect_timeout=soon").message().contains("`soon`"));
}
