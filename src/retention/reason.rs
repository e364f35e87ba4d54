//! Why a backup stays or goes, as stable text.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::period::{Cycle, Period};

/// Why a backup stays or goes. The text forms are part of the JSON contract and stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is the newest complete backup.
    Newest,
    /// A newer one is suspicious; this is the newest that is not.
    NewestNotSuspicious,
    /// It is suspicious, and no backup since is above suspicion.
    NotSucceeded,
    /// It is the newest backup that a drill has proven.
    NewestProven,
    /// A newer proven one is suspicious; this is the newest proven that is not.
    NewestProvenNotSuspicious,
    /// It is proven and suspicious, and no proven backup since is above suspicion.
    ProvenNotSucceeded,
    /// A restore, drill or verify reads it now.
    InUse,
    /// An operator put it on hold.
    OnHold,
    /// Its time is after `now`: some clock is wrong. It takes no slot.
    InTheFuture,
    /// It is not complete, and no complete backup is newer: it may still be on its way.
    IncompleteNewest,
    /// The policy has no retention rule.
    NoRule,
    /// One of the newest backups.
    Last {
        /// Its place, from 1 for the newest.
        slot: u32,
        /// How many are kept.
        of: u32,
        /// It is suspicious and takes no slot.
        beside: bool,
    },
    /// It is young enough.
    Within(Duration),
    /// It is the newest of its period.
    Cycle {
        /// Which rule.
        cycle: Cycle,
        /// The period's place, from 1 for the newest period that has a backup.
        slot: u32,
        /// How many periods are kept.
        of: u32,
        /// The period.
        period: Period,
        /// It is suspicious and takes no slot.
        beside: bool,
    },
    /// It goes: nothing keeps it.
    NotKept,
    /// It goes: it is not complete, and a newer backup is.
    Incomplete,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beside = |beside: &bool| if *beside { "beside " } else { "" };
        match self {
            Reason::Newest => f.write_str("newest"),
            Reason::NewestNotSuspicious => f.write_str("newest not suspicious"),
            Reason::NotSucceeded => f.write_str("suspicious, no other backup since"),
            Reason::NewestProven => f.write_str("newest proven"),
            Reason::NewestProvenNotSuspicious => f.write_str("newest proven not suspicious"),
            Reason::ProvenNotSucceeded => f.write_str("suspicious, no other proven backup since"),
            Reason::InUse => f.write_str("in use"),
            Reason::OnHold => f.write_str("on hold"),
            Reason::InTheFuture => f.write_str("in the future"),
            Reason::IncompleteNewest => f.write_str("incomplete, no complete backup since"),
            Reason::NoRule => f.write_str("no retention rule"),
            Reason::Last { slot, of, beside: b } => write!(f, "{}last {slot}/{of}", beside(b)),
            Reason::Within(age) => write!(f, "within {}", short_duration(*age)),
            Reason::Cycle { cycle, slot, of, period, beside: b } => {
                write!(f, "{}{} {slot}/{of} ({period})", beside(b), cycle.word())
            }
            Reason::NotKept => f.write_str("no rule keeps it"),
            Reason::Incomplete => f.write_str("incomplete"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration as people write it in a policy: whole days as `30d`, all else as humantime does (`1h 30m`).
pub fn short_duration(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let seconds = duration.as_secs();
    if duration.subsec_nanos() == 0 && seconds >= DAY && seconds.is_multiple_of(DAY) {
        format!("{}d", seconds / DAY)
    } else {
        humantime::format_duration(duration).to_string()
    }
}
