//! Policies: retention, objectives, drill checks, and what to do about a shrunken source.

use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

use super::checks::{self, Check};
use super::layers::{Layers, Reader};
use super::near::nearest;
use super::origin::{Origin, Place, ShownValue};
use super::schema::{POLICY, text_keys};
use crate::error::Result;
use crate::retention::{Retention, short_duration};

/// The name of the policy of a source that names none.
pub const NO_POLICY: &str = "none";

/// `[objectives]`: what a drill and `status` judge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Objectives {
    /// How long a restore may take, to the first successful query.
    pub rto: Option<Duration>,
    /// How much data, in time, may be lost.
    pub rpo: Option<Duration>,
    /// How old the newest backup may be; as `rpo` where it is not set.
    pub freshness: Option<Duration>,
    /// How old the newest proven backup may be.
    pub proven_within: Option<Duration>,
    /// Whether a backup of several moments (a fuzzy one) fails.
    pub consistent: bool,
}

/// Whether a drill checks the structure of indexes and tables with `amcheck`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amcheck {
    /// Where the server has the extension.
    Auto,
    /// Always; a server without the extension fails the drill.
    On,
    /// Never.
    Off,
}

/// `[drill]`: how a restore is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct DrillPolicy {
    /// The structural check.
    pub amcheck: Amcheck,
    /// How long evidence is kept.
    pub evidence_keep: Duration,
    /// What has to hold in the restored database, in the order of the file.
    pub checks: Vec<Check>,
}

/// What happens when a source has shrunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShrinkAction {
    /// The backup is committed, marked suspicious and warned about.
    Warn,
    /// The backup fails.
    Fail,
}

/// `[shrink]`: when a source is suspiciously smaller than in the newest proven backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrink {
    /// A loss of more than this share of rows or bytes is suspicious, in percent; 100 never is.
    pub share: u32,
    /// What happens then.
    pub action: ShrinkAction,
}

/// A policy, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The name, or [`NO_POLICY`].
    pub name: String,
    /// What stays.
    pub retention: Retention,
    /// What is promised.
    pub objectives: Objectives,
    /// How a restore is judged.
    pub drill: DrillPolicy,
    /// What is suspicious.
    pub shrink: Shrink,
}

/// Lays a policy's values between those of the file's own sections and those of environment and flags.
pub(crate) fn layered(main: &Layers, policy: &Layers) -> Layers {
    let mut layered = policy.clone();
    for (key, _) in text_keys(POLICY, "") {
        let Some(entry) = main.entries.get(&key) else {
            continue;
        };
        if entry.place.origin.is_text() || !layered.entries.contains_key(&key) {
            layered.entries.insert(key, entry.clone());
        }
    }
    layered
}

/// Reads a policy from its layers. Checks of the file's own `[drill]` come before the policy's.
pub(crate) fn read(name: &str, main: &Layers, reader: &mut Reader<'_>) -> Result<Policy> {
    let retention = Retention {
        timezone: timezone(reader)?,
        last: count(reader, "last")?,
        within: reader.careful_duration("retention.within")?,
        hourly: count(reader, "hourly")?,
        daily: count(reader, "daily")?,
        weekly: count(reader, "weekly")?,
        monthly: count(reader, "monthly")?,
        yearly: count(reader, "yearly")?,
    };
    let rpo = reader.duration("objectives.rpo")?;
    let objectives = Objectives {
        rto: reader.duration("objectives.rto")?,
        rpo,
        freshness: freshness(reader, rpo)?,
        proven_within: reader.duration("objectives.proven_within")?,
        consistent: reader.choice("objectives.consistency", &[("any", false), ("consistent", true)])?,
    };
    let amcheck = reader
        .choice("drill.amcheck", &[("auto", Amcheck::Auto), ("on", Amcheck::On), ("off", Amcheck::Off)])?;
    let drill = DrillPolicy {
        amcheck,
        evidence_keep: evidence_keep(reader)?,
        checks: read_checks(name, main, reader)?,
    };
    let shrink = Shrink {
        share: reader.whole_or("shrink.share", 1..=100, 50)?,
        action: reader
            .choice("shrink.action", &[("warn", ShrinkAction::Warn), ("fail", ShrinkAction::Fail)])?,
    };
    Ok(Policy { name: name.to_owned(), retention, objectives, drill, shrink })
}

fn count(reader: &mut Reader<'_>, rule: &str) -> Result<Option<u32>> {
    reader.whole(&format!("retention.{rule}"), 0..=u32::MAX)
}

fn timezone(reader: &mut Reader<'_>) -> Result<Tz> {
    const KEY: &str = "retention.timezone";
    let zone = match reader.hidden_text(KEY)? {
        None => Tz::UTC,
        Some((text, entry)) => text.parse::<Tz>().map_err(|_| {
            let near = nearest(&text, TZ_VARIANTS.iter().map(|zone| zone.name()));
            let hint = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "use a name of the IANA time zone database, such as \"Europe/Berlin\"".to_owned(),
            };
            reader.wrong(KEY, entry, "a time zone").hint(hint)
        })?,
    };
    reader.show(KEY, zone.name());
    Ok(zone)
}

fn freshness(reader: &mut Reader<'_>, rpo: Option<Duration>) -> Result<Option<Duration>> {
    const KEY: &str = "objectives.freshness";
    let freshness = reader.duration(KEY)?;
    if let (None, Some(rpo)) = (freshness, rpo) {
        reader.show(KEY, short_duration(rpo));
    }
    Ok(freshness.or(rpo))
}

fn evidence_keep(reader: &mut Reader<'_>) -> Result<Duration> {
    const KEY: &str = "drill.evidence_keep";
    const DEFAULT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
    if let Some(keep) = reader.careful_duration(KEY)? {
        return Ok(keep);
    }
    reader.show(KEY, short_duration(DEFAULT));
    Ok(DEFAULT)
}

fn read_checks(name: &str, main: &Layers, reader: &mut Reader<'_>) -> Result<Vec<Check>> {
    const KEY: &str = "drill.checks";
    let mut checks = Vec::new();
    if let Some(entry) = main.entries.get(KEY) {
        checks.extend(checks::read(entry, KEY)?);
    }
    if let Some(entry) = reader.entry(KEY) {
        checks.extend(checks::read(entry, KEY)?);
    }
    checks::refuse_twins(&checks, &format!("policy {name}"))?;
    if !checks.is_empty() {
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        let entry = reader.entry(KEY).or(main.entries.get(KEY));
        let origin = entry.map_or(Origin::Default, |entry| entry.place.origin.clone());
        reader.shown.push(ShownValue { key: reader.full(KEY), value: names.join(", "), origin });
    }
    Ok(checks)
}

/// Where a policy was found, for messages of its users.
pub(crate) struct Found {
    pub(crate) layers: Layers,
    /// Set when a policy in the file hides a file of the same name.
    pub(crate) hides: Option<(Place, std::path::PathBuf)>,
}
