//! Users and roles: those that the target has stay as they are, though mongorestore would overwrite them.

use std::collections::BTreeSet;

use mongodb::bson::{RawDocument, doc};

use super::plan::{Plan, is_access};
use crate::engines::mongodb::connect::Server;
use crate::engines::mongodb::counted;
use crate::error::Result;

/// Where a server keeps them; their `_id` is `database.name`.
const COLLECTIONS: [&str; 2] = ["system.users", "system.roles"];

/// The users and roles of the target, where any are to be restored.
///
/// # Errors
/// Those of [`crate::engines::mongodb::connect::explain`].
pub async fn existing(server: &Server, plan: &Plan<'_>) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    if plan.users {
        for collection in COLLECTIONS {
            let all = server.all("admin", doc! {"find": collection, "projection": {"_id": 1}}).await?;
            found.extend(all.iter().filter_map(|entry| Some(entry.get_str("_id").ok()?.to_owned())));
        }
    }
    Ok(found)
}

/// Whose document of the collections of users and roles this is.
pub fn whose(document: &[u8]) -> Option<String> {
    Some(RawDocument::from_bytes(document).ok()?.get_str("_id").ok()?.to_owned())
}

/// What an operator should know about users and roles that did not come.
pub fn warnings(plan: &Plan<'_>, kept: &BTreeSet<String>) -> Vec<String> {
    let mut warnings = Vec::new();
    let any = plan.inventory.items.iter().any(|item| is_access(&counted::namespace(item)));
    if plan.users && !any {
        warnings.push("the backup has no users and roles: it is of chosen databases".to_owned());
    }
    if !kept.is_empty() {
        let names = kept.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        warnings.push(format!("users and roles that the target has stay as they are: {names}"));
    }
    warnings
}
