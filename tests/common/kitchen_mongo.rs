//! Databases with everything that MongoDB 6.0 has.

use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use mongodb::{Client, Database};

use super::kitchen_mongo_values::{biggest, identities, values};

/// Long enough that nothing expires while a test runs.
const FIFTY_YEARS: i32 = 50 * 365 * 24 * 3600;

/// How many documents the collection `many` has: more than the batches of the server and the tools.
pub const MANY: i32 = 2_345;

/// Makes databases named after the prefix and fills them. Returns their names: the first has everything that
/// is not about names. The prefix may have 40 bytes.
pub async fn fill_everything(client: &Client, prefix: &str) -> Vec<String> {
    let names = vec![format!("{prefix}_main"), format!("{prefix}_Ünï-x"), format!("{prefix}_views")];
    let main = client.database(&names[0]);
    let hello = client.database("admin").run_command(doc! { "hello": 1 }).await.unwrap();
    documents(&main).await;
    special_collections(&main, hello.contains_key("setName")).await;
    time_series(&main).await;
    views(&main).await;
    indexes(&main).await;
    files(&main).await;
    access(&main).await;
    let unusual = client.database(&names[1]);
    insert(&unusual, "1", vec![doc! { "_id": 1 }]).await;
    insert(&unusual, &"long".repeat(40), vec![doc! { "_id": 1, "a": "b" }]).await;
    // A database with nothing but a view on what is not there
    command(&client.database(&names[2]), doc! { "create": "nothing", "viewOn": "missing", "pipeline": [] })
        .await;
    names
}

/// Adds a document of 16 MiB in a collection of its own; takes a second.
pub async fn fill_biggest(client: &Client, database: &str) {
    client.database(database).collection::<RawDocumentBuf>("biggest").insert_one(biggest()).await.unwrap();
}

async fn command(database: &Database, command: Document) {
    let shown = command.to_string();
    let ran = database.run_command(command).await;
    ran.unwrap_or_else(|error| panic!("{shown}: {error}"));
}

async fn insert(database: &Database, collection: &str, documents: Vec<Document>) {
    let inserted = database.collection(collection).insert_many(documents).await;
    inserted.unwrap_or_else(|error| panic!("{collection}: {error}"));
}

async fn documents(database: &Database) {
    database.collection::<RawDocumentBuf>("values").insert_many(values()).await.unwrap();
    insert(database, "ids", identities()).await;
    let many = |id| doc! { "_id": id, "text": format!("document {id}"), "half": f64::from(id) / 2.0, "tags": [id % 7, id % 11] };
    insert(database, "many", (0..MANY).map(many).collect()).await;
    insert(database, "with.dots.in.name", vec![doc! { "_id": 1 }]).await;
    insert(database, "Ünïcode имя 空 'quoted' \"twice\"", vec![doc! { "_id": 1, "ключ": "значение" }]).await;
    insert(database, "100%_of&x=y?#/\\:*", vec![doc! { "_id": 1 }]).await;
    command(database, doc! { "create": "empty" }).await;
}

