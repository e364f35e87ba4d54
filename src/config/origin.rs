//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

use super::document::Spot;

/// Where a value comes from. Later kinds win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file, at this line.
    File(PathBuf, u32),
    /// A policy file, at this line.
    Policy(PathBuf, u32),
    /// An environment variable.
    Env(String),
    /// A command-line flag.
    Flag(String),
}

impl Origin {
    /// The precedence: defaults, file, policy, environment, flags.
    pub fn rank(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::File(..) => 1,
            Origin::Policy(..) => 2,
            Origin::Env(_) => 3,
            Origin::Flag(_) => 4,
        }
    }

    /// True for values that arrive as plain text, from the environment or a flag.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Origin::Env(_) | Origin::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) | Origin::Policy(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Env(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// An origin with the column, for messages: `lifeboat.toml:3:7`, `LIFEBOAT_STORE_URL`, `--keep-daily`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    pub(crate) column: u32,
}

impl Place {
    /// The place of a part of what is at this place.
    pub(crate) fn part(&self, spot: Spot) -> Place {
        let origin = match &self.origin {
            Origin::File(path, _) => Origin::File(path.clone(), spot.line),
            Origin::Policy(path, _) => Origin::Policy(path.clone(), spot.line),
            other => other.clone(),
        };
        Place { origin, column: spot.column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(..) | Origin::Policy(..) => write!(f, "{}:{}", self.origin, self.column),
            other => other.fmt(f),
        }
    }
}

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownValue {
    /// The dotted key, such as `sources.orders.url`.
    pub key: String,
    /// The value as text, secrets masked as `***`.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}
