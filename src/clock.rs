//! The monotonic clock: the only source of durations, time-outs and heartbeats.
//!
//! It stands on [`tokio::time`], so a test that pauses the runtime's time drives it.

use std::ops::Add;
use std::time::Duration;

use tokio::time::Instant;

/// An instant of a [`Clock`]: the time since that clock was started. Never a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(Duration);

impl Mono {
    /// The time from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from the clock's start to this instant.
    pub fn elapsed(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, duration: Duration) -> Mono {
        Mono(self.0.saturating_add(duration))
    }
}

/// A monotonic clock; cheap to copy. Its instants compare only with those of its copies.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts a clock at zero.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The time since the start.
    pub fn now(&self) -> Mono {
        Mono(self.start.elapsed())
    }

    /// Waits for a duration.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Waits until an instant of this clock; at once when that has passed.
    pub async fn sleep_until(&self, when: Mono) {
        tokio::time::sleep(when.since(self.now())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_advances_by_what_was_slept() {
        let clock = Clock::start();
        let begun = clock.now();
        clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(clock.now().since(begun), Duration::from_secs(60));
        clock.sleep_until(begun + Duration::from_secs(90)).await;
        assert_eq!(clock.now().elapsed(), Duration::from_secs(90));
        clock.sleep_until(begun).await;
        assert_eq!(begun.since(clock.now()), Duration::ZERO);
    }
}
