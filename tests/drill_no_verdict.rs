//! What says nothing about a backup leaves no verdict about it.

mod common;

use common::bad_input::{Case, Tools, orders};
use common::postgres::shared;

/// A drill with this `pg_restore`; the source has one table. Gives the code, what was said, and the records.
fn drill(script: &str) -> (i32, String, usize) {
    let server = shared(17);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(server.database());
    runtime.block_on(server.sql(&database, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"));
    let tools = Tools::with("pg_restore", &server.bin, script);
    let staging = format!("[sources.orders.staging]\nurl = '''{}'''\n", server.url("postgres"));
    let source = orders(&server.url(&database), &tools.config());
    let case = Case::file(&format!("{source}{staging}[drill]\namcheck = \"off\"\n"));
    assert_eq!(case.run(&["backup", "orders", "--no-progress"]).code, 0);
    let ran = case.run(&["drill", "orders", "--no-progress"]);
    let records = case.stored().keys().filter(|key| key.contains("/drills/")).count();
    let left = runtime.block_on(async {
        let sql = "SELECT count(*) FROM pg_database WHERE datname ~ '^lifeboat_'";
        server.session("postgres").await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    });
    assert_eq!(left, 0);
    (ran.code, ran.stderr, records)
}

fn says(error: &str) -> String {
    format!(
        "case \" $* \" in *section=data*) cat >/dev/null; echo 'pg_restore: error: {error}' >&2; exit 1;; esac
         exec \"$real\" \"$@\""
    )
}

#[test]
fn only_a_restore_that_failed_by_the_backup_is_a_failed_drill() {
    let full =
        "COPY failed for table \"t\": ERROR:  could not extend file \"base/1/2\": No space left on device";
    for script in [
        says(full),
        says("error returned by PQputCopyData: server closed the connection unexpectedly"),
        "case \" $* \" in *section=data*) kill -KILL $$;; esac; exec \"$real\" \"$@\"".to_owned(),
    ] {
        let (code, said, records) = drill(&script);
        assert_eq!((code, records), (4, 0), "{script}: {said}");
        assert!(said.contains("staging gave up, not the backup: ") && said.contains("hint: "), "{said}");
    }
    let bad = "COPY failed for table \"t\": ERROR:  invalid input syntax for type integer: \"x\"";
    let (code, said, records) = drill(&says(bad));
    assert_eq!((code, records), (1, 1), "{said}");
}
