//! Valid examples for the catalog's own tests.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::manifest::*;
use crate::pipeline::object::{Role, StoredObject, Volume};

/// One object, as the pipeline describes it.
pub(super) fn sample_object(name: &str, role: Role, bytes: u64) -> StoredObject {
    StoredObject {
        name: name.to_owned(),
        role,
        content: "rows".to_owned(),
        compression: "none".to_owned(),
        raw_bytes: bytes,
        stored_bytes: bytes,
        sha256: "0".repeat(64),
        raw_xxh3: "0".repeat(32),
        volumes: vec![Volume { key: name.to_owned(), bytes }],
    }
}

/// A valid manifest.
pub(super) fn sample_manifest() -> Manifest {
    let begun: DateTime<Utc> = "2026-11-24T02:00:00Z".parse().unwrap();
    let objects = vec![sample_object("dump", Role::Dump, 1000)];
    Manifest {
        schema: MANIFEST_SCHEMA,
        id: "20261124T020000Z-7f3k9q".parse().unwrap(),
        source: "orders".to_owned(),
        engine: "postgres".to_owned(),
        method: "dump".to_owned(),
        lifeboat_version: "0.1.0".to_owned(),
        tools: BTreeMap::from([("pg_dump".to_owned(), "18.0".to_owned())]),
        server: BTreeMap::from([("version".to_owned(), "18.0".to_owned())]),
        recovery_point: RecoveryPoint {
            time: begun + Duration::from_secs(1),
            position: Some("0/16B3748".to_owned()),
            server: BTreeMap::from([("database".to_owned(), "orders".to_owned())]),
        },
        consistency: Consistency::Consistent,
        totals: Totals { items: 1, rows: 10, bytes: 900, raw_bytes: 1000, stored_bytes: 1000 },
        objects,
        phases: vec![Phase { name: "dump".to_owned(), seconds: 1.5 }],
        begun,
        committed: begun + Duration::from_secs(3),
        policy: Some("standard".to_owned()),
        labels: BTreeMap::new(),
        warnings: vec![],
        suspicious: None,
        properties: serde_json::json!({"encoding": "UTF8"}),
        restore_by_hand: vec!["pg_restore …".to_owned()],
    }
}
