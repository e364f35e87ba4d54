//! Whether a user sees everything that is to be dumped: mongodump leaves out what it may not see, and says nothing.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::{Bson, Document, doc};

use super::connect::Server;
use super::look::Seen;
use crate::error::Result;

/// What a user may do, by resource.
#[derive(Debug, Clone, Default)]
pub struct Privileges {
    /// False where the server asks for no login: then everything is allowed.
    logged_in: bool,
    /// The roles, as `backup@admin`.
    pub roles: Vec<String>,
    grants: Vec<(Document, BTreeSet<String>)>,
}

/// Asks what the user of this connection may do.
///
/// # Errors
/// Those of [`super::connect::explain`].
pub async fn of(server: &Server) -> Result<Privileges> {
    let status = server.read("admin", doc! {"connectionStatus": 1, "showPrivileges": true}).await?;
    let info = status.get_document("authInfo").cloned().unwrap_or_default();
    let list = |key: &str| -> Vec<Document> {
        let values = info.get_array(key).map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(Bson::as_document).cloned().collect()
    };
    let name = |document: &Document, key: &str| document.get_str(key).unwrap_or_default().to_owned();
    let grants = list("authenticatedUserPrivileges").into_iter().map(|grant| {
        let resource = grant.get_document("resource").cloned().unwrap_or_default();
        let actions = grant.get_array("actions").map(Vec::as_slice).unwrap_or_default();
        (resource, actions.iter().filter_map(Bson::as_str).map(str::to_owned).collect())
    });
    Ok(Privileges {
        logged_in: !list("authenticatedUsers").is_empty(),
        roles: list("authenticatedUserRoles")
            .iter()
            .map(|role| format!("{}@{}", name(role, "role"), name(role, "db")))
            .collect(),
        grants: grants.collect(),
    })
}

impl Privileges {
    /// True when an action on a cluster is allowed.
    pub fn on_cluster(&self, action: &str) -> bool {
        self.may(action, |resource| {
            resource.get_bool("cluster").unwrap_or(false) || resource.get_bool("anyResource").unwrap_or(false)
        })
    }

    /// True when an action on a collection is allowed.
    /// Source: the manual's "Resource Document": an empty name stands for all but system collections.
    pub fn on(&self, action: &str, database: &str, collection: &str) -> bool {
        self.may(action, |resource| {
            if resource.get_bool("anyResource").unwrap_or(false) {
                return true;
            }
            let (Ok(db), Ok(name)) = (resource.get_str("db"), resource.get_str("collection")) else {
                return match resource.get_str("system_buckets") {
                    Ok(series) => {
                        resource.get_str("db").is_ok_and(|db| db.is_empty() || db == database)
                            && collection
                                .strip_prefix("system.buckets.")
                                .is_some_and(|c| series.is_empty() || c == series)
                    }
                    Err(_) => false,
                };
            };
            let all = name.is_empty() && !collection.starts_with("system.");
            (db.is_empty() || db == database) && (all || name == collection)
        })
    }

    fn may(&self, action: &str, fits: impl Fn(&Document) -> bool) -> bool {
        let granted = |(resource, actions): &(Document, BTreeSet<String>)| {
            fits(resource) && (actions.contains(action) || actions.contains("anyAction"))
        };
        !self.logged_in || self.grants.iter().any(granted)
    }

    /// True when every database of the server can be seen.
    pub fn sees_everything(&self) -> bool {
        self.on_cluster("listDatabases")
    }

    /// True when the oplog can be read.
    pub fn reads_oplog(&self) -> bool {
        self.on("find", "local", "oplog.rs")
    }

    /// The collections that cannot be read, by database.
    pub fn unreadable<'s>(&self, seen: &'s [Seen]) -> BTreeMap<&'s str, Vec<&'s str>> {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for seen in seen {
            let name = &seen.namespace;
            let readable = match seen.kind.as_str() {
                "timeseries" => self.on("find", &name.db, &name.buckets().collection),
                _ => self.on("find", &name.db, &name.collection),
            };
            if !readable {
                found.entry(&name.db).or_default().push(&name.collection);
            }
        }
        found
    }
}
