//! For each collection that the captured oplog touches: what the source held at the recovery point.

use std::collections::BTreeMap;

use crate::engines::mongodb::archive::Namespace;
use crate::engines::mongodb::connect::{Server, plain};
use crate::engines::mongodb::content;
use crate::engines::mongodb::counted::{Proof, Tally, documents_of, is_oplog, namespace};
use crate::engines::mongodb::engine::Mongo;
use crate::error::Result;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::progress::Progress;

impl Mongo {
    /// Gives every item of the inventory its proof. Returns what somebody should know.
    ///
    /// # Errors
    /// Only when reading ends unexpectedly: a snapshot that is not to be had is no error, the item then says so.
    pub(super) async fn prove(
        &self,
        server: &Server,
        tally: &Tally,
        inventory: &mut Inventory,
    ) -> Result<Vec<String>> {
        let touched: Vec<(usize, Namespace)> = inventory
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| !is_oplog(item) && tally.touched.contains(&namespace(item)))
            .map(|(place, item)| (place, documents_of(item)))
            .collect();
        let Some(at) = tally.last else { return Ok(Vec::new()) };
        let names: Vec<Namespace> = touched.iter().map(|(_, name)| name.clone()).collect();
        // What is read here is not what is stored: it does not count as the backup's bytes.
        let apart = Progress::default();
        let answers = content::read_all(server, &names, Some(at), self.readers(), &apart).await?;
        let mut without: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((place, name), answer) in touched.into_iter().zip(answers) {
            let proof = match answer {
                Ok(held) => Proof::Snapshot { rows: held.rows, bytes: held.bytes, digest: held.digest },
                Err(cause) => {
                    let why = plain(&cause);
                    without.entry(why.clone()).or_default().push(name.to_string());
                    Proof::Replay { why }
                }
            };
            inventory.items[place].plan = serde_json::to_value(proof).unwrap_or_default();
        }
        let told = without.into_iter().map(|(why, names)| {
            let some = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            let more = match names.len().saturating_sub(3) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "{some}{more}: written to during the dump; a drill compares the state before the captured operations \
                 ({why})"
            )
        });
        Ok(told.collect())
    }
}
