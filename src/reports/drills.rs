//! A drill for people, for programs and for CI.

use super::junit::{Case, Outcome, Suite};
use super::messages::{Check, Drill, Phase};
use super::table::{Column, Style, Table, clean};
use super::{size, time};
use crate::drill::evidence::Evidence;
use crate::drill::objectives::{Judgement, Verdict};

/// Differences shown to a person; the record and JSON have more.
const SHOWN: usize = 20;

/// How wide the bar of the longest phase is.
const BAR: f64 = 30.0;

/// The JSON line.
pub fn message(evidence: &Evidence, record: &str) -> Drill {
    let compared = evidence.compared.as_ref();
    Drill {
        source: evidence.source.clone(),
        id: evidence.id.clone(),
        verdict: evidence.verdict.word().to_owned(),
        rto_seconds: evidence.rto_seconds,
        rto_objective_seconds: evidence.rto_objective_seconds,
        rpo_seconds: Some(evidence.rpo_seconds),
        rpo_objective_seconds: evidence.rpo_objective_seconds,
        phases: evidence.phases.iter().map(|p| Phase { name: p.name.clone(), seconds: p.seconds }).collect(),
        checks: evidence
            .checks
            .iter()
            .map(|check| Check {
                name: check.name.clone(),
                kind: check.kind.clone(),
                verdict: check.verdict.word().to_owned(),
                expected: check.expected.clone(),
                actual: check.actual.clone(),
            })
            .collect(),
        restored_seconds: evidence.restored_seconds,
        worst_gap_seconds: evidence.worst_gap_seconds,
        objectives_missed: evidence.missed().map(|judgement| judgement.name.clone()).collect(),
        items: compared.map_or(0, |compared| compared.items),
        rows: compared.map_or(0, |compared| compared.rows),
        definitions: compared.map_or(0, |compared| compared.definitions),
        differences: compared.map_or_else(Vec::new, |compared| compared.differences.clone()),
        failure: evidence.failure.clone(),
        staging: evidence.staging.clone(),
        record: record.to_owned(),
        warnings: evidence.warnings.clone(),
    }
}

/// The report for a person.
pub fn text(evidence: &Evidence, style: Style) -> String {
    let missed: Vec<&str> = evidence.missed().map(|judgement| judgement.name.as_str()).collect();
    let verdict = match (evidence.passed(), missed.as_slice()) {
        (true, []) => "PASSED: the backup is proven".to_owned(),
        (true, missed) => format!("PASSED: the backup is proven, but misses {}", missed.join(", ")),
        (false, _) => "FAILED: the backup is not proven".to_owned(),
    };
    let mut text = format!("{} {}  {verdict}\n", evidence.source, evidence.id);
    text.push_str(&format!("restored to {}\n\n", clean(&evidence.staging)));
    if let Some(failure) = &evidence.failure {
        text.push_str(&format!("{}\n\n", clean(failure)));
    }
    text.push_str(&phases(evidence));
    text.push('\n');
    text.push_str(&objectives(evidence, style));
    text.push('\n');
    text.push_str(&comparison(evidence));
    if !evidence.checks.is_empty() {
        text.push('\n');
        text.push_str(&checks(evidence, style));
    }
    text
}

fn phases(evidence: &Evidence) -> String {
    let longest = evidence.phases.iter().map(|phase| phase.seconds).fold(0.0, f64::max);
    let width = evidence.phases.iter().map(|phase| phase.name.len()).max().unwrap_or(0);
    evidence
        .phases
        .iter()
        .map(|phase| {
            let share = if longest > 0.0 { phase.seconds / longest } else { 0.0 };
            // At most BAR, so the cast cannot be out of range.
            let bar = "#".repeat((share * BAR).ceil() as usize);
            let line = format!("{:width$}  {:>8}  {bar}", phase.name, time::seconds(phase.seconds));
            format!("{}\n", line.trim_end())
        })
        .collect()
}

fn label(name: &str) -> &str {
    match name {
        "rto" => "RTO (recovery time)",
        "rpo" => "RPO (age of the recovery point)",
        "worst_gap" => "worst gap in 7 days",
        other => other,
    }
}

fn judged(judgement: &Judgement) -> &'static str {
    match judgement.verdict {
        Verdict::Passed => "met",
        Verdict::Failed => "MISSED",
        Verdict::Skipped => "",
    }
}

