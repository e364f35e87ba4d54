//! Shows a run's [`Progress`]: a bar on a terminal, elsewhere a line at start, every minute and at the end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::cli::log::Level;
use crate::cli::ui::Ui;
use crate::pipeline::progress::Progress;
use crate::reports::{size, time};

/// How often the counters are looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Which counter shows how far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Raw bytes, out of those that the run itself expects.
    Raw,
    /// Bytes that the store gave or took, out of so many.
    Stored {
        /// How many there are in all; 0 when unknown.
        of: u64,
    },
}

/// Progress on display. End it with [`Shown::end`]; a dropped one disappears without a word.
#[derive(Debug)]
pub struct Shown {
    progress: Progress,
    ui: Ui,
    what: String,
    measure: Measure,
    begun: Instant,
    bar: Option<ProgressBar>,
    task: JoinHandle<()>,
}

impl Ui {
    /// Shows the progress of `what` (`backup`, `verify 20261124T020000Z-7f3k9q`) until it is ended.
    pub fn follow(&self, what: &str, progress: &Progress, measure: Measure) -> Shown {
        let bar = self.draws_bars().then(|| {
            let bar = self.bars().add(ProgressBar::no_length());
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() && self.tells_progress() {
            self.info(&format!("{what}: started"));
        }
        let watcher = Watcher {
            ui: self.clone(),
            progress: progress.clone(),
            what: what.to_owned(),
            measure,
            bar: bar.clone(),
        };
        Shown {
            progress: progress.clone(),
            ui: self.clone(),
            what: what.to_owned(),
            measure,
            begun: Instant::now(),
            bar,
            task: tokio::spawn(watcher.run()),
        }
    }
}

impl Shown {
    /// Ends the display. Tells how much went through in which time, if it ended well.
    pub fn end(self, well: bool) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (backup, phase) = (self.progress.backup_id(), self.progress.phase_name());
        for note in self.progress.take_notes() {
            self.ui.status(Level::Warn, &note, Some(&backup), Some(&phase));
        }
        let elapsed = self.begun.elapsed();
        let bytes = done(&self.progress, self.measure);
        let rate = size::rate(bytes, elapsed.as_secs_f64());
        if self.ui.tells_progress() || self.bar.is_some() {
            let (word, took) = (if well { "done" } else { "failed" }, time::duration(elapsed));
            let line = format!("{}: {word} after {took}, {} ({rate})", self.what, size::bytes(bytes));
            self.ui.status(Level::Info, &line, Some(&backup), Some(&phase));
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

struct Watcher {
    ui: Ui,
    progress: Progress,
    what: String,
    measure: Measure,
    bar: Option<ProgressBar>,
}

impl Watcher {
    async fn run(self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Moment { at: Instant::now(), bytes: 0 };
        let mut phase = String::new();
        let mut length = None;
        loop {
            tick.tick().await;
            for note in self.progress.take_notes() {
                self.ui.status(Level::Warn, &note, Some(&self.progress.backup_id()), Some(&phase));
            }
            let now = Moment { at: Instant::now(), bytes: done(&self.progress, self.measure) };
            let total = total(&self.progress, self.measure);
            let new_phase = self.progress.phase_name();
            if let Some(bar) = &self.bar {
                if new_phase != phase || now.bytes < bar.position() {
                    bar.reset();
                }
                if length != Some(total) {
                    length = Some(total);
                    self.dress(bar, total);
                }
                bar.set_message(label(&self.what, &new_phase));
                bar.set_position(now.bytes);
            } else if self.ui.tells_progress() && now.at - last.at >= LINE_EVERY {
                let line = describe(&label(&self.what, &new_phase), &last, &now, total);
                self.ui.status(Level::Info, &line, Some(&self.progress.backup_id()), Some(&new_phase));
                last = now;
            }
            phase = new_phase;
        }
    }

    /// A bar when the end is known, a spinner when it is not.
    fn dress(&self, bar: &ProgressBar, total: u64) {
        let template = match total {
            0 => "{spinner} {msg} {binary_bytes} {binary_bytes_per_sec} {elapsed}",
            _ => "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        match total {
            0 => bar.unset_length(),
            total => bar.set_length(total),
        }
    }
}

struct Moment {
    at: Instant,
    bytes: u64,
}

fn done(progress: &Progress, measure: Measure) -> u64 {
    match measure {
        Measure::Raw => progress.raw(),
        Measure::Stored { .. } => progress.stored(),
    }
}

fn total(progress: &Progress, measure: Measure) -> u64 {
    match measure {
        Measure::Raw => progress.expected(),
        Measure::Stored { of } => of,
    }
}

fn label(what: &str, phase: &str) -> String {
    if phase.is_empty() { what.to_owned() } else { format!("{what}, {phase}") }
}

/// `backup, dump: 1.2 GiB of 4.0 GiB (30%), 45.2 MiB/s, 1m 3s left`, the rate being that since `last`.
fn describe(label: &str, last: &Moment, now: &Moment, total: u64) -> String {
    let seconds = (now.at - last.at).as_secs_f64();
    // A new phase counts from 0.
    let moved = if now.bytes >= last.bytes { now.bytes - last.bytes } else { now.bytes };
    let rate = size::rate(moved, seconds);
    if total == 0 {
        return format!("{label}: {}, {rate}", size::bytes(now.bytes));
    }
    let share = (now.bytes as f64 / total as f64 * 100.0).min(100.0);
    let mut line =
        format!("{label}: {} of {} ({share:.0}%), {rate}", size::bytes(now.bytes), size::bytes(total));
    if moved > 0 {
        let left = total.saturating_sub(now.bytes) as f64 / (moved as f64 / seconds);
        line.push_str(&format!(", {} left", time::seconds(left)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_tells_share_rate_and_what_is_left() {
        let begin = Instant::now();
        let last = Moment { at: begin, bytes: 0 };
        let now = Moment { at: begin + Duration::from_secs(60), bytes: 600 << 20 };
        assert_eq!(
            describe("backup, dump", &last, &now, 1200 << 20),
            "backup, dump: 600.0 MiB of 1.2 GiB (50%), 10.0 MiB/s, 1m left"
        );
        assert_eq!(describe("backup", &last, &now, 0), "backup: 600.0 MiB, 10.0 MiB/s");
        let stuck = Moment { at: begin + Duration::from_secs(120), bytes: 600 << 20 };
        assert_eq!(describe("backup", &now, &stuck, 1200 << 20), "backup: 600.0 MiB of 1.2 GiB (50%), 0 B/s");
    }

    #[tokio::test]
    async fn the_measure_says_which_counter_counts() {
        let progress = Progress::default();
        progress.expect_raw(10);
        progress.add_raw(3);
        progress.add_stored(2);
        assert_eq!((done(&progress, Measure::Raw), total(&progress, Measure::Raw)), (3, 10));
        let stored = Measure::Stored { of: 7 };
        assert_eq!((done(&progress, stored), total(&progress, stored)), (2, 7));
        assert_eq!(label("verify", ""), "verify");
    }
}
