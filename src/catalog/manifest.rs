//! The manifest: the small JSON object that makes a backup exist. Immutable; written last, removed first.
//!
//! The form is this project's own (`docs/json.md`). Fields are only ever added; a change that an
//! older lifeboat would misread raises [`MANIFEST_SCHEMA`].

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::BackupId;
use super::keys::is_segment;
use super::times;
use crate::error::{Error, Explain, Kind, Result};
use crate::pipeline::inventory;
use crate::pipeline::object::{Role, StoredObject};

/// The version of the manifest's JSON form.
pub const MANIFEST_SCHEMA: u32 = 1;
/// A manifest is smaller than this, in bytes, whatever the data.
pub const MANIFEST_MAX: usize = 64 * 1024;

/// Whether all of a backup is from one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// One snapshot.
    Consistent,
    /// Several instants: later changes may be partly in it.
    Fuzzy,
}

impl Consistency {
    /// The word used in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Consistency::Consistent => "consistent",
            Consistency::Fuzzy => "fuzzy",
        }
    }
}

/// The instant that a backup brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// By the source's clock, in UTC.
    #[serde(with = "times")]
    pub time: DateTime<Utc>,
    /// The position in the source's log (an LSN, a cluster time, a transaction id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Which server and database this was (`system_identifier`, `database`, …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub server: BTreeMap<String, String>,
}

/// Sums over a whole backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Items in the inventory.
    pub items: u64,
    /// Rows of all items.
    pub rows: u64,
    /// Content bytes of all items.
    pub bytes: u64,
    /// Bytes of the dumps and globals before compression.
    pub raw_bytes: u64,
    /// Bytes in the store, of all objects.
    pub stored_bytes: u64,
}

impl Totals {
    /// Sums the objects, and takes the rest from the inventory's sums.
    pub fn of(inventory: inventory::Totals, objects: &[StoredObject]) -> Totals {
        let data = |o: &&StoredObject| matches!(o.role, Role::Dump | Role::Globals);
        Totals {
            items: inventory.items,
            rows: inventory.rows,
            bytes: inventory.bytes,
            raw_bytes: objects.iter().filter(data).map(|o| o.raw_bytes).sum(),
            stored_bytes: objects.iter().map(|o| o.stored_bytes).sum(),
        }
    }
}

/// One phase of the backup and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The phase's name.
    pub name: String,
    /// Duration in seconds, by the monotonic clock.
    pub seconds: f64,
}

/// What a backup is and where its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`].
    pub schema: u32,
    /// The backup's id.
    pub id: BackupId,
    /// The source's name.
    pub source: String,
    /// The engine (`postgres`).
    pub engine: String,
    /// The method (`dump`, `parallel`).
    pub method: String,
    /// The version of lifeboat that made it.
    pub lifeboat_version: String,
    /// Versions of the tools that made it, by name.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// The server it was made from (`version`, …).
    #[serde(default)]
    pub server: BTreeMap<String, String>,
    /// The instant that it brings back.
    pub recovery_point: RecoveryPoint,
    /// Whether it is from one instant.
    pub consistency: Consistency,
    /// Its streams.
    pub objects: Vec<StoredObject>,
    /// Sums.
    pub totals: Totals,
    /// Phases in the order they ran.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// When the backup began.
    #[serde(with = "times")]
    pub begun: DateTime<Utc>,
    /// When it was committed.
    #[serde(with = "times")]
    pub committed: DateTime<Utc>,
    /// The policy's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Labels given by the operator.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What did not fail the backup but should be known. Shortened when there is no room for all.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why this backup is suspicious (the source shrank).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicious: Option<String>,
    /// The engine's own properties (database encoding, locale, …).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub properties: serde_json::Value,
    /// The commands that restore it without lifeboat.
    #[serde(default)]
    pub restore_by_hand: Vec<String>,
}

/// The one field that every version of the form has.
#[derive(Deserialize)]
struct AnySchema {
    schema: u32,
}

