//! One backup in full, for people.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::catalog::Manifest;
use crate::catalog::evidence::Evidence;
use crate::catalog::marks::Hold;
use crate::pipeline::inventory::Inventory;
use crate::reports::table::{Column, Style, Table, clean};
use crate::reports::{size, time};

/// What `show` has gathered.
#[derive(Debug)]
pub struct Details<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Its drills, newest first.
    pub drills: &'a [Evidence],
    /// The hold on it.
    pub hold: Option<&'a Hold>,
    /// Runs that read it now.
    pub uses: &'a [String],
}

/// The text, with line ends.
pub fn text(details: &Details<'_>, now: DateTime<Utc>, style: Style) -> String {
    let manifest = details.manifest;
    let mut out = Lines::default();
    out.fact("backup", &format!("{} of {}", manifest.id, manifest.source));
    out.fact(
        "made by",
        &format!("{} {}, lifeboat {}", manifest.engine, manifest.method, manifest.lifeboat_version),
    );
    out.fact("committed", &dated(manifest.committed, now));
    let point = &manifest.recovery_point;
    let position =
        point.position.as_ref().map(|position| format!(", position {position}")).unwrap_or_default();
    out.fact("recovery point", &format!("{}{position}", dated(point.time, now)));
    out.fact("consistency", manifest.consistency.word());
    let totals = &manifest.totals;
    let (raw, stored) = (size::bytes(totals.raw_bytes), size::bytes(totals.stored_bytes));
    out.fact("size", &format!("{raw}, stored {stored}"));
    out.fact(
        "content",
        &format!("{} rows in {}", size::count(totals.rows), size::plural(totals.items, "item")),
    );
    out.fact("policy", manifest.policy.as_deref().unwrap_or("none"));
    out.facts("server", &manifest.server);
    out.facts("tools", &manifest.tools);
    out.facts("labels", &manifest.labels);
    let phases: Vec<String> = manifest
        .phases
        .iter()
        .map(|phase| format!("{} {}", phase.name, time::seconds(phase.seconds)))
        .collect();
    out.fact("phases", &phases.join(", "));
    if let Some(hold) = details.hold {
        out.fact("on hold", &format!("since {} by {}: {}", dated(hold.when, now), hold.who, hold.reason));
    }
    out.fact("read now by", &details.uses.join(", "));
    if let Some(why) = &manifest.suspicious {
        out.fact("suspicious", why);
    }
    for warning in &manifest.warnings {
        out.fact("warning", warning);
    }
    match details.drills {
        [] => out.fact("drills", "none: this backup is not proven"),
        drills => {
            for drill in drills {
                let verdict = if drill.passed { "passed" } else { "failed" };
                out.fact("drill", &format!("{verdict}, {}", dated(drill.time, now)));
            }
        }
    }
    let mut text = out.0;
    text.push_str("\nObjects\n");
    text.push_str(&objects(manifest).render(style));
    if !manifest.restore_by_hand.is_empty() {
        text.push_str("\nTo restore it without lifeboat (docs/restore-by-hand.md)\n");
        for command in &manifest.restore_by_hand {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {}", clean(command));
        }
    }
    text
}

fn objects(manifest: &Manifest) -> Table {
    let mut table = Table::new([
        Column::Whole("NAME"),
        Column::Text("CONTENT"),
        Column::Number("SIZE"),
        Column::Number("STORED"),
        Column::Number("VOLUMES"),
        Column::Whole("SHA-256"),
    ]);
    for object in &manifest.objects {
        table.row([
            object.name.clone(),
            object.content.clone(),
            size::bytes(object.raw_bytes),
            size::bytes(object.stored_bytes),
            object.volumes.len().to_string(),
            format!("{}…", object.sha256.get(..8).unwrap_or(&object.sha256)),
        ]);
    }
    table
}

/// The table of an inventory's items, with a line end.
pub fn inventory(inventory: &Inventory, style: Style) -> String {
    let mut table = Table::new([
        Column::Text("ITEM"),
        Column::Whole("KIND"),
        Column::Number("ROWS"),
        Column::Number("BYTES"),
        Column::Text("VALUE"),
    ]);
    for item in &inventory.items {
        table.row([
            item.full_name(),
            item.kind.clone(),
            size::count(item.rows),
            size::bytes(item.bytes),
            item.value.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() { "no items\n".to_owned() } else { table.render(style) }
}

fn dated(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", time::instant(then), time::age(then, now))
}

/// Lines of a name and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn fact(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(self.0, "{name:<15}{}", clean(value));
        }
    }

    fn facts(&mut self, name: &str, values: &std::collections::BTreeMap<String, String>) {
        let values: Vec<String> = values.iter().map(|(key, value)| format!("{key} {value}")).collect();
        self.fact(name, &values.join(", "));
    }
}
