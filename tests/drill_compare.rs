//! The comparison of a restored database with a backup's inventory, against real servers. The dump and
//! the restore are done by the vendor's tools alone.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::postgres::{Server, bin, shared, unique};
use lifeboat::engines::Comparison;
use lifeboat::engines::postgres::archive::{ArchiveReader, inventory};
use lifeboat::engines::postgres::compare::{Means, compare};
use lifeboat::engines::postgres::resolve::{Connection, Inputs, resolve};
use lifeboat::engines::postgres::settings;
use lifeboat::pipeline::inventory::Inventory;
use lifeboat::pipeline::progress::Progress;
use lifeboat::secret::Secret;

const SOURCE: &str = r#"
CREATE SCHEMA "Ünï code";
CREATE TABLE orders (id int PRIMARY KEY, note text, amount money, raw bytea, at timestamptz, spent interval,
  price float8, double int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO orders SELECT i, 'line' || chr(10) || i, i, decode('00ff', 'hex'), '2026-01-01 12:00+00'::timestamptz + i * interval '1 h',
  i * interval '90 min', i / 3.0 FROM generate_series(1, 500) i;
CREATE INDEX orders_at ON orders (at);
CREATE TABLE lines (id bigserial PRIMARY KEY, order_id int CONSTRAINT lines_order REFERENCES orders, n int CONSTRAINT positive CHECK (n > 0));
INSERT INTO lines (order_id, n) SELECT 1 + i % 500, i FROM generate_series(1, 1000) i;
ALTER TABLE lines ADD CONSTRAINT small CHECK (n < 100) NOT VALID;
CREATE TABLE "Ünï code"."T ""1""" ("größe" int, "a,b" text);
INSERT INTO "Ünï code"."T ""1""" VALUES (1, 'ä'), (1, 'ä'), (2, NULL);
CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE empty (id int);
CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2), (3);
CREATE TABLE ranged (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE ranged_a PARTITION OF ranged FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE ranged_b PARTITION OF ranged FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO ranged SELECT i, '2026-01-01'::date + i FROM generate_series(0, 50) i;
CREATE INDEX ranged_id ON ranged (id);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE moods (m mood, i int) PARTITION BY HASH (m);
CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO moods SELECT (ARRAY['sad', 'ok', 'happy']::mood[])[1 + i % 3], i FROM generate_series(1, 30) i;
CREATE SEQUENCE loose START 7; CREATE SEQUENCE used; SELECT nextval('used');
CREATE MATERIALIZED VIEW filled AS SELECT count(*) FROM orders;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS x WITH NO DATA;
CREATE VIEW expensive AS SELECT * FROM orders WHERE amount > 100::money;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE UNLOGGED TABLE fast (id int); INSERT INTO fast VALUES (1);
ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON orders USING (id < 100);
COMMENT ON TABLE orders IS 'what was ordered';
COMMENT ON DATABASE current IS 'not restored';
GRANT SELECT ON orders TO PUBLIC;
SELECT lo_from_bytea(4001, 'hello'), lo_from_bytea(4002, convert_to(repeat('x', 600000), 'UTF8')), lo_from_bytea(4003, '');
"#;

fn connection(server: &Server, database: &str) -> Connection {
    resolve(&Inputs { url: Secret::new(server.url(database)), ..Inputs::default() }).unwrap()
}

fn means(major: u32) -> Means {
    Means {
        pg_dump: bin(major).join("pg_dump"),
        same_tools: true,
        readers: 3,
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
    }
}

/// Runs a tool of the vendor as lifeboat does: the connection and the pinned settings by the environment.
fn run(tool: &Path, connection: &Connection, server_version: u32, arguments: &[&str]) {
    let environment =
        connection.environment(&BTreeMap::new(), &settings::child_options(server_version)).unwrap();
    let output =
        Command::new(tool).args(arguments).env_clear().envs(environment.variables()).output().unwrap();
    assert!(output.status.success(), "{}: {}", tool.display(), String::from_utf8_lossy(&output.stderr));
}

/// Dumps a database into a file and counts it.
fn dump(server: &Server, database: &str, file: &Path, more: &[&str]) -> Inventory {
    let path = format!("--file={}", file.display());
    let mut arguments = vec!["-Fc", "-Z0", path.as_str()];
    arguments.extend(more);
    run(&bin(server.major).join("pg_dump"), &connection(server, database), server.major * 10_000, &arguments);
    let mut reader = ArchiveReader::new();
    reader.feed(&std::fs::read(file).unwrap(), &mut |_| ()).unwrap();
    inventory::inventory(&reader.finish().unwrap(), &|_| None)
}

fn restore(server: &Server, tool_major: u32, database: &str, file: &Path) {
    let arguments = [
        "--dbname=service=lifeboat",
        "--exit-on-error",
        "--no-owner",
        "--no-acl",
        "--no-subscriptions",
        file.to_str().unwrap(),
    ];
    run(
        &bin(tool_major).join("pg_restore"),
        &connection(server, database),
        server.major * 10_000,
        &arguments,
    );
}

/// A source, its inventory, and a database restored from its dump.
struct Pair {
    server: &'static Server,
    inventory: Inventory,
    restored: String,
}

async fn pair(major: u32, sql: &str, more: &[&str]) -> Pair {
    let server = shared(major);
    let source = server.database().await;
    let sql = sql.replace("DATABASE current", &format!("DATABASE {source}"));
    server.sql(&source, &sql).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let inventory = dump(server, &source, file.path(), more);
    let restored = server.database().await;
    restore(server, major, &restored, file.path());
    Pair { server, inventory, restored }
}

impl Pair {
    async fn compare(&self, database: &str) -> Comparison {
        let progress = Progress::default();
        let connection = connection(self.server, database);
        compare(&connection, &self.inventory, &means(self.server.major), &progress).await.unwrap()
    }

    /// A copy of the restored database with something changed.
    async fn changed(&self, statements: &[&str]) -> String {
        let copy = unique("copy");
        self.server.sql("postgres", &format!("CREATE DATABASE {copy} TEMPLATE {}", self.restored)).await;
        for sql in statements {
            self.server.sql(&copy, sql).await;
        }
        copy
    }
}

async fn equal_in(major: u32) {
    let pair = pair(major, SOURCE, &[]).await;
    let comparison = pair.compare(&pair.restored).await;
    assert_eq!(comparison.differences, Vec::<String>::new());
    assert_eq!(comparison.notes, Vec::<String>::new());
    assert_eq!(comparison.items, pair.inventory.items.len() as u64);
    assert!(comparison.definitions > 30, "{}", comparison.definitions);
}

#[tokio::test]
async fn a_restored_database_is_equal_15() {
    equal_in(15).await;
}

#[tokio::test]
async fn a_restored_database_is_equal_17() {
    equal_in(17).await;
}

#[tokio::test]
async fn what_was_changed_is_named() {
    let pair = pair(15, SOURCE, &[]).await;
    let digests = "(digest ";
    for (statements, expected) in [
        (
            &["UPDATE lines SET n = 99 WHERE id = 17"][..],
            &["table public.lines: 1000 rows as in the backup, but other content"][..],
        ),
        (
            &["DELETE FROM parent WHERE id = 2"],
            &["table public.child: 1 row missing: 2 in the backup, 1 restored"],
        ),
        (
            &["INSERT INTO \"Ünï code\".\"T \"\"1\"\"\" VALUES (1, 'ä')"],
            &["table Ünï code.T \"1\": 1 row too many: 3 in the backup, 4 restored"],
        ),
        (
            &["WITH gone AS (DELETE FROM parent WHERE id = 3) INSERT INTO child VALUES (2)"],
            &["table public.child: 2 rows as in the backup, but other content"],
        ),
        (
            &["INSERT INTO empty VALUES (1)"],
            &["table public.empty: 1 row too many: 0 in the backup, 1 restored"],
        ),
        (&["DELETE FROM moods WHERE i = 5"], &["table public.moods"]),
        (&["DELETE FROM fast"], &["table public.fast: 1 row missing: 1 in the backup, 0 restored"]),
        (&["TRUNCATE nothing"], &["table public.nothing: 2 rows missing: 2 in the backup, 0 restored"]),
        (
            &["DROP INDEX orders_at"],
            &["index public.orders_at on public.orders is in the backup, but was not restored"],
        ),
        (
            &["ALTER TABLE lines DROP CONSTRAINT lines_order"],
            &["fk constraint public.lines lines_order is in the backup, but was not restored"],
        ),
        (
            &[
                "ALTER TABLE lines DROP CONSTRAINT lines_order",
                "ALTER TABLE lines ADD CONSTRAINT lines_order FOREIGN KEY (order_id) REFERENCES orders NOT VALID",
            ],
            &["constraint lines_order on public.lines is NOT VALID, and was valid in the backup"],
        ),
        (
            &[
                "ALTER TABLE lines DROP CONSTRAINT positive",
                "ALTER TABLE lines ADD CONSTRAINT positive CHECK (n > 0) NOT VALID",
            ],
            &[
                "check constraint public.lines positive was restored, but is not in the backup",
                "constraint positive on public.lines is NOT VALID, and was valid in the backup",
            ],
        ),
        (&["SELECT nextval('used')"], &["sequence public.used: 1,t in the backup, 2,t restored"]),
        (&["SELECT setval('loose', 7, true)"], &["sequence public.loose: 7,f in the backup, 7,t restored"]),
        (
            &["DROP SEQUENCE loose"],
            &[
                "sequence public.loose is in the backup, but was not restored",
                "sequence public.loose is in the backup, but was not restored",
            ],
        ),
        (
            &["REFRESH MATERIALIZED VIEW filled WITH NO DATA"],
            &["materialized view public.filled: populated in the backup, not populated restored"],
        ),
        (
            &["REFRESH MATERIALIZED VIEW unfilled"],
            &["materialized view public.unfilled: not populated in the backup, populated restored"],
        ),
        (
            &["SELECT lo_put(4002, 300000, 'y')"],
            &["large objects: 3 in the backup, 3 restored, with other content"],
        ),
        (&["SELECT lo_unlink(4003)"], &["large objects: 3 in the backup, 2 restored"]),
        (&["SELECT lo_from_bytea(4004, '')"], &["large objects: 3 in the backup, 4 restored"]),
        (&["DROP FUNCTION f(text)"], &["function public.f(text) is in the backup, but was not restored"]),
        (
            &["DROP POLICY mine ON orders"],
            &["policy public.orders mine is in the backup, but was not restored"],
        ),
        (
            &["CREATE TABLE surplus (id int)", "INSERT INTO surplus VALUES (1)"],
            &[
                "table public.surplus has rows, and the backup has none of it",
                "table public.surplus was restored, but is not in the backup",
            ],
        ),
        (
            &["DROP TABLE fast"],
            &[
                "table public.fast with 1 rows is in the backup, but was not restored",
                "table public.fast is in the backup, but was not restored",
            ],
        ),
        (&["ALTER TABLE fast RENAME COLUMN id TO number"], &["table public.fast: it cannot be read: "]),
    ] {
        let copy = pair.changed(statements).await;
        let found = pair.compare(&copy).await.differences;
        assert_eq!(found.len(), expected.len(), "{statements:?}: {found:#?}");
        for expected in expected {
            assert!(found.iter().any(|line| line.starts_with(expected)), "{statements:?}: {found:#?}");
        }
        assert!(!found.iter().any(|line| line.contains(digests)) || found[0].contains("other content"));
    }
}

#[tokio::test]
async fn an_invalid_index_is_named() {
    let pair = pair(15, SOURCE, &[]).await;
    let copy = pair.changed(&["DROP INDEX orders_at"]).await;
    let session = pair.server.session(&copy).await;
    // It cannot be unique, so it stays behind INVALID, under the name that the backup has.
    let failed = session.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY orders_at ON orders ((raw))").await;
    assert!(failed.is_err());
    let found = pair.compare(&copy).await.differences;
    assert_eq!(
        found,
        [
            "index public.orders_at on public.orders is in the backup, but was not restored",
            "index public.orders_at on public.orders is INVALID"
        ]
    );
}

#[tokio::test]
async fn other_texts_are_notes() {
    let pair = pair(15, SOURCE, &[]).await;
    let copy = pair
        .changed(&["CREATE OR REPLACE VIEW expensive AS SELECT * FROM orders WHERE amount > 1::money"])
        .await;
    let comparison = pair.compare(&copy).await;
    assert_eq!(comparison.differences, Vec::<String>::new());
    assert_eq!(comparison.notes, ["the text of view public.expensive is not as in the backup"]);
}

#[tokio::test]
async fn settings_of_a_database_do_not_matter() {
    let pair = pair(15, SOURCE, &[]).await;
    let copy = pair.changed(&[]).await;
    for setting in [
        "timezone = 'Asia/Tokyo'",
        "bytea_output = 'escape'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'iso_8601'",
        "extra_float_digits = 0",
        "search_path = pg_catalog",
        "row_security = on",
        "default_transaction_read_only = on",
    ] {
        pair.server.sql("postgres", &format!("ALTER DATABASE {copy} SET {setting}")).await;
    }
    assert_eq!(pair.compare(&copy).await, pair.compare(&pair.restored).await);
}

#[tokio::test]
async fn partitions_on_an_enum_are_compared_at_their_root() {
    for major in [15, 17] {
        let pair = pair(major, SOURCE, &["--load-via-partition-root"]).await;
        let comparison = pair.compare(&pair.restored).await;
        assert_eq!(comparison.differences, Vec::<String>::new());
        let names: Vec<_> = pair.inventory.items.iter().map(|item| item.name.as_str()).collect();
        assert!(names.contains(&"moods") && !names.contains(&"moods_0"), "{names:?}");
        let copy = pair.changed(&["UPDATE moods SET i = 100 WHERE i = 7"]).await;
        let found = pair.compare(&copy).await.differences;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("table public.moods: 30 rows as in the backup, but other content"));
    }
}

