//! Indexes, built after the documents and the captured operations: in between, keys may not be unique.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::engines::mongodb::archive::state::Defined;
use crate::engines::mongodb::archive::{CollectionKind, Namespace};
use crate::engines::mongodb::connect::Server;
use crate::engines::mongodb::ttl;
use crate::error::{Error, Kind, Result};

/// Builds all indexes of these collections, of several collections at once. Returns how many.
///
/// # Errors
/// [`Kind::Failed`] naming collection and cause.
pub async fn build(
    server: &Server,
    collections: Vec<(Namespace, Defined)>,
    staging: bool,
    at_once: usize,
) -> Result<usize> {
    let turns = Arc::new(Semaphore::new(at_once.max(1)));
    let mut tasks = JoinSet::new();
    for (name, defined) in collections {
        let specs = specs(&defined, staging);
        if specs.is_empty() {
            continue;
        }
        let (server, turns) = (server.clone(), turns.clone());
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let count = specs.len();
            let command = doc! {"createIndexes": &name.collection, "indexes": specs};
            match server.run(&name.db, command).await {
                Ok(_) => Ok(count),
                Err(error) => Err(error.while_doing(format!("an index of {name} cannot be built")).hint(
                    "the documents are those of the backup; look at the message for what does not fit",
                )),
            }
        });
    }
    let mut built = 0;
    while let Some(done) = tasks.join_next().await {
        built += done.map_err(|cause| {
            Error::new(Kind::Failed, "the building of an index ended unexpectedly").because(cause)
        })??;
    }
    Ok(built)
}

/// The specifications to build: all but those that a collection has by itself.
fn specs(defined: &Defined, staging: bool) -> Vec<Bson> {
    if defined.kind == CollectionKind::View {
        return Vec::new();
    }
    let collated = defined.options.contains_key("collation");
    let own = |index: &&Document| {
        index.get_str("name").is_ok_and(|name| name != "_id_")
            && !index.get_bool("clustered").unwrap_or(false)
    };
    let specs = defined.indexes.iter().filter(own).map(|index| {
        let mut spec = index.clone();
        for key in ["ns", "buildUUID"] {
            spec.remove(key);
        }
        // An index without a collation would get that of its collection.
        if collated && !spec.contains_key("collation") {
            spec.insert("collation", doc! {"locale": "simple"});
        }
        if staging {
            ttl::INDEX.shift(&mut spec);
        }
        Bson::Document(spec)
    });
    specs.collect()
}

/// True when documents of a collection expire by themselves.
pub fn expires(defined: &Defined) -> bool {
    defined.options.contains_key("expireAfterSeconds")
        || defined.indexes.iter().any(|index| index.contains_key("expireAfterSeconds"))
}
