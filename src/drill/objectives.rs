//! RTO and RPO: measured, and judged against the policy. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::gap::worst_gap;

/// What the policy wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Objectives {
    /// A restored and checked database after this time, at most.
    pub rto: Option<Duration>,
    /// Data lost, at most, as time.
    pub rpo: Option<Duration>,
}

/// Whether something was as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was.
    Passed,
    /// It was not.
    Failed,
    /// It could not be looked at, and did not have to be.
    Skipped,
}

impl Verdict {
    /// The word in JSON and tables.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Skipped => "skipped",
        }
    }
}

/// One objective with what was measured, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// `rto`, `rpo` or `worst_gap`.
    pub name: String,
    /// What was measured, in seconds; `None` when there was nothing to measure.
    pub actual_seconds: Option<f64>,
    /// What the policy wants, in seconds; `None`: nothing, and the verdict is `skipped`.
    pub objective_seconds: Option<f64>,
    /// `failed`: the objective was missed.
    pub verdict: Verdict,
    /// Whether a miss decides the exit code. The worst gap is history, which no later backup can
    /// mend, and a daily schedule is never on the second: it is shown and warned about, no more.
    pub decides: bool,
}

impl Judgement {
    fn new(name: &str, actual: Option<f64>, objective: Option<Duration>, decides: bool) -> Self {
        let objective_seconds = objective.map(|limit| limit.as_secs_f64());
        let verdict = match (actual, objective_seconds) {
            (_, None) => Verdict::Skipped,
            (None, Some(_)) if !decides => Verdict::Skipped,
            (None, Some(_)) => Verdict::Failed,
            (Some(actual), Some(limit)) if actual <= limit => Verdict::Passed,
            (Some(_), Some(_)) => Verdict::Failed,
        };
        Judgement { name: name.to_owned(), actual_seconds: actual, objective_seconds, verdict, decides }
    }

    /// True when an objective that decides was missed.
    pub fn missed(&self) -> bool {
        self.decides && self.verdict == Verdict::Failed
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// From the start of the command until the restored database had passed its checks, in seconds;
    /// `None` when it never did.
    pub rto_seconds: Option<f64>,
    /// The age of the recovery point when the drill started, in seconds.
    pub rpo_seconds: f64,
    /// The worst gap between consecutive recovery points, in seconds.
    pub worst_gap_seconds: Option<f64>,
}

/// Judges RTO, RPO and the worst gap, in this order.
pub fn judge(objectives: Objectives, measured: Measured) -> Vec<Judgement> {
    vec![
        Judgement::new("rto", measured.rto_seconds, objectives.rto, true),
        Judgement::new("rpo", Some(measured.rpo_seconds), objectives.rpo, true),
        Judgement::new("worst_gap", measured.worst_gap_seconds, objectives.rpo, false),
    ]
}

/// The age of a recovery point in seconds; one in the future (clocks differ) has age 0.
pub fn age_seconds(recovery_point: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    seconds(now - recovery_point)
}

/// The worst gap in seconds; see [`worst_gap`].
pub fn worst_gap_seconds(points: &[DateTime<Utc>], now: DateTime<Utc>) -> Option<f64> {
    worst_gap(points.iter().copied(), now).map(|gap| gap.as_secs_f64())
}

fn seconds(span: TimeDelta) -> f64 {
    span.to_std().map_or(0.0, |span| span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    const HOUR: f64 = 3600.0;

    #[test]
    fn ages_are_never_negative() {
        let now = at("2026-11-30T00:00:00Z");
        assert_eq!(age_seconds(at("2026-11-29T23:00:00Z"), now), HOUR);
        assert_eq!(age_seconds(at("2026-11-30T00:00:05Z"), now), 0.0);
    }

    #[test]
    fn an_objective_is_met_at_its_limit_and_missed_beyond() {
        let objectives =
            Objectives { rto: Some(Duration::from_secs(300)), rpo: Some(Duration::from_secs(86_400)) };
        let measured =
            Measured { rto_seconds: Some(300.0), rpo_seconds: 86_400.5, worst_gap_seconds: Some(90_000.0) };
        let judged = judge(objectives, measured);
        let verdicts: Vec<_> = judged.iter().map(|j| (j.name.as_str(), j.verdict, j.missed())).collect();
        assert_eq!(
            verdicts,
            [
                ("rto", Verdict::Passed, false),
                ("rpo", Verdict::Failed, true),
                ("worst_gap", Verdict::Failed, false)
            ]
        );
    }

    #[test]
    fn nothing_wanted_is_skipped_and_nothing_measured_is_missed() {
        let measured = Measured { rto_seconds: None, rpo_seconds: 1.0, worst_gap_seconds: None };
        assert!(judge(Objectives::default(), measured).iter().all(|j| j.verdict == Verdict::Skipped));
        let objectives = Objectives { rto: Some(Duration::from_secs(1)), rpo: Some(Duration::from_secs(1)) };
        let judged = judge(objectives, measured);
        assert!(judged[0].missed());
        assert_eq!(judged[2].verdict, Verdict::Skipped);
    }
}
