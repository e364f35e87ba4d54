//! What prune decided and did, for people.
//!
//! Takes the plan and sizes as plain values, so that the dry run and the run show the same.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::reports::messages::Prune;
use crate::reports::table::{Column, Style, Table};
use crate::reports::{size, time};
use crate::retention::{Decision, Plan};

/// What stays and what goes, each with its reasons, with line ends.
/// `sizes` are bytes in the store, by id.
pub fn plan(
    source: &str,
    plan: &Plan,
    sizes: &BTreeMap<String, u64>,
    now: DateTime<Utc>,
    style: Style,
) -> String {
    if plan.decisions.is_empty() {
        return format!("{source}: no backup\n");
    }
    let mut text = format!("{source}: {}\n", plan.policy);
    let kept: Vec<&Decision> = plan.kept().collect();
    let removed: Vec<&Decision> = plan.removed().collect();
    for (word, decisions) in [("keep", kept), ("remove", removed)] {
        if decisions.is_empty() {
            text.push_str(&format!("\n{word} nothing\n"));
            continue;
        }
        let bytes = decisions.iter().filter_map(|decision| sizes.get(&decision.id)).sum();
        let count = size::plural(decisions.len() as u64, "backup");
        text.push_str(&format!("\n{word} {count}, {}\n", size::bytes(bytes)));
        let mut table = Table::new([
            Column::Whole("ID"),
            Column::Whole("AGE"),
            Column::Number("STORED"),
            Column::Text("REASONS"),
        ]);
        for decision in decisions {
            let reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
            table.row([
                decision.id.clone(),
                time::age(decision.time, now),
                sizes.get(&decision.id).map_or("?".to_owned(), |&bytes| size::bytes(bytes)),
                reasons.join(", "),
            ]);
        }
        text.push_str(&table.render(style));
    }
    text.push('\n');
    text
}

/// What was done, or would be: one line and one for each kind of thing left behind.
pub fn end(message: &Prune) -> String {
    let would = if message.dry_run { "would be " } else { "" };
    let mut text = format!(
        "{}: {} {would}removed, {} kept, {} {would}freed{}\n",
        message.source,
        size::plural(message.removed, "backup"),
        message.kept,
        size::bytes(message.freed_bytes),
        match (message.dry_run, message.still_stored) {
            (true, _) => " (dry run, nothing was done)",
            (false, true) => " (marked, still stored as old versions)",
            (false, false) => "",
        }
    );
    let kinds = [
        (message.garbage_objects, "orphaned object", "removed"),
        (message.aborted_uploads, "unfinished upload", "aborted"),
        (message.removed_evidence, "old drill record", "removed"),
    ];
    for (count, what, done) in kinds.into_iter().filter(|(count, ..)| *count > 0) {
        text.push_str(&format!("{}: {} {would}{done}\n", message.source, size::plural(count, what)));
    }
    text
}
