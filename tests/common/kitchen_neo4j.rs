//! A Neo4j database with everything that the Community edition has: every type of a property, awkward names,
//! and every kind of constraint and index.

use lifeboat::bolt::Params;
use lifeboat::bolt::packstream::Value;

use super::neo4j::{connect, try_cypher, wait};
use super::neo4j_process::Neo4j;

/// Nodes with the label `Many`: more than a restore writes in one batch.
pub const MANY: i64 = 6000;

/// A label, type or property that has to be quoted.
pub const ODD: &str = "we`ird: \"näme\" 日本 $1";

/// Numbers and texts that a statement cannot say as well.
fn scalars() -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1, f64::MIN_POSITIVE, f64::MAX];
    let integers = [i64::MIN, -129, -17, -1, 0, 127, 128, 32_768, 1 << 31, i64::MAX];
    let mut entries = vec![
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("min", Value::Int(i64::MIN)),
        ("max", Value::Int(i64::MAX)),
        ("whole", Value::Float(1.0)),
        ("negative zero", Value::Float(-0.0)),
        ("nan", Value::Float(f64::NAN)),
        ("infinite", Value::Float(f64::INFINITY)),
        ("empty", text("")),
        ("zero byte", text("a\0b")),
        ("unicode", text("Größe 日本 🛟 e\u{301} \u{202e}\n\t\r\u{7f}\u{ffff}")),
        ("large", text(&"0123456789abcdef".repeat(1 << 16))),
        ("quotes", text(r#"'"`\ $x {} ; //"#)),
        (ODD, text("odd")),
        ("bytes", Value::Bytes((0..=255).collect())),
        ("no bytes", Value::Bytes(Vec::new())),
        ("empty list", Value::List(Vec::new())),
        ("booleans", Value::List(vec![Value::Bool(true), Value::Bool(false)])),
        ("integers", Value::List(integers.map(Value::Int).to_vec())),
        ("floats", Value::List(floats.map(Value::Float).to_vec())),
        ("texts", Value::List(vec![text(""), text("ä"), text("\0")])),
    ];
    let more = (0..40).map(|n| (format!("key {n}"), Value::Int(n)));
    let entries = entries.drain(..).map(|(key, value)| (key.to_owned(), value)).chain(more);
    Value::Map(entries.collect())
}

/// Times and places, each alone and in a list; both sides of an hour that comes twice.
const TYPES: &str = "CREATE (:Types {
    date: date('2026-11-27'), first_date: date({year: -999999999}), last_date: date({year: 999999999, month: 12, day: 31}),
    dates: [date('0000-01-01'), date('1582-10-10'), date('2024-02-29')],
    local_time: localtime('23:59:59.999999999'), local_times: [localtime('00:00'), localtime('12:00')],
    time: time('12:00:00.123456789+01:00'), times: [time('00:00Z'), time('23:59:59-18:00'), time('01:02+18:00')],
    local: localdatetime('2026-10-25T02:30:00.000000001'),
    first_local: localdatetime({year: -999999999}), last_local: localdatetime({year: 999999999, month: 12, day: 31, hour: 23}),
    locals: [localdatetime('1969-12-31T23:59:59.5'), localdatetime('1970-01-01T00:00')],
    offset: datetime('2026-10-25T02:30:00+05:45'), negative: datetime('1969-12-31T23:59:59.999999999-09:30'),
    first: datetime({year: -999999999, timezone: 'Z'}), last: datetime({year: 999999999, timezone: 'Z'}),
    summer: datetime({epochSeconds: 1792888200, nanosecond: 7, timezone: 'Europe/Berlin'}),
    winter: datetime({epochSeconds: 1792891800, nanosecond: 7, timezone: 'Europe/Berlin'}),
    gap: datetime('2026-03-29T02:30[Europe/Berlin]'), old: datetime('1890-01-01T00:00[Europe/Berlin]'),
    zones: [datetime('2026-01-01T00:00[Pacific/Chatham]'), datetime('2026-07-01T00:00[America/Sao_Paulo]')],
    duration: duration('P1Y2M3W4DT5H6M7.000000008S'), back: duration('P-1M-1DT-0.5S'), none: duration('PT0S'),
    long: duration({months: 9000000000, days: 9000000000, seconds: 9000000000}),
    durations: [duration('P1M'), duration('P30D'), duration('PT720H')],
    cartesian: point({x: -1.5, y: -0.0}), cartesian_3d: point({x: 1, y: 2, z: 1e300}),
    wgs: point({longitude: -180, latitude: 90}), wgs_3d: point({longitude: 8.4, latitude: 49.0, height: -12.25}),
    points: [point({x: 1, y: 2}), point({x: 3, y: 4})], heights: [point({longitude: 1, latitude: 2, height: 3})]
})";

