//! A push gateway: one group for each source and command, in which a push replaces metric by metric.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_types::base64;

use crate::config::{Login, Push};
use crate::error::{Error, Kind, Result};
use crate::http::Http;
use crate::reports::metrics::path_segment;

/// Where the metrics of a command of a source go. Labels are a part of the group: two clusters with a source of
/// the same name do not overwrite each other.
pub(super) fn url(to: &Push, source: &str, command: &str, labels: &BTreeMap<String, String>) -> String {
    let mut url = format!("{}/metrics/job/lifeboat", to.url);
    url.push_str(&path_segment("source", source));
    url.push_str(&path_segment("command", command));
    for (name, value) in labels {
        url.push_str(&path_segment(name, value));
    }
    url
}

const LOGIN_HINT: &str = "look at push_user and push_password_file, or push_token_file, in [metrics]";

fn authorization(login: &Login) -> Option<String> {
    match login {
        Login::None => None,
        Login::Basic(user, password) => {
            Some(format!("Basic {}", base64::encode(format!("{user}:{}", password.expose()))))
        }
        Login::Bearer(token) => Some(format!("Bearer {}", token.expose())),
    }
}

/// Asks the gateway whether it is ready, which pushes nothing.
///
/// # Errors
/// When it does not answer, or refuses the login.
pub(super) async fn probe(http: &Http, to: &Push) -> Result<()> {
    let login = authorization(&to.login()?);
    let headers: Vec<_> = login.iter().map(|login| ("authorization", login.as_str())).collect();
    let answer = http.get(&format!("{}/-/ready", to.url), &headers, to.timeout).await?;
    let error = Error::new(Kind::Failed, format!("the push gateway answered {}", answer.status));
    match answer.status {
        401 | 403 => Err(error.hint(LOGIN_HINT)),
        // What stands before a gateway may let pushes alone through.
        404 | 405 => Ok(()),
        _ if answer.is_success() => Ok(()),
        _ => Err(error),
    }
}

/// Pushes by POST: what is not in the text stays as it is.
///
/// # Errors
/// When the gateway did not take it, within the time.
pub(super) async fn push(http: &Http, url: &str, login: &Login, text: String, limit: Duration) -> Result<()> {
    let login = authorization(login);
    let mut headers = vec![("content-type", "text/plain; version=0.0.4; charset=utf-8")];
    headers.extend(login.as_deref().map(|login| ("authorization", login)));
    let answer = http.post(url, &headers, text, limit).await?;
    if answer.is_success() {
        return Ok(());
    }
    let line = answer.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().take(200).collect();
    let line = if line.is_empty() { line } else { format!(": {line}") };
    let error = Error::new(Kind::Failed, format!("the push gateway answered {}{line}", answer.status));
    Err(match answer.status {
        401 | 403 => error.hint(LOGIN_HINT),
        404 => error.hint("push_url is the gateway's own URL, without /metrics"),
        _ => error,
    })
}
