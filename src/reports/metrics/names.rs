//! Every metric there is: its name, its labels beside those of the group, and what it means.
//!
//! Names follow Prometheus' conventions: base units, the unit last, instants as Unix time, so that ages are
//! computed where they are looked at and never go stale. All are gauges: a run that ends cannot count on.

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// The labels of its samples, beside those of the group.
    pub labels: &'static [&'static str],
    /// What it means, in one line.
    pub help: &'static str,
}

/// Makes a constant of each metric, and the list of all.
macro_rules! metrics {
    ($($constant:ident = $name:literal $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric { name: $name, labels: &$labels, help: $help };
        )*

        /// All metrics, in the order of `docs/metrics.md`.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    LAST_RUN = "lifeboat_last_run_timestamp_seconds" [], "When the last run ended, well or not.";
    LAST_SUCCESS = "lifeboat_last_success_timestamp_seconds" [], "When the last run that did its work ended; a run that fails leaves it as it is.";
    LAST_RUN_DURATION = "lifeboat_last_run_duration_seconds" [], "How long the last run took.";
    LAST_RUN_SUCCESS = "lifeboat_last_run_success" [], "1 when the last run did its work, else 0.";
    LAST_RUN_ERROR = "lifeboat_last_run_error" ["kind"], "1 with the kind of the last run's error, 0 with the kind none.";
    OBJECTIVE = "lifeboat_objective_seconds" ["objective"], "What the policy promises.";
    OBJECTIVE_MISSED = "lifeboat_objective_missed" ["objective"], "1 when the objective was missed, 0 when it was met or nothing is promised.";
    NEWEST_BACKUP = "lifeboat_newest_backup_timestamp_seconds" [], "When the newest backup was committed; 0: there is none.";
    NEWEST_PROVEN = "lifeboat_newest_proven_backup_timestamp_seconds" [], "When the newest backup that a drill has proven was committed; 0: there is none.";
    RECOVERY_POINT = "lifeboat_recovery_point_timestamp_seconds" [], "The instant that the newest backup brings back; 0: there is none.";
    BACKUP_RAW = "lifeboat_backup_raw_bytes" [], "Data of the last good backup, before compression.";
    BACKUP_STORED = "lifeboat_backup_stored_bytes" [], "The last good backup in the store.";
    BACKUP_ROWS = "lifeboat_backup_rows" [], "Rows (documents, nodes) in the last good backup.";
    BACKUP_ITEMS = "lifeboat_backup_items" [], "Items (tables, collections) in the last good backup.";
    BACKUP_PHASE = "lifeboat_backup_phase_duration_seconds" ["phase"], "How long the phases of the last good backup took.";
    BACKUP_SUSPICIOUS = "lifeboat_backup_suspicious" [], "1 when the last good backup is suspiciously smaller than the newest proven one.";
    BACKUP_WARNINGS = "lifeboat_backup_warnings" [], "How many warnings the last good backup has.";
    BACKUPS = "lifeboat_backups" [], "Backups in the store.";
    UNREADABLE = "lifeboat_unreadable_backups" [], "Backups in the store whose manifest cannot be read.";
    STORED = "lifeboat_stored_bytes" [], "All backups in the store.";
    WORST_GAP = "lifeboat_worst_gap_seconds" [], "The longest time between recovery points in 7 days, the time since the newest included.";
    RETENTION = "lifeboat_retention_backups" ["tier"], "Backups that the last prune kept, by what keeps them; one may count in several tiers.";
    PRUNE_KEPT = "lifeboat_prune_kept_backups" [], "Backups that the last prune kept.";
    PRUNE_REMOVED = "lifeboat_prune_removed_backups" [], "Backups that the last prune removed.";
    PRUNE_FREED = "lifeboat_prune_freed_bytes" [], "What the last prune removed from the store.";
    PRUNE_GARBAGE = "lifeboat_prune_garbage_objects" [], "Objects of crashed runs that the last prune removed.";
    VERIFIED = "lifeboat_verify_backups" [], "Backups that the last verify read back.";
    VERIFY_FAILED = "lifeboat_verify_failed_backups" [], "Those among them that are not what was written.";
    VERIFY_RAW = "lifeboat_verify_raw_bytes" [], "Data that the last verify read, before compression.";
    DRILL_PASSED = "lifeboat_drill_passed" [], "The verdict of the last drill that reached one: 1 passed, 0 failed.";
    DRILL_LAST_PASSED = "lifeboat_drill_last_passed_timestamp_seconds" [], "When the last drill that passed ended.";
    DRILL_RTO = "lifeboat_drill_rto_seconds" [], "Recovery time of the last drill that passed: from its start until the restored data had passed all checks.";
    DRILL_RPO = "lifeboat_drill_rpo_seconds" [], "Age of the recovery point when the last drill began.";
    DRILL_PHASE = "lifeboat_drill_phase_duration_seconds" ["phase"], "How long the phases of the last drill took.";
    DRILL_RAW = "lifeboat_drill_raw_bytes" [], "Data that the last drill restored, before compression.";
    DRILL_ROWS = "lifeboat_drill_rows" [], "Rows that the last drill restored.";
    DRILL_DIFFERENCES = "lifeboat_drill_differences" [], "What the last drill found that is not as in the backup.";
    DRILL_CHECKS = "lifeboat_drill_checks" ["verdict"], "Checks of the last drill, by verdict.";
}