async fn special_collections(database: &Database, replica: bool) {
    command(database, doc! { "create": "capped", "capped": true, "size": 65536, "max": 10 }).await;
    insert(database, "capped", (0..15).rev().map(|id| doc! { "_id": id }).collect()).await;

    let german = doc! { "locale": "de", "strength": 1, "numericOrdering": true };
    command(database, doc! { "create": "collation", "collation": german }).await;
    insert(database, "collation", ["a10", "A9", "ä9b"].map(|id| doc! { "_id": id, "name": id }).to_vec())
        .await;
    let french = doc! { "locale": "fr_CA", "backwards": true, "caseLevel": true };
    let simple = doc! { "locale": "simple" };
    let indexes = [
        doc! { "key": { "name": 1 }, "name": "default" },
        doc! { "key": { "name": 1 }, "name": "french", "collation": french },
        doc! { "key": { "name": 1 }, "name": "simple", "collation": simple },
    ];
    command(database, doc! { "createIndexes": "collation", "indexes": indexes.to_vec() }).await;

    // Documents that were there before the rule, and break it
    let schema = doc! { "$jsonSchema": { "bsonType": "object", "required": ["name"],
    "properties": { "name": { "bsonType": "string", "description": "a name, \"quoted\"" } } } };
    for (collection, action, level) in
        [("checked", "error", "strict"), ("warned", "warn", "strict"), ("moderate", "error", "moderate")]
    {
        insert(database, collection, vec![doc! { "_id": 1, "name": 5 }, doc! { "_id": 2, "name": "right" }])
            .await;
        let rule = doc! { "collMod": collection, "validator": schema.clone(), "validationAction": action, "validationLevel": level };
        command(database, rule).await;
    }
    let expression =
        doc! { "$expr": { "$lt": ["$low", "$high"] }, "name": { "$regex": "^a", "$options": "i" } };
    command(database, doc! { "create": "checked_by_expression", "validator": expression }).await;
    insert(database, "checked_by_expression", vec![doc! { "_id": 1, "low": 1, "high": 2.0, "name": "Anna" }])
        .await;

    let by_id = doc! { "key": { "_id": 1 }, "unique": true, "name": "by time" };
    command(
        database,
        doc! { "create": "clustered", "clusteredIndex": by_id, "expireAfterSeconds": FIFTY_YEARS },
    )
    .await;
    let clustered = |n| doc! { "_id": DateTime::from_millis(1_700_000_000_000 + i64::from(n)), "n": n };
    insert(database, "clustered", (0..20).rev().map(clustered).collect()).await;
    command(database, doc! { "createIndexes": "clustered", "indexes": [{ "key": { "n": 1 }, "name": "n" }] })
        .await;

    let compressor = doc! { "wiredTiger": { "configString": "block_compressor=zlib" } };
    command(database, doc! { "create": "compressed", "storageEngine": compressor }).await;
    insert(database, "compressed", vec![doc! { "_id": 1 }]).await;

    // A standalone server has no change streams.
    if replica {
        let images = doc! { "enabled": true };
        command(database, doc! { "create": "images", "changeStreamPreAndPostImages": images }).await;
        insert(database, "images", vec![doc! { "_id": 1, "n": 1 }]).await;
        command(
            database,
            doc! { "update": "images", "updates": [{ "q": { "_id": 1 }, "u": { "$inc": { "n": 1 } } }] },
        )
        .await;
    }
}

async fn time_series(database: &Database) {
    let options = doc! { "timeField": "at", "metaField": "sensor", "granularity": "minutes" };
    command(
        database,
        doc! { "create": "measurements", "timeseries": options, "expireAfterSeconds": FIFTY_YEARS },
    )
    .await;
    let measurement = |n: i32| {
        doc! { "_id": n, "at": DateTime::from_millis(1_700_000_000_000 + i64::from(n) * 600_000),
        "sensor": { "id": n % 3, "place": if n % 3 == 0 { "Kathmandu" } else { "São Paulo" } },
        "value": f64::from(n) / 3.0, "note": if n % 5 == 0 { Bson::Null } else { "fine".into() } }
    };
    insert(database, "measurements", (0..200).map(measurement).collect()).await;
    let indexes = doc! { "key": { "sensor.id": 1, "at": -1 }, "name": "sensor and time" };
    command(database, doc! { "createIndexes": "measurements", "indexes": [indexes] }).await;
    command(database, doc! { "create": "ticks.raw", "timeseries": { "timeField": "t" } }).await;
    let tick = |n: i32| doc! { "t": DateTime::from_millis(i64::from(n)), "n": n };
    insert(database, "ticks.raw", (0..10).map(tick).collect()).await;
}

async fn views(database: &Database) {
    let lookup =
        doc! { "$lookup": { "from": "ids", "localField": "_id", "foreignField": "number", "as": "other" } };
    let pipelines = [
        ("view", "many", vec![]),
        ("view.filtered", "many", vec![doc! { "$match": { "text": { "$regex": "1$" } } }, lookup]),
        ("view on view", "view.filtered", vec![doc! { "$project": { "text": 1 } }, doc! { "$limit": 5 }]),
        (
            "view on time series",
            "measurements",
            vec![doc! { "$group": { "_id": "$sensor.id", "n": { "$sum": 1 } } }],
        ),
        ("view on nothing", "never there", vec![doc! { "$set": { "now": "$$NOW" } }]),
    ];
    for (name, on, pipeline) in pipelines {
        let collation = doc! { "locale": "sv" };
        let mut create = doc! { "create": name, "viewOn": on, "pipeline": pipeline };
        if name == "view" {
            create.insert("collation", collation);
        }
        command(database, create).await;
    }
}

