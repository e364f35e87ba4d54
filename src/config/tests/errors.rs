//! Every error of the configuration, word for word.

use super::*;

/// The error of a file that has a source, followed by this.
fn with_source(more: &str) -> String {
    Room::new(&format!("{SOURCE}{more}\n")).error()
}

fn with_store(more: &str) -> String {
    Room::new(&format!("{STORE}{more}\n")).error()
}

#[test]
fn no_file() {
    insta::assert_snapshot!(Room::empty().error(), @r"
    no configuration: neither lifeboat.toml nor etc/lifeboat.toml exists (exit 3)
    hint: write lifeboat.toml, name one with --config, or set LIFEBOAT_STORE_URL and LIFEBOAT_SOURCE_<NAME>_URL
    ");
    insta::assert_snapshot!(Room::empty().env("LIFEBOAT_CONFIG", "gone.toml").error(), @r"
    there is no configuration file gone.toml (named by LIFEBOAT_CONFIG) (exit 3)
    hint: correct or unset LIFEBOAT_CONFIG
    ");
    let mut room = Room::empty();
    room.request.explicit_path = Some("gone.toml".into());
    insta::assert_snapshot!(room.error(), @r"
    there is no configuration file gone.toml (named by --config) (exit 3)
    hint: name a file that exists with --config
    ");
    room.request.explicit_path = Some(".".into());
    insta::assert_snapshot!(room.error(), @r"
    cannot read .: Is a directory (os error 21) (exit 3)
    hint: check that it is a file and that this user may read it
    ");
    let room = Room::empty();
    room.write("lifeboat.toml", b"\xff");
    insta::assert_snapshot!(room.error(), @r"
    lifeboat.toml is not UTF-8 text (exit 3)
    hint: save the file in UTF-8
    ");
}

#[test]
fn not_toml() {
    let error = with_source("password_file = \"geheim");
    assert!(!error.contains("geheim"), "{error}");
    insta::assert_snapshot!(error, @r#"
    lifeboat.toml:7:24: not TOML: invalid basic string, expected `"` (exit 3)
    hint: correct the line; text values stand in double quotes
    "#);
    insta::assert_snapshot!(with_source("engine = \"postgres\""), @r"
    lifeboat.toml:7:1: not TOML: duplicate key (exit 3)
    hint: correct the line; text values stand in double quotes
    ");
    insta::assert_snapshot!(with_source("labels = { a = 99999999999999999999 }"), @r"
    lifeboat.toml:7:16: the number is out of range (exit 3)
    hint: give a number that fits into 64 bits, or put a text in double quotes
    ");
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(with_source("polciy = \"standard\""), @r"
    lifeboat.toml:7:1: unknown key `polciy` in [sources.orders] (exit 3)
    hint: did you mean `policy`?
    ");
    insta::assert_snapshot!(with_source("[retension]\ndaily = 7"), @r"
    lifeboat.toml:7:2: unknown key `retension` (exit 3)
    hint: did you mean `retention`?
    ");
    insta::assert_snapshot!(with_source("daily = 7"), @r"
    lifeboat.toml:7:1: unknown key `daily` in [sources.orders] (exit 3)
    hint: `daily` belongs in [retention]
    ");
    insta::assert_snapshot!(with_store("bucket = \"acme\""), @r"
    lifeboat.toml:3:1: unknown key `bucket` in [store] (exit 3)
    hint: known keys: url, endpoint, region, path_style, checksums, conditional_writes, part_size, uploads_in_flight, access_key_id_file, secret_access_key_file, ca_file
    ");
    insta::assert_snapshot!(with_store("password_file = \"x\""), @r"
    lifeboat.toml:3:1: unknown key `password_file` in [store] (exit 3)
    hint: `password_file` belongs in [sources.NAME]
    ");
    insta::assert_snapshot!(with_policy("[retention]\ndaily = 7\nweeky = 4"), @r"
    policies/p.toml:3:1: unknown key `weeky` in [retention] (exit 3)
    hint: did you mean `weekly`?
    ");
    insta::assert_snapshot!(with_policy("url = \"s3://x\""), @r"
    policies/p.toml:1:1: unknown key `url` (exit 3)
    hint: known keys: retention, objectives, drill, shrink
    ");
    insta::assert_snapshot!(with_policy("[store]\nurl = \"s3://x\""), @r"
    policies/p.toml:1:2: unknown key `store` (exit 3)
    hint: known keys: retention, objectives, drill, shrink
    ");
    insta::assert_snapshot!(with_source("[policies.short.retention]\nmonthy = 1"), @r"
    lifeboat.toml:8:1: unknown key `monthy` in [policies.short.retention] (exit 3)
    hint: did you mean `monthly`?
    ");
}

#[test]
fn passwords_in_the_file() {
    let error = with_source("password = \"geheim\"");
    assert!(!error.contains("geheim"), "{error}");
    insta::assert_snapshot!(error, @r"
    lifeboat.toml:7:1: sources.orders.password: a password does not belong in this file (exit 3)
    hint: use password_file or password_env, or set LIFEBOAT_SOURCE_ORDERS_PASSWORD
    ");
    insta::assert_snapshot!(with_source("[sources.orders.staging]\npassword = \"geheim\""), @r"
    lifeboat.toml:8:1: sources.orders.staging.password: a password does not belong in this file (exit 3)
    hint: use password_file or password_env, or set LIFEBOAT_SOURCE_ORDERS_STAGING_PASSWORD
    ");
}

#[test]
fn sections_and_names() {
    insta::assert_snapshot!(with_source("[sources.Orders]"), @r#"
    lifeboat.toml:7:10: "Orders" cannot be the name of a source (exit 3)
    hint: names begin with a-z or 0-9, go on with a-z, 0-9, _ and -, and have at most 63 letters
    "#);
    insta::assert_snapshot!(with_source("[policies.\"a/b\"]"), @r#"
    lifeboat.toml:7:11: "a/b" cannot be the name of a policy (exit 3)
    hint: names begin with a-z or 0-9, go on with a-z, 0-9, _ and -, and have at most 63 letters
    "#);
    insta::assert_snapshot!(Room::new("store = \"s3://acme\"\n").error(), @r"
    lifeboat.toml:1:1: store is a section, not a text (exit 3)
    hint: write its keys below a line [store]
    ");
    insta::assert_snapshot!(Room::new("[sources]\norders = \"postgres://db/x\"\n").error(), @r"
    lifeboat.toml:2:1: sources.orders is a section, not a text (exit 3)
    hint: write its keys below a line [sources.orders]
    ");
    insta::assert_snapshot!(with_source("[policies.none]"), @r#"
    lifeboat.toml:7:11: a policy cannot be named none (exit 3)
    hint: `policy = "none"` means that a source has none; choose another name
    "#);
}

#[test]
fn what_is_missing() {
    insta::assert_snapshot!(Room::new("[backup]\nthreads = 1\n").error(), @r#"
    lifeboat.toml: store.url is missing (exit 3)
    hint: add `url = "s3://bucket/prefix"` to [store], or set LIFEBOAT_STORE_URL
    "#);
    insta::assert_snapshot!(with_store("[sources.a]\nurl = \"postgres://db/x\""), @r#"
    lifeboat.toml:3:10: source a has no engine (exit 3)
    hint: add `engine = "postgres"` to [sources.a], or set LIFEBOAT_SOURCE_A_ENGINE
    "#);
    insta::assert_snapshot!(with_store("[sources.a]\nengine = \"postgres\""), @r#"
    lifeboat.toml:3:10: source a has no url (exit 3)
    hint: add `url = "postgres://user@host/database"` to [sources.a], or set LIFEBOAT_SOURCE_A_URL
    "#);
    insta::assert_snapshot!(with_source("[sources.orders.staging]\ntools = \"x\""), @r#"
    lifeboat.toml:7:17: the staging of source orders has no url (exit 3)
    hint: add `url = "ephemeral"` for a throwaway local server, or the URL of a staging server
    "#);
    insta::assert_snapshot!(with_store("access_key_id_file = \"id\""), @r"
    lifeboat.toml:3:1: store.access_key_id_file is given without store.secret_access_key_file (exit 3)
    hint: give both files, or neither to get credentials the usual way of AWS
    ");
    insta::assert_snapshot!(with_store("secret_access_key_file = \"key\""), @r"
    lifeboat.toml:3:1: store.secret_access_key_file is given without store.access_key_id_file (exit 3)
    hint: give both files, or neither to get credentials the usual way of AWS
    ");
}

#[test]
fn wrong_values() {
    insta::assert_snapshot!(with_store("path_style = \"yes\""), @r#"
    lifeboat.toml:3:1: store.path_style must be true or false, not "yes" (exit 3)
    hint: write true or false, without quotes
    "#);
    insta::assert_snapshot!(with_store("checksums = \"when-required\""), @r#"
    lifeboat.toml:3:1: store.checksums must be one of when_supported, when_required, not "when-required" (exit 3)
    hint: did you mean "when_required"?
    "#);
    insta::assert_snapshot!(with_store("checksums = 1"), @r"
    lifeboat.toml:3:1: store.checksums must be one of when_supported, when_required, not 1 (exit 3)
    hint: use one of these words, in double quotes
    ");
    insta::assert_snapshot!(with_store("part_size = \"1MiB\""), @r#"
    lifeboat.toml:3:1: store.part_size must be a size from 5MiB to 5GiB, not "1MiB" (exit 3)
    hint: a size is a number with its unit, such as "8MiB" or "64MB"
    "#);
    insta::assert_snapshot!(with_store("part_size = \"big\""), @r#"
    lifeboat.toml:3:1: store.part_size must be a size from 5MiB to 5GiB, not "big" (exit 3)
    hint: a size is a number with its unit, such as "8MiB" or "64MB"
    "#);
    insta::assert_snapshot!(with_store("uploads_in_flight = 0"), @r"
    lifeboat.toml:3:1: store.uploads_in_flight must be a whole number from 1 to 64, not 0 (exit 3)
    hint: correct the number; it stands without quotes
    ");
    insta::assert_snapshot!(with_store("region = 1"), @r"
    lifeboat.toml:3:1: store.region must be a text, not 1 (exit 3)
    hint: put the value in double quotes
    ");
    insta::assert_snapshot!(with_store("region = \"\""), @r"
    lifeboat.toml:3:1: store.region: the value is empty (exit 3)
    hint: give a value, or remove the key
    ");
    insta::assert_snapshot!(with_store("[backup]\nlock_timeout = 10"), @r#"
    lifeboat.toml:4:1: backup.lock_timeout must be a duration, not 10 (exit 3)
    hint: a duration is a number with its unit, such as "90s", "12h" or "30d"
    "#);
    insta::assert_snapshot!(with_store("[backup]\nlock_timeout = \"0s\""), @r#"
    lifeboat.toml:4:1: backup.lock_timeout must be a duration, not "0s" (exit 3)
    hint: give more than nothing
    "#);
    insta::assert_snapshot!(with_store("[backup]\ncompression_level = 22"), @r"
    lifeboat.toml:4:1: backup.compression_level must be a whole number from 1 to 19, not 22 (exit 3)
    hint: correct the number; it stands without quotes
    ");
    insta::assert_snapshot!(with_source("labels = \"x\""), @r#"
    lifeboat.toml:7:1: sources.orders.labels must be a table, not "x" (exit 3)
    hint: write `labels = { team = "payments" }`
    "#);
    insta::assert_snapshot!(with_source("labels = { team = 1 }"), @r"
    lifeboat.toml:7:19: label team must be a text, not a whole number (exit 3)
    hint: put the value in double quotes
    ");
    insta::assert_snapshot!(with_source("options = \"x\""), @r#"
    lifeboat.toml:7:1: sources.orders.options must be a table, not "x" (exit 3)
    hint: write options below [sources.orders.options]
    "#);
    insta::assert_snapshot!(Room::new(&format!("policy_dir = \"gone\"\n{STORE}")).error(), @r#"
    lifeboat.toml:1:1: policy_dir must be a directory, not "gone" (exit 3)
    hint: make the directory, or correct its path
    "#);
}

#[test]
fn wrong_urls() {
    insta::assert_snapshot!(Room::new("[store]\nurl = \"acme\"\n").error(), @r"
    lifeboat.toml:2:1: store.url: this is not the URL of a store (exit 3)
    hint: use s3://bucket/prefix, file:///absolute/path, or memory: for a trial
    ");
    insta::assert_snapshot!(Room::new("[store]\nurl = \"file://relative\"\n").error(), @r"
    lifeboat.toml:2:1: store.url: this is not the URL of a store (exit 3)
    hint: use s3://bucket/prefix, file:///absolute/path, or memory: for a trial
    ");
    insta::assert_snapshot!(Room::new("[store]\nurl = \"s3://acme?x=y\"\n").error(), @r"
    lifeboat.toml:2:1: store.url: a store's URL has no query or fragment (exit 3)
    hint: use s3://bucket/prefix, file:///absolute/path, or memory: for a trial
    ");
    insta::assert_snapshot!(Room::new("[store]\nurl = \"s3://AKIA:geheim@acme\"\n").error(), @r"
    lifeboat.toml:2:1: store.url: credentials do not belong in the URL of the store (exit 3)
    hint: give them the usual way of AWS, or with access_key_id_file and secret_access_key_file
    ");
    insta::assert_snapshot!(with_store("endpoint = \"s3.example.com\""), @r"
    lifeboat.toml:3:1: store.endpoint: an endpoint begins with https:// or http:// (exit 3)
    hint: write it as https://s3.example.com
    ");
    insta::assert_snapshot!(with_store("endpoint = \"https://u:geheim@s3.example.com\""), @r"
    lifeboat.toml:3:1: store.endpoint: credentials do not belong in the endpoint (exit 3)
    hint: write it as https://s3.example.com
    ");
    let error = with_store("[sources.a]\nengine = \"postgres\"\nurl = \"postgres://u:ge/heim@db/x\"");
    assert!(!error.contains("heim"), "{error}");
    insta::assert_snapshot!(error, @r"
    lifeboat.toml:5:1: sources.a.url: special characters of a password (such as @ / ? # :) have to be percent-encoded (exit 3)
    hint: write scheme://user@host:port/database, the password apart
    ");
    insta::assert_snapshot!(with_store("[sources.a]\nengine = \"postgres\"\nurl = \"host=db password=geheim\""), @r"
    lifeboat.toml:5:1: sources.a.url: it does not begin with a scheme such as postgres:// (exit 3)
    hint: write scheme://user@host:port/database, the password apart
    ");
}

#[test]
fn policies_that_are_not_there() {
    let room = Room::new(&format!("{SOURCE}policy = \"standart\"\n[policies.inline]\n"));
    room.write("policies/standard.toml", "");
    room.write("etc/policies/short.toml", "");
    room.write("policies/README.md", "");
    insta::assert_snapshot!(room.error(), @r"
    lifeboat.toml:7:1: source orders: there is no policy `standart` in policies, etc/policies (exit 3)
    hint: did you mean `standard`? found: inline, short, standard
    ");
    insta::assert_snapshot!(with_source("policy = \"gold\""), @r"
    lifeboat.toml:7:1: source orders: there is no policy `gold` in policies, etc/policies (exit 3)
    hint: policies found: none
    ");
    insta::assert_snapshot!(with_source("policy = \"../secrets\""), @r#"
    lifeboat.toml:7:1: sources.orders.policy must be the name of a policy, not "../secrets" (exit 3)
    hint: names begin with a-z or 0-9, go on with a-z, 0-9, _ and -, and have at most 63 letters
    "#);
}

#[test]
fn passwords_that_cannot_be_read() {
    let room = Room::new(&format!("{SOURCE}password_file = \"pw\"\n"));
    let password =
        |room: &Room| room.text_of(&room.load().sources["orders"].database.password().unwrap_err());
    insta::assert_snapshot!(password(&room), @r"
    cannot read the password file of source orders, pw: No such file or directory (os error 2) (exit 3)
    hint: check that the secret is mounted there and that this user may read it
    ");
    room.write("pw", "\n");
    insta::assert_snapshot!(password(&room), @r"
    the password file of source orders, pw, is empty (exit 3)
    hint: write the secret into it
    ");
    room.write("pw", b"\xff");
    insta::assert_snapshot!(password(&room), @r"
    the password file of source orders, pw, is not UTF-8 text (exit 3)
    hint: store the plain secret in it, not an encoded or encrypted form
    ");
    let room = Room::new(&format!("{SOURCE}password_env = \"PGPASSWORD\"\n")).env("PGPASSWORD", "");
    insta::assert_snapshot!(password(&room), @r"
    source orders: the environment has no PGPASSWORD for its password (exit 3)
    hint: set PGPASSWORD, or use password_file
    ");
    insta::assert_snapshot!(with_source("password_file = \"pw\"\npassword_env = \"X\""), @r"
    lifeboat.toml:8: sources.orders.password_env and sources.orders.password_file both give a password (exit 3)
    hint: keep one of them
    ");
    insta::assert_snapshot!(with_source("password_env = \"geheim\""), @r"
    lifeboat.toml:7:1: sources.orders.password_env: this is not the name of an environment variable (exit 3)
    hint: give the variable's name, in upper case: its value is the password
    ");
    let both = Room::new(SOURCE).env("LIFEBOAT_SOURCE_ORDERS_PASSWORD", "x");
    let both = both.env("LIFEBOAT_SOURCE_ORDERS_URL", "postgres://u:p@db/x");
    insta::assert_snapshot!(both.error(), @r"
    LIFEBOAT_SOURCE_ORDERS_PASSWORD: sources.orders.password and sources.orders.url both give a password (exit 3)
    hint: keep one of them
    ");
    let room = Room::new(&format!("{STORE}access_key_id_file = \"id\"\nsecret_access_key_file = \"key\"\n"));
    insta::assert_snapshot!(room.text_of(&room.load().store.credentials().unwrap_err()), @r"
    cannot read the access key id file of the store, id: No such file or directory (os error 2) (exit 3)
    hint: check that the secret is mounted there and that this user may read it
    ");
}

#[test]
fn environment_and_flags() {
    insta::assert_snapshot!(Room::new(SOURCE).env("LIFEBOAT_BACKUP_THREADS", "many").error(), @r#"
    LIFEBOAT_BACKUP_THREADS: backup.threads must be a whole number from 0 to 256, not "many" (exit 3)
    hint: correct the number; it stands without quotes
    "#);
    insta::assert_snapshot!(Room::new(SOURCE).flag("--keep-daily", "retention.daily", "-1").error(), @r#"
    --keep-daily: retention.daily must be a whole number from 0, not "-1" (exit 3)
    hint: correct the number; it stands without quotes
    "#);
    insta::assert_snapshot!(Room::new(SOURCE).flag("--set", "store.ulr", "x").error(), @r"
    --set: there is no setting `store.ulr` (exit 2)
    hint: did you mean `store.url`?
    ");
    insta::assert_snapshot!(Room::new(SOURCE).flag("--set", "colour", "x").error(), @r"
    --set: there is no setting `colour` (exit 2)
    hint: `lifeboat config show` lists the keys
    ");
    insta::assert_snapshot!(Room::new(SOURCE).flag("--set", "sources.orders.password", "x").error(), @r"
    --set: a password is never given on the command line (exit 2)
    hint: use password_file, or set LIFEBOAT_SOURCE_ORDERS_PASSWORD
    ");
    insta::assert_snapshot!(Room::new(SOURCE).flag("--set", "sources.A.url", "x").error(), @r#"
    --set: "A" cannot be the name of a source (exit 2)
    hint: names begin with a-z or 0-9, go on with a-z, 0-9, _ and -, and have at most 63 letters
    "#);
    let twins = "[sources.a-b]\nengine = \"postgres\"\nurl = \"postgres://db/x\"\n[sources.a_b]\nengine = \"postgres\"\nurl = \"postgres://db/x\"\n";
    insta::assert_snapshot!(Room::new(&format!("{STORE}{twins}")).env("LIFEBOAT_SOURCE_A_B_PASSWORD", "x").error(), @r"
    LIFEBOAT_SOURCE_A_B_PASSWORD could mean sources.a-b.password or sources.a_b.password (exit 3)
    hint: rename one of the sources, or set the value in the file
    ");
}

#[test]
fn sources_that_are_not_there() {
    let room = Room::new(SOURCE);
    let config = room.load();
    insta::assert_snapshot!(room.text_of(&config.source("oders").unwrap_err()), @r"
    there is no source `oders` (exit 2)
    hint: did you mean `orders`?
    ");
    insta::assert_snapshot!(room.text_of(&config.source("customers").unwrap_err()), @r"
    there is no source `customers` (exit 2)
    hint: configured sources: orders
    ");
}
