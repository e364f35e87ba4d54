//! Logins, encryption and roles of MongoDB sources; secrets are in nothing that others see.

mod common;

use std::path::Path;

use common::cli::World;
use common::fingerprint_mongo::db_hash;
use common::mongo::{Mongod, Options, ROOT_PASSWORD, standalone};
use common::mongo_world::{
    eventually, fail, manifest, only_databases, run_beside, runtime, source, succeed, world, wrapped,
};
use common::postgres::unique;
use mongodb::bson::doc;

const PASSWORD: &str = r#"p@ss:w/o?r#d %41&"'\ ü$"#;

async fn shop(server: &Mongod) {
    let client = server.client().await;
    for name in ["shop", "other"] {
        client.database(name).collection("orders").insert_one(doc! { "_id": 1 }).await.unwrap();
    }
}

/// Every text in all files below.
fn texts(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        match entry.path().is_dir() {
            true => texts(&entry.path(), found),
            false => found.push(String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned()),
        }
    }
}

/// The arguments and the environment of all processes.
fn processes() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbered = processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    let read = |path: std::path::PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    };
    numbered
        .flat_map(|entry| [read(entry.path().join("cmdline")), read(entry.path().join("environ"))])
        .collect()
}

fn assert_secret(texts: &[String]) {
    let encoded: String = PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let json = serde_json::to_string(PASSWORD).unwrap();
    let secrets = [PASSWORD, &encoded, json.trim_matches('"'), "p%40ss%3Aw%2Fo", "p@ss:w"];
    for secret in secrets {
        let told = texts.iter().find(|text| text.contains(secret));
        assert_eq!(told.map(|text| text.chars().take(500).collect::<String>()), None, "{secret}");
    }
}

#[test]
fn a_password_with_odd_characters_goes_to_the_server_alone() {
    let runtime = runtime();
    let server = Mongod::start(Options { auth: true, members: 1, ..Options::default() });
    runtime.block_on(async {
        shop(&server).await;
        server.create_user("admin", "backup", PASSWORD, vec!["backup".into()], vec![]).await;
    });
    let world = world("");
    world.write("password", &format!("{PASSWORD}\n"));
    let held = format!(
        "touch {0}/begun; until [ -e {0}/go ]; do sleep 0.02; done; exec $REAL \"$@\"",
        world.path().display()
    );
    let tools = wrapped(&world, "mongodump", &held);
    let bare = format!("mongodb://backup@127.0.0.1:{}/?authSource=admin", server.port(0));
    let by_file = format!("password_file = \"{}/password\"\ntools = \"{tools}\"", world.path().display());
    let by_url = server.url_as("backup", PASSWORD, "admin");
    let sources = format!("{}{}", source("file", &bare, &by_file), source("url", &by_url, ""));
    let config = format!("[store]\nurl = \"{}\"\n{sources}", world.store_url());
    world.write("lifeboat.toml", &config);

    let ran = std::thread::scope(|scope| {
        let backup =
            scope.spawn(|| run_beside(&world, &["backup", "file", "--log-format", "json", "-vv", "--json"]));
        eventually("the dump's start", || world.path().join("begun").exists() || backup.is_finished());
        assert!(!backup.is_finished(), "{:#?}", backup.join().unwrap());
        let seen = processes();
        assert!(seen.iter().any(|text| text.contains("mongodump")), "the dump was not seen");
        assert_secret(&seen);
        world.write("go", "");
        backup.join().unwrap()
    });
    assert_eq!(ran.code, 0, "{ran:#?}");
    let mut told = vec![ran.stdout, ran.stderr];
    for arguments in [
        &["backup", "url", "-vv"][..],
        &["show", "file", "--json"],
        &["drill", "file", "--staging", "ephemeral", "--json"],
        &["drill", "url", "--staging", &by_url],
        &["restore", "url", "--to", &by_url],
        &["doctor", "-v"],
        &["config", "show"],
    ] {
        let ran = run_beside(&world, arguments);
        told.extend([ran.stdout, ran.stderr]);
    }
    texts(&world.path().join("store"), &mut told);
    assert!(told.iter().any(|text| text.contains(".passed.json") || text.contains("\"passed\"")));
    assert_secret(&told);

    // A wrong one is an error that does not tell it.
    world.write("password", "wrong p@ss:w0rd\n");
    let said = fail(&world, &["backup", "file"], 4, &["refuses the login", "authSource"]);
    assert!(!said.contains("wrong p@ss"), "{said}");
}

