//! What is restored, and under which names: known before the first change is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::engines::mongodb::archive::Namespace;
use crate::engines::mongodb::counted::{self, Proof, is_oplog};
use crate::engines::mongodb::naming::{Naming, is_system};
use crate::engines::mongodb::options::{Selection, plain_name};
use crate::engines::{RestoreOptions, Target};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::{Inventory, Item};

/// Everything that is known before the first change is made.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What was asked for.
    pub options: &'a RestoreOptions,
    /// The backup's own inventory.
    pub inventory: &'a Inventory,
    /// The new names.
    pub naming: Naming,
    /// Collections, views and time series that are restored, with their new names.
    pub targets: BTreeMap<Namespace, Namespace>,
    only: Selection,
    /// Whether users and roles are restored.
    pub users: bool,
}

impl<'a> Plan<'a> {
    /// Makes the plan.
    ///
    /// # Errors
    /// [`Kind::Usage`] for what does not fit the backup.
    pub fn new(inventory: &'a Inventory, target: &Target, options: &'a RestoreOptions) -> Result<Plan<'a>> {
        let items = inventory.items.iter().filter(|item| !is_oplog(item)).map(counted::namespace);
        let defined = inventory.definitions.iter().filter(|definition| definition.parent.is_empty());
        let defined = defined.map(|definition| Namespace::new(&*definition.schema, &*definition.name));
        let there: BTreeSet<Namespace> = items.chain(defined).collect();
        let only = Selection::only(&options.only);
        for name in &options.only {
            let known = there.iter().any(|own| own.to_string() == *name || own.db == *name);
            if !known {
                return Err(Error::new(
                    Kind::Usage,
                    format!("the backup has no database or collection {name}"),
                )
                .hint("`lifeboat show SOURCE ID --inventory` lists what it has; write database.collection"));
            }
        }
        let wanted: BTreeSet<&Namespace> =
            there.iter().filter(|name| only.takes(&name.db, &name.collection)).collect();
        let databases: BTreeSet<&str> = wanted.iter().map(|name| name.db.as_str()).collect();
        let naming = match options.staging {
            true => Naming::staged(target.database.as_deref()),
            false => Naming::asked(target.database.as_deref(), &options.renames, &databases)?,
        };
        let known: BTreeSet<String> = wanted.iter().map(|name| name.to_string()).collect();
        if let Some(name) = naming.unknown(&known) {
            return Err(Error::new(
                Kind::Usage,
                format!("--map {name}: there is no collection {name} to restore"),
            )
            .hint("`lifeboat show SOURCE ID --inventory` lists what the backup has"));
        }
        let mut plan =
            Plan { options, inventory, naming, targets: BTreeMap::new(), only, users: options.globals };
        let targets: BTreeMap<Namespace, Namespace> = wanted
            .into_iter()
            .filter(|name| plan.takes(name) && !is_access(name))
            .map(|name| (name.clone(), plan.naming.of(name)))
            .collect();
        if targets.is_empty() && !plan.users {
            return Err(Error::new(Kind::Usage, "nothing of the backup is to be restored")
                .hint("`lifeboat show SOURCE ID --inventory` lists what it has"));
        }
        plan.targets = targets;
        Ok(plan)
    }

    /// True for what is restored. Buckets go with their time series.
    pub fn takes(&self, name: &Namespace) -> bool {
        if name.is_oplog() || name.db == "config" || name.db == "local" {
            return false;
        }
        if is_access(name) {
            return self.users;
        }
        self.only.takes(&name.db, &name.collection)
    }

    /// True when captured operations have to be applied after the documents.
    pub fn replays(&self) -> bool {
        // Captured changes of users are not applied.
        let written = |item: &Item| {
            !matches!(counted::proof(item), Proof::Archive) && !is_access(&counted::namespace(item))
        };
        !self.options.schema_only
            && self.inventory.items.iter().any(|item| written(item) && self.takes(&counted::namespace(item)))
    }

    /// The new name of what is restored.
    pub fn name(&self, name: &Namespace) -> Namespace {
        if is_access(name) { name.clone() } else { self.naming.of(name) }
    }
}

/// True for users, roles and the version of their form, which belong to the server and not to a database.
pub fn is_access(name: &Namespace) -> bool {
    is_system(&name.db) && plain_name(&name.collection).starts_with("system.")
}
