//! What an inventory that was taken before the stop is worth.

use serde::{Deserialize, Serialize};

use crate::engines::neo4j::admin::Info;
use crate::engines::neo4j::compare;
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::{Inventory, Item};

/// How an item of the inventory and the dump belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum Proof {
    /// Nothing was committed between the count and the dump: what was counted is what is in it.
    Dump,
    /// Something was, or nobody can tell: what was counted is a moment older than the dump.
    BeforeStop,
}

impl Proof {
    /// Writes it into every item's plan, where it is not the dump itself.
    pub fn mark(self, inventory: &mut Inventory) {
        if self == Proof::Dump {
            return;
        }
        compare::mark(inventory, compare::BEFORE_STOP);
    }

    /// What an item says.
    pub fn of(item: &Item) -> Proof {
        match item.proof() {
            Some(compare::BEFORE_STOP) => Proof::BeforeStop,
            _ => Proof::Dump,
        }
    }
}

/// Compares the transaction that the server was at with that of the store.
///
/// # Errors
/// [`Kind::Config`] when the store is behind; [`Kind::Unreachable`] when it is in use or was not stopped cleanly.
pub(super) fn judge(database: &str, expected: Option<u64>, info: &Info) -> Result<Proof> {
    let error = |kind, what: &str| Error::new(kind, format!("{database} {what}"));
    if info.in_use {
        return Err(error(Kind::Unreachable, "was started while it was dumped")
            .hint("look for what starts the server by itself; options.stop has to keep it stopped"));
    }
    if info.needs_recovery {
        return Err(error(Kind::Unreachable, "was not stopped cleanly, so its dump is not whole")
            .hint("start the server, stop it, and try again"));
    }
    match (expected, info.last_transaction) {
        (Some(expected), Some(found)) if found < expected => {
            let what = format!(
                "was dumped as of transaction {found}, but its server was at {expected}: this is an older copy"
            );
            Err(error(Kind::Config, &what)
                .hint("NEO4J_HOME and NEO4J_CONF have to be those of the server that `url` names"))
        }
        (Some(expected), Some(found)) if found == expected => Ok(Proof::Dump),
        _ => Ok(Proof::BeforeStop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(last_transaction: Option<u64>) -> Info {
        Info { format: None, in_use: false, last_transaction, needs_recovery: false }
    }

    #[test]
    fn the_same_transaction_proves_and_an_older_one_is_refused() {
        assert_eq!(judge("neo4j", Some(12), &info(Some(12))).unwrap(), Proof::Dump);
        for (expected, found) in [(Some(12), Some(13)), (None, Some(12)), (Some(12), None)] {
            assert_eq!(judge("neo4j", expected, &info(found)).unwrap(), Proof::BeforeStop);
        }
        let error = judge("neo4j", Some(12), &info(Some(11))).unwrap_err();
        assert_eq!(
            error.message(),
            "neo4j was dumped as of transaction 11, but its server was at 12: this is an older copy"
        );
        let running = Info { in_use: true, ..info(Some(12)) };
        assert_eq!(judge("neo4j", Some(12), &running).unwrap_err().kind(), Kind::Unreachable);
        let crashed = Info { needs_recovery: true, ..info(Some(12)) };
        assert!(judge("neo4j", Some(12), &crashed).unwrap_err().message().contains("not stopped cleanly"));
    }

    #[test]
    fn items_say_what_they_are_worth() {
        let item: Item =
            serde_json::from_value(serde_json::json!({"kind": "label", "name": "P", "rows": 1, "bytes": 1,
                "digest": "0".repeat(32), "plan": {"labels": ["P"]}}))
            .unwrap();
        let mut inventory = Inventory { items: vec![item], ..Inventory::default() };
        Proof::Dump.mark(&mut inventory);
        assert_eq!(Proof::of(&inventory.items[0]), Proof::Dump);
        Proof::BeforeStop.mark(&mut inventory);
        assert_eq!(Proof::of(&inventory.items[0]), Proof::BeforeStop);
        assert_eq!(inventory.items[0].plan["labels"][0], "P");
    }
}
