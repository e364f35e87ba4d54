//! Notifications: a webhook that takes JSON, a chat's webhook, the ping of a dead man's switch, and mail.

use std::time::Duration;

use chrono::SecondsFormat;

use super::{PING, SLACK};
use crate::config::{NotifyOn, Smtp};
use crate::error::{Error, Kind, Result};
use crate::http::Http;
use crate::mail::{self, Letter};
use crate::reports::messages::{self, Notification};
use crate::retention::short_duration;
use crate::secret::Secret;

/// True when people want to know: of what failed, of every drill, or of everything.
pub(super) fn is_wanted(on: NotifyOn, event: &Notification) -> bool {
    on == NotifyOn::Always || event.kind.is_some() || event.command == "drill"
}

/// The URL of a ping: with the names filled in, and `/start`, `/fail` or nothing at the end of its path, as
/// healthchecks.io and its kin have it.
pub(super) fn ping_url(url: &Secret, source: &str, command: &str, end: &str) -> String {
    let url = url.expose().replace("{source}", source).replace("{command}", command);
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (url.as_str(), String::new()),
    };
    format!("{}{end}{query}", path.trim_end_matches('/'))
}

/// URL, content type and body of a request to an outlet.
pub(super) fn request(outlet: &str, url: &Secret, event: &Notification) -> (String, &'static str, String) {
    if outlet == PING.key {
        let end = if event.kind.is_some() { "/fail" } else { "" };
        let url = ping_url(url, &event.source, &event.command, end);
        return (url, "text/plain; charset=utf-8", sentence(event));
    }
    let body = match outlet == SLACK.key {
        true => serde_json::json!({ "text": for_chat(event) }).to_string(),
        false => messages::line(event),
    };
    (url.expose().to_owned(), "application/json", body)
}

/// Sends a mail. Gives a line for each address that the server refused, where it took others.
///
/// # Errors
/// When nobody will get it.
pub(super) async fn mail(smtp: &Smtp, event: &Notification, limit: Duration) -> Result<Vec<String>> {
    let letter = letter(smtp, event);
    mail::send(&smtp.relay, smtp.password()?.as_ref(), &letter, limit).await
}

fn letter<'a>(smtp: &'a Smtp, event: &Notification) -> Letter<'a> {
    let Notification { command, source, outcome, host, run, .. } = event;
    let mark = if event.kind.is_some() { "[FAILED] " } else { "" };
    let took = short_duration(Duration::from_secs_f64(event.seconds.max(0.0).round()));
    let time = event.time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let kind = event.kind.as_ref().map(|kind| format!("kind:    {kind}\n")).unwrap_or_default();
    Letter {
        from: &smtp.from,
        to: &smtp.to,
        subject: format!("{mark}lifeboat {command} of {source} {outcome}"),
        body: format!(
            "{}\n\nsource:  {source}\ncommand: {command}\n{kind}ended:   {time}, after {took}\nhost:    {host}\n\
             run:     {run}\n",
            sentence(event)
        ),
        time: event.time.into(),
        id: format!("{run}.{source}.{command}"),
    }
}

/// What happened, in a line or two.
fn sentence(event: &Notification) -> String {
    let Notification { command, source, outcome, host, .. } = event;
    let mut text = format!("lifeboat {command} of {source} {outcome} on {host}");
    if let Some(message) = &event.message {
        text.push_str(&format!(": {message}"));
    }
    if let Some(hint) = &event.hint {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

/// The same, with what Slack wants escaped. Source: Slack's documentation, "Formatting text for app surfaces".
fn for_chat(event: &Notification) -> String {
    let sign = if event.kind.is_some() { ":x:" } else { ":white_check_mark:" };
    let text = sentence(event).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("{sign} {text}")
}

/// Sends a notification.
///
/// # Errors
/// When it was not taken within the time. The URL, which is a secret, is in no message.
pub(super) async fn post(
    http: &Http,
    url: &str,
    content_type: &'static str,
    body: String,
    limit: Duration,
) -> Result<()> {
    let answer = http.post(url, &[("content-type", content_type)], body, limit).await?;
    if answer.is_success() {
        return Ok(());
    }
    // What it says beside may quote the URL.
    Err(Error::new(Kind::Failed, format!("the server answered {}", answer.status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::outlets::WEBHOOK;

    fn event(command: &str, failed: bool) -> Notification {
        Notification {
            source: "orders".into(),
            command: command.into(),
            outcome: if failed { "failed" } else { "succeeded" }.into(),
            kind: failed.then(|| "store".to_owned()),
            message: Some("disk <full> & more".into()),
            hint: failed.then(|| "free some".to_owned()),
            seconds: 1.5,
            time: "2026-11-24T02:00:00Z".parse().unwrap(),
            run: "r".into(),
            host: "pod".into(),
        }
    }

    #[test]
    fn pings_say_start_and_fail_in_the_path() {
        let url = Secret::new("https://hc.example/key/{source}-{command}/?create=1");
        assert_eq!(ping_url(&url, "a", "drill", "/start"), "https://hc.example/key/a-drill/start?create=1");
        let failed = request(PING.key, &url, &event("backup", true));
        assert_eq!(failed.0, "https://hc.example/key/orders-backup/fail?create=1");
        assert_eq!(failed.2, "lifeboat backup of orders failed on pod: disk <full> & more\nhint: free some");
        let good = request(PING.key, &url, &event("backup", false));
        assert_eq!(good.0, "https://hc.example/key/orders-backup?create=1");
    }

    #[test]
    fn a_chat_gets_its_markup_escaped_and_a_webhook_the_json_line() {
        let url = Secret::new("https://hooks.example/x");
        let (_, kind, body) = request(SLACK.key, &url, &event("backup", true));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(kind, "application/json");
        let text =
            ":x: lifeboat backup of orders failed on pod: disk &lt;full&gt; &amp; more\nhint: free some";
        assert_eq!(json["text"], text);
        let (_, _, body) = request(WEBHOOK.key, &url, &event("backup", false));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&json["message_type"], &json["outcome"]), (&"notification".into(), &"succeeded".into()));
    }

    #[test]
    fn people_hear_of_failures_and_of_every_drill() {
        let wanted = |on, command, failed| is_wanted(on, &event(command, failed));
        assert!(wanted(NotifyOn::Failure, "backup", true));
        assert!(!wanted(NotifyOn::Failure, "backup", false));
        assert!(wanted(NotifyOn::Failure, "drill", false));
        assert!(wanted(NotifyOn::Always, "prune", false));
    }
}
