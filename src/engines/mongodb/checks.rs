//! Questions to a restored server: the policy's checks, and the server's own `validate`.

use mongodb::bson::{Bson, Document, doc};

use super::archive::Namespace;
use super::connect::{self, Server};
use super::engine::{Mongo, resolve};
use super::naming::{Naming, is_system};
use super::{archive::extjson, look};
use crate::engines::{Query, Target};
use crate::error::{Error, Kind, Result};

impl Mongo {
    /// See [`crate::engines::Engine::ask`].
    pub(super) async fn ask_target(&self, target: &Target, query: &Query) -> Result<Option<String>> {
        let uri = resolve(&target.endpoint, &self.settings.host)?;
        let server = connect::connect(&uri, "primary").await?;
        let naming = Naming::staged(target.database.as_deref());
        let (database, command) = match query {
            Query::Value(text) => command(text)?,
            Query::Rows(table) => {
                let name = collection(table)?;
                let pipeline = vec![doc! {"$count": "rows"}];
                let command = doc! {"aggregate": name.collection, "pipeline": pipeline, "cursor": {}};
                let answer = first_value(&server, &naming.database(&name.db), command).await?;
                // A count of nothing is no document.
                return Ok(Some(answer.unwrap_or_else(|| "0".to_owned())));
            }
            Query::Age { table, column } => {
                let name = collection(table)?;
                let newest = doc! {"$group": {"_id": null, "newest": {"$max": format!("${column}")}}};
                // Dates, and what a date can be read out of: an ObjectId, a timestamp.
                let age = doc! {"$project": {"_id": 0, "age": {"$divide": [
                    {"$subtract": ["$$NOW", {"$toDate": "$newest"}]}, 1000
                ]}}};
                (name.db, doc! {"aggregate": name.collection, "pipeline": [newest, age], "cursor": {}})
            }
        };
        first_value(&server, &naming.database(&database), command).await
    }

    /// See [`crate::engines::Engine::structural_check`]: `validate` of every restored collection.
    pub(super) async fn check_structure(&self, target: &Target) -> Result<Option<String>> {
        let uri = resolve(&target.endpoint, &self.settings.host)?;
        let server = connect::connect(&uri, "primary").await?;
        let prefix = target.database.as_ref().map(|prefix| format!("{prefix}_"));
        let (mut checked, mut against_rules) = (0, 0);
        for database in look::databases(&server).await?.into_keys() {
            let own = match &prefix {
                Some(prefix) => database.starts_with(prefix),
                None => !is_system(&database),
            };
            if !own {
                continue;
            }
            for seen in look::collections(&server, &database).await? {
                let name = match seen.kind.as_str() {
                    "view" => continue,
                    "timeseries" => seen.namespace.buckets(),
                    _ if seen.namespace.collection == "system.views" => continue,
                    _ => seen.namespace,
                };
                against_rules += validate(&server, &name).await?;
                checked += 1;
            }
        }
        let rules = match against_rules {
            0 => String::new(),
            count => format!("; {count} documents break the rules of their collections, as in the source"),
        };
        Ok(Some(format!("validate: {checked} collections{rules}")))
    }
}

/// How the server begins its word on documents that break a validator: since 6.0 it calls that an error, though a
/// rule that is younger than a document is no damage. Source: the server's `validate_adaptor.cpp`.
const AGAINST_RULES: &str = "Detected one or more documents not compliant with the collection's schema";

/// Returns how many documents break the collection's validator.
async fn validate(server: &Server, name: &Namespace) -> Result<u64> {
    let answer = server.run(&name.db, doc! {"validate": &name.collection}).await?;
    let against_rules = look::number(answer.get("nNonCompliantDocuments")) as u64;
    let listed = |key: &str| answer.get_array(key).map_or(0, Vec::len);
    let odd =
        ["corruptRecords", "missingIndexEntries", "extraIndexEntries"].iter().any(|key| listed(key) > 0);
    let errors = answer.get_array("errors").map(Vec::as_slice).unwrap_or_default();
    let only_rules = !errors.is_empty()
        && errors.iter().all(|error| error.as_str().is_some_and(|text| text.starts_with(AGAINST_RULES)));
    let indexes = answer.get_document("indexDetails").cloned().unwrap_or_default();
    let indexes_valid = indexes
        .values()
        .all(|index| index.as_document().is_none_or(|index| index.get_bool("valid").unwrap_or(true)));
    if answer.get_bool("valid").unwrap_or(false)
        || only_rules && !odd && indexes_valid && look::number(answer.get("nInvalidDocuments")) == 0.0
    {
        return Ok(against_rules);
    }
    let texts = |key: &str| -> Vec<String> {
        let values = answer.get_array(key).map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(Bson::as_str).map(str::to_owned).collect()
    };
    let said: Vec<String> = texts("errors").into_iter().chain(texts("warnings")).take(3).collect();
    Err(Error::new(Kind::Damaged, format!("validate finds {name} damaged: {}", said.join("; "))))
}

