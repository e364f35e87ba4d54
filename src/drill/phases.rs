//! A stopwatch whose laps have names.

use std::time::{Duration, Instant};

use crate::engines::Phase;

/// Finding the backup and reading what describes it.
pub const LOCATE: &str = "locate";
/// Making the staging place.
pub const PROVISION: &str = "provision";
/// Fetching the data and loading it.
pub const LOAD: &str = "load";
/// Building indexes and constraints.
pub const INDEX: &str = "index";
/// Comparing every item and definition with the backup.
pub const COMPARE: &str = "compare";
/// The structural check and the policy's checks.
pub const CHECK: &str = "check";

/// Measures phases on the monotonic clock. Laps follow each other without a gap, so that the sum
/// of all phases is the time from the start to the last lap.
#[derive(Debug)]
pub struct Stopwatch {
    began: Instant,
    last: Instant,
    phases: Vec<Phase>,
}

impl Stopwatch {
    /// Starts to measure at an instant: when the command began, not when this was called.
    pub fn started_at(began: Instant) -> Self {
        Stopwatch { began, last: began, phases: Vec::new() }
    }

    /// Ends the phase that has been running since the last lap.
    pub fn lap(&mut self, name: &str) {
        self.lap_at(name, Instant::now());
    }

    /// Ends the phase that has been running since the last lap, of which `part` seconds at its end
    /// belong to a phase of their own (the index part of a restore). More than the whole counts as
    /// the whole.
    pub fn lap_in_two(&mut self, name: &str, part_name: &str, part: f64) {
        self.lap_in_two_at(name, part_name, part, Instant::now());
    }

    fn lap_at(&mut self, name: &str, now: Instant) {
        let seconds = now.saturating_duration_since(self.last).as_secs_f64();
        self.phases.push(Phase { name: name.to_owned(), seconds });
        self.last = self.last.max(now);
    }

    fn lap_in_two_at(&mut self, name: &str, part_name: &str, part: f64, now: Instant) {
        self.lap_at(name, now);
        let Some(whole) = self.phases.last_mut() else { return };
        let part = if part.is_finite() { part.clamp(0.0, whole.seconds) } else { 0.0 };
        whole.seconds -= part;
        self.phases.push(Phase { name: part_name.to_owned(), seconds: part });
    }

    /// From the start to the last lap.
    pub fn measured(&self) -> Duration {
        self.last.saturating_duration_since(self.began)
    }

    /// The phases so far.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Seconds of the phases so far up to and with the last one of this name; all, if there is none.
    pub fn seconds_through(&self, name: &str) -> f64 {
        let end =
            self.phases.iter().rposition(|phase| phase.name == name).map_or(self.phases.len(), |at| at + 1);
        self.phases[..end].iter().map(|phase| phase.seconds).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(watch: &Stopwatch) -> Vec<(&str, f64)> {
        watch.phases().iter().map(|phase| (phase.name.as_str(), phase.seconds)).collect()
    }

    #[test]
    fn laps_follow_each_other_without_a_gap() {
        let start = Instant::now();
        let mut watch = Stopwatch::started_at(start);
        watch.lap_at(LOCATE, start + Duration::from_secs(2));
        watch.lap_in_two_at(LOAD, INDEX, 4.0, start + Duration::from_secs(12));
        watch.lap_at(CHECK, start + Duration::from_secs(13));
        assert_eq!(seconds(&watch), [(LOCATE, 2.0), (LOAD, 6.0), (INDEX, 4.0), (CHECK, 1.0)]);
        assert_eq!(watch.measured(), Duration::from_secs(13));
        assert_eq!(watch.seconds_through(INDEX), 12.0);
        assert_eq!(watch.seconds_through("none"), 13.0);
    }

    #[test]
    fn a_part_is_never_more_than_the_whole() {
        let start = Instant::now();
        for (part, expected) in [(9.0, 3.0), (-1.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 0.0)] {
            let mut watch = Stopwatch::started_at(start);
            watch.lap_in_two_at(LOAD, INDEX, part, start + Duration::from_secs(3));
            assert_eq!(seconds(&watch), [(LOAD, 3.0 - expected), (INDEX, expected)]);
        }
    }
}