/// Fails unless a document's `schema` is one this lifeboat reads.
pub(super) fn check_schema(bytes: &[u8], what: &str) -> Result<()> {
    let found: AnySchema =
        serde_json::from_slice(bytes).explain(Kind::Damaged, || format!("{what} is not a manifest"))?;
    match found.schema {
        MANIFEST_SCHEMA => Ok(()),
        0 => Err(Error::new(Kind::Damaged, format!("{what} has no valid schema"))),
        newer => Err(Error::new(
            Kind::Damaged,
            format!(
                "{what} was written by a newer lifeboat (schema {newer}, this one reads {MANIFEST_SCHEMA})"
            ),
        )
        .hint("upgrade lifeboat to read this backup")),
    }
}

impl Manifest {
    /// Reads the manifest of the backup `id` of `source`. Unknown fields are ignored. Fails with
    /// [`Kind::Damaged`] when it is not a manifest, is of another backup, contradicts itself, or was
    /// written by a newer lifeboat.
    pub fn parse(bytes: &[u8], source: &str, id: &BackupId) -> Result<Manifest> {
        let what = format!("the manifest of backup {id} of {source}");
        check_schema(bytes, &what)?;
        let manifest: Manifest =
            serde_json::from_slice(bytes).explain(Kind::Damaged, || format!("{what} is damaged"))?;
        if manifest.id != *id || manifest.source != source {
            let other = format!("{what} is that of backup {} of {}", manifest.id, manifest.source);
            return Err(Error::new(Kind::Damaged, other).hint("somebody copied a manifest; remove the copy"));
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Its JSON, shorter than [`MANIFEST_MAX`]: when there is no room, the last warnings give way
    /// to a line that counts them. Fails with [`Kind::Failed`] when it is too large even so.
    pub fn encode(&self) -> Result<Bytes> {
        let mut manifest = self.clone();
        let mut kept = self.warnings.len();
        loop {
            let mut json = serde_json::to_vec_pretty(&manifest)
                .explain(Kind::Failed, || format!("backup {} cannot be written as JSON", self.id))?;
            json.push(b'\n');
            if json.len() < MANIFEST_MAX {
                return Ok(Bytes::from(json));
            }
            if kept == 0 {
                let message =
                    format!("the manifest of backup {} is {} bytes, too large", self.id, json.len());
                return Err(Error::new(Kind::Failed, message).hint("shorten the labels of this source"));
            }
            kept /= 2;
            manifest.warnings.truncate(kept);
            manifest.warnings.push(format!("{} more warnings, see the log", self.warnings.len() - kept));
        }
    }

    /// Fails with [`Kind::Damaged`] when it contradicts itself.
    pub fn check(&self) -> Result<()> {
        let fault = |message: String| {
            Err(Error::new(Kind::Damaged, format!("the manifest of backup {}: {message}", self.id)))
        };
        let mut names = std::collections::HashSet::new();
        let mut keys = std::collections::HashSet::new();
        for object in &self.objects {
            let name = &object.name;
            if !names.insert(name) {
                return fault(format!("two objects are named {name}"));
            }
            if object.volumes.is_empty() {
                return fault(format!("{name} has no volume"));
            }
            if let Some(volume) = object.volumes.iter().find(|v| !is_segment(&v.key) || !keys.insert(&v.key))
            {
                return fault(format!("{name} has the key `{}`", volume.key.escape_debug()));
            }
            if object.volumes.iter().map(|v| v.bytes).sum::<u64>() != object.stored_bytes {
                return fault(format!(
                    "the volumes of {name} do not add up to {} bytes",
                    object.stored_bytes
                ));
            }
            if !is_hex(&object.sha256, 64) || !is_hex(&object.raw_xxh3, 32) {
                return fault(format!("{name} has no valid digest"));
            }
        }
        if !self.objects.iter().any(|o| o.role == Role::Dump) {
            return fault("there is no dump".to_owned());
        }
        Ok(())
    }

    /// The first object of a role.
    pub fn object(&self, role: Role) -> Option<&StoredObject> {
        self.objects.iter().find(|o| o.role == role)
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples::sample_manifest;

    fn json(manifest: &Manifest) -> serde_json::Value {
        serde_json::from_slice(&manifest.encode().unwrap()).unwrap()
    }

    fn parse(value: &serde_json::Value) -> Result<Manifest> {
        let manifest = sample_manifest();
        Manifest::parse(value.to_string().as_bytes(), &manifest.source, &manifest.id)
    }

    #[test]
    fn it_goes_round_and_ignores_what_it_does_not_know() {
        let manifest = sample_manifest();
        let mut value = json(&manifest);
        value["colour"] = "blue".into();
        value["objects"][0]["colour"] = "blue".into();
        assert_eq!(parse(&value).unwrap(), manifest);
        assert_eq!(value["recovery_point"]["time"], "2026-11-24T02:00:01.000000Z");
    }

    #[test]
    fn a_newer_schema_is_told_apart_from_damage() {
        let mut value = json(&sample_manifest());
        value["schema"] = 2.into();
        value["objects"] = "elsewhere".into();
        let error = parse(&value).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(error.message().contains("written by a newer lifeboat"), "{error}");
        assert_eq!(error.hint_text(), Some("upgrade lifeboat to read this backup"));
        value["schema"] = 0.into();
        assert!(!parse(&value).unwrap_err().message().contains("newer"));
    }

    #[test]
    fn what_contradicts_itself_is_damaged() {
        type Break = fn(&mut serde_json::Value);
        let breaks: [(&str, Break); 9] = [
            ("is that of backup", |v| v["id"] = "20200101T000000Z-aaaaaa".into()),
            ("is that of backup", |v| v["source"] = "other".into()),
            ("has the key", |v| v["objects"][0]["volumes"][0]["key"] = "../x".into()),
            ("has no volume", |v| v["objects"][0]["volumes"] = serde_json::json!([])),
            ("do not add up", |v| v["objects"][0]["stored_bytes"] = 1.into()),
            ("no valid digest", |v| v["objects"][0]["sha256"] = "12".into()),
            ("no valid digest", |v| v["objects"][0]["raw_xxh3"] = "G".repeat(32).into()),
            ("there is no dump", |v| v["objects"][0]["role"] = "something new".into()),
            ("is damaged", |v| v["committed"] = "yesterday".into()),
        ];
        for (message, change) in breaks {
            let mut value = json(&sample_manifest());
            change(&mut value);
            let error = parse(&value).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged);
            assert!(error.chain().contains(message), "{message}: {error}");
        }
        let mut twice = sample_manifest();
        twice.objects.push(twice.objects[0].clone());
        assert!(twice.check().unwrap_err().message().contains("two objects"));
    }

    #[test]
    fn too_many_warnings_never_cost_the_backup() {
        let mut manifest = sample_manifest();
        manifest.warnings = (0..5000).map(|n| format!("table {n} has no primary key")).collect();
        let bytes = manifest.encode().unwrap();
        assert!(bytes.len() < MANIFEST_MAX);
        let read = Manifest::parse(&bytes, &manifest.source, &manifest.id).unwrap();
        assert_eq!(read.warnings[0], manifest.warnings[0]);
        let more = 5000 - (read.warnings.len() - 1);
        assert_eq!(*read.warnings.last().unwrap(), format!("{more} more warnings, see the log"));
    }

    #[test]
    fn a_manifest_that_is_too_large_is_refused() {
        let mut manifest = sample_manifest();
        manifest.labels.insert("note".into(), "x".repeat(MANIFEST_MAX));
        assert_eq!(manifest.encode().unwrap_err().kind(), Kind::Failed);
    }

    #[test]
    fn totals_count_data_as_raw_and_everything_as_stored() {
        let manifest = sample_manifest();
        let mut objects = manifest.objects.clone();
        objects.push(StoredObject { role: Role::Inventory, name: "inventory".into(), ..objects[0].clone() });
        let totals = Totals::of(inventory::Totals { items: 1, rows: 2, bytes: 3 }, &objects);
        assert_eq!((totals.items, totals.rows, totals.bytes), (1, 2, 3));
        assert_eq!(totals.raw_bytes, objects[0].raw_bytes);
        assert_eq!(totals.stored_bytes, 2 * objects[0].stored_bytes);
    }
}