fn wrong(problem: String) -> Error {
    Error::new(Kind::Config, problem).hint(
        "write a command as JSON with the database, as in {\"db\": \"shop\", \"aggregate\": \"orders\", \"pipeline\": \
         [{\"$count\": \"n\"}]}",
    )
}

/// A check's query: a command as JSON, with the database under `db`.
fn command(text: &str) -> Result<(String, Document)> {
    let mut command =
        extjson::parse(text).map_err(|problem| wrong(format!("a check's query is not JSON: {problem}")))?;
    let Some(Bson::String(database)) = command.remove("db") else {
        return Err(wrong("a check's query names no db".to_owned()));
    };
    // `remove` may have moved the last key to the front: the command's name has to be the first.
    let mut ordered = Document::new();
    for name in ["aggregate", "count", "distinct", "find"] {
        if let Some(value) = command.get(name) {
            ordered.insert(name, value.clone());
        }
    }
    if ordered.len() != 1 {
        return Err(wrong("a check's query has to be one of aggregate, count, distinct, find".to_owned()));
    }
    if ordered.contains_key("aggregate") && !command.contains_key("cursor") {
        ordered.insert("cursor", doc! {});
    }
    for (key, value) in command {
        if !ordered.contains_key(&key) {
            ordered.insert(key, value);
        }
    }
    Ok((database, ordered))
}

fn collection(table: &str) -> Result<Namespace> {
    Namespace::parse(table).ok_or_else(|| {
        Error::new(Kind::Config, format!("a check's table {table} names no database"))
            .hint("write database.collection, as in table = \"shop.orders\"")
    })
}

/// The one value of a command's first document; `None` when there is no document, or it is null.
async fn first_value(server: &Server, database: &str, command: Document) -> Result<Option<String>> {
    let answer = server.run(database, command).await?;
    let value = match answer.get_document("cursor") {
        Ok(cursor) => {
            let batch = cursor.get_array("firstBatch").map(Vec::as_slice).unwrap_or_default();
            let Some(document) = batch.first().and_then(Bson::as_document) else { return Ok(None) };
            let mut fields = document.iter().filter(|(key, _)| *key != "_id");
            match (fields.next(), fields.next()) {
                (Some((_, value)), None) => value.clone(),
                (None, _) => document.get("_id").cloned().unwrap_or(Bson::Null),
                _ => {
                    return Err(Error::new(
                        Kind::Failed,
                        "a check's query has to give one value, and gives several",
                    )
                    .hint("end its pipeline with a $project of one field"));
                }
            }
        }
        // count and distinct
        Err(_) => match (answer.get("n"), answer.get_array("values")) {
            (Some(count), _) => count.clone(),
            (None, Ok(values)) => Bson::Int64(values.len() as i64),
            _ => return Err(Error::new(Kind::Failed, "a check's query gives no value")),
        },
    };
    Ok(text(&value))
}

fn text(value: &Bson) -> Option<String> {
    Some(match value {
        Bson::Null | Bson::Undefined => return None,
        Bson::Int32(number) => number.to_string(),
        Bson::Int64(number) => number.to_string(),
        Bson::Double(number) => number.to_string(),
        Bson::Decimal128(number) => number.to_string(),
        Bson::String(text) => text.clone(),
        Bson::Boolean(flag) => flag.to_string(),
        Bson::DateTime(time) => time.try_to_rfc3339_string().unwrap_or_else(|_| time.to_string()),
        Bson::ObjectId(id) => id.to_hex(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_command_with_its_database() {
        let (database, read) =
            command(r#"{"pipeline": [{"$count": "n"}], "db": "shop", "aggregate": "orders"}"#).unwrap();
        assert_eq!(database, "shop");
        assert_eq!(read.keys().map(String::as_str).collect::<Vec<_>>(), ["aggregate", "cursor", "pipeline"]);
        for (text, part) in [
            ("select 1", "not JSON"),
            (r#"{"count": "orders"}"#, "names no db"),
            (r#"{"db": "a", "drop": "orders"}"#, "one of aggregate"),
        ] {
            let error = command(text).unwrap_err();
            assert!(error.message().contains(part), "{error:?}");
        }
        assert!(collection("orders").is_err());
    }
}
