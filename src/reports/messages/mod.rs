//! The JSON lines of `--json`: one struct for each `message_type`.
//!
//! `docs/json.md` documents every field, and a test compares the two. Times are RFC 3339 in UTC, sizes
//! bytes, durations seconds. Fields are only ever added, and each is always there: what is not known
//! is `null`. Results go to stdout, `error` to stderr.

mod backups;
mod drills;
mod keeping;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use backups::{
    Backup, BackupDetails, BackupEntry, Convert, DrillRecord, Finding, ItemLine, RecoveryPoint, Restore, Use,
    Verify,
};
pub use drills::{Check, Drill, Phase};
pub use keeping::{ConfigCheck, ConfigValue, Decision, Error, Hold, Manifests, Notification, Prune, Status};

/// The version of all messages.
pub const SCHEMA: u32 = 1;

/// What can be a line of `--json`.
pub trait Message: Serialize {
    /// The line's `message_type`.
    const TYPE: &'static str;
}

/// The JSON line of a message, without a line end: `message_type` and `schema` first, then its fields.
pub fn line<M: Message>(message: &M) -> String {
    #[derive(Serialize)]
    struct Line<'a, M> {
        message_type: &'static str,
        schema: u32,
        #[serde(flatten)]
        message: &'a M,
    }
    let line = Line { message_type: M::TYPE, schema: SCHEMA, message };
    // Messages are plain data with text keys, which serde_json always can write.
    serde_json::to_string(&line).unwrap_or_else(|error| {
        serde_json::json!({
            "message_type": "error", "schema": SCHEMA, "kind": "failed",
            "message": format!("a {} message cannot be written as JSON: {error}", M::TYPE),
            "hint": null, "source": null,
        })
        .to_string()
    })
}
