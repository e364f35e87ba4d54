//! `[metrics]` and `[notify]`: where it is told how runs end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::document::Data;
use super::layers::{Entry, Reader};
use super::secrets::{PasswordFrom, world_readable};
use super::smtp::{self, Smtp};
use crate::error::{Error, Kind, Result};
use crate::retention::short_duration;
use crate::secret::Secret;

/// How long one attempt to tell may take where nothing is set.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take at most: a job that is told to stop has not much longer.
const LONGEST: Duration = Duration::from_secs(60);
/// Labels that the metrics have already, or that Prometheus gives a meaning.
const RESERVED: [&str; 12] = [
    "job",
    "instance",
    "source",
    "command",
    "kind",
    "objective",
    "phase",
    "tier",
    "verdict",
    "le",
    "quantile",
    "alertname",
];

/// `[metrics]`: where metrics go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The push gateway.
    pub push: Option<Push>,
    /// The directory that a node exporter's textfile collector reads.
    pub textfile_dir: Option<PathBuf>,
    /// Labels on every metric.
    pub labels: BTreeMap<String, String>,
}

/// A push gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Its URL, without `/metrics` and without a slash at its end. Never holds a secret.
    pub url: String,
    /// A PEM file of authorities to trust, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one push may take.
    pub timeout: Duration,
    user: Option<String>,
    secret: PasswordFrom,
}

/// What a push gateway is told about who pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    None,
    /// User and password.
    Basic(String, Secret),
    /// A token.
    Bearer(Secret),
}

impl Push {
    /// Reads password or token, at this moment, so that a rotated one is seen.
    ///
    /// Fails with [`Kind::Config`] when the file cannot be read.
    pub fn login(&self) -> Result<Login> {
        Ok(match (self.secret.read("the push gateway")?, &self.user) {
            (Some(password), Some(user)) => Login::Basic(user.clone(), password),
            (Some(token), None) => Login::Bearer(token),
            (None, _) => Login::None,
        })
    }
}

/// When it is told how a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyOn {
    /// When it failed, and after every drill.
    Failure,
    /// Always.
    Always,
}

/// `[notify]`: who is told how runs end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyConfig {
    /// When.
    pub on: NotifyOn,
    /// How long one notification may take.
    pub timeout: Duration,
    /// A PEM file of authorities to trust, beside the system's.
    pub ca_file: Option<PathBuf>,
    webhook: PasswordFrom,
    slack: PasswordFrom,
    ping: PasswordFrom,
    /// Who gets mail.
    pub smtp: Option<Smtp>,
}

impl NotifyConfig {
    /// The URL that gets each event as JSON.
    ///
    /// Fails with [`Kind::Config`] when its file cannot be read, as the next two do.
    pub fn webhook_url(&self) -> Result<Option<Secret>> {
        self.webhook.read("notify.webhook_url")
    }

    /// The URL of a Slack-compatible webhook.
    pub fn slack_url(&self) -> Result<Option<Secret>> {
        self.slack.read("notify.slack_url")
    }

    /// The URL that is pinged at the start and at the end of a run, with `{source}` and `{command}` in it.
    pub fn ping_url(&self) -> Result<Option<Secret>> {
        self.ping.read("notify.ping_url")
    }

    /// True when nobody is to be told anything.
    pub fn is_empty(&self) -> bool {
        self.smtp.is_none() && !self.has_urls()
    }

    /// True when there is a URL that is told.
    pub fn has_urls(&self) -> bool {
        [&self.webhook, &self.slack, &self.ping].iter().any(|from| **from != PasswordFrom::Nowhere)
    }
}

