//! What is in a MongoDB database, told without any of the code under test: to be compared.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};

/// The md5 of the documents of each collection, in the order of `_id`, as the server's own `dbHash` tells it.
///
/// Time series are in their `system.buckets.*`. `system.views` holds the name of the database: it is left out,
/// and [`definitions`] tells the views.
pub async fn db_hash(client: &Client, database: &str) -> BTreeMap<String, String> {
    let answer = client.database(database).run_command(doc! { "dbHash": 1 }).await.unwrap();
    let hashes = answer.get_document("collections").unwrap().clone();
    let hashes = hashes.into_iter().filter(|(name, _)| name != "system.views");
    hashes.map(|(name, hash)| (name, hash.as_str().unwrap().to_owned())).collect()
}

/// Type, options and indexes of each collection and view, with the exact types of all values, one a line.
/// The order of fields counts, but for the options of an index.
pub async fn definitions(client: &Client, database: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let collections = all(client, database, doc! { "listCollections": 1, "cursor": {} }).await;
    for mut collection in collections {
        let name = collection.get_str("name").unwrap().to_owned();
        let kind = collection.get_str("type").unwrap().to_owned();
        let options = sorted(collection.get_document("options").unwrap().clone());
        collection.get_document_mut("info").unwrap().remove("uuid");
        let mut lines = vec![format!("{kind} {options:?}"), format!("{:?}", collection.get("info"))];
        if kind != "view" {
            let indexes = all(client, database, doc! { "listIndexes": &name, "cursor": {} }).await;
            let mut indexes: Vec<String> =
                indexes.into_iter().map(|found| format!("{:?}", index(found))).collect();
            indexes.sort();
            lines.extend(indexes);
        }
        found.insert(name, lines);
    }
    found
}

/// Roles and users that are defined in the database, without the secrets, one a line.
pub async fn access(client: &Client, database: &str) -> Vec<String> {
    let database = client.database(database);
    let roles = doc! { "rolesInfo": 1, "showPrivileges": true };
    let roles = database.run_command(roles).await.unwrap().get_array("roles").unwrap().clone();
    let users = database.run_command(doc! { "usersInfo": 1 }).await.unwrap();
    let users = users.get_array("users").unwrap().iter().cloned().map(|mut user| {
        user.as_document_mut().unwrap().remove("userId");
        user
    });
    roles.into_iter().chain(users).map(|entry| format!("{entry:?}")).collect()
}

/// The names of all databases that hold this text.
pub async fn databases(client: &Client, part: &str) -> Vec<String> {
    let mut names = client.list_database_names().await.unwrap();
    names.retain(|name| name.contains(part));
    names.sort();
    names
}

async fn all(client: &Client, database: &str, command: Document) -> Vec<Document> {
    let cursor = client.database(database).run_cursor_command(command).await.unwrap();
    cursor.map(|document| document.unwrap()).collect().await
}

fn sorted(document: Document) -> BTreeMap<String, Bson> {
    document.into_iter().collect()
}

/// An index; mongorestore shuffles the fields within an option such as `wildcardProjection`, where order means
/// nothing.
fn index(document: Document) -> BTreeMap<String, Bson> {
    let ordered = ["key", "partialFilterExpression"];
    let option = |name: &str, value| if ordered.contains(&name) { value } else { unordered(value) };
    document.into_iter().map(|(name, value)| (name.clone(), option(&name, value))).collect()
}

fn unordered(value: Bson) -> Bson {
    let Bson::Document(document) = value else { return value };
    let fields = sorted(document);
    Bson::Document(fields.into_iter().map(|(name, value)| (name, unordered(value))).collect())
}
