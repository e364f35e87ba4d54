//! Status lines: their levels, their two formats, and the debug output of the library.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::failure::Failure;
use crate::reports::messages::SCHEMA;

/// How status lines on stderr look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line, for a cluster's log collector.
    Json,
}

/// How much a line matters. Lines below the chosen level are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Shown with `-v`.
    Debug,
    /// What is being done.
    Info,
    /// What somebody should know. Shown with `-q`, too.
    Warn,
    /// What went wrong. Always shown.
    Error,
}

impl Level {
    /// The lowest level shown, for so many `-v` and `-q`.
    pub fn lowest(verbose: u8, quiet: u8) -> Level {
        match i16::from(verbose) - i16::from(quiet) {
            1.. => Level::Debug,
            0 => Level::Info,
            -1 => Level::Warn,
            _ => Level::Error,
        }
    }

    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// One status line and what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// When.
    pub time: DateTime<Utc>,
    /// How much it matters.
    pub level: Level,
    /// What is said.
    pub message: &'a str,
    /// The run.
    pub run: &'a str,
    /// The source, if it is about one.
    pub source: Option<&'a str>,
    /// The backup's id, once it has one.
    pub backup: Option<&'a str>,
    /// The phase the run is in, if it is in one.
    pub phase: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    level: &'static str,
    message: &'a str,
    run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
}

/// A failure in a log of JSON lines: a status line and an `error` message in one.
#[derive(Serialize)]
struct JsonFailure<'a> {
    message_type: &'static str,
    schema: u32,
    time: String,
    level: &'static str,
    kind: &'static str,
    message: String,
    hint: Option<&'a str>,
    run_id: &'a str,
    source: Option<&'a str>,
}

impl Line<'_> {
    /// As a JSON object, without a line end.
    pub fn json(&self) -> String {
        let line = JsonLine {
            time: stamp(self.time),
            level: self.level.word(),
            message: self.message,
            run_id: self.run,
            source: self.source,
            backup: self.backup.filter(|backup| !backup.is_empty()),
            phase: self.phase.filter(|phase| !phase.is_empty()),
        };
        // Plain data, which serde_json always can write.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// As text, without a line end; with the time where the lines are kept (`dated`).
    pub fn text(&self, dated: bool) -> String {
        let mut text = String::new();
        if dated {
            text.push_str(&stamp(self.time));
            text.push(' ');
        }
        match self.level {
            Level::Warn => text.push_str("warning: "),
            Level::Error => text.push_str("error: "),
            Level::Debug | Level::Info => {}
        }
        if let Some(source) = self.source {
            text.push_str(source);
            text.push_str(": ");
        }
        text.push_str(self.message);
        text
    }
}

/// A failure as a JSON object, without a line end.
pub fn failure_json(failure: &Failure, time: DateTime<Utc>, run: &str) -> String {
    let line = JsonFailure {
        message_type: "error",
        schema: SCHEMA,
        time: stamp(time),
        level: Level::Error.word(),
        kind: failure.error.kind().word(),
        message: failure.error.chain(),
        hint: failure.error.hint_text(),
        run_id: run,
        source: failure.source.as_deref(),
    };
    // Plain data, which serde_json always can write.
    serde_json::to_string(&line).unwrap_or_default()
}

/// Shows the library's own debug output on stderr: with `-v` at level debug, with `-vv` at level trace.
/// Other crates stay silent, since they may log headers that hold credentials.
pub fn show_debug_output(verbose: u8, format: LogFormat) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let only_ours = Targets::new().with_target("lifeboat", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // Fails only when a subscriber is set already, as in tests.
    let _ = match format {
        LogFormat::Text => tracing_subscriber::registry().with(only_ours).with(layer).try_init(),
        LogFormat::Json => tracing_subscriber::registry().with(only_ours).with(layer.json()).try_init(),
    };
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    fn time() -> DateTime<Utc> {
        "2026-11-24T02:00:00.5Z".parse().unwrap()
    }

    #[test]
    fn a_line_says_when_what_and_about_which_source() {
        let line = Line {
            time: time(),
            level: Level::Warn,
            message: "slow \"store\"",
            run: "r1",
            source: Some("orders"),
            backup: Some(""),
            phase: Some(""),
        };
        assert_eq!(line.text(false), "warning: orders: slow \"store\"");
        assert_eq!(line.text(true), "2026-11-24T02:00:00.500Z warning: orders: slow \"store\"");
        assert_eq!(
            line.json(),
            r#"{"time":"2026-11-24T02:00:00.500Z","level":"warn","message":"slow \"store\"","run_id":"r1","source":"orders"}"#
        );
    }

    #[test]
    fn a_failure_is_a_line_and_a_message() {
        let error = Error::new(Kind::Store, "put failed").because(std::io::Error::other("reset"));
        let failure = Failure { error, source: None };
        let value: serde_json::Value = serde_json::from_str(&failure_json(&failure, time(), "r1")).unwrap();
        assert_eq!(value["message_type"], "error");
        assert_eq!(value["level"], "error");
        assert_eq!(value["kind"], "store");
        assert_eq!(value["message"], "put failed: reset");
        assert!(value["hint"].is_null());
    }

    #[test]
    fn v_and_q_shift_the_level() {
        let levels: Vec<Level> =
            [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1)].map(|(v, q)| Level::lowest(v, q)).to_vec();
        use Level::{Debug, Error, Info, Warn};
        assert_eq!(levels, [Info, Debug, Debug, Warn, Error, Info]);
    }
}