#[tokio::test]
async fn partitions_with_other_orders_of_columns_are_compared_by_rows_and_bytes() {
    let sql = "CREATE TABLE p (a int, b text) PARTITION BY LIST (a);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 (b text, a int);
        ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2);
        INSERT INTO p SELECT 1 + i % 2, 'row ' || i FROM generate_series(1, 50) i";
    let pair = pair(15, sql, &["--load-via-partition-root"]).await;
    let comparison = pair.compare(&pair.restored).await;
    assert_eq!(comparison.differences, Vec::<String>::new());
    assert!(comparison.notes.iter().any(|note| note.starts_with("public.p is loaded through its root")));
    let copy = pair.changed(&["UPDATE p SET b = b || '!' WHERE b = 'row 7'"]).await;
    assert_eq!(pair.compare(&copy).await.differences.len(), 1);
    let copy = pair.changed(&["DELETE FROM p WHERE b = 'row 7'"]).await;
    assert_eq!(pair.compare(&copy).await.differences.len(), 1);
}

#[tokio::test]
async fn an_encoding_of_its_own_is_kept() {
    let server = shared(15);
    let (source, restored) = (unique("latin"), unique("latin"));
    for name in [&source, &restored] {
        let sql = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
        server.sql("postgres", &sql).await;
    }
    server
        .sql(&source, "CREATE TABLE \"größe\" (\"ä\" text); INSERT INTO \"größe\" VALUES ('ü'), ('ß')")
        .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let inventory = dump(server, &source, file.path(), &[]);
    assert_eq!(inventory.encoding, "LATIN1");
    restore(server, 15, &restored, file.path());
    let pair = Pair { server, inventory, restored };
    let comparison = pair.compare(&pair.restored).await;
    assert_eq!(comparison.differences, Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_of_15_restored_into_17_is_equal() {
    let (old, new) = (shared(15), shared(17));
    let source = old.database().await;
    old.sql(&source, &SOURCE.replace("COMMENT ON DATABASE current IS 'not restored';", "")).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let inventory = dump(old, &source, file.path(), &[]);
    let restored = new.database().await;
    restore(new, 17, &restored, file.path());
    let means = Means { same_tools: false, ..means(17) };
    let comparison =
        compare(&connection(new, &restored), &inventory, &means, &Progress::default()).await.unwrap();
    assert_eq!(comparison.differences, Vec::<String>::new());
}

/// What an extension with `schema = pg_catalog` would have; none of those that come with the server has.
const CONFIGURATION: &str = "SET allow_system_table_mods = on;
    CREATE EXTENSION hstore;
    CREATE TABLE pg_catalog.lifeboat_conf (key text, custom bool);
    INSERT INTO pg_catalog.lifeboat_conf VALUES ('own', true), ('brought by the extension', false);
    ALTER EXTENSION hstore ADD TABLE pg_catalog.lifeboat_conf;
    UPDATE pg_extension SET extconfig = ARRAY['pg_catalog.lifeboat_conf'::regclass::oid], extcondition = ARRAY['WHERE custom']
     WHERE extname = 'hstore'";

#[tokio::test]
async fn configuration_of_an_extension_in_the_systems_schema_is_compared() {
    let server = shared(17);
    let source = server.database().await;
    server.sql(&source, CONFIGURATION).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut inventory = dump(server, &source, file.path(), &[]);
    let item = inventory.items.iter_mut().find(|item| item.name == "lifeboat_conf").unwrap();
    assert_eq!((item.schema.as_str(), item.rows), ("pg_catalog", 1));
    // A backup asks the source for the condition; an archive alone does not tell it.
    item.plan["filter"] = "WHERE custom".into();
    let restored = unique("copy");
    server.sql("postgres", &format!("CREATE DATABASE {restored} TEMPLATE {source}")).await;
    let pair = Pair { server, inventory, restored };
    assert_eq!(pair.compare(&pair.restored).await.differences, [""; 0]);
    let changed =
        pair.changed(&["SET allow_system_table_mods = on; DELETE FROM pg_catalog.lifeboat_conf"]).await;
    let found = pair.compare(&changed).await.differences;
    assert_eq!(found, ["table pg_catalog.lifeboat_conf: 1 row missing: 1 in the backup, 0 restored"]);
}