/// Reads `[metrics]`.
pub(crate) fn read_metrics(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Result<MetricsConfig> {
    let push = read_push(reader, warnings)?;
    let textfile_dir = reader.path("metrics.textfile_dir")?;
    Ok(MetricsConfig { push, textfile_dir, labels: labels(reader)? })
}

fn read_push(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Result<Option<Push>> {
    const URL: &str = "metrics.push_url";
    let ca_file = reader.path("metrics.ca_file")?;
    let timeout = timeout(reader, "metrics.timeout")?;
    let user = reader.text("metrics.push_user")?;
    let password = secret(reader, warnings, "metrics.push_password_file", "metrics.push_password")?;
    let token = secret(reader, warnings, "metrics.push_token_file", "metrics.push_token")?;
    let wrong = |problem: &str, hint: &str| Err(Error::new(Kind::Config, problem).hint(hint));
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        return wrong("metrics.push_user has a colon in it", "HTTP does not allow one in the name of a user");
    }
    let secret = match (user.is_some(), password, token) {
        (true, PasswordFrom::Nowhere, PasswordFrom::Nowhere) => {
            return wrong(
                "metrics.push_user is given without a password",
                "add push_password_file, or set LIFEBOAT_METRICS_PUSH_PASSWORD",
            );
        }
        (true, password, PasswordFrom::Nowhere) => password,
        (false, PasswordFrom::Nowhere, token) => token,
        (false, _, PasswordFrom::Nowhere) => {
            return wrong("metrics: a password is given without push_user", "add push_user to [metrics]");
        }
        _ => {
            return wrong("metrics: a password and a token are both given", "keep one of them");
        }
    };
    let Some((url, entry)) = reader.hidden_text(URL)? else { return Ok(None) };
    check_url(reader, URL, &url, entry)?;
    reader.show(URL, url.clone());
    let far = url.starts_with("http://") && !is_near(&url);
    if far && secret != PasswordFrom::Nowhere {
        warnings.push(format!("{}: {URL} is not encrypted; the password travels in the clear", entry.place));
    }
    let url = url.trim_end_matches('/').to_owned();
    Ok(Some(Push { url, ca_file, timeout, user, secret }))
}

fn check_url(reader: &Reader<'_>, key: &str, url: &str, entry: &Entry) -> Result<()> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let problem = match rest {
        None | Some("") => "this URL has to begin with https:// or http://",
        Some(rest) if rest.contains('@') => "credentials do not belong in this URL",
        Some(rest) if rest.contains(['?', '#']) => "this URL can have no query or fragment",
        Some(rest) if rest.trim_end_matches('/').ends_with("/metrics") => {
            "/metrics does not belong in this URL"
        }
        Some(rest) if rest.contains(|letter: char| letter.is_whitespace() || letter.is_control()) => {
            "this URL has spaces in it"
        }
        Some(_) => return Ok(()),
    };
    Err(reader.refuse(key, entry, problem).hint("write it as http://pushgateway.monitoring:9091"))
}

/// On this machine.
fn is_near(url: &str) -> bool {
    let host = url.trim_start_matches("http://");
    ["localhost", "127.", "[::1]"].iter().any(|near| host.starts_with(near))
}

fn labels(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>> {
    const KEY: &str = "metrics.labels";
    const HINT: &str = "write `labels = { cluster = \"eu-1\" }`";
    let mut labels = BTreeMap::new();
    let Some(entry) = reader.entry(KEY) else { return Ok(labels) };
    let Data::Table(fields) = &entry.data else {
        return Err(reader.wrong(KEY, entry, "a table").hint(HINT));
    };
    for field in fields {
        let name = &field.key;
        let letters = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
        let problem = match &field.item.data {
            Data::Text(text) if text.is_empty() => "has no value",
            Data::Text(_) if RESERVED.contains(&name.as_str()) => "is a label that metrics have already",
            Data::Text(_)
                if !name.starts_with(letters)
                    || name.starts_with("__")
                    || !name.chars().all(|letter| letters(letter) || letter.is_ascii_digit()) =>
            {
                "cannot be the name of a label"
            }
            Data::Text(text) => {
                labels.insert(name.clone(), text.clone());
                continue;
            }
            _ => "must be a text",
        };
        let place = entry.place.part(field.item.spot);
        return Err(Error::new(Kind::Config, format!("{place}: {KEY}: {name:?} {problem}")).hint(HINT));
    }
    let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    reader.show(KEY, shown.join(", "));
    Ok(labels)
}

/// Reads `[notify]`.
pub(crate) fn read_notify(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Result<NotifyConfig> {
    let on = reader.choice("notify.on", &[("failure", NotifyOn::Failure), ("always", NotifyOn::Always)])?;
    let timeout = timeout(reader, "notify.timeout")?;
    let ca_file = reader.path("notify.ca_file")?;
    let webhook = secret(reader, warnings, "notify.webhook_url_file", "notify.webhook_url")?;
    let slack = secret(reader, warnings, "notify.slack_url_file", "notify.slack_url")?;
    let ping = secret(reader, warnings, "notify.ping_url_file", "notify.ping_url")?;
    let smtp = smtp::read(reader, ca_file.as_deref(), warnings)?;
    Ok(NotifyConfig { on, timeout, ca_file, webhook, slack, ping, smtp })
}

fn timeout(reader: &mut Reader<'_>, key: &str) -> Result<Duration> {
    match reader.duration(key)? {
        None => {
            reader.show(key, short_duration(TIMEOUT));
            Ok(TIMEOUT)
        }
        Some(timeout) if timeout <= LONGEST => Ok(timeout),
        Some(_) => Err(Error::new(Kind::Config, format!("{key} is more than a minute"))
            .hint("a run waits so long for a server that does not answer; 5s are enough")),
    }
}

/// A secret that a file has, or the environment, which wins.
pub(super) fn secret(
    reader: &mut Reader<'_>,
    warnings: &mut Vec<String>,
    file: &str,
    variable: &str,
) -> Result<PasswordFrom> {
    let path = reader.path(file)?;
    if let Some((secret, _)) = reader.hidden_text(variable)? {
        reader.show(variable, "***");
        return Ok(PasswordFrom::Given(secret.as_str().into()));
    }
    let Some(path) = path else { return Ok(PasswordFrom::Nowhere) };
    warnings.extend(world_readable(&path, file));
    Ok(PasswordFrom::File(path))
}
