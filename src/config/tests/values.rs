use std::time::Duration;

use super::*;
use crate::secret::Secret;

const FULL: &str = r#"
policy_dir = "rules"

[store]
url = "s3://acme-backups/production"
endpoint = "https://s3.example.com"
region = "eu-central-1"
path_style = true
checksums = "when_required"
conditional_writes = "weak"
part_size = "64MiB"
uploads_in_flight = 2
ca_file = "tls/ca.pem"

[backup]
compression_level = 9
threads = 4
lock_timeout = "30s"
lock_attempts = 3

[sources.orders]
engine = "postgres"
url = "postgres://backup:geheim@db.internal/orders"
tools = "/usr/lib/postgresql/17/bin"
method = "dump"
policy = "standard"
labels = { team = "payments", "app.kubernetes.io/name" = "orders" }

[[sources.orders.checks]]
name = "there are orders"
table = "orders"
at_least = 1

[sources.orders.options]
exclude_tables = ["log"]
proxy_password = "geheim"
deep = { token = "geheim", level = 2 }

[sources.orders.staging]
url = "postgres://drill@staging.internal/postgres"
password_env = "DRILL_PASSWORD"
tools = "tools"
"#;

const STANDARD: &str = r#"
[retention]
timezone = "America/Sao_Paulo"
daily = 7
weekly = 4
within = "2d"

[objectives]
rto = "5m"
rpo = "24h"

[[drill.checks]]
name = "orders are fresh"
query = "select extract(epoch from now() - max(created_at)) from orders"
at_most = 90000
"#;

