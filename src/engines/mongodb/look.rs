//! What there is on a server: databases, collections, their sizes, and what of it a role may see.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, doc};

use super::archive::Namespace;
use super::connect::Server;
use super::options::Selection;
use crate::error::{Error, Kind, Result};

/// One collection, view or time series of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its names. Time series have their own.
    pub namespace: Namespace,
    /// `collection`, `view` or `timeseries`.
    pub kind: String,
    /// Its options.
    pub options: Document,
    /// 32 hex digits; empty for views and time series.
    pub uuid: String,
}

/// The databases that a role sees, with their sizes on disk in bytes.
///
/// # Errors
/// Those of [`super::connect::explain`].
pub async fn databases(server: &Server) -> Result<BTreeMap<String, u64>> {
    let listed = server.read("admin", doc! {"listDatabases": 1}).await?;
    let databases = listed.get_array("databases").map(Vec::as_slice).unwrap_or_default();
    Ok(databases
        .iter()
        .filter_map(Bson::as_document)
        .filter_map(|database| {
            let size = number(database.get("sizeOnDisk")).max(0.0) as u64;
            Some((database.get_str("name").ok()?.to_owned(), size))
        })
        .collect())
}

/// A number of any of BSON's types.
pub fn number(value: Option<&Bson>) -> f64 {
    match value {
        Some(Bson::Int32(number)) => f64::from(*number),
        Some(Bson::Int64(number)) => *number as f64,
        Some(Bson::Double(number)) => *number,
        _ => 0.0,
    }
}

/// Everything in a database, in the order of its names. Buckets are not told beside their time series.
///
/// # Errors
/// Those of [`super::connect::explain`].
pub async fn collections(server: &Server, database: &str) -> Result<Vec<Seen>> {
    let listed = server.all(database, doc! {"listCollections": 1, "cursor": {}}).await?;
    let mut found: Vec<Seen> = listed
        .into_iter()
        .filter_map(|entry| {
            let uuid = match entry.get_document("info").ok().and_then(|info| info.get("uuid")) {
                Some(Bson::Binary(uuid)) => uuid.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                _ => String::new(),
            };
            Some(Seen {
                namespace: Namespace::new(database, entry.get_str("name").ok()?),
                kind: entry.get_str("type").unwrap_or("collection").to_owned(),
                options: entry.get_document("options").cloned().unwrap_or_default(),
                uuid,
            })
        })
        .filter(|seen| seen.namespace.time_series().is_none())
        .collect();
    found.sort_by(|a, b| a.namespace.cmp(&b.namespace));
    Ok(found)
}

/// The indexes of a collection, as `listIndexes` gives them; none for a view.
///
/// # Errors
/// Those of [`super::connect::explain`].
pub async fn indexes(server: &Server, namespace: &Namespace) -> Result<Vec<Document>> {
    server.all(&namespace.db, doc! {"listIndexes": &namespace.collection, "cursor": {}}).await
}

/// All that mongodump dumps of the whole server, and what of it is selected.
///
/// # Errors
/// Those of [`super::connect::explain`]; [`Kind::Config`] for what is named and is not there.
pub async fn selected(server: &Server, selection: &Selection) -> Result<Vec<Seen>> {
    let there = databases(server).await?;
    for name in selection.named_databases() {
        if !there.contains_key(name) {
            return Err(missing(server, "database", name));
        }
    }
    let mut found = Vec::new();
    for database in there.keys().filter(|name| selection.takes_database(name)) {
        let all = collections(server, database).await?;
        found.extend(all.into_iter().filter(|seen| {
            let name = &seen.namespace;
            name.is_dumped() && selection.takes(&name.db, &name.collection)
        }));
    }
    for name in selection.named_collections() {
        if selection
            .takes(name.split_once('.').map_or("", |(db, _)| db), name.split_once('.').map_or("", |(_, c)| c))
            && !found.iter().any(|seen| seen.namespace.to_string() == name)
        {
            return Err(missing(server, "collection", name));
        }
    }
    Ok(found)
}

fn missing(server: &Server, what: &str, name: &str) -> Error {
    Error::new(
        Kind::Unreachable,
        format!("{}: there is no {what} {name}, or it may not be seen", server.shown),
    )
    .hint(format!("check the name in the source's options, and that the user may read {name}"))
}

/// Bytes of data in the selected databases, uncompressed: about what a dump will have. 0 where that cannot be asked:
/// the role `backup` may read everything, and not how much it is.
pub async fn expected_bytes(server: &Server, seen: &[Seen], everything: bool) -> u64 {
    measured_bytes(server, seen, everything).await.unwrap_or(0)
}

async fn measured_bytes(server: &Server, seen: &[Seen], everything: bool) -> Result<u64> {
    let mut bytes = 0.0;
    if everything {
        let databases: std::collections::BTreeSet<&str> =
            seen.iter().map(|seen| seen.namespace.db.as_str()).collect();
        for database in databases {
            bytes += number(server.read(database, doc! {"dbStats": 1}).await?.get("dataSize"));
        }
        return Ok(bytes as u64);
    }
    for seen in seen.iter().filter(|seen| seen.kind != "view") {
        let stats = doc! {"collStats": &seen.namespace.collection};
        bytes += number(server.read(&seen.namespace.db, stats).await?.get("size"));
    }
    Ok(bytes as u64)
}
