//! Compares the messages with `docs/json.md` and with the contract of the design.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

fn phases() -> Vec<Phase> {
    vec![Phase { name: "read".into(), seconds: 1.5 }]
}

fn samples() -> Vec<String> {
    let time = "2026-11-24T02:00:00Z".parse().unwrap();
    let text = String::new;
    vec![
        line(&Backup {
            source: text(),
            engine: text(),
            method: text(),
            id: None,
            status: text(),
            recovery_point: Some(RecoveryPoint { time, position: None }),
            consistency: None,
            raw_bytes: 0,
            stored_bytes: 0,
            items: 0,
            rows: 0,
            seconds: 0.0,
            phases: phases(),
            warnings: vec![],
            suspicious: None,
        }),
        line(&BackupEntry {
            source: text(),
            id: text(),
            engine: None,
            method: None,
            time,
            raw_bytes: None,
            stored_bytes: None,
            rows: None,
            items: None,
            proven: false,
            held: false,
            consistency: None,
            suspicious: None,
            policy: None,
            labels: BTreeMap::new(),
            unreadable: None,
            details: Some(BackupDetails {
                manifest: Value::Null,
                drills: vec![DrillRecord { time, verdict: text() }],
                uses: vec![Use { run: text(), command: text() }],
                hold_reason: None,
            }),
        }),
        line(&ItemLine {
            source: text(),
            id: text(),
            kind: text(),
            namespace: text(),
            name: text(),
            rows: 0,
            bytes: 0,
            digest: text(),
            value: None,
            proof: Some("snapshot".into()),
        }),
        line(&Restore {
            source: text(),
            id: text(),
            target: text(),
            rows: 0,
            raw_bytes: 0,
            seconds: 0.0,
            phases: phases(),
            warnings: vec![],
        }),
        line(&Convert {
            source: text(),
            id: text(),
            format: text(),
            output: None,
            rows: 0,
            raw_bytes: 0,
            bytes: 0,
            seconds: 0.0,
            dry_run: false,
            warnings: vec![],
        }),
        line(&Verify {
            source: text(),
            id: text(),
            verdict: text(),
            objects: 0,
            raw_bytes: 0,
            seconds: 0.0,
            rows: 0,
            problems: vec![],
        }),
        line(&Finding { source: None, level: text(), subject: text(), message: text(), hint: None }),
        line(&Drill {
            source: text(),
            id: text(),
            verdict: text(),
            rto_seconds: None,
            rto_objective_seconds: None,
            rpo_seconds: None,
            rpo_objective_seconds: None,
            phases: phases(),
            checks: vec![Check {
                name: text(),
                kind: text(),
                verdict: text(),
                expected: text(),
                actual: text(),
            }],
            restored_seconds: None,
            worst_gap_seconds: None,
            objectives_missed: vec![text()],
            items: 1,
            rows: 1,
            definitions: 1,
            differences: vec![text()],
            failure: None,
            staging: text(),
            record: text(),
            warnings: vec![text()],
        }),
        line(&Decision { source: text(), id: text(), action: text(), reasons: vec![], stored_bytes: None }),
        line(&Prune {
            source: text(),
            kept: 0,
            removed: 0,
            freed_bytes: 0,
            dry_run: true,
            policy: text(),
            left: vec![],
            garbage_objects: 0,
            aborted_uploads: 0,
            removed_evidence: 0,
            still_stored: false,
        }),
        line(&Status {
            source: text(),
            verdict: text(),
            newest_id: None,
            newest_age_seconds: None,
            newest_proven_id: None,
            newest_proven_age_seconds: None,
            recovery_point_age_seconds: None,
            worst_gap_seconds: None,
            objectives_missed: vec![],
            backups: 0,
            stored_bytes: 0,
        }),
        line(&Hold { source: text(), id: text(), held: true, reason: None }),
        line(&ConfigCheck { file: text(), sources: vec![], warnings: vec![] }),
        line(&ConfigValue { key: text(), value: text(), origin: text() }),
        line(&Notification {
            source: text(),
            command: text(),
            outcome: text(),
            kind: None,
            message: None,
            hint: None,
            seconds: 0.0,
            time,
            run: text(),
            host: text(),
        }),
        line(&Manifests { file: text(), documents: vec![] }),
        line(&Error { kind: text(), message: text(), hint: None, source: None }),
    ]
}

type Fields = BTreeMap<String, BTreeSet<String>>;

/// Field names by message type, as written.
fn written() -> Fields {
    samples()
        .iter()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["schema"], SCHEMA);
            let fields = value.as_object().unwrap().keys();
            let fields = fields.filter(|key| *key != "message_type" && *key != "schema").cloned().collect();
            (value["message_type"].as_str().unwrap().to_owned(), fields)
        })
        .collect()
}

/// Field names by message type, as `docs/json.md` has them: a heading ``## `type` `` and a table whose
/// rows begin with ``| `field` |``.
fn documented() -> Fields {
    let mut fields = Fields::new();
    let mut section = None;
    for line in include_str!("../../../docs/json.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.strip_prefix('`').and_then(|name| name.strip_suffix('`')).map(str::to_owned);
            if let Some(name) = &section {
                fields.entry(name.clone()).or_default();
            }
        }
        let field = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')).map(|(field, _)| field);
        if let (Some(section), Some(field)) = (&section, field) {
            fields.entry(section.clone()).or_default().insert(field.to_owned());
        }
    }
    fields
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_there() {
    assert_eq!(written(), documented());
}

#[test]
fn the_fields_that_callers_rely_on_are_there() {
    let contract = [
        (
            "backup",
            "source engine method id status recovery_point consistency raw_bytes stored_bytes items rows seconds",
        ),
        ("backup_entry", "source id engine method time raw_bytes stored_bytes proven held"),
        ("restore", "source id target rows raw_bytes seconds"),
        ("verify", "source id verdict objects raw_bytes seconds"),
        (
            "drill",
            "source id verdict rto_seconds rto_objective_seconds rpo_seconds rpo_objective_seconds phases checks",
        ),
        ("decision", "source id action reasons"),
        ("prune", "source kept removed freed_bytes dry_run"),
        (
            "status",
            "source verdict newest_id newest_age_seconds newest_proven_id recovery_point_age_seconds objectives_missed",
        ),
        ("error", "kind message hint source"),
    ];
    let written = written();
    for (kind, fields) in contract {
        for field in fields.split(' ') {
            assert!(written[kind].contains(field), "{kind} has no {field}");
        }
    }
}
