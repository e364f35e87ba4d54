//! `restore --replace` where nobody may tell whether the target is the source.

mod common;

use common::cli::World;
use common::lifeboat::{fail, psql, source, succeed};
use common::postgres::{shared, unique};

#[test]
fn a_database_of_the_sources_name_is_not_replaced_by_who_cannot_tell_them_apart() {
    let (here, there) = (shared(15), shared(17));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (name, role) = (unique("orders"), runtime.block_on(there.role("CREATEDB")));
    for (server, owner) in [(here, common::postgres::SUPERUSER), (there, &role)] {
        psql(server, "postgres", &["-c", &format!("CREATE DATABASE {name} OWNER {owner}")]);
        psql(server, &name, &["-c", "CREATE TABLE t (id int)"]);
    }
    psql(there, &name, &["-c", "INSERT INTO t VALUES (1)"]);
    psql(there, "postgres", &["-c", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"]);
    let world = World::new(&source("sink", here, &name));
    succeed(&world, &["backup", "sink"]);

    let url = there.url_as(&role, "role", &name);
    let arguments =
        ["restore", "sink", "--to", &url, "--replace", &name, "--no-owner", "--no-acl", "--no-progress"];
    let says = ["has the name of this backup's source and may be it", "may not read the identity", "hint: "];
    let said = fail(&world, &arguments, 4, &says);
    assert_eq!(psql(there, &name, &["-c", "SELECT count(*) FROM t"]), "1\n");
    let grant = format!("GRANT EXECUTE ON FUNCTION pg_control_system() TO \"{role}\"");
    assert!(said.contains(&format!("run in the database postgres there: {grant}; or ")), "{said}");
    psql(there, "postgres", &["-c", &grant]);
    succeed(&world, &arguments);
    assert_eq!(psql(there, &name, &["-c", "SELECT count(*) FROM t"]), "0\n");
}
