//! A stopwatch whose laps have names.

use std::time::Duration;

use crate::clock::{Clock, Mono};
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
    clock: Clock,
    began: Mono,
    last: Mono,
    phases: Vec<Phase>,
}

impl Stopwatch {
    /// Starts to measure at an instant of the clock: when the command began, not when this was called.
    pub fn started_at(clock: Clock, began: Mono) -> Self {
        Stopwatch { clock, began, last: began, phases: Vec::new() }
    }

    /// Ends the phase that has been running since the last lap.
    pub fn lap(&mut self, name: &str) {
        let now = self.clock.now();
        let seconds = now.since(self.last).as_secs_f64();
        self.phases.push(Phase { name: name.to_owned(), seconds });
        self.last = now;
    }

    /// Ends the phase that has been running since the last lap, of which `part` seconds belong to a
    /// phase of their own that came at its end (the index part of a restore). More than the whole counts
    /// as the whole.
    pub fn lap_in_two(&mut self, name: &str, part_name: &str, part: f64) {
        self.lap(name);
        let Some(whole) = self.phases.last_mut() else { return };
        let part = if part.is_finite() { part.clamp(0.0, whole.seconds) } else { 0.0 };
        whole.seconds -= part;
        self.phases.push(Phase { name: part_name.to_owned(), seconds: part });
    }

    /// From the start to the last lap.
    pub fn measured(&self) -> Duration {
        self.last.since(self.began)
    }

    /// The phases so far.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// The phases so far, ending the watch.
    pub fn into_phases(self) -> Vec<Phase> {
        self.phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn seconds(watch: &Stopwatch) -> Vec<(&str, f64)> {
        watch.phases().iter().map(|phase| (phase.name.as_str(), phase.seconds)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn laps_follow_each_other_without_a_gap() {
        let clock = Clock::start();
        let began = clock.now();
        pass(2).await;
        let mut watch = Stopwatch::started_at(clock, began);
        watch.lap(LOCATE);
        pass(10).await;
        watch.lap_in_two(LOAD, INDEX, 4.0);
        pass(1).await;
        watch.lap(CHECK);
        assert_eq!(seconds(&watch), [(LOCATE, 2.0), (LOAD, 6.0), (INDEX, 4.0), (CHECK, 1.0)]);
        assert_eq!(watch.measured(), Duration::from_secs(13));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_never_more_than_the_whole() {
        for (part, expected) in [(9.0, 3.0), (-1.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 0.0)] {
            let clock = Clock::start();
            let mut watch = Stopwatch::started_at(clock, clock.now());
            pass(3).await;
            watch.lap_in_two(LOAD, INDEX, part);
            assert_eq!(seconds(&watch), [(LOAD, 3.0 - expected), (INDEX, expected)]);
        }
    }
}
