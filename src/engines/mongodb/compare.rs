//! Comparing what was restored with what the backup holds: documents by digest, options and indexes by their form.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::Document;

use super::archive::inventory::definitions_of;
use super::archive::state::Defined;
use super::archive::{CollectionKind, Namespace};
use super::connect::{self, Server};
use super::content::{self, Held};
use super::counted::{Proof, documents_of, is_oplog, namespace, proof};
use super::engine::{Mongo, resolve};
use super::naming::{Naming, is_system};
use super::{look, ttl};
use crate::engines::{Comparison, Target};
use crate::error::Result;
use crate::pipeline::inventory::{Definition, Inventory, Item};
use crate::pipeline::progress::Progress;

/// What a drill restores: not what belongs to the server itself.
fn is_restored(database: &str, name: &str) -> bool {
    !is_system(database) || database == "admin" && !name.starts_with("system.")
}

impl Mongo {
    /// See [`crate::engines::Engine::compare`].
    pub(super) async fn compare_target(
        &self,
        target: &Target,
        plan: &Inventory,
        progress: &Progress,
    ) -> Result<Comparison> {
        let uri = resolve(&target.endpoint, &self.settings.host)?;
        let server = connect::connect(&uri, "primary").await?;
        let naming = Naming::staged(target.database.as_deref());
        let mut comparison = Comparison::default();

        let (access, items): (Vec<&Item>, Vec<&Item>) = plan
            .items
            .iter()
            .filter(|item| !is_oplog(item))
            .partition(|item| !is_restored(&item.schema, &item.name));
        let users: u64 = access.iter().map(|item| item.rows).sum();
        if users > 0 {
            comparison.notes.push(format!(
                "what belongs to the server itself (users, roles, versions: {users} in all) is not restored in a drill"
            ));
        }
        progress.expect_raw(items.iter().map(|item| item.bytes).sum());
        let names: Vec<Namespace> = items.iter().map(|item| naming.of(&documents_of(item))).collect();
        let answers = content::read_all(&server, &names, None, self.readers(), progress).await?;
        let mut replayed = 0;
        for (item, answer) in items.iter().zip(answers) {
            let held = answer.map_err(|cause| connect::explain(&server.shown, &cause))?;
            comparison.items += 1;
            match proof(item) {
                Proof::Replay { .. } => replayed += 1,
                proof => comparison.differences.extend(difference(item, &proof, held)),
            }
        }
        if replayed > 0 {
            let which =
                if replayed == 1 { "1 collection was" } else { &format!("{replayed} collections were") };
            comparison
                .notes
                .push(format!("{which} compared before the captured operations were applied, not after"));
        }
        self.definitions(&server, &naming, plan, &mut comparison).await?;
        Ok(comparison)
    }

    async fn definitions(
        &self,
        server: &Server,
        naming: &Naming,
        plan: &Inventory,
        comparison: &mut Comparison,
    ) -> Result<()> {
        let mut wanted: BTreeMap<Namespace, BTreeSet<&Definition>> = BTreeMap::new();
        for definition in
            plan.definitions.iter().filter(|definition| is_restored(&definition.schema, owner(definition)))
        {
            wanted
                .entry(Namespace::new(&*definition.schema, owner(definition)))
                .or_default()
                .insert(definition);
        }
        let databases: BTreeSet<String> = wanted.keys().map(|name| name.db.clone()).collect();
        for database in databases {
            let found = look::collections(server, &naming.database(&database)).await?;
            let back: BTreeMap<&str, &look::Seen> = found
                .iter()
                .filter(|seen| {
                    !seen.namespace.collection.starts_with("system.")
                        || seen.namespace.collection == "system.js"
                })
                .map(|seen| (&*seen.namespace.collection, seen))
                .collect();
            let own: Vec<_> = wanted.iter().filter(|(name, _)| name.db == database).collect();
            for (name, definitions) in &own {
                comparison.definitions += definitions.len() as u64;
                match back.get(&*name.collection) {
                    None => comparison.differences.push(format!("{name} is missing")),
                    Some(seen) => {
                        let there = defined(server, seen, name, definitions).await?;
                        let there: BTreeSet<&Definition> = there.iter().collect();
                        comparison.differences.extend(differing(definitions, &there));
                    }
                }
            }
            let known: BTreeSet<&str> = own.iter().map(|(name, _)| &*name.collection).collect();
            let more = back.keys().filter(|name| !known.contains(**name));
            comparison.differences.extend(more.map(|name| format!("{database}.{name} is not in the backup")));
        }
        Ok(())
    }
}