#[test]
fn a_full_configuration_is_shown_with_its_origins() {
    let room = Room::new(FULL)
        .env("DRILL_PASSWORD", "geheim")
        .env("LIFEBOAT_STORE_REGION", "eu-west-1")
        .env("LIFEBOAT_RETENTION_WEEKLY", "8")
        .flag("--keep-daily", "retention.daily", "14");
    room.write("rules/standard.toml", STANDARD);
    insta::assert_snapshot!(room.show(), @r"
    backup.compression_level = 9  (lifeboat.toml:16)
    backup.lock_attempts = 3  (lifeboat.toml:19)
    backup.lock_timeout = 30s  (lifeboat.toml:18)
    backup.threads = 4  (lifeboat.toml:17)
    metrics.timeout = 5s  (default)
    notify.on = failure  (default)
    notify.timeout = 5s  (default)
    policies.standard.drill.amcheck = auto  (default)
    policies.standard.drill.checks = orders are fresh  (rules/standard.toml:12)
    policies.standard.drill.evidence_keep = 400d  (default)
    policies.standard.objectives.consistency = any  (default)
    policies.standard.objectives.freshness = 1d  (default)
    policies.standard.objectives.rpo = 1d  (rules/standard.toml:10)
    policies.standard.objectives.rto = 5m  (rules/standard.toml:9)
    policies.standard.retention.daily = 14  (--keep-daily)
    policies.standard.retention.timezone = America/Sao_Paulo  (rules/standard.toml:3)
    policies.standard.retention.weekly = 8  (LIFEBOAT_RETENTION_WEEKLY)
    policies.standard.retention.within = 2d  (rules/standard.toml:6)
    policies.standard.shrink.action = warn  (default)
    policies.standard.shrink.share = 50  (default)
    policy_dir = rules  (lifeboat.toml:2)
    sources.orders.checks = there are orders  (lifeboat.toml:29)
    sources.orders.engine = postgres  (lifeboat.toml:22)
    sources.orders.labels = app.kubernetes.io/name=orders, team=payments  (lifeboat.toml:27)
    sources.orders.method = dump  (lifeboat.toml:25)
    sources.orders.options.deep.level = 2  (lifeboat.toml:37)
    sources.orders.options.deep.token = ***  (lifeboat.toml:37)
    sources.orders.options.exclude_tables = a list of 1  (lifeboat.toml:35)
    sources.orders.options.proxy_password = ***  (lifeboat.toml:36)
    sources.orders.policy = standard  (lifeboat.toml:26)
    sources.orders.staging.password_env = DRILL_PASSWORD  (lifeboat.toml:41)
    sources.orders.staging.tools = tools  (lifeboat.toml:42)
    sources.orders.staging.url = postgres://drill@staging.internal/postgres  (lifeboat.toml:40)
    sources.orders.tools = /usr/lib/postgresql/17/bin  (lifeboat.toml:24)
    sources.orders.url = postgres://backup:***@db.internal/orders  (lifeboat.toml:23)
    store.ca_file = tls/ca.pem  (lifeboat.toml:13)
    store.checksums = when_required  (lifeboat.toml:9)
    store.conditional_writes = weak  (lifeboat.toml:10)
    store.endpoint = https://s3.example.com  (lifeboat.toml:6)
    store.part_size = 64MiB  (lifeboat.toml:11)
    store.path_style = true  (lifeboat.toml:8)
    store.region = eu-west-1  (LIFEBOAT_STORE_REGION)
    store.uploads_in_flight = 2  (lifeboat.toml:12)
    store.url = s3://acme-backups/production  (lifeboat.toml:5)
    ");
    insta::assert_snapshot!(room.warnings(), @"lifeboat.toml:23:1: sources.orders.url holds a password; password_file or LIFEBOAT_SOURCE_ORDERS_PASSWORD is safer");
    let debug = format!("{:?} {:?}", room.load(), room.request);
    assert!(!debug.contains("geheim"), "{debug}");
    assert!(!room.show().contains("geheim"));
}

#[test]
fn the_values_are_typed() {
    let room = Room::new(FULL).env("DRILL_PASSWORD", "geheim");
    room.write("rules/standard.toml", STANDARD);
    let config = room.load();
    assert_eq!(config.store.part_size, 64 << 20);
    assert_eq!(config.store.checksums, Checksums::WhenRequired);
    assert_eq!(config.store.conditional_writes, crate::config::ConditionalWrites::Weak);
    assert_eq!(config.store.ca_file, Some(room.path().join("tls/ca.pem")));
    assert_eq!(config.backup.lock_timeout, Duration::from_secs(30));
    let orders = config.source("orders").unwrap();
    assert_eq!(orders.database.url, "postgres://backup@db.internal/orders");
    assert_eq!(orders.database.password().unwrap(), Some(Secret::new("geheim")));
    assert_eq!(orders.tools, Some(PathBuf::from("/usr/lib/postgresql/17/bin")));
    assert_eq!(orders.labels["team"], "payments");
    assert_eq!(orders.options["deep"]["level"].as_integer(), Some(2));
    let staging = orders.staging.as_ref().unwrap();
    assert_eq!(staging.tools, Some(room.path().join("tools")));
    let StagingTarget::Server(database) = &staging.target else { panic!("{staging:?}") };
    assert_eq!(database.password().unwrap(), Some(Secret::new("geheim")));
    let policy = config.policy_for(orders);
    assert_eq!(policy.retention.timezone, chrono_tz::Tz::America__Sao_Paulo);
    assert_eq!((policy.retention.daily, policy.retention.monthly), (Some(7), None));
    assert_eq!(policy.retention.within, Some(Duration::from_secs(2 * 86400)));
    assert_eq!(policy.objectives.freshness, Some(Duration::from_secs(86400)), "as the rpo");
    let checks: Vec<_> =
        policy.drill.checks.iter().map(|check| (check.name.as_str(), check.kind.word())).collect();
    assert_eq!(checks, [("orders are fresh", "sql"), ("there are orders", "rows")]);
}

#[test]
fn defaults_stand_where_nothing_is_said() {
    let room = Room::new(SOURCE);
    insta::assert_snapshot!(room.show(), @r"
    backup.compression_level = 2  (default)
    backup.lock_attempts = 5  (default)
    backup.lock_timeout = 10s  (default)
    backup.threads = 0  (default)
    metrics.timeout = 5s  (default)
    notify.on = failure  (default)
    notify.timeout = 5s  (default)
    policies.none.drill.amcheck = auto  (default)
    policies.none.drill.evidence_keep = 400d  (default)
    policies.none.objectives.consistency = any  (default)
    policies.none.retention.timezone = UTC  (default)
    policies.none.shrink.action = warn  (default)
    policies.none.shrink.share = 50  (default)
    sources.orders.engine = postgres  (lifeboat.toml:5)
    sources.orders.policy = none  (default)
    sources.orders.url = postgres://backup@db/orders  (lifeboat.toml:6)
    store.checksums = when_supported  (default)
    store.conditional_writes = trusted  (default)
    store.part_size = 8MiB  (default)
    store.path_style = false  (default)
    store.uploads_in_flight = 4  (default)
    store.url = s3://acme/production  (lifeboat.toml:2)
    ");
    assert_eq!(room.warnings(), "");
    let config = room.load();
    let policy = config.policy_for(config.source("orders").unwrap());
    assert!(policy.retention.is_empty() && policy.name == NO_POLICY);
    assert_eq!(config.source("orders").unwrap().database.password().unwrap(), None);
}

#[test]
fn the_file_is_looked_for_in_four_places() {
    let with_region = |region: &str| format!("{STORE}region = \"{region}\"\n");
    let mut room = Room::empty();
    let region = |room: &Room| room.load().store.region.unwrap();
    room.write("etc/lifeboat.toml", with_region("system"));
    assert_eq!(region(&room), "system");
    room.write("lifeboat.toml", with_region("here"));
    assert_eq!(region(&room), "here");
    room.write("other/env.toml", with_region("env"));
    room = room.env("LIFEBOAT_CONFIG", "other/env.toml");
    assert_eq!(region(&room), "env");
    room.write("flag.toml", with_region("flag"));
    room.request.explicit_path = Some("flag.toml".into());
    assert_eq!(region(&room), "flag");
    assert_eq!(room.load().file, Some("flag.toml".into()));
}

#[test]
fn environment_wins_over_policy_and_file_and_flags_win_over_all() {
    let file =
        format!("{SOURCE}policy = \"short\"\n[retention]\ndaily = 1\nweekly = 1\nmonthly = 1\nyearly = 1\n");
    let room = Room::new(&file);
    room.write("policies/short.toml", "[retention]\nweekly = 2\nmonthly = 2\nyearly = 2\n");
    let room = room
        .env("LIFEBOAT_RETENTION_MONTHLY", "3")
        .env("LIFEBOAT_RETENTION_YEARLY", "3")
        .env("LIFEBOAT_RETENTION_LAST", "")
        .flag("--keep-yearly", "retention.yearly", "4");
    let config = room.load();
    let retention = &config.sources["orders"].policy.retention;
    let counts = [retention.last, retention.daily, retention.weekly, retention.monthly, retention.yearly];
    assert_eq!(counts, [None, Some(1), Some(2), Some(3), Some(4)]);
}

#[test]
fn policies_are_found_inline_then_in_policy_dir_then_beside_the_file_then_in_the_system() {
    let daily = |room: &Room| room.load().sources["orders"].policy.retention.daily;
    let file = format!("{SOURCE}policy = \"p\"\n");
    let room = Room::new(&file);
    room.write("etc/policies/p.toml", "[retention]\ndaily = 1\n");
    assert_eq!(daily(&room), Some(1));
    room.write("policies/p.toml", "[retention]\ndaily = 2\n");
    assert_eq!(daily(&room), Some(2));
    room.write("rules/p.toml", "[retention]\ndaily = 3\n");
    room.write("lifeboat.toml", format!("policy_dir = \"rules\"\n{file}"));
    assert_eq!(daily(&room), Some(3));
    room.write(
        "lifeboat.toml",
        format!("policy_dir = \"rules\"\n{file}\n[policies.p.retention]\ndaily = 4\n"),
    );
    assert_eq!(daily(&room), Some(4));
    insta::assert_snapshot!(room.warnings(), @"lifeboat.toml:10:11: the policy p of this file hides rules/p.toml");
}

#[test]
fn a_relative_path_begins_where_it_is_written() {
    let room = Room::empty();
    room.write("conf/lifeboat.toml", format!("{SOURCE}password_file = \"pw\"\n"));
    let mut room =
        room.env("LIFEBOAT_CONFIG", "conf/lifeboat.toml").env("LIFEBOAT_SOURCE_ORDERS_TOOLS", "bin");
    room.write("conf/pw", "from the file's directory\n");
    let config = room.load();
    assert_eq!(
        config.sources["orders"].database.password().unwrap(),
        Some(Secret::new("from the file's directory"))
    );
    assert_eq!(config.sources["orders"].tools, Some(room.path().join("bin")));
    room.write("pw2", "from the working directory");
    room = room.env("LIFEBOAT_SOURCE_ORDERS_PASSWORD_FILE", "pw2");
    assert_eq!(
        room.load().sources["orders"].database.password().unwrap(),
        Some(Secret::new("from the working directory"))
    );
}

#[test]
fn one_line_end_is_taken_off_a_password_and_no_more() {
    let room = Room::new(&format!("{SOURCE}password_file = \"pw\"\n"));
    for (content, password) in
        [("a\n", "a"), ("a\r\n", "a"), (" a \n\n", " a \n"), ("a", "a"), ("a\rb", "a\rb")]
    {
        room.write("pw", content);
        assert_eq!(room.load().sources["orders"].database.password().unwrap(), Some(Secret::new(password)));
    }
}

#[test]
fn the_variable_of_a_source_wins_over_its_file() {
    let room = Room::new(&format!("{SOURCE}password_file = \"missing\"\n"))
        .env("LIFEBOAT_SOURCE_ORDERS_PASSWORD", "geheim");
    let config = room.load();
    assert_eq!(config.sources["orders"].database.password().unwrap(), Some(Secret::new("geheim")));
    assert!(!room.show().contains("geheim"));
}

#[test]
fn a_password_in_the_url_of_the_environment_wins_over_the_files() {
    let room = Room::new(&format!("{SOURCE}password_file = \"missing\"\n"))
        .env("LIFEBOAT_SOURCE_ORDERS_URL", "postgres://other:geheim@db2/orders");
    let config = room.load();
    assert_eq!(config.sources["orders"].database.url, "postgres://other@db2/orders");
    assert_eq!(config.sources["orders"].database.password().unwrap(), Some(Secret::new("geheim")));
}

#[test]
fn the_environment_alone_is_a_configuration() {
    let room = Room::empty()
        .env("LIFEBOAT_STORE_URL", "memory:")
        .env("LIFEBOAT_SOURCE_MY_DB_URL", "postgres://u@db/x")
        .env("LIFEBOAT_SOURCE_MY_DB_ENGINE", "postgres")
        .env("LIFEBOAT_SOURCE_MY_DB_PASSWORD", "geheim")
        .env("LIFEBOAT_SOURCE_MY_DB_STAGING_URL", "ephemeral")
        .env("LIFEBOAT_RETENTION_DAILY", "7");
    let config = room.load();
    assert_eq!(config.sources.keys().collect::<Vec<_>>(), ["my_db"]);
    let source = config.source("my_db").unwrap();
    assert_eq!(source.policy.retention.daily, Some(7));
    assert_eq!(source.staging.as_ref().unwrap().target, StagingTarget::Ephemeral);
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.file, None);
}

#[test]
fn checks_of_the_file_the_policy_and_the_source_add_up() {
    let check = |section: &str, name: &str| {
        format!("[[{section}]]\nname = \"{name}\"\ntable = \"t\"\nat_least = 1\n")
    };
    let file = format!(
        "{SOURCE}policy = \"p\"\n{}{}",
        check("sources.orders.checks", "c"),
        check("drill.checks", "a")
    );
    let room = Room::new(&file);
    room.write("policies/p.toml", check("drill.checks", "b"));
    let names = |room: &Room| {
        let checks = &room.load().sources["orders"].policy.drill.checks;
        checks.iter().map(|check| check.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&room), ["a", "b", "c"]);
    room.write("policies/p.toml", check("drill.checks", "c"));
    insta::assert_snapshot!(room.error(), @r#"
    source orders with its policy has two checks named "c" (exit 3)
    hint: give each check a name of its own
    "#);
    room.write("policies/p.toml", check("drill.checks", "a"));
    insta::assert_snapshot!(room.error(), @r#"
    policy p has two checks named "a" (exit 3)
    hint: give each check a name of its own
    "#);
    room.write("policies/p.toml", "");
    assert!(room.show().contains("policies.p.drill.checks = a  (lifeboat.toml:12)"), "{}", room.show());
}

#[test]
fn a_flag_can_add_a_source() {
    let room = Room::new(STORE).flag("--source", "sources.trial.url", "postgres://u@db/x").flag(
        "--engine",
        "sources.trial.engine",
        "postgres",
    );
    assert_eq!(room.load().sources.keys().collect::<Vec<_>>(), ["trial"]);
}

#[test]
fn every_kind_of_check_is_read() {
    let checks = r#"
[[drill.checks]]
name = "a"
query = "select 1"
equals = 1
[[drill.checks]]
name = "b"
kind = "sql"
query = "select 'x'"
equals = "x"
[[drill.checks]]
name = "c"
query = "select true"
equals = true
[[drill.checks]]
name = "d"
query = "select 0.5"
at_most = 0.75
[[drill.checks]]
name = "e"
table = "public.orders"
at_least = 1000
[[drill.checks]]
name = "f"
table = "orders"
column = "created_at"
max_age = "25h"
"#;
    let room = Room::new(&format!("{SOURCE}policy = \"p\"\n"));
    room.write("policies/p.toml", checks);
    let config = room.load();
    let read: Vec<_> = config.sources["orders"]
        .policy
        .drill
        .checks
        .iter()
        .map(|check| format!("{} {}: {}", check.name, check.kind.word(), check.kind))
        .collect();
    insta::assert_snapshot!(read.join("\n"), @r#"
    a sql: query equal to 1
    b sql: query equal to "x"
    c sql: query equal to true
    d sql: query at most 0.75
    e rows: rows of public.orders at least 1000
    f freshness: orders.created_at at most 1day 1h old
    "#);
}

#[test]
fn what_deserves_a_look_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let room = Room::new(&format!(
        "{SOURCE}password_file = \"pw\"\n[sources.orders.staging]\nurl = \"postgres://drill:geheim@db/postgres\"\n"
    ));
    let password = room.write("pw", "x");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut room = room
        .env("LIFEBOAT_STORE_ENDPOINT", "http://s3.example.com")
        .env("LIFEBOAT_STORE_URI", "x")
        .env("LIFEBOAT_SOURCE_ODRERS_PASSWORD", "geheim")
        .env("LIFEBOAT_FROBNICATE", "x")
        .env("LIFEBOAT_TEST_POSTGRES", "x")
        .env("LIFEBOAT_CACHE", "x")
        .env("LIFEBOAT_LOG", "debug")
        .env("HOME", "/root");
    room.request.other_variables = vec!["LIFEBOAT_LOG".to_owned()];
    insta::assert_snapshot!(room.warnings(), @r"
    the environment variable LIFEBOAT_FROBNICATE is ignored, it names no setting
    the environment variable LIFEBOAT_SOURCE_ODRERS_PASSWORD is ignored, it names no setting; did you mean LIFEBOAT_SOURCE_ORDERS_PASSWORD?
    the environment variable LIFEBOAT_STORE_URI is ignored, it names no setting; did you mean LIFEBOAT_STORE_URL?
    LIFEBOAT_STORE_ENDPOINT: store.endpoint is not encrypted; backups travel in the clear, use https://
    sources.orders.password_file: pw is readable by everybody; chmod it to 0400 or 0440
    lifeboat.toml:9:1: sources.orders.staging.url holds a password; password_file or LIFEBOAT_SOURCE_ORDERS_STAGING_PASSWORD is safer
    lifeboat.toml:9:1: the staging of source orders is on the source's own server (db); drills will load it, and do not show that the backup outlives it
    ");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o440)).unwrap();
    assert!(!room.warnings().contains("readable by everybody"));
    insta::assert_snapshot!(Room::new(STORE).warnings(), @"no source is configured; add a section [sources.NAME]");
}

#[test]
fn the_policies_that_come_along_are_good() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for name in ["standard", "short", "regulated"] {
        let room = Room::new(&format!("{SOURCE}policy = \"{name}\"\n"));
        room.write(
            &format!("policies/{name}.toml"),
            std::fs::read(policies.join(format!("{name}.toml"))).unwrap(),
        );
        let config = room.load();
        let policy = config.policy_for(config.source("orders").unwrap());
        assert!(!policy.retention.is_empty(), "{name}");
        assert!(policy.objectives.rto.is_some() && policy.objectives.rpo.is_some(), "{name}");
        assert!(policy.objectives.proven_within.is_some(), "{name}");
    }
}

#[test]
fn the_store_keys_can_come_from_files() {
    let room = Room::new(&format!("{STORE}access_key_id_file = \"id\"\nsecret_access_key_file = \"key\"\n"));
    room.write("id", "AKIA\n");
    room.write("key", "geheim\n");
    let config = room.load();
    assert_eq!(config.store.credentials().unwrap(), Some((Secret::new("AKIA"), Secret::new("geheim"))));
    assert_eq!(Room::new(STORE).load().store.credentials().unwrap(), None);
}
