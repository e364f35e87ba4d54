use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::drill::checks::Checked;
use crate::drill::evidence::{Compared, EVIDENCE_SCHEMA, Operator};
use crate::drill::objectives::{Measured, Objectives, judge};
use crate::engines::{self, RecoveryPoint};
use crate::reports::junit;

pub(in crate::reports) fn evidence() -> Evidence {
    let begun = "2026-11-24T03:00:00Z".parse().unwrap();
    let phase = |name: &str, seconds| engines::Phase { name: name.into(), seconds };
    let check = |name: &str, kind: &str, verdict, expected: &str, actual: &str| Checked {
        name: name.into(),
        kind: kind.into(),
        verdict,
        expected: expected.into(),
        actual: actual.into(),
    };
    let measured =
        Measured { rto_seconds: Some(83.5), rpo_seconds: 3600.0, worst_gap_seconds: Some(90_000.0) };
    let objectives =
        Objectives { rto: Some(Duration::from_secs(300)), rpo: Some(Duration::from_secs(86_400)) };
    Evidence {
        message_type: "drill".into(),
        schema: EVIDENCE_SCHEMA,
        source: "orders".into(),
        id: "20261124T020000Z-7f3k9q".into(),
        drill_id: "20261124T030000Z-aaaaaa".into(),
        engine: "postgres".into(),
        method: "dump".into(),
        verdict: Verdict::Passed,
        failure: None,
        begun,
        ended: begun + Duration::from_secs(84),
        operator: Operator { host: "pod-1".into(), user: "ci".into(), trigger: None },
        lifeboat: "0.1.0".into(),
        tools: BTreeMap::new(),
        server: BTreeMap::new(),
        staging: "postgres://drill@staging:5432/lifeboat_drill_20261124030000_abcdefgh, PostgreSQL 17.10"
            .into(),
        recovery_point: RecoveryPoint { time: begun, position: None },
        raw_bytes: 1000,
        rows: 1_234_567,
        phases: vec![
            phase("locate", 0.4),
            phase("provision", 2.1),
            phase("load", 50.0),
            phase("index", 20.0),
            phase("compare", 10.0),
            phase("check", 1.0),
        ],
        restored_seconds: Some(72.5),
        rto_seconds: measured.rto_seconds,
        rto_objective_seconds: Some(300.0),
        rpo_seconds: measured.rpo_seconds,
        rpo_objective_seconds: Some(86_400.0),
        worst_gap_seconds: measured.worst_gap_seconds,
        objectives: judge(objectives, measured),
        compared: Some(Compared {
            items: 42,
            rows: 1_234_567,
            definitions: 120,
            differences_found: 0,
            differences: Vec::new(),
        }),
        checks: vec![
            check(
                "structure",
                "structure",
                Verdict::Passed,
                "nothing wrong",
                "pg_amcheck 17.10 found nothing wrong",
            ),
            check("orders are fresh", "sql", Verdict::Passed, "at most 90000", "3600.5"),
        ],
        warnings: Vec::new(),
    }
}

pub(in crate::reports) fn failed() -> Evidence {
    let mut evidence = evidence();
    evidence.verdict = Verdict::Failed;
    evidence.rto_seconds = None;
    evidence.objectives[0].actual_seconds = None;
    evidence.objectives[0].verdict = Verdict::Failed;
    let differences: Vec<String> =
        (1..=23).map(|n| format!("table public.t{n}: 1 row missing: 2 in the backup, 1 restored")).collect();
    evidence.compared = Some(Compared { differences_found: 23, differences, ..evidence.compared.unwrap() });
    evidence.checks[1].verdict = Verdict::Failed;
    evidence.checks[1].actual = "NULL (no rows, or no value)".into();
    evidence
}

#[test]
fn a_person_reads_a_passed_drill() {
    let style = Style { width: Some(80), colour: false };
    let text = text(&evidence(), style);
    assert_eq!(
        text,
        "orders 20261124T020000Z-7f3k9q  PASSED: the backup is proven
restored to postgres://drill@staging:5432/lifeboat_drill_20261124030000_abcdefgh, PostgreSQL 17.10

locate         0.4s  #
provision      2.1s  ##
load            50s  ##############################
index           20s  ############
compare         10s  ######
check          1.0s  #

MEASURED                         ACTUAL  OBJECTIVE  VERDICT
RTO (recovery time)              1m 23s         5m  met
RPO (age of the recovery point)      1h         1d  met
worst gap in 7 days               1d 1h         1d  MISSED

compared 42 items with 1,234,567 rows and 120 definitions: all equal

CHECK             VERDICT  EXPECTED       ACTUAL
structure         passed   nothing wrong  pg_amcheck 17.10 found nothing wrong
orders are fresh  passed   at most 90000  3600.5
"
    );
}

#[test]
fn a_person_reads_a_failed_drill() {
    let text = text(&failed(), Style::PLAIN);
    assert!(text.starts_with("orders 20261124T020000Z-7f3k9q  FAILED: the backup is not proven\n"), "{text}");
    assert!(text.contains("120 definitions: 23 differences\n  table public.t1: 1 row missing"), "{text}");
    assert!(text.contains("table public.t20:") && !text.contains("table public.t21:"), "{text}");
    assert!(text.contains("  … and 3 more\n"), "{text}");
    assert!(text.contains("orders are fresh  FAILED   at most 90000  NULL (no rows, or no value)"), "{text}");
}

#[test]
fn a_missed_objective_is_in_the_verdict() {
    let mut evidence = evidence();
    evidence.objectives[1].verdict = Verdict::Failed;
    assert!(text(&evidence, Style::PLAIN).contains("PASSED: the backup is proven, but misses rpo\n"));
    assert_eq!(message(&evidence, "k").objectives_missed, ["rpo"]);
}

#[test]
fn a_restore_that_failed_says_why() {
    let mut evidence = failed();
    evidence.failure = Some("pg_restore failed:\nno space".into());
    evidence.compared = None;
    let text = text(&evidence, Style::PLAIN);
    assert!(
        text.contains("\npg_restore failed:\\nno space\n") && text.contains("nothing was compared\n"),
        "{text}"
    );
}

#[test]
fn ci_reads_a_case_for_each_thing_that_can_fail() {
    let xml = junit::document(&[suite(&failed())]);
    assert!(xml.contains("tests=\"6\" failures=\"3\""), "{xml}");
    for name in [
        "restore",
        "comparison with the backup",
        "check: structure",
        "check: orders are fresh",
        "objective: rto",
        "objective: rpo",
    ] {
        assert!(xml.contains(&format!("name=\"{name}\"")), "{name} is not in {xml}");
    }
    assert!(xml.contains("<failure message=\"23 differences\">table public.t1"), "{xml}");
    assert!(junit::document(&[suite(&evidence())]).contains("tests=\"6\" failures=\"0\""));
}

#[test]
fn the_line_for_programs_has_everything() {
    let message = message(&failed(), "orders/drills/x.failed.json");
    assert_eq!((message.verdict.as_str(), message.rto_seconds), ("failed", None));
    assert_eq!(message.differences.len(), 23);
    assert_eq!(message.record, "orders/drills/x.failed.json");
}