async fn indexes(database: &Database) {
    let place = |id: i32| {
        doc! { "_id": id, "unique": id, "a": id % 3, "b": format!("b{id}"), "c": { "d": id, "e": [id, id + 1] },
        "at": DateTime::from_millis(1_700_000_000_000), "text": "the quick brown fox", "sprache": "german",
        "where": { "type": "Point", "coordinates": [85.3 + f64::from(id) / 100.0, 27.7] }, "flat": [id, -id] }
    };
    let mut documents: Vec<Document> = (0..30).map(place).collect();
    // What a sparse or partial index has not
    documents.push(doc! { "_id": "bare", "unique": "bare" });
    documents.push(doc! { "_id": "null", "unique": null, "a": null });
    insert(database, "indexed", documents).await;
    let text = doc! { "key": { "a": 1, "_fts": "text", "_ftsx": 1 }, "name": "text with options", "weights": { "text": 10, "b": 3 },
    "default_language": "french", "language_override": "sprache", "textIndexVersion": 3, "background": true };
    let indexes = [
        doc! { "key": { "unique": 1 }, "unique": true },
        doc! { "key": { "b": 1 }, "sparse": true, "unique": true },
        doc! { "key": { "a": 1 }, "partialFilterExpression": { "a": { "$gt": 1 }, "b": { "$exists": true } } },
        doc! { "key": { "at": 1 }, "expireAfterSeconds": FIFTY_YEARS },
        doc! { "key": { "where": "2dsphere" }, "2dsphereIndexVersion": 3 },
        doc! { "key": { "flat": "2d", "a": 1 }, "bits": 20, "min": -100.5, "max": 100 },
        doc! { "key": { "c.d": "hashed" } },
        doc! { "key": { "a": 1, "b": "hashed" } },
        doc! { "key": { "$**": 1 }, "wildcardProjection": { "c": 1, "a": 1 } },
        doc! { "key": { "c.$**": 1 } },
        doc! { "key": { "a": 1, "b": -1, "c.e": 1 } },
        doc! { "key": { "a": -1 }, "hidden": true },
        doc! { "key": { "b": 1, "a": 1_i64 }, "name": "name with spaces, .dots. and $ünï" },
        doc! { "key": { "c.e": 1.0 } },
        doc! { "key": { "z": 1, "unique": -1 }, "unique": true, "sparse": true, "hidden": true, "name": "many options",
        "collation": { "locale": "en", "strength": 2 }, "storageEngine": { "wiredTiger": { "configString": "prefix_compression=false" } } },
        text,
    ];
    let named = indexes.into_iter().enumerate().map(|(number, mut index)| {
        if !index.contains_key("name") {
            index.insert("name", format!("index_{number}"));
        }
        index
    });
    let named: Vec<Document> = named.collect();
    command(database, doc! { "createIndexes": "indexed", "indexes": named }).await;
    let everything = doc! { "key": { "$**": "text" }, "name": "$**_text" };
    command(database, doc! { "createIndexes": "many", "indexes": [everything] }).await;
    // Indexes without a document
    command(
        database,
        doc! { "createIndexes": "empty indexed", "indexes": [{ "key": { "a": 1 }, "name": "a" }] },
    )
    .await;
}

/// What drivers make of files.
async fn files(database: &Database) {
    let id = mongodb::bson::oid::ObjectId::from_bytes([1; 12]);
    let file = doc! { "_id": id, "length": 300_i64, "chunkSize": 255, "uploadDate": DateTime::from_millis(0), "filename": "a/b.txt",
    "metadata": { "type": "text" } };
    insert(database, "fs.files", vec![file]).await;
    let chunk = |n: i32, size: usize| {
        let data = mongodb::bson::Binary {
            subtype: mongodb::bson::spec::BinarySubtype::Generic,
            bytes: vec![n as u8; size],
        };
        doc! { "files_id": id, "n": n, "data": data }
    };
    insert(database, "fs.chunks", vec![chunk(0, 255), chunk(1, 45)]).await;
    let names = doc! { "key": { "filename": 1, "uploadDate": 1 }, "name": "filename_1_uploadDate_1" };
    command(database, doc! { "createIndexes": "fs.files", "indexes": [names] }).await;
    let chunks = doc! { "key": { "files_id": 1, "n": 1 }, "name": "files_id_1_n_1", "unique": true };
    command(database, doc! { "createIndexes": "fs.chunks", "indexes": [chunks] }).await;
}

async fn access(database: &Database) {
    let name = database.name();
    let privileges = [
        doc! { "resource": { "db": name, "collection": "many" }, "actions": ["find", "insert"] },
        doc! { "resource": { "db": name, "collection": "" }, "actions": ["listCollections"] },
    ];
    let role = doc! { "createRole": "clerk", "privileges": privileges.to_vec(), "roles": ["read"] };
    command(database, role).await;
    let user = doc! { "createUser": "clerk of \"ünï\"", "pwd": "secret", "roles": ["clerk", { "role": "dbAdmin", "db": name }],
    "customData": { "note": "kept" }, "authenticationRestrictions": [{ "clientSource": ["127.0.0.0/8"] }] };
    command(database, user).await;
    let plain = doc! { "createUser": "plain", "pwd": "secret", "roles": [], "mechanisms": ["SCRAM-SHA-256"] };
    command(database, plain).await;
}
