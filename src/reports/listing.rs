//! The table of a source's backups.

use chrono::{DateTime, Utc};

use crate::catalog::list::{BackupSummary, Broken, Listing};
use crate::reports::messages::BackupEntry;
use crate::reports::table::{Column, Style, Table};
use crate::reports::{size, time};

/// The entries of a listing, newest first. What cannot be read is among them.
pub fn entries(source: &str, listing: &Listing) -> Vec<BackupEntry> {
    let mut entries: Vec<BackupEntry> = listing.backups.iter().map(|backup| entry(source, backup)).collect();
    entries.extend(listing.broken.iter().filter_map(|broken| unreadable(source, broken)));
    entries.sort_by(|a, b| (b.time, &b.id).cmp(&(a.time, &a.id)));
    entries
}

/// The entry of one backup.
pub fn entry(source: &str, backup: &BackupSummary) -> BackupEntry {
    BackupEntry {
        source: source.to_owned(),
        id: backup.id.to_string(),
        engine: Some(backup.engine.clone()),
        method: Some(backup.method.clone()),
        time: backup.time,
        raw_bytes: Some(backup.totals.raw_bytes),
        stored_bytes: Some(backup.totals.stored_bytes),
        rows: Some(backup.totals.rows),
        items: Some(backup.totals.items),
        proven: backup.is_proven(),
        held: backup.held,
        consistency: Some(backup.consistency.word().to_owned()),
        suspicious: backup.suspicious.clone(),
        policy: backup.policy.clone(),
        labels: backup.labels.clone(),
        unreadable: None,
        details: None,
    }
}

fn unreadable(source: &str, broken: &Broken) -> Option<BackupEntry> {
    let id = broken.id.as_ref()?;
    Some(BackupEntry {
        source: source.to_owned(),
        id: id.to_string(),
        engine: None,
        method: None,
        time: id.time(),
        raw_bytes: None,
        stored_bytes: None,
        rows: None,
        items: None,
        proven: false,
        held: false,
        consistency: None,
        suspicious: None,
        policy: None,
        labels: Default::default(),
        unreadable: Some(broken.error.chain()),
        details: None,
    })
}

/// A heading and a table, with line ends. What is the same for every backup stands in the heading.
pub fn text(source: &str, entries: &[BackupEntry], now: DateTime<Utc>, style: Style) -> String {
    if entries.is_empty() {
        return format!("{source}: no backup\n");
    }
    let method = common(entries, method);
    let policy = common(entries, |entry| entry.policy.clone().unwrap_or_default());
    let stored: u64 = entries.iter().filter_map(|entry| entry.stored_bytes).sum();
    let mut heading =
        vec![size::plural(entries.len() as u64, "backup"), format!("{} stored", size::bytes(stored))];
    heading.extend(method.clone());
    heading
        .extend(policy.as_ref().filter(|policy| !policy.is_empty()).map(|policy| format!("policy {policy}")));
    let mut table = Table::new([
        Column::Whole("ID"),
        Column::Whole("AGE"),
        Column::Number("SIZE"),
        Column::Number("STORED"),
        Column::Number("ROWS"),
        Column::Whole("METHOD"),
        Column::Whole("POLICY"),
        Column::Text("STATE"),
    ]);
    for entry in entries {
        let bytes = |bytes: Option<u64>| bytes.map_or("?".to_owned(), size::bytes);
        let own = |common: &Option<String>, own: String| if common.is_some() { String::new() } else { own };
        table.row([
            entry.id.clone(),
            time::age(entry.time, now),
            bytes(entry.raw_bytes),
            bytes(entry.stored_bytes),
            entry.rows.map_or("?".to_owned(), size::count_short),
            own(&method, self::method(entry)),
            own(&policy, entry.policy.clone().unwrap_or_default()),
            state(entry),
        ]);
    }
    format!("{source}: {}\n{}", heading.join(", "), table.render(style))
}

