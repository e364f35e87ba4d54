//! Tells the world how the run of each source ended: metrics and notifications.
//!
//! None of it may change how a run ends: what cannot be told is a warning, has a time limit, and after two
//! failures in a row is not tried again by this run.

mod notify;
mod probe;
mod push;
mod textfile;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::Utc;

use super::Context;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::http::Http;
use crate::reports::messages::Notification;
use crate::reports::metrics::{self, Set};

/// What a run that was told to stop may still wait for each outlet.
const WHEN_INTERRUPTED: Duration = Duration::from_secs(2);
/// After so many failures in a row an outlet is left alone.
const PATIENCE: u32 = 2;

/// What is known so far, by source, and which outlets work. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Outlets {
    state: Arc<Mutex<State>>,
    to_gateway: Arc<OnceLock<Http>>,
    to_people: Arc<OnceLock<Http>>,
}

#[derive(Debug, Default)]
struct State {
    noted: BTreeMap<String, Noted>,
    /// Failures in a row.
    failures: BTreeMap<&'static str, u32>,
}

#[derive(Debug, Default)]
struct Noted {
    metrics: Set,
    summary: Option<String>,
}

/// An outlet, in messages about it.
#[derive(Debug, Clone, Copy)]
struct Outlet {
    /// Its key.
    key: &'static str,
    /// What did not happen when it failed.
    undone: &'static str,
}

const PUSH: Outlet = Outlet { key: "metrics.push_url", undone: "metrics were not pushed" };
const TEXTFILE: Outlet = Outlet { key: "metrics.textfile_dir", undone: "metrics were not written" };
const WEBHOOK: Outlet = Outlet { key: "notify.webhook_url", undone: "the webhook was not told" };
const SLACK: Outlet = Outlet { key: "notify.slack_url", undone: "the chat was not told" };
const MAIL: Outlet = Outlet { key: "notify.smtp_url", undone: "the mail did not arrive" };
const PING: Outlet = Outlet { key: "notify.ping_url", undone: "the ping did not arrive" };

impl Outlets {
    fn noted(&self, source: &str) -> Noted {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.noted.remove(source).unwrap_or_default()
    }

    fn note(&self, source: &str, change: impl FnOnce(&mut Noted)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(state.noted.entry(source.to_owned()).or_default());
    }

    /// False when it failed too often to be tried again.
    fn works(&self, outlet: Outlet) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures.get(outlet.key).is_none_or(|failures| *failures < PATIENCE)
    }

    /// Counts an outcome; gives the failures in a row.
    fn count(&self, outlet: Outlet, failed: bool) -> u32 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = state.failures.entry(outlet.key).or_default();
        *failures = if failed { *failures + 1 } else { 0 };
        *failures
    }
}

/// The client of some outlets, made when it is first needed.
fn client<'a>(made: &'a OnceLock<Http>, ca_file: Option<&Path>) -> Result<&'a Http> {
    match made.get() {
        Some(http) => Ok(http),
        None => {
            let http = Http::new(ca_file)?;
            Ok(made.get_or_init(|| http))
        }
    }
}

impl Context {
    /// Adds to what will be told about a source when its work ends.
    pub fn note(&self, source: &str, metrics: Set) {
        self.outlets.note(source, |noted| noted.metrics.take(metrics));
    }

    /// One line for people of what came of a source's work.
    pub fn summarize(&self, source: &str, summary: impl Into<String>) {
        self.outlets.note(source, |noted| noted.summary = Some(summary.into()));
    }

    /// Does the work of one source, and tells how it ended. Gives the work's own outcome.
    ///
    /// # Errors
    /// Those of the work alone.
    pub async fn told<T>(&self, source: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = self.clock.now();
        // Beside the work: a drill measures the time to recover, and a slow server is no part of that.
        let start = async {
            if let Some(config) = self.known(source) {
                self.tell_start(config, source).await;
            }
        };
        let ((), outcome) = tokio::join!(start, work);
        let seconds = self.clock.now().since(begun).as_secs_f64();
        // A source that is not configured may be a slip of the pen: metrics of it would stay for ever.
        if let Some(config) = self.known(source) {
            let noted = self.outlets.noted(source);
            let error = outcome.as_ref().err();
            // At the same time: together they take as long as the slowest.
            tokio::join!(
                self.tell_metrics(config, source, seconds, error, noted.metrics),
                self.tell_end(config, source, seconds, error, noted.summary)
            );
        }
        outcome
    }

    fn known(&self, source: &str) -> Option<&Config> {
        self.config().ok().filter(|config| config.sources.contains_key(source))
    }