/// The rest of the data.
const DATA: &[&str] = &[
    TYPES,
    "CREATE (), (), ({alone: true})",
    "CREATE (:`we``ird: \"näme\" 日本 $1` {`we``ird: \"näme\" 日本 $1`: 1}), (:` `), (:`a.b`:`a:b`:`🛟`)",
    "UNWIND range(1, 6000) AS n CREATE (:Many {id: n, text: 'text ' + n, half: n / 2})",
    "MATCH (a:Many), (b:Many {id: a.id % 977 + 1}) CREATE (a)-[:NEXT {weight: a.id * 0.5}]->(b)",
    // Loops, parallel ones, both directions; with and without properties.
    "CREATE (a:Tied {id: 1})-[:SELF]->(a)-[:SELF]->(a), (a)-[:TO]->(b:Tied {id: 2}), (a)-[:TO]->(b), (a)-[:TO {n: 1}]->(b), \
     (a)<-[:TO]-(b), (a)-[:`we``ird: \"näme\" 日本 $1` {`we``ird: \"näme\" 日本 $1`: date('2026-01-01'), \
     list: [1.5, 2.5], at: point({x: 1, y: 2})}]->(b)",
    // Two that are alike, one with two relationships; and rings of three and of six, alike from near by.
    "CREATE (a:Alike), (b:Alike), (:Star {id: 1})<-[:OF]-(a)-[:OF]->(:Star {id: 2})",
    "CREATE (a:Ring)-[:R]->(b:Ring)-[:R]->(c:Ring)-[:R]->(a)",
    "CREATE (:Book {id: 'b1', title: 'The lifeboats', text: 'x', mood: [0.1, 0.2, 0.3], at: point({x: 1, y: 1})}), \
     (:Book {id: 'b2', title: 'Rescue', mood: [1, 0, 0]})-[:CITES {number: 1, why: 'fun', mood: [0.5, 0.5], \
     at: point({longitude: 1, latitude: 2})}]->(:Book {id: 'b3'})",
];