/// What the backup is beyond a backup: `proven, on hold, suspicious, fuzzy`.
pub fn state(entry: &BackupEntry) -> String {
    let mut words = Vec::new();
    if entry.unreadable.is_some() {
        words.push("unreadable");
    }
    if entry.proven {
        words.push("proven");
    }
    if entry.held {
        words.push("on hold");
    }
    if entry.suspicious.is_some() {
        words.push("suspicious");
    }
    if entry.consistency.as_deref() == Some("fuzzy") {
        words.push("fuzzy");
    }
    words.join(", ")
}

fn method(entry: &BackupEntry) -> String {
    match (&entry.engine, &entry.method) {
        (Some(engine), Some(method)) => format!("{engine} {method}"),
        _ => String::new(),
    }
}

/// The value that all readable entries share.
fn common(entries: &[BackupEntry], value: impl Fn(&BackupEntry) -> String) -> Option<String> {
    let mut values = entries.iter().filter(|entry| entry.unreadable.is_none()).map(value);
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::manifest::{Consistency, Totals};

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn backup(id: &str) -> BackupSummary {
        let id: crate::catalog::BackupId = id.parse().unwrap();
        BackupSummary {
            time: id.time(),
            committed: id.time(),
            id,
            engine: "postgres".into(),
            method: "dump".into(),
            consistency: Consistency::Consistent,
            totals: Totals {
                items: 3,
                rows: 12_345_678_901,
                bytes: 1,
                raw_bytes: (1 << 30) * 999,
                stored_bytes: (1 << 20) * 999,
            },
            policy: Some("standard".into()),
            labels: Default::default(),
            suspicious: None,
            proven: None,
            failed: None,
            held: false,
        }
    }

    fn sample() -> Listing {
        let mut listing = Listing::default();
        listing.backups.push(backup("20261122T020000Z-aaaaaa"));
        listing.backups.push(BackupSummary {
            proven: Some(now()),
            held: true,
            suspicious: Some("rows fell".into()),
            consistency: Consistency::Fuzzy,
            ..backup("20261123T020000Z-bbbbbb")
        });
        listing
    }

    #[test]
    fn the_table_fits_80_columns_whatever_the_numbers() {
        let text =
            text("orders", &entries("orders", &sample()), now(), Style { width: Some(80), colour: false });
        insta::assert_snapshot!(text, @r"
orders: 2 backups, 2.0 GiB stored, postgres dump, policy standard
ID                       AGE           SIZE     STORED   ROWS  STATE
20261123T020000Z-bbbbbb  34h ago  999.0 GiB  999.0 MiB  12.3G  proven, on hold,
                                                               suspicious, fuzzy
20261122T020000Z-aaaaaa  2d ago   999.0 GiB  999.0 MiB  12.3G
");
    }

    #[test]
    fn what_differs_gets_a_column_and_what_is_broken_a_row() {
        let mut listing = sample();
        listing.backups[0].method = "parallel".into();
        listing.backups[0].policy = None;
        let id = "20261124T020000Z-cccccc".parse().unwrap();
        let error = crate::error::Error::new(crate::error::Kind::Damaged, "not a manifest");
        listing.broken.push(Broken { key: "x".into(), id: Some(id), error });
        let text = text("orders", &entries("orders", &listing), now(), Style::PLAIN);
        insta::assert_snapshot!(text, @r"
orders: 3 backups, 2.0 GiB stored
ID                       AGE           SIZE     STORED   ROWS  METHOD             POLICY    STATE
20261124T020000Z-cccccc  10h ago          ?          ?      ?                               unreadable
20261123T020000Z-bbbbbb  34h ago  999.0 GiB  999.0 MiB  12.3G  postgres dump      standard  proven, on hold, suspicious, fuzzy
20261122T020000Z-aaaaaa  2d ago   999.0 GiB  999.0 MiB  12.3G  postgres parallel
");
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(text("orders", &[], now(), Style::PLAIN), "orders: no backup\n");
    }
}
