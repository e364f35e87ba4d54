//! Golden texts, the merge, and `docs/metrics.md` against the code.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::names::*;
use super::*;
use crate::catalog::manifest::{Consistency, MANIFEST_SCHEMA, Manifest, RecoveryPoint, Totals};
use crate::error::Kind;
use crate::operations::prune::Deed;
use crate::operations::status::{Miss, Newest, Promises, Standing};
use crate::operations::verify::Verified;
use crate::reports::drills::tests::{evidence, failed};
use crate::retention::{Candidate, Retention, plan};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> DateTime<Utc> {
    "2026-11-24T12:00:00.250Z".parse().unwrap()
}

/// The samples alone.
fn samples(set: &Set) -> String {
    set.text(&[]).lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_good_run_says_when_and_a_failed_one_says_nothing_of_success() {
    let good = run(now(), 12.5, None);
    assert_eq!(
        good.text(&[("source", "orders"), ("command", "backup")]),
        "\
# HELP lifeboat_last_run_duration_seconds How long the last run took.
# TYPE lifeboat_last_run_duration_seconds gauge
lifeboat_last_run_duration_seconds{source=\"orders\",command=\"backup\"} 12.5
# HELP lifeboat_last_run_error 1 with the kind of the last run's error, 0 with the kind none.
# TYPE lifeboat_last_run_error gauge
lifeboat_last_run_error{source=\"orders\",command=\"backup\",kind=\"none\"} 0
# HELP lifeboat_last_run_success 1 when the last run did its work, else 0.
# TYPE lifeboat_last_run_success gauge
lifeboat_last_run_success{source=\"orders\",command=\"backup\"} 1
# HELP lifeboat_last_run_timestamp_seconds When the last run ended, well or not.
# TYPE lifeboat_last_run_timestamp_seconds gauge
lifeboat_last_run_timestamp_seconds{source=\"orders\",command=\"backup\"} 1795521600.25
# HELP lifeboat_last_success_timestamp_seconds When the last run that did its work ended; a run that fails leaves it as it is.
# TYPE lifeboat_last_success_timestamp_seconds gauge
lifeboat_last_success_timestamp_seconds{source=\"orders\",command=\"backup\"} 1795521600.25
"
    );
    let failed = samples(&run(now(), 1.0, Some(Kind::Store)));
    assert!(!failed.contains("last_success"), "{failed}");
    assert!(failed.contains("lifeboat_last_run_error{kind=\"store\"} 1\n"), "{failed}");
}

fn manifest() -> Manifest {
    let phase = |name: &str, seconds| crate::catalog::manifest::Phase { name: name.into(), seconds };
    Manifest {
        schema: MANIFEST_SCHEMA,
        id: "20261124T110000Z-aaaaaa".parse().unwrap(),
        source: "orders".into(),
        engine: "postgres".into(),
        method: "dump".into(),
        lifeboat_version: "0.1.0".into(),
        tools: Default::default(),
        server: Default::default(),
        recovery_point: RecoveryPoint {
            time: now() - TimeDelta::hours(1),
            position: None,
            server: Default::default(),
        },
        consistency: Consistency::Consistent,
        objects: vec![],
        totals: Totals { raw_bytes: 5 << 40, stored_bytes: 700, items: 3, rows: 12, ..Totals::default() },
        phases: vec![phase("read", 1.5), phase("commit", 0.25), phase("read", 2.0)],
        begun: now() - TimeDelta::hours(1),
        committed: now(),
        policy: None,
        labels: Default::default(),
        warnings: vec!["a".into()],
        suspicious: Some("rows fell by 90 %".into()),
        properties: serde_json::Value::Null,
        restore_by_hand: vec![],
    }
}

#[test]
fn a_backup_in_base_units_and_each_phase_once() {
    assert_eq!(
        samples(&backup(&manifest())),
        "\
lifeboat_backup_items 3
lifeboat_backup_phase_duration_seconds{phase=\"commit\"} 0.25
lifeboat_backup_phase_duration_seconds{phase=\"read\"} 3.5
lifeboat_backup_raw_bytes 5497558138880
lifeboat_backup_rows 12
lifeboat_backup_stored_bytes 700
lifeboat_backup_suspicious 1
lifeboat_backup_warnings 1
lifeboat_newest_backup_timestamp_seconds 1795521600.25
lifeboat_recovery_point_timestamp_seconds 1795518000.25
"
    );
}

#[test]
fn status_says_0_where_there_is_nothing() {
    let mut standing = Standing {
        newest: Some(Newest { id: "x".into(), age: HOUR }),
        newest_proven: None,
        recovery_point_age: Some(2 * HOUR),
        worst_gap: Some(HOUR * 3),
        misses: vec![Miss { objective: "proven_within", message: String::new() }],
        warnings: vec![],
        backups: 2,
        unreadable: 1,
        stored_bytes: 20,
    };
    let promised = Promises { rpo: Some(HOUR * 24), freshness: None, proven_within: Some(HOUR) };
    let mut set = promises(&promised);
    set.take(status(&standing, now()));
    assert_eq!(
        samples(&set),
        "\
lifeboat_backups 2
lifeboat_newest_backup_timestamp_seconds 1795518000.25
lifeboat_newest_proven_backup_timestamp_seconds 0
lifeboat_objective_missed{objective=\"backup\"} 0
lifeboat_objective_missed{objective=\"rpo\"} 0
lifeboat_objective_missed{objective=\"freshness\"} 0
lifeboat_objective_missed{objective=\"proven_within\"} 1
lifeboat_objective_seconds{objective=\"rpo\"} 86400
lifeboat_objective_seconds{objective=\"proven_within\"} 3600
lifeboat_recovery_point_timestamp_seconds 1795514400.25
lifeboat_stored_bytes 20
lifeboat_unreadable_backups 1
lifeboat_worst_gap_seconds 10800
"
    );
    (standing.newest, standing.recovery_point_age) = (None, None);
    let none = samples(&status(&standing, now()));
    assert!(none.contains("newest_backup_timestamp_seconds 0\n"), "{none}");
    assert!(none.contains("recovery_point_timestamp_seconds 0\n"), "{none}");
}

#[test]
fn a_drill_that_passed_has_its_times_and_one_that_failed_no_rto() {
    let passed = samples(&drill(&evidence()));
    for line in [
        "lifeboat_drill_passed 1",
        "lifeboat_drill_last_passed_timestamp_seconds 1795489284",
        "lifeboat_drill_rto_seconds 83.5",
        "lifeboat_drill_rpo_seconds 3600",
        "lifeboat_drill_phase_duration_seconds{phase=\"load\"} 50",
        "lifeboat_drill_checks{verdict=\"passed\"} 2",
        "lifeboat_drill_checks{verdict=\"failed\"} 0",
        "lifeboat_drill_rows 1234567",
        "lifeboat_objective_seconds{objective=\"rto\"} 300",
        "lifeboat_objective_missed{objective=\"rto\"} 0",
    ] {
        assert!(passed.contains(&format!("{line}\n")), "{line} is not in\n{passed}");
    }
    let failed = samples(&drill(&failed()));
    assert!(failed.contains("lifeboat_drill_passed 0\n"), "{failed}");
    assert!(failed.contains("lifeboat_drill_differences 23\n"), "{failed}");
    assert!(failed.contains("lifeboat_objective_missed{objective=\"rto\"} 1\n"), "{failed}");
    assert!(!failed.contains("last_passed") && !failed.contains("rto_seconds "), "{failed}");
}

#[test]
fn what_prune_kept_is_counted_by_tier() {
    let candidate = |days: i64, held| Candidate {
        held,
        proven: days == 1,
        ..Candidate::new(format!("b{days}"), now() - TimeDelta::days(days))
    };
    let backups: Vec<Candidate> = (0..6).map(|days| candidate(days, days == 5)).collect();
    let policy = Retention { daily: Some(3), weekly: Some(1), ..Retention::default() };
    let plan = plan(&backups, &policy, now());
    let mut deed = Deed::default();
    deed.removed = vec!["b3".into(), "b4".into()];
    deed.freed_bytes = 7;
    assert_eq!(
        samples(&prune(&plan, &deed)),
        "\
lifeboat_prune_freed_bytes 7
lifeboat_prune_garbage_objects 0
lifeboat_prune_kept_backups 4
lifeboat_prune_removed_backups 2
lifeboat_retention_backups{tier=\"daily\"} 3
lifeboat_retention_backups{tier=\"held\"} 1
lifeboat_retention_backups{tier=\"hourly\"} 0
lifeboat_retention_backups{tier=\"last\"} 0
lifeboat_retention_backups{tier=\"monthly\"} 0
lifeboat_retention_backups{tier=\"proven\"} 1
lifeboat_retention_backups{tier=\"weekly\"} 1
lifeboat_retention_backups{tier=\"within\"} 0
lifeboat_retention_backups{tier=\"yearly\"} 0
"
    );
}

#[test]
fn verify_counts_what_did_not_pass() {
    let good = Verified { raw_bytes: 5, ..Verified::default() };
    let bad = Verified { problems: vec!["cut".into()], ..good.clone() };
    assert_eq!(
        samples(&verify(&[good, bad])),
        "lifeboat_verify_backups 2\nlifeboat_verify_failed_backups 1\nlifeboat_verify_raw_bytes 10\n"
    );
}

#[test]
fn letters_that_mean_something_are_escaped() {
    let text = run(now(), 1.0, None).text(&[("cluster", "a\"b\\c\nd")]);
    assert!(text.contains("{cluster=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
    let mut set = Set::default();
    set.add(STORED, f64::INFINITY);
    set.add(BACKUPS, f64::NAN);
    assert_eq!(samples(&set), "lifeboat_backups NaN\nlifeboat_stored_bytes +Inf\n");
}

#[test]
fn a_group_is_a_path_and_odd_values_are_in_base64() {
    assert_eq!(path_segment("source", "orders_2-a"), "/source/orders_2-a");
    // The examples of the push gateway's README.
    assert_eq!(path_segment("path", "/var/tmp"), "/path@base64/L3Zhci90bXA");
    assert_eq!(path_segment("name", "Προμηθεύς"), "/name@base64/zqDPgc6_zrzOt864zrXPjc-C");
    assert_eq!(path_segment("first_label", ""), "/first_label@base64/=");
    assert_eq!(path_segment("a", ".."), "/a@base64/Li4");
}

#[test]
fn a_merge_replaces_metric_by_metric() {
    let group = [("source", "orders")];
    let mut good = run(now(), 2.0, None);
    good.take(backup(&manifest()));
    let failed = run(now() + TimeDelta::hours(1), 3.0, Some(Kind::Unreachable));
    let (old, new) = (good.text(&group), failed.text(&group));
    let text = merged(&old, &new);
    assert!(text.contains("lifeboat_last_success_timestamp_seconds{source=\"orders\"} 1795521600.25\n"));
    assert!(text.contains("lifeboat_backup_rows{source=\"orders\"} 12\n"), "{text}");
    assert!(text.contains("kind=\"unreachable\"} 1\n") && !text.contains("kind=\"none\""), "{text}");
    assert_eq!(text.matches("# TYPE lifeboat_last_run_error ").count(), 1);
    assert_eq!(merged("", &new), new);
    assert_eq!(merged(&text, &old), old, "and back");
    // What is no text of ours, was cut, or is no metric any more.
    let odd = "garbage\n# HELP other_metric x\nother_metric 1\n# HELP lifeboat_backups x\nlifeboat_backups 1\nlifeb";
    assert_eq!(merged(odd, ""), "# HELP lifeboat_backups x\nlifeboat_backups 1\n");
}

/// Name, labels and meaning of each row of `docs/metrics.md`.
fn documented() -> Vec<(String, Vec<String>, String)> {
    include_str!("../../../docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `lifeboat_"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let labels = cells[1].split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            (cells[0].trim_matches('`').to_owned(), labels, cells[3].to_owned())
        })
        .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let written: Vec<(String, Vec<String>, String)> = ALL
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
            (metric.name.to_owned(), labels, metric.help.to_owned())
        })
        .collect();
    assert_eq!(documented(), written);
}

#[test]
fn names_follow_the_conventions_and_samples_have_the_labels_of_their_metric() {
    for metric in ALL {
        assert!(metric.name.starts_with("lifeboat_"), "{}", metric.name);
        assert!(!metric.name.ends_with("_total") && !metric.name.contains("_age"), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.help);
    }
    let policy = Retention::default();
    let sets = [
        run(now(), 1.0, None),
        backup(&manifest()),
        drill(&evidence()),
        prune(&plan(&[], &policy, now()), &Deed::default()),
        verify(&[]),
    ];
    for (metric, samples) in sets.iter().flat_map(|set| &set.metrics) {
        for (labels, _) in samples {
            let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, metric.labels, "{}", metric.name);
        }
    }
}
