//! What killed restores leave on a server: `doctor` names it with the SQL that puts it right.

mod common;

use common::cli::World;
use common::lifeboat::{psql, run, source, succeed};
use common::postgres::{shared, unique};

/// Messages and hints about leftovers, in order; the names are made equal.
fn told(world: &World, code: i32) -> Vec<(String, String)> {
    let ran = run(world, &["doctor", "sink", "--json"]);
    assert_eq!(ran.code, code, "{ran:#?}");
    let text = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let lines = ran.lines();
    let found = lines.iter().filter(|line| line["subject"] == "leftovers");
    found.map(|line| (text(line, "message"), text(line, "hint"))).collect()
}

/// Runs the SQL of a hint, as somebody would paste it into psql.
fn paste(hint: &str) {
    for sql in hint.split_once("run there: ").unwrap().1.split("; ") {
        if sql.starts_with("to go back") {
            break;
        }
        psql(shared(15), "postgres", &["-c", sql]);
    }
}

#[test]
fn doctor_tells_what_killed_restores_left_and_the_sql_that_repairs_it() {
    let server = shared(15);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(server.database());
    let staging = format!("[sources.sink.staging]\nurl = '{}'\n", server.url("postgres"));
    let world = World::new(&format!("{}{staging}", source("sink", server, &database)));
    assert_eq!(told(&world, 0), []);

    let (closed, gone) = (unique("closed"), unique("gone"));
    for sql in [
        format!("CREATE DATABASE {closed}"),
        format!("ALTER DATABASE {closed} WITH ALLOW_CONNECTIONS false"),
        "CREATE DATABASE lifeboat_restoring_aaaaaaaaaa".into(),
        format!(
            "COMMENT ON DATABASE lifeboat_restoring_aaaaaaaaaa IS 'unfinished lifeboat restore of {closed}; may be dropped when no restore runs'"
        ),
        "CREATE DATABASE lifeboat_replaced_bbbbbbbbbb".into(),
        format!(
            "COMMENT ON DATABASE lifeboat_replaced_bbbbbbbbbb IS 'replaced by a lifeboat restore of {database}; may be dropped when no restore runs'"
        ),
        "CREATE DATABASE lifeboat_replaced_cccccccccc WITH ALLOW_CONNECTIONS false".into(),
        format!(
            "COMMENT ON DATABASE lifeboat_replaced_cccccccccc IS 'replaced by a lifeboat restore of {gone}; may be dropped when no restore runs'"
        ),
    ] {
        psql(server, "postgres", &["-c", &sql]);
    }
    let found = told(&world, 0);
    // The source's server and the staging server are the same one.
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(found[..3], found[3..]);
    let [(replaced, drop), (nameless, rename), (unfinished, open)] = &found[..3] else { unreachable!() };
    assert!(
        replaced.starts_with(&format!("a restore replaced {database} on postgres://postgres@127.0.0.1:")),
        "{replaced}"
    );
    assert!(
        drop.contains("DROP DATABASE \"lifeboat_replaced_bbbbbbbbbb\" WITH (FORCE); to go back: ALTER"),
        "{drop}"
    );
    assert!(
        nameless.contains(&format!("left {gone} under the name lifeboat_replaced_cccccccccc")),
        "{nameless}"
    );
    assert!(unfinished.contains(&format!("left {closed} closed to everybody")), "{unfinished}");
    assert!(open.contains("WITH ALLOW_CONNECTIONS true"), "{open}");

    [drop, rename, open].into_iter().for_each(|hint| paste(hint));
    assert_eq!(told(&world, 0), []);
    let left =
        "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname ~ '^lifeboat' OR NOT datallowconn";
    assert_eq!(psql(server, "postgres", &["-c", left]), "template0\n");
    for name in [&closed, &gone] {
        psql(server, name, &["-c", "SELECT 1"]);
    }

    // The source itself is closed: then nothing can be asked, and the error says what to do.
    psql(server, "postgres", &["-c", &format!("ALTER DATABASE {database} WITH ALLOW_CONNECTIONS false")]);
    let ran = run(&world, &["doctor", "sink"]);
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(
        ran.stdout.contains(&format!("ALTER DATABASE \"{database}\" WITH ALLOW_CONNECTIONS true")),
        "{ran:#?}"
    );
}

#[test]
fn a_restore_that_ends_well_leaves_no_mark() {
    let server = shared(17);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(server.database());
    psql(
        server,
        &database,
        &["-c", &format!("CREATE TABLE t (); COMMENT ON DATABASE {database} IS 'it''s mine'")],
    );
    let world = World::new(&source("sink", server, &database));
    succeed(&world, &["backup", "sink"]);
    let name = unique("restored");
    let (url, comment) = (server.url(&name), "SELECT shobj_description(oid, 'pg_database') FROM pg_database");
    for more in [&[][..], &["--replace", &name]] {
        succeed(&world, &[&["restore", "sink", "--to", &url], more].concat());
        let sql = format!("{comment} WHERE datname = '{name}'");
        assert_eq!(psql(server, "postgres", &["-c", &sql]), "it's mine\n");
    }
    assert_eq!(told(&world, 0), []);
}
