//! What a MongoDB source that is wrong gets: a clear error, the documented exit code, and a store as before.

mod common;

use std::net::TcpListener;
use std::sync::OnceLock;

use common::bad_input::{Tools, told};
use common::bad_mongo::{
    Silence, assert_clean, case, command, fails, filled, grant, hasty, only, pausing, real, rewrite, run,
    wait, with_tools,
};
use common::kitchen_mongo::fill_biggest;
use common::mongo::{Mongod, Options, ROOT, ROOT_PASSWORD, replica, standalone};
use common::postgres::unique;
use mongodb::bson::{Bson, doc};

/// A server with users and TLS alone; `shop` has two collections.
fn guarded() -> &'static Mongod {
    static SERVER: OnceLock<Mongod> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Mongod::start(Options { auth: true, tls: true, members: 1, ..Options::default() });
        for name in ["orders", "secrets"] {
            command(&server, "shop", doc! { "insert": name, "documents": [{ "_id": 1 }, { "_id": 2 }] });
        }
        server
    })
}

/// The URL of a new user with these roles and privileges.
fn user(name: &str, roles: Vec<Bson>, privileges: Vec<mongodb::bson::Document>) -> String {
    wait(guarded().create_user("admin", name, "pw", roles, privileges));
    hasty(&guarded().url_as(name, "pw", "admin"))
}