    async fn tell_metrics(
        &self,
        config: &Config,
        source: &str,
        seconds: f64,
        error: Option<&Error>,
        noted: Set,
    ) {
        let outlets = &self.outlets;
        let labels = &config.metrics.labels;
        let mut set = metrics::run(Utc::now(), seconds, error.map(Error::kind));
        set.take(noted);
        let command = self.run.command.as_str();
        let pushed = async {
            let Some(to) = config.metrics.push.as_ref().filter(|_| outlets.works(PUSH)) else { return };
            let url = push::url(to, source, command, labels);
            let limit = limit(to.timeout, error);
            let pushed = async {
                let http = client(&outlets.to_gateway, to.ca_file.as_deref())?;
                push::push(http, &url, &to.login()?, set.text(&[]), limit).await
            };
            let outcome = pushed.await;
            self.conclude(PUSH, source, outcome);
        };
        let written = async {
            let directory = config.metrics.textfile_dir.as_ref().filter(|_| outlets.works(TEXTFILE));
            let Some(directory) = directory else { return };
            let mut group = vec![("source", source), ("command", command)];
            group.extend(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let name = format!("lifeboat_{source}_{command}.prom");
            let limit = limit(textfile::LIMIT, error);
            let outcome = textfile::write(directory.clone(), name, set.text(&group), limit).await;
            self.conclude(TEXTFILE, source, outcome);
        };
        tokio::join!(pushed, written);
    }

    async fn tell_start(&self, config: &Config, source: &str) {
        if !self.notifies(config) || !self.outlets.works(PING) {
            return;
        }
        let notify = &config.notify;
        let told = async {
            let Some(url) = notify.ping_url()? else { return Ok(()) };
            let http = client(&self.outlets.to_people, notify.ca_file.as_deref())?;
            let url = notify::ping_url(&url, source, &self.run.command, "/start");
            notify::post(http, &url, "text/plain", String::new(), notify.timeout).await
        };
        let outcome = told.await;
        self.conclude(PING, source, outcome);
    }

    /// `status` looks on and has alerts of its own: people would be told every quarter of an hour.
    fn notifies(&self, config: &Config) -> bool {
        !config.notify.is_empty() && self.run.command != "status"
    }

    async fn tell_end(
        &self,
        config: &Config,
        source: &str,
        seconds: f64,
        error: Option<&Error>,
        summary: Option<String>,
    ) {
        // Another run is at work: how that one ends will be told.
        if !self.notifies(config) || error.is_some_and(|error| error.kind() == Kind::Leased) {
            return;
        }
        let notify = &config.notify;
        let event = Notification {
            source: source.to_owned(),
            command: self.run.command.clone(),
            outcome: if error.is_none() { "succeeded" } else { "failed" }.to_owned(),
            kind: error.map(|error| error.kind().word().to_owned()),
            message: error.map(Error::chain).or(summary),
            hint: error.and_then(Error::hint_text).map(str::to_owned),
            seconds,
            time: Utc::now(),
            run: self.run.id.clone(),
            host: self.run.host.clone(),
        };
        let limit = limit(notify.timeout, error);
        let tell = async |outlet: Outlet| {
            if !self.outlets.works(outlet) {
                return;
            }
            let told = async {
                let url = match outlet.key {
                    key if key == PING.key => notify.ping_url()?,
                    _ if !notify::is_wanted(notify.on, &event) => None,
                    key if key == WEBHOOK.key => notify.webhook_url()?,
                    _ => notify.slack_url()?,
                };
                let Some(url) = url else { return Ok(()) };
                let http = client(&self.outlets.to_people, notify.ca_file.as_deref())?;
                let (url, content_type, body) = notify::request(outlet.key, &url, &event);
                notify::post(http, &url, content_type, body, limit).await
            };
            let outcome = told.await;
            self.conclude(outlet, source, outcome);
        };
        let mail = async {
            let smtp = notify.smtp.as_ref().filter(|_| self.outlets.works(MAIL));
            let Some(smtp) = smtp.filter(|_| notify::is_wanted(notify.on, &event)) else { return };
            let outcome = notify::mail(smtp, &event, limit).await;
            // Others got it: that is no failure of the server.
            for refusal in outcome.iter().flatten() {
                let told = format!("the mail did not reach everybody ({}): {refusal}", MAIL.key);
                self.ui.about(source).warn(&told);
            }
            self.conclude(MAIL, source, outcome.map(|_| ()));
        };
        tokio::join!(tell(PING), tell(WEBHOOK), tell(SLACK), mail);
    }

    fn conclude(&self, outlet: Outlet, source: &str, outcome: Result<()>) {
        let failures = self.outlets.count(outlet, outcome.is_err());
        let Err(error) = outcome else { return };
        let hint = error.hint_text().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        let last = match failures >= PATIENCE {
            true => "; it is not tried again in this run",
            false => "",
        };
        self.ui.about(source).warn(&format!("{} ({}): {error}{hint}{last}", outlet.undone, outlet.key));
    }
}

fn limit(configured: Duration, error: Option<&Error>) -> Duration {
    match error.map(Error::kind) {
        Some(Kind::Interrupted(_)) => configured.min(WHEN_INTERRUPTED),
        _ => configured,
    }
}
