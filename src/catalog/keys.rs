//! The layout of keys in the bucket: the one place that spells them.
//!
//! ```text
//! <source>/manifests/<backup-id>.json
//! <source>/data/<backup-id>/<object>[.NNNN]
//! <source>/drills/<backup-id>/<time>.passed|failed.json
//! <source>/holds/<backup-id>.json
//! <source>/uses/<backup-id>/<run-id>.json
//! <source>/removing/<backup-id>.json
//! <source>/lease.json
//! <source>/leases/<number>-<run-id>.json      only on stores with weak conditional writes
//! ```

use chrono::{DateTime, Utc};

use super::id::{BackupId, parse_stamp, stamp};
use crate::error::{Error, Kind, Result};

/// The rooms under a source's prefix.
const ROOMS: [&str; 8] = ["manifests", "data", "drills", "holds", "uses", "removing", "leases", "lease.json"];

/// The keys of one source. Prefixes end in `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    source: String,
}

/// True when a text can be one segment of a key: `[A-Za-z0-9._-]`, not empty, no leading dot.
pub fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

impl Keys {
    /// The keys of a source. Fails with [`Kind::Config`] when the name cannot be part of a key.
    pub fn new(source: &str) -> Result<Keys> {
        if is_segment(source) {
            return Ok(Keys { source: source.to_owned() });
        }
        Err(Error::new(Kind::Config, format!("`{}` cannot be a source's name", source.escape_debug()))
            .hint("name sources with letters, digits, `-`, `_` and `.` only"))
    }

    /// The source's name.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The source a key belongs to, if the key is of this layout.
    pub fn source_of(key: &str) -> Option<&str> {
        let mut segments = key.split('/');
        let source = segments.next().filter(|name| is_segment(name))?;
        segments.next().filter(|room| ROOMS.contains(room)).map(|_| source)
    }

    /// The prefix of all manifests.
    pub fn manifests(&self) -> String {
        format!("{}/manifests/", self.source)
    }

    /// A backup's manifest.
    pub fn manifest(&self, id: &BackupId) -> String {
        format!("{}/manifests/{id}.json", self.source)
    }

    /// The id in the key of a manifest.
    pub fn manifest_id(&self, key: &str) -> Option<BackupId> {
        json_name(key, &self.manifests())?.parse().ok()
    }

    /// The prefix of all data.
    pub fn all_data(&self) -> String {
        format!("{}/data/", self.source)
    }

    /// The prefix of a backup's data.
    pub fn data(&self, id: &BackupId) -> String {
        format!("{}/data/{id}/", self.source)
    }

    /// The id in a key under [`Keys::all_data`].
    pub fn data_id(&self, key: &str) -> Option<BackupId> {
        key.strip_prefix(&self.all_data())?.split_once('/')?.0.parse().ok()
    }

    /// The prefix of all evidence.
    pub fn all_drills(&self) -> String {
        format!("{}/drills/", self.source)
    }

    /// The prefix of a backup's evidence.
    pub fn drills(&self, id: &BackupId) -> String {
        format!("{}/drills/{id}/", self.source)
    }

    /// The evidence of one drill, named by its time to the second and its verdict.
    pub fn drill(&self, id: &BackupId, time: DateTime<Utc>, passed: bool) -> String {
        let verdict = if passed { "passed" } else { "failed" };
        format!("{}/drills/{id}/{}.{verdict}.json", self.source, stamp(time))
    }

    /// Backup, time and verdict in the key of a drill's evidence.
    pub fn drill_parts(&self, key: &str) -> Option<(BackupId, DateTime<Utc>, bool)> {
        let (id, name) = key.strip_prefix(&self.all_drills())?.split_once('/')?;
        let (time, verdict) = name.strip_suffix(".json")?.split_once('.')?;
        let passed = match verdict {
            "passed" => true,
            "failed" => false,
            _ => return None,
        };
        Some((id.parse().ok()?, parse_stamp(time)?, passed))
    }

    /// The prefix of all holds.
    pub fn holds(&self) -> String {
        format!("{}/holds/", self.source)
    }

    /// A backup's hold.
    pub fn hold(&self, id: &BackupId) -> String {
        format!("{}/holds/{id}.json", self.source)
    }

    /// The id in the key of a hold.
    pub fn hold_id(&self, key: &str) -> Option<BackupId> {
        json_name(key, &self.holds())?.parse().ok()
    }

    /// The prefix of all uses.
    pub fn all_uses(&self) -> String {
        format!("{}/uses/", self.source)
    }

    /// The prefix of a backup's uses.
    pub fn uses(&self, id: &BackupId) -> String {
        format!("{}/uses/{id}/", self.source)
    }

