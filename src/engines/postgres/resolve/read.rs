//! Single parameters: text becomes typed values, with libpq's defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection::{ChannelBinding, Keepalives, Mode, Roots, Target, Tls};
use super::keywords::Parameters;
use crate::error::{Error, Kind, Result};

/// Without one, a host that swallows packets would hang a nightly job until its deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A parameter that is given and not empty.
pub fn text<'a>(given: &'a Parameters, name: &str) -> Option<&'a str> {
    given.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn wrong(name: &str, value: &str, allowed: &str) -> Error {
    Error::new(Kind::Config, format!("`{value}` is not a value of connection parameter `{name}`"))
        .hint(format!("use {allowed}"))
}

fn choose<T: Copy>(given: &Parameters, name: &str, default: T, values: &[(&str, T)]) -> Result<T> {
    let Some(value) = text(given, name) else { return Ok(default) };
    match values.iter().find(|(word, _)| *word == value) {
        Some((_, chosen)) => Ok(*chosen),
        None => {
            let words: Vec<&str> = values.iter().map(|(word, _)| *word).collect();
            Err(wrong(name, value, &words.join(", ")))
        }
    }
}

fn number(given: &Parameters, name: &str, default: u64) -> Result<u64> {
    match text(given, name) {
        None => Ok(default),
        // libpq: zero and negative numbers mean the default of the system, or no limit.
        Some(value) => match value.trim().parse::<i64>() {
            Ok(number) => Ok(u64::try_from(number).unwrap_or(0)),
            Err(_) => Err(wrong(name, value, "a whole number")),
        },
    }
}

/// Reads `connect_timeout`, in seconds; zero means no limit.
pub fn connect_timeout(given: &Parameters) -> Result<Duration> {
    // libpq rounds 1 up to 2 seconds.
    Ok(match number(given, "connect_timeout", CONNECT_TIMEOUT.as_secs())? {
        1 => Duration::from_secs(2),
        seconds => Duration::from_secs(seconds),
    })
}

/// Reads the keepalive parameters. Our defaults notice a dead peer in about two minutes.
pub fn keepalives(given: &Parameters) -> Result<Keepalives> {
    let seconds = |name: &str, default: u64| -> Result<Duration> {
        Ok(Duration::from_secs(match number(given, name, default)? {
            0 => default,
            seconds => seconds,
        }))
    };
    Ok(Keepalives {
        on: number(given, "keepalives", 1)? != 0,
        idle: seconds("keepalives_idle", 60)?,
        interval: seconds("keepalives_interval", 10)?,
        count: u32::try_from(number(given, "keepalives_count", 6)?).unwrap_or(6).max(1),
        user_timeout: Duration::from_millis(number(given, "tcp_user_timeout", 0)?),
    })
}

/// Reads `target_session_attrs`.
pub fn target(given: &Parameters) -> Result<Target> {
    let all = [
        Target::Any,
        Target::ReadWrite,
        Target::ReadOnly,
        Target::Primary,
        Target::Standby,
        Target::PreferStandby,
    ];
    choose(given, "target_session_attrs", Target::Any, &all.map(|target| (target.word(), target)))
}

/// Reads `load_balance_hosts`.
pub fn shuffle(given: &Parameters) -> Result<bool> {
    choose(given, "load_balance_hosts", false, &[("disable", false), ("random", true)])
}

/// Reads `channel_binding`.
pub fn channel_binding(given: &Parameters) -> Result<ChannelBinding> {
    let all = [ChannelBinding::Disable, ChannelBinding::Prefer, ChannelBinding::Require];
    choose(given, "channel_binding", ChannelBinding::Prefer, &all.map(|value| (value.word(), value)))
}

/// Reads everything about TLS. Files below `~/.postgresql` are the defaults, as in libpq.
pub fn tls(given: &Parameters, home: Option<&Path>) -> Result<Tls> {
    let own = |name: &str| -> Option<PathBuf> {
        home.map(|home| home.join(".postgresql").join(name)).filter(|path| path.exists())
    };
    let roots = match text(given, "sslrootcert") {
        Some("system") => Roots::System,
        // libpq goes on without checks when a named file is missing and the mode is `require`;
        // a named file that is not there is a mistake, so opening it will fail.
        Some(path) => Roots::File(path.into()),
        None => own("root.crt").map_or(Roots::None, Roots::File),
    };
    let all = [Mode::Disable, Mode::Allow, Mode::Prefer, Mode::Require, Mode::VerifyCa, Mode::VerifyFull];
    let default = if roots == Roots::System { Mode::VerifyFull } else { Mode::Prefer };
    let mode = choose(given, "sslmode", default, &all.map(|mode| (mode.word(), mode)))?;
    if roots == Roots::System && mode != Mode::VerifyFull && mode != Mode::Disable {
        return Err(wrong("sslmode", mode.word(), "verify-full with sslrootcert=system"));
    }
    if roots == Roots::None && matches!(mode, Mode::VerifyCa | Mode::VerifyFull) {
        return Err(Error::new(Kind::Config, format!("sslmode={} needs a root certificate", mode.word()))
            .hint("name it by sslrootcert=FILE, or trust the system's by sslrootcert=system"));
    }
    let certificate = text(given, "sslcert").map(PathBuf::from).or_else(|| own("postgresql.crt"));
    let identity = match certificate {
        None => None,
        Some(certificate) => {
            let key = text(given, "sslkey").map(PathBuf::from).or_else(|| own("postgresql.key"));
            let key = key.ok_or_else(|| {
                Error::new(
                    Kind::Config,
                    format!("the client certificate {} has no key", certificate.display()),
                )
                .hint("name its key by sslkey=FILE")
            })?;
            Some((certificate, key))
        }
    };
    let direct = choose(given, "sslnegotiation", false, &[("postgres", false), ("direct", true)])?;
    if direct && !matches!(mode, Mode::Require | Mode::VerifyCa | Mode::VerifyFull) {
        return Err(wrong(
            "sslmode",
            mode.word(),
            "require, verify-ca or verify-full with sslnegotiation=direct",
        ));
    }
    let versions = [("TLSv1", 10), ("TLSv1.1", 11), ("TLSv1.2", 12), ("TLSv1.3", 13)];
    let lowest = choose(given, "ssl_min_protocol_version", 12, &versions)?;
    let highest = choose(given, "ssl_max_protocol_version", 13, &versions)?;
    if highest < 12 || lowest > highest {
        return Err(Error::new(Kind::Config, "no TLS version from 1.2 on is allowed")
            .hint("leave ssl_min_protocol_version and ssl_max_protocol_version out"));
    }
    Ok(Tls {
        mode,
        roots,
        identity,
        revoked: text(given, "sslcrl").map(PathBuf::from).or_else(|| own("root.crl")),
        direct,
        sni: number(given, "sslsni", 1)? != 0,
        tls12: lowest <= 12,
        tls13: highest >= 13,
    })
}
