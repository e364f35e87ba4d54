//! Extensions' configuration tables: an archive holds only the rows that the extension's own
//! condition lets through, and does not tell the condition. The plan for the comparison needs it.
//!
//! Source: PostgreSQL's manual, "Extension Configuration Tables"; pg_dump.c
//! `processExtensionTables` (`extconfig`, `extcondition`).

use std::collections::BTreeMap;

use crate::engines::postgres::archive::inventory::{TABLE, TablePlan};
use crate::engines::postgres::connect::Session;
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::Inventory;

/// Writes the conditions into the plans of the tables that have one.
pub(super) async fn fill_filters(session: &Session, inventory: &mut Inventory) -> Result<()> {
    let sql = "SELECT n.nspname::text, c.relname::text, x.condition \
               FROM pg_catalog.pg_extension e, \
               ROWS FROM (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition)) AS x(oid, condition) \
               JOIN pg_catalog.pg_class c ON c.oid = x.oid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE x.condition <> ''";
    let rows = session.query(sql, &[]).await?;
    let filters: BTreeMap<(String, String), String> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    if filters.is_empty() {
        return Ok(());
    }
    for item in inventory.items.iter_mut().filter(|item| item.kind == TABLE) {
        let Some(filter) = filters.get(&(item.schema.clone(), item.name.clone())) else { continue };
        let broken = |e| Error::new(Kind::Failed, "cannot extend the plan of a table").because(e);
        let mut plan: TablePlan = serde_json::from_value(item.plan.clone()).map_err(broken)?;
        plan.filter = Some(filter.clone());
        item.plan = serde_json::to_value(plan).map_err(broken)?;
    }
    Ok(())
}