#[test]
fn what_is_named_and_is_not_there() {
    let server = standalone();
    let database = filled(server, 1);
    let url = hasty(&server.url());
    assert_told!(fails(&case(&url, &only("nope")), 4), @r"
    error: orders: mongodb://HOST: there is no database nope, or it may not be seen
    hint: check the name in the source's options, and that the user may read nope
    ");
    let collection = format!("options.collections = [\"{database}.nope\"]");
    assert_told!(fails(&case(&url, &collection), 4), @r"
    error: orders: mongodb://HOST: there is no collection db.nope, or it may not be seen
    hint: check the name in the source's options, and that the user may read db.nope
    ");
    // One of two.
    let one = format!("options.databases = [\"{database}\", \"nope\"]");
    assert_told!(fails(&case(&url, &one), 4), @r"
    error: orders: mongodb://HOST: there is no database nope, or it may not be seen
    hint: check the name in the source's options, and that the user may read nope
    ");
    let ran = case(&url, &only("nope")).run(&["backup", "orders", "--json", "--no-progress"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(told(&ran).contains(r#""kind":"unreachable""#), "{ran:?}");
}

#[test]
fn options_that_make_no_sense() {
    let url = hasty(&standalone().url());
    assert_told!(fails(&case(&url, "options.databses = [\"shop\"]"), 3), @r"
    error: orders: the options of a source of the engine mongodb: unknown field `databses`, expected one of `databases`, `collections`, `exclude`, `oplog`, `read_preference`, `parallel_collections`, `stall_timeout_seconds`
    hint: docs/configuration.md lists the options of each engine
    ");
    assert_told!(fails(&case(&url, "method = \"snapshot\""), 3), @r"
    error: orders: the engine mongodb has no method snapshot
    hint: its methods are: dump
    ");
    assert_told!(fails(&case(&url, "options.read_preference = \"fastest\""), 3), @r#"
    error: orders: options.read_preference: "fastest" is not a read preference
    hint: the read preferences are primary, primaryPreferred, secondary, secondaryPreferred, nearest
    "#);
    assert_told!(fails(&case(&url, "options.oplog = \"maybe\""), 3), @r"
    error: orders: the options of a source of the engine mongodb: unknown variant `maybe`, expected one of `auto`, `on`, `off`
    hint: docs/configuration.md lists the options of each engine
    ");
    assert_told!(fails(&case(&url, "options.databases = [\"shop.items\"]"), 3), @r#"
    error: orders: options.databases: "shop.items" is not the name of a database
    hint: give the names alone, as in databases = ["shop"]
    "#);
    assert_told!(fails(&case(&url, "options.oplog = \"on\""), 4), @r"
    error: orders: mongodb://HOST would not be backed up whole: consistency: options.oplog is on, and a standalone server keeps no oplog
    hint: make it a replica set (of one is enough), or leave options.oplog out
    ");
}

#[test]
fn urls_that_make_no_sense() {
    assert_told!(fails(&case("mysql://me:geheim@h/x", ""), 3), @r"
    error: orders: the URL is no connection string of MongoDB: it does not begin with mongodb:// or mongodb+srv://
    hint: write mongodb://user@host:27017/?replicaSet=rs0, the password apart
    ");
    assert_told!(fails(&case("mongodb://me:gehe/im@h", ""), 3), @r"
    error: lifeboat.toml:5:1: sources.orders.url: special characters of a password (such as @ / ? # :) have to be percent-encoded
    hint: write scheme://user@host:port/database, the password apart
    ");
    assert_told!(fails(&case("mongodb://127.0.0.1:1/?readConcernLevel=none&w=x&tls=perhaps", ""), 3), @r"
    error: orders: mongodb://HOST: the URL is not to be used: connection string `tls` option must be a boolean
    hint: look at the options behind the ?; docs/configuration.md names the usual ones
    ");
}

#[test]
fn users_that_see_a_part() {
    let privileges = vec![
        grant(doc! { "db": "shop", "collection": "" }, &["find", "listCollections", "dbStats", "collStats"]),
        grant(doc! { "db": "shop", "collection": "" }, &["listIndexes"]),
    ];
    let part = user("part", vec![], privileges);
    assert_told!(fails(&case(&part, ""), 4), @r"
    error: orders: mongodb://part@HOST would not be backed up whole: privileges: the user sees only a part of the server (its roles: part@admin)
    hint: grant it the role backup on the database admin, or name what it may see in options.databases
    ");
    // What it may see is named: then that is the backup, and it says of what kind.
    let named = case(&part, &only("shop"));
    let ran = run(&named, &["backup", "orders", "--no-progress", "--json"], 0);
    let line = ran.lines().remove(0);
    assert_eq!((line["rows"].as_u64(), line["consistency"].as_str()), (Some(4), Some("fuzzy")), "{line}");
    assert!(line["warnings"].to_string().contains("may not read the oplog"), "{line}");
    assert_clean(&named);
    assert_told!(fails(&case(&part, "options = { databases = [\"shop\"], oplog = \"on\" }"), 4), @r#"
    error: orders: mongodb://part@HOST would not be backed up whole: consistency: the user may not read the oplog (its roles: part@admin)
    hint: grant it the role backup on the database admin, or set options.oplog = "off"
    "#);

    let almost = user(
        "almost",
        vec![],
        vec![
            grant(doc! { "db": "shop", "collection": "" }, &["listCollections", "dbStats"]),
            grant(doc! { "db": "shop", "collection": "orders" }, &["find", "listIndexes"]),
        ],
    );
    assert_told!(fails(&case(&almost, &only("shop")), 4), @r"
    error: orders: mongodb://almost@HOST would not be backed up whole: privileges: the user may not read secrets in shop (its roles: almost@admin)
    hint: grant it the role backup on the database admin, or find on shop
    ");
    let none = user("none", vec![], vec![]);
    assert_told!(fails(&case(&none, ""), 4), @r"
    error: orders: mongodb://none@HOST would not be backed up whole: privileges: the user sees only a part of the server (it has no roles)
    hint: grant it the role backup on the database admin, or name what it may see in options.databases
    ");
    assert_told!(fails(&case(&none, &only("shop")), 4), @r"
    error: orders: mongodb://none@HOST: there is no database shop, or it may not be seen
    hint: check the name in the source's options, and that the user may read shop
    ");
}

#[test]
fn logins_that_are_refused() {
    let server = guarded();
    assert_told!(fails(&case(&hasty(&server.url_anonymous()), ""), 4), @r"
    error: orders: mongodb://HOST wants a login: command listDatabases requires authentication (Unauthorized)
    hint: name a user in the URL, and give its password
    ");
    // mongodump is not even started.
    let tools = Tools::with("mongodump", &real(), ": >\"$(dirname \"$0\")/ran\"");
    let ran = tools.bin.join("ran");
    let wrong = with_tools(tools, &hasty(&server.url_as(ROOT, "wrong-secret", "admin")), "");
    assert_told!(fails(&wrong, 4), @r"
    error: orders: mongodb://root user@HOST refuses the login: SCRAM failure: Authentication failed.
    hint: check user, password and authSource (the database that the user was made in) of the URL
    ");
    let no_such = case(&hasty(&server.url_as("nobody", "wrong-secret", "admin")), "");
    assert_told!(fails(&no_such, 4), @r"
    error: orders: mongodb://nobody@HOST refuses the login: SCRAM failure: Authentication failed.
    hint: check user, password and authSource (the database that the user was made in) of the URL
    ");
    let elsewhere = case(&hasty(&server.url_as(ROOT, ROOT_PASSWORD, "shop")), "");
    assert_told!(fails(&elsewhere, 4), @r"
    error: orders: mongodb://root user@HOST refuses the login: SCRAM failure: Authentication failed.
    hint: check user, password and authSource (the database that the user was made in) of the URL
    ");
    for arguments in [
        &["backup", "orders", "--json", "-vv"][..],
        &["backup", "orders", "--dry-run"],
        &["doctor"],
        &["config", "show"],
    ] {
        let said = wrong.run(arguments);
        assert!(!format!("{said:?}").contains("wrong-secret"), "{said:?}");
        let said = elsewhere.run(arguments);
        let password: String = ROOT_PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert!(!said.stderr.contains(&password) && !said.stderr.contains(ROOT_PASSWORD), "{said:?}");
        assert!(!said.stdout.contains(&password) && !said.stdout.contains(ROOT_PASSWORD), "{said:?}");
    }
    assert!(!ran.exists());
}

#[test]
fn servers_that_cannot_be_reached() {
    // A port that is bound and does not listen: nobody else gets it meanwhile.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let refused = case(&hasty(&format!("mongodb://me:geheim@127.0.0.1:{port}/?")), "");
    assert_told!(fails(&refused, 4), @r"
    error: orders: mongodb://me@HOST cannot be reached: I/O error: Connection refused (os error 111)
    hint: check host and port, the name of the replica set, and the network between
    ");
    let unknown = case(&hasty("mongodb://me:geheim@no-such-host.invalid/?"), "");
    assert_told!(fails(&unknown, 4), @r"
    error: orders: mongodb://me@no-such-host.invalid cannot be reached: I/O error: failed to lookup address information: Name or service not known
    hint: check host and port, the name of the replica set, and the network between
    ");
    let unknown = case("mongodb+srv://me:geheim@no-such-host.invalid/?serverSelectionTimeoutMS=1000", "");
    assert_told!(fails(&unknown, 4), @r#"
    error: orders: mongodb+srv://me@no-such-host.invalid cannot be resolved: DNS error: no records found for Query { name: Name("_mongodb._tcp.no-such-host.invalid."), query_type: SRV, query_class: IN }
    hint: check the host's name; mongodb+srv:// needs its SRV and TXT records
    "#);
    // Takes connections, and never says a word.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = deaf.local_addr().unwrap();
    assert_told!(fails(&case(&hasty(&format!("mongodb://{address}/?")), ""), 4), @r"
    error: orders: mongodb://HOST cannot be reached: nobody answers
    hint: check host and port, the name of the replica set, and the network between
    ");
    // No MongoDB at all.
    let s3 = common::s3::server().endpoint.replace("http://", "mongodb://");
    assert_told!(fails(&case(&hasty(&format!("{s3}/?")), ""), 4), @r"
    error: orders: mongodb://HOST cannot be reached: nobody answers
    hint: check host and port, the name of the replica set, and the network between
    ");
    // Another replica set.
    let other = hasty(&format!("mongodb://127.0.0.1:{}/?replicaSet=other", replica().port(0)));
    assert_told!(fails(&case(&other, ""), 4), @r"
    error: orders: mongodb://HOST cannot be reached: none of its hosts is a member of that replica set
    hint: check host and port, the name of the replica set, and the network between
    ");
}

#[test]
fn servers_that_cannot_be_trusted() {
    let server = guarded();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let files = tempfile::tempdir().unwrap();
    let other = files.path().join("other.pem");
    std::fs::write(&other, authority.self_signed(&key).unwrap().pem()).unwrap();
    let port = server.port(0);
    let url = |host: &str, options: &str| hasty(&format!("mongodb://{host}/?directConnection=true{options}"));
    let with_ca = |path: &std::path::Path| format!("&tls=true&tlsCAFile={}", path.display());

    let unknown = case(&url(&format!("127.0.0.1:{port}"), &with_ca(&other)), "");
    assert_told!(fails(&unknown, 4), @r"
    error: orders: no secure connection to mongodb://HOST: I/O error: invalid peer certificate: UnknownIssuer
    hint: give the server's CA by tlsCAFile in the URL, and its name as in the certificate
    ");
    let unknown = case(&url(&format!("127.0.0.1:{port}"), "&tls=true"), "");
    assert_told!(fails(&unknown, 4), @r"
    error: orders: no secure connection to mongodb://HOST: I/O error: invalid peer certificate: UnknownIssuer
    hint: give the server's CA by tlsCAFile in the URL, and its name as in the certificate
    ");
    let other_name = Silence::before(&format!("127.0.0.1:{port}"), "127.0.0.2");
    let other_name = case(&url(&other_name.address, &with_ca(&server.certificates())), "");
    assert_told!(fails(&other_name, 4), @r#"
    error: orders: no secure connection to mongodb://OTHER: I/O error: invalid peer certificate: certificate not valid for name "127.0.0.2"; certificate is only valid for IpAddress(127.0.0.1) or DnsName("localhost")
    hint: give the server's CA by tlsCAFile in the URL, and its name as in the certificate
    "#);
    let missing = case(&url(&format!("127.0.0.1:{port}"), &with_ca(&files.path().join("none.pem"))), "");
    assert_told!(fails(&missing, 3), @r"
    error: orders: mongodb://HOST: Unable to parse PEM-encoded root certificate from PATH: I/O error: No such file or directory (os error 2)
    hint: check the files that tlsCAFile and tlsCertificateKeyFile name in the URL
    ");
    // TLS on one side alone.
    assert_told!(fails(&case(&url(&format!("127.0.0.1:{port}"), ""), ""), 4), @r"
    error: orders: mongodb://HOST cannot be reached: I/O error: unexpected end of file
    hint: if the server speaks TLS alone, add tls=true and tlsCAFile to the URL; check the port
    ");
    let plain = format!("127.0.0.1:{}", standalone().port(0));
    assert_told!(fails(&case(&url(&plain, &with_ca(&server.certificates())), ""), 4), @r"
    error: orders: no secure connection to mongodb://HOST: I/O error: tls handshake eof
    hint: does the server speak TLS? if not, take tls and tlsCAFile out of the URL
    ");
}

#[test]
fn a_connection_that_falls_silent() {
    let server = standalone();
    let database = filled(server, 5000);
    let line = Silence::before(&format!("127.0.0.1:{}", server.port(0)), "127.0.0.1");
    let url = hasty(&format!("mongodb://{}/?directConnection=true", line.address));
    // A question that is never answered.
    line.at("collStats");
    let early = case(&url, &only(&database));
    // The driver or we notice first.
    let told_early = fails(&early, 4);
    assert!(told_early.starts_with("error: orders: ") && told_early.contains("\nhint: "), "{told_early}");
    // In the middle.
    line.set(false);
    let late = with_tools(pausing(1_000_000), &url, &only(&database));
    let mut running = late.start(&["backup", "orders", "--no-progress"]);
    late.tools.as_ref().unwrap().wait_for_pause(&mut running);
    line.set(true);
    late.tools.as_ref().unwrap().go_on();
    let ran = running.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    let told = told(&ran);
    let words = ["does not answer any more", "went away under way"];
    assert!(words.iter().any(|word| told.contains(word)) && told.contains("\nhint: "), "{told}");
    late.assert_untouched();
    assert_clean(&late);
}

#[test]
fn tools_that_do_not_fit() {
    let url = hasty(&standalone().url());
    let old = Tools::with("mongodump", &real(), "");
    rewrite(&old.bin, "mongodump", "echo 'mongodump version: 100.5.0'");
    assert_told!(fails(&with_tools(old, &url, ""), 4), @r"
    error: orders: mongodb://HOST would not be backed up whole: mongodump: mongodump 100.5.0 is older than the server, MongoDB 6.0.5
    hint: install the MongoDB database tools 100.6 or newer
    ");
    let none = tempfile::tempdir().unwrap();
    let mut missing = case(&url, "");
    missing.environment.push(("LIFEBOAT_SOURCE_ORDERS_TOOLS".to_owned(), none.path().display().to_string()));
    assert_told!(fails(&missing, 4), @r"
    error: orders: mongodb://HOST would not be backed up whole: mongodump: the configured directory PATH has no mongodump
    hint: `tools` names the directory that holds mongodump; leave it out to search PATH
    ");
}

#[test]
fn the_biggest_documents_are_no_bad_input() {
    let database = unique("db");
    wait(async { fill_biggest(&standalone().client().await, &database).await });
    let case = case(&hasty(&standalone().url()), &only(&database));
    let ran = run(&case, &["backup", "orders", "--no-progress", "--json"], 0);
    assert!(ran.lines()[0]["raw_bytes"].as_u64() > Some(16 << 20), "{ran:?}");
    run(&case, &["verify", "orders"], 0);
    let staging = hasty(&standalone().url());
    let drilled = run(&case, &["drill", "orders", "--staging", &staging, "--no-progress", "--json"], 0);
    assert!(drilled.stdout.contains("\"passed\""), "{drilled:?}");
    assert_clean(&case);
}