/// Constraints and indexes of the Community edition.
const SCHEMA: &[&str] = &[
    "CREATE CONSTRAINT book_id FOR (b:Book) REQUIRE b.id IS UNIQUE",
    "CREATE CONSTRAINT two FOR (m:Many) REQUIRE (m.id, m.text) IS UNIQUE",
    "CREATE CONSTRAINT `odd ``name` FOR (n:`we``ird: \"näme\" 日本 $1`) REQUIRE n.`we``ird: \"näme\" 日本 $1` IS UNIQUE",
    "CREATE CONSTRAINT cited FOR ()-[c:CITES]-() REQUIRE c.number IS UNIQUE",
    "CREATE CONSTRAINT cited_twice FOR ()-[c:CITES]-() REQUIRE (c.number, c.why) IS UNIQUE",
    "CREATE INDEX half FOR (m:Many) ON (m.half)",
    "CREATE INDEX half_id FOR (m:Many) ON (m.half, m.id, m.nothing)",
    "CREATE INDEX weight FOR ()-[n:NEXT]-() ON (n.weight)",
    "CREATE INDEX `odd ``index` FOR ()-[r:`we``ird: \"näme\" 日本 $1`]-() ON (r.`we``ird: \"näme\" 日本 $1`, r.list)",
    "CREATE TEXT INDEX words FOR (m:Many) ON (m.text)",
    "CREATE TEXT INDEX why FOR ()-[c:CITES]-() ON (c.why)",
    "CREATE POINT INDEX places FOR (b:Book) ON (b.at) OPTIONS {indexConfig: {`spatial.cartesian.min`: [-10.0, -20.0], \
     `spatial.cartesian.max`: [10.0, 20.0]}}",
    "CREATE POINT INDEX cited_at FOR ()-[c:CITES]-() ON (c.at)",
    "CREATE FULLTEXT INDEX titles FOR (b:Book|`we``ird: \"näme\" 日本 $1`) ON EACH [b.title, b.`we``ird: \"näme\" 日本 $1`] \
     OPTIONS {indexConfig: {`fulltext.analyzer`: 'english', `fulltext.eventually_consistent`: true}}",
    "CREATE FULLTEXT INDEX reasons FOR ()-[r:CITES|TO]-() ON EACH [r.why]",
    "CREATE VECTOR INDEX moods FOR (b:Book) ON (b.mood) OPTIONS {indexConfig: {`vector.dimensions`: 3, \
     `vector.similarity_function`: 'euclidean'}}",
    "CREATE VECTOR INDEX cited_moods FOR ()-[c:CITES]-() ON (c.mood) OPTIONS {indexConfig: {`vector.dimensions`: 2}}",
];

/// What the Enterprise edition alone has.
const ENTERPRISE: &[&str] = &[
    "CREATE CONSTRAINT existence FOR (b:Book) REQUIRE b.id IS NOT NULL",
    "CREATE CONSTRAINT node_key FOR (t:Tied) REQUIRE t.id IS NODE KEY",
    "CREATE CONSTRAINT type FOR (t:Tied) REQUIRE t.id IS :: INTEGER",
];

/// Fills an empty database.
pub fn fill_everything(server: &Neo4j) {
    wait(async {
        let mut connection = connect(server).await;
        let labels: Vec<Value> = (0..80).map(|n| Value::String(format!("Label{n}"))).collect();
        let made = [
            ("CREATE (n:Scalars) SET n = $value", scalars()),
            ("CREATE (n:$($value)) SET n.labels = 80", Value::List(labels)),
        ];
        for (statement, value) in made {
            try_cypher(&mut connection, statement, &Params::new().value("value", &value)).await.unwrap();
        }
        for statement in DATA.iter().chain(SCHEMA) {
            if let Err(error) = try_cypher(&mut connection, statement, &Params::new()).await {
                panic!("{statement}: {error}");
            }
        }
        for statement in ENTERPRISE {
            let refused = try_cypher(&mut connection, statement, &Params::new()).await;
            // On a server of that edition it is a part of what has to come back.
            if let Err(error) = refused {
                assert!(error.to_string().contains("Enterprise"), "{statement}: {error}");
            }
        }
        try_cypher(&mut connection, "CALL db.awaitIndexes(300)", &Params::new()).await.unwrap();
        connection.close().await;
    });
}

/// Removes the indexes that every database has by itself.
pub fn drop_lookups(server: &Neo4j) {
    wait(async {
        let mut connection = connect(server).await;
        let names = "SHOW LOOKUP INDEXES YIELD name";
        let names = connection.query(names, &Params::new()).await.unwrap();
        assert_eq!(names.len(), 2);
        for name in names {
            let drop = format!("DROP INDEX {}", name[0].as_str().unwrap());
            try_cypher(&mut connection, &drop, &Params::new()).await.unwrap();
        }
        connection.close().await;
    });
}