/// The collection that a definition belongs to.
fn owner(definition: &Definition) -> &str {
    if definition.parent.is_empty() { &definition.name } else { &definition.parent }
}

/// The definitions of a restored collection, told under its name in the backup and with its times to live.
async fn defined(
    server: &Server,
    seen: &look::Seen,
    name: &Namespace,
    wanted: &BTreeSet<&Definition>,
) -> Result<Vec<Definition>> {
    let kind = match seen.kind.as_str() {
        "view" => CollectionKind::View,
        "timeseries" => CollectionKind::TimeSeries,
        _ => CollectionKind::Collection,
    };
    let mut indexes: Vec<Document> = match kind {
        CollectionKind::View => Vec::new(),
        _ => look::indexes(server, &seen.namespace).await?,
    };
    let mut options = seen.options.clone();
    let as_it_is = |options: &Document, indexes: &[Document]| {
        let found = definitions_of(name, &Defined::new(kind, options.clone(), indexes.to_vec()));
        found.iter().any(|definition| {
            definition.parent.is_empty() == indexes.is_empty() && wanted.contains(definition)
        })
    };
    if let Some(back) = ttl::COLLECTION.unshifted(&options).filter(|_| !as_it_is(&options, &[])) {
        options = back;
    }
    for index in &mut indexes {
        let known = as_it_is(&options, std::slice::from_ref(index));
        if let Some(back) = ttl::INDEX.unshifted(index).filter(|_| !known) {
            *index = back;
        }
    }
    Ok(definitions_of(name, &Defined::new(kind, options, indexes)))
}

fn differing(wanted: &BTreeSet<&Definition>, there: &BTreeSet<&Definition>) -> Vec<String> {
    let key = |definition: &Definition| (definition.kind.clone(), definition.name.clone());
    let named = |set: &BTreeSet<&Definition>| set.iter().map(|d| key(d)).collect::<BTreeSet<_>>();
    let (before, after) = (named(wanted), named(there));
    let mut lines = Vec::new();
    for definition in wanted.difference(there) {
        let what = match (definition.kind.as_str(), definition.parent.as_str()) {
            (_, "") => format!("the options of {}.{}", definition.schema, definition.name),
            (_, parent) => format!("the index {} of {}.{parent}", definition.name, definition.schema),
        };
        let how = if after.contains(&key(definition)) { "differ from the backup" } else { "are missing" };
        lines.push(if definition.parent.is_empty() {
            format!("{what} {how}")
        } else {
            format!("{what}: {how}")
        });
    }
    for definition in there.difference(wanted).filter(|definition| !before.contains(&key(definition))) {
        lines.push(format!(
            "the index {} of {}.{} is not in the backup",
            definition.name,
            definition.schema,
            owner(definition)
        ));
    }
    lines
}

/// What differs between an item as its proof has it and what is there.
fn difference(item: &Item, proof: &Proof, held: Held) -> Option<String> {
    let (mut wanted, mut found) = (item.clone(), item.clone());
    if let Proof::Snapshot { rows, bytes, digest } = *proof {
        (wanted.rows, wanted.bytes, wanted.digest) = (rows, bytes, digest);
    }
    (found.rows, found.bytes, found.digest) = (held.rows, held.bytes, held.digest);
    wanted.difference(&found).map(|how| format!("{}: {how}", namespace(item)))
}