#[test]
fn roles_that_are_too_small_are_named() {
    let runtime = runtime();
    let server = Mongod::start(Options { auth: true, members: 1, ..Options::default() });
    let users = [
        ("backs", "backup", "admin"),
        ("reads_any", "readAnyDatabase", "admin"),
        ("reads_one", "read", "shop"),
    ];
    runtime.block_on(async {
        shop(&server).await;
        for (name, role, database) in users {
            server.create_user(database, name, "pw", vec![role.into()], vec![]).await;
        }
    });
    let [backs, reads_any, reads_one] = users.map(|(name, _, database)| server.url_as(name, "pw", database));
    let some = only_databases("one", &["shop"]);
    let world = world(&format!(
        "{}{}{}{}",
        source("all", &backs, ""),
        source("any", &reads_any, ""),
        source("part", &reads_one, ""),
        source("one", &reads_one, &some)
    ));
    assert_eq!(succeed(&world, &["backup", "all"])["consistency"], "consistent");
    let said = fail(
        &world,
        &["backup", "any"],
        4,
        &["not authorized on config to execute command listCollections", "role backup"],
    );
    assert!(!said.contains("pw@"), "{said}");
    fail(
        &world,
        &["backup", "part"],
        4,
        &["sees only a part of the server", "read@shop", "options.databases"],
    );
    let message = succeed(&world, &["backup", "one"]);
    assert_eq!(message["consistency"], "fuzzy", "{message}");
    assert!(manifest(&world, "one")["warnings"].to_string().contains("may not read the oplog"));
    let name = unique("shop");
    succeed(&world, &["restore", "one", "--to", &standalone().url(), "--to-database", &name]);
    runtime.block_on(async {
        let (here, there) = (server.client().await, standalone().client().await);
        assert_eq!(db_hash(&here, "shop").await, db_hash(&there, &name).await);
    });
    // A restore needs more than a backup.
    let to = ["restore", "all", "--to", &reads_one, "--map", "shop=shop2", "--map", "other=other2"];
    let said = fail(&world, &to, 4, &["not authorized", "restore"]);
    assert!(!said.contains(ROOT_PASSWORD), "{said}");
}

#[test]
fn encrypted_connections_with_and_without_a_certificate_of_the_client() {
    let runtime = runtime();
    let server = Mongod::start(Options { auth: true, tls: true, members: 1, ..Options::default() });
    let certificate = server.client_certificate("backup client");
    runtime.block_on(async {
        shop(&server).await;
        let user = doc! { "createUser": "CN=backup client", "roles": [{ "role": "backup", "db": "admin" }], "writeConcern": { "w": "majority" } };
        server.command("$external", user).await;
    });
    let x509 = format!(
        "mongodb://127.0.0.1:{}/?replicaSet=rs0&tls=true&tlsCAFile={}&tlsCertificateKeyFile={}&authMechanism=MONGODB-X509&authSource=%24external",
        server.port(0),
        server.certificates().display(),
        certificate.display()
    );
    let plain = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=500", server.port(0));
    let unknown = format!("{plain}&tls=true");
    let world: World = world(&format!(
        "{}{}{}{}",
        source("ca", &server.url(), ""),
        source("x509", &x509, ""),
        source("plain", &plain, ""),
        source("unknown", &unknown, "")
    ));
    for name in ["ca", "x509"] {
        assert_eq!(succeed(&world, &["backup", name])["consistency"], "consistent");
        let new = unique(name);
        let map = [format!("shop={new}"), format!("other={new}_other")];
        let to = server.url();
        succeed(&world, &["restore", name, "--to", &to, "--map", &map[0], "--map", &map[1]]);
        runtime.block_on(async {
            let client = server.client().await;
            assert_eq!(db_hash(&client, "shop").await, db_hash(&client, &new).await);
            client.database(&new).drop().await.unwrap();
            client.database(&format!("{new}_other")).drop().await.unwrap();
        });
    }
    fail(&world, &["backup", "plain"], 4, &["cannot be reached"]);
    fail(&world, &["backup", "unknown"], 4, &["secure connection", "tlsCAFile"]);
}