    /// The use of a backup by one run.
    pub fn use_by(&self, id: &BackupId, run: &str) -> String {
        format!("{}/uses/{id}/{run}.json", self.source)
    }

    /// The id in the key of a use.
    pub fn use_id(&self, key: &str) -> Option<BackupId> {
        key.strip_prefix(&self.all_uses())?.split_once('/')?.0.parse().ok()
    }

    /// The prefix of all removal markers.
    pub fn all_removing(&self) -> String {
        format!("{}/removing/", self.source)
    }

    /// A backup's removal marker.
    pub fn removing(&self, id: &BackupId) -> String {
        format!("{}/removing/{id}.json", self.source)
    }

    /// The id in the key of a removal marker.
    pub fn removing_id(&self, key: &str) -> Option<BackupId> {
        json_name(key, &self.all_removing())?.parse().ok()
    }

    /// The lease.
    pub fn lease(&self) -> String {
        format!("{}/lease.json", self.source)
    }

    /// The prefix of lease tickets.
    pub fn tickets(&self) -> String {
        format!("{}/leases/", self.source)
    }

    /// The lease ticket of a run. Tickets order by number, then by run.
    pub fn ticket(&self, number: u32, run: &str) -> String {
        format!("{}/leases/{number:010}-{run}.json", self.source)
    }

    /// The number in the key of a ticket.
    pub fn ticket_number(&self, key: &str) -> Option<u32> {
        json_name(key, &self.tickets())?.split_once('-')?.0.parse().ok()
    }
}

/// `name` of a key `<prefix><name>.json`.
fn json_name<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    key.strip_prefix(prefix)?.strip_suffix(".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let keys = Keys::new("orders").unwrap();
        let id: BackupId = "20261124T020000Z-7f3k9q".parse().unwrap();
        let time = "2026-11-25T03:00:00Z".parse().unwrap();
        let all = [
            keys.manifest(&id),
            keys.data(&id),
            keys.drill(&id, time, true),
            keys.drill(&id, time, false),
            keys.hold(&id),
            keys.use_by(&id, "r1"),
            keys.removing(&id),
            keys.lease(),
            keys.ticket(7, "r1"),
        ];
        assert_eq!(
            all.join("\n"),
            "orders/manifests/20261124T020000Z-7f3k9q.json\n\
             orders/data/20261124T020000Z-7f3k9q/\n\
             orders/drills/20261124T020000Z-7f3k9q/20261125T030000Z.passed.json\n\
             orders/drills/20261124T020000Z-7f3k9q/20261125T030000Z.failed.json\n\
             orders/holds/20261124T020000Z-7f3k9q.json\n\
             orders/uses/20261124T020000Z-7f3k9q/r1.json\n\
             orders/removing/20261124T020000Z-7f3k9q.json\n\
             orders/lease.json\n\
             orders/leases/0000000007-r1.json"
        );
        assert!(all.iter().all(|key| Keys::source_of(key) == Some("orders")));
    }

    #[test]
    fn keys_give_their_parts_back() {
        let keys = Keys::new("orders").unwrap();
        let id: BackupId = "20261124T020000Z-7f3k9q".parse().unwrap();
        let time = "2026-11-25T03:00:00Z".parse().unwrap();
        assert_eq!(keys.manifest_id(&keys.manifest(&id)), Some(id.clone()));
        assert_eq!(keys.data_id(&format!("{}dump.zst.0001", keys.data(&id))), Some(id.clone()));
        assert_eq!(keys.drill_parts(&keys.drill(&id, time, false)), Some((id.clone(), time, false)));
        assert_eq!(keys.hold_id(&keys.hold(&id)), Some(id.clone()));
        assert_eq!(keys.use_id(&keys.use_by(&id, "r1")), Some(id.clone()));
        assert_eq!(keys.removing_id(&keys.removing(&id)), Some(id.clone()));
        assert_eq!(keys.ticket_number(&keys.ticket(12, "20261124T020000Z-7f3k9q")), Some(12));
        assert_eq!(keys.manifest_id("orders/manifests/notes.json"), None);
        assert_eq!(keys.manifest_id("other/manifests/20261124T020000Z-7f3k9q.json"), None);
        assert_eq!(keys.drill_parts("orders/drills/20261124T020000Z-7f3k9q/20261125T030000Z.json"), None);
    }

    #[test]
    fn names_that_would_leave_the_prefix_are_refused() {
        for name in ["", "a/b", "..", ".hidden", "a b", "é"] {
            assert_eq!(Keys::new(name).unwrap_err().kind(), Kind::Config, "{name}");
        }
        assert_eq!(Keys::source_of("readme.txt"), None);
        assert_eq!(Keys::source_of("orders/other/x"), None);
    }
}