fn objectives(evidence: &Evidence, style: Style) -> String {
    let mut table = Table::new([
        Column::Text("MEASURED"),
        Column::Number("ACTUAL"),
        Column::Number("OBJECTIVE"),
        Column::Whole("VERDICT"),
    ]);
    let seconds = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), time::seconds);
    for judgement in &evidence.objectives {
        table.row([
            label(&judgement.name).to_owned(),
            seconds(judgement.actual_seconds),
            seconds(judgement.objective_seconds),
            judged(judgement).to_owned(),
        ]);
    }
    table.render(style)
}

fn comparison(evidence: &Evidence) -> String {
    let Some(compared) = &evidence.compared else { return "nothing was compared\n".to_owned() };
    let mut text = format!(
        "compared {} with {} rows and {}: {}\n",
        size::plural(compared.items, "item"),
        size::count(compared.rows),
        size::plural(compared.definitions, "definition"),
        match compared.differences_found {
            0 => "all equal".to_owned(),
            found => size::plural(found, "difference"),
        }
    );
    for difference in compared.differences.iter().take(SHOWN) {
        text.push_str(&format!("  {}\n", clean(difference)));
    }
    let more = compared.differences_found.saturating_sub(SHOWN as u64);
    if more > 0 {
        text.push_str(&format!("  … and {} more\n", size::count(more)));
    }
    text
}

fn checks(evidence: &Evidence, style: Style) -> String {
    let mut table = Table::new([
        Column::Text("CHECK"),
        Column::Whole("VERDICT"),
        Column::Text("EXPECTED"),
        Column::Text("ACTUAL"),
    ]);
    for check in &evidence.checks {
        let verdict = match check.verdict {
            Verdict::Failed => "FAILED",
            other => other.word(),
        };
        table.row([check.name.as_str(), verdict, check.expected.as_str(), check.actual.as_str()]);
    }
    table.render(style)
}

/// The drill as a JUnit suite: a case for each phase that can fail, each check and each objective.
pub fn suite(evidence: &Evidence) -> Suite {
    let took = |name: &str| -> f64 {
        evidence.phases.iter().filter(|phase| phase.name == name).map(|phase| phase.seconds).sum()
    };
    let case = |name: &str, seconds, outcome| Case {
        name: name.to_owned(),
        seconds,
        outcome,
        output: String::new(),
    };
    let restoring =
        evidence.phases.iter().map(|phase| phase.seconds).sum::<f64>() - took("compare") - took("check");
    let restored = match &evidence.failure {
        Some(failure) => Outcome::Failed { message: failure.clone(), details: String::new() },
        None => Outcome::Passed,
    };
    let mut cases = vec![case("restore", restoring, restored)];
    let comparison = match &evidence.compared {
        None => Outcome::Skipped { message: "there was nothing to compare".to_owned() },
        Some(compared) if compared.differences_found == 0 => Outcome::Passed,
        Some(compared) => Outcome::Failed {
            message: size::plural(compared.differences_found, "difference"),
            details: compared.differences.join("\n"),
        },
    };
    cases.push(case("comparison with the backup", took("compare"), comparison));
    for check in &evidence.checks {
        let outcome = match check.verdict {
            Verdict::Passed => Outcome::Passed,
            Verdict::Failed => Outcome::Failed {
                message: format!("expected {}, found {}", check.expected, check.actual),
                details: String::new(),
            },
            Verdict::Skipped => Outcome::Skipped { message: check.actual.clone() },
        };
        cases.push(case(&format!("check: {}", check.name), 0.0, outcome));
    }
    for judgement in evidence.objectives.iter().filter(|judgement| judgement.decides) {
        let seconds = |value: Option<f64>| value.map_or_else(|| "nothing".to_owned(), time::seconds);
        let outcome = match judgement.verdict {
            Verdict::Passed => Outcome::Passed,
            Verdict::Failed => Outcome::Failed {
                message: format!(
                    "{} instead of at most {}",
                    seconds(judgement.actual_seconds),
                    seconds(judgement.objective_seconds)
                ),
                details: String::new(),
            },
            Verdict::Skipped => Outcome::Skipped { message: "the policy has no such objective".to_owned() },
        };
        cases.push(case(&format!("objective: {}", judgement.name), 0.0, outcome));
    }
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Suite {
        name: format!("drill of {}", evidence.source),
        time: evidence.begun,
        properties: vec![
            property("backup", &evidence.id),
            property("drill", &evidence.drill_id),
            property("staging", &evidence.staging),
            property("verdict", evidence.verdict.word()),
            property(
                "rto_seconds",
                &evidence.rto_seconds.map_or_else(|| "none".to_owned(), |s| format!("{s:.3}")),
            ),
            property("rpo_seconds", &format!("{:.0}", evidence.rpo_seconds)),
        ],
        cases,
    }
}

#[cfg(test)]
pub(super) mod tests;
