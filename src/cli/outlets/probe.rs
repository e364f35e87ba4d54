//! Whether those who are told how runs end can be reached, asked without telling them anything.

use std::future::ready;
use std::path::Path;

use super::{MAIL, Outlet, PING, PUSH, SLACK, TEXTFILE, WEBHOOK, client, push};
use crate::cli::Context;
use crate::engines::Finding;
use crate::error::{Error, Kind, Result};
use crate::mail;
use crate::secret::Secret;

impl Context {
    /// Looks at everything that `[metrics]` and `[notify]` name. What cannot be reached is a warning: it never
    /// changes how a run ends.
    pub(in crate::cli) async fn probe_outlets(&self) -> Vec<Finding> {
        let Ok(config) = self.config() else { return Vec::new() };
        let (metrics, notify) = (&config.metrics, &config.notify);
        let gateway = async {
            let to = metrics.push.as_ref()?;
            let probed = async {
                let http = client(&self.outlets.to_gateway, to.ca_file.as_deref())?;
                push::probe(http, to).await.map(|()| format!("{} answers", to.url))
            };
            Some(finding(PUSH, probed.await))
        };
        let textfile = metrics.textfile_dir.as_deref().map(|path| finding(TEXTFILE, directory(path)));
        let knock = async |outlet: Outlet, url: Result<Option<Secret>>| {
            let probed = async {
                let Some(url) = url? else { return Ok(None) };
                let http = client(&self.outlets.to_people, notify.ca_file.as_deref())?;
                // The URL is a secret, and its host is shown nowhere else either.
                let status = http.knock(url.expose(), notify.timeout).await?;
                Ok(Some(format!("its server answers ({status}); nothing was sent to the URL itself")))
            };
            probed.await.transpose().map(|outcome| finding(outlet, outcome))
        };
        let server = async {
            let smtp = notify.smtp.as_ref()?;
            let probed = async {
                mail::probe(&smtp.relay, smtp.password()?.as_ref(), notify.timeout).await?;
                let login = smtp.relay.user.as_ref().map(|user| format!(" and lets {user} in"));
                let (host, port) = (&smtp.relay.host, smtp.relay.port);
                Ok(format!("{host}:{port} answers{}; no mail was sent", login.unwrap_or_default()))
            };
            Some(finding(MAIL, probed.await))
        };
        // At the same time: together they take as long as the slowest.
        let found = tokio::join!(
            gateway,
            ready(textfile),
            knock(WEBHOOK, notify.webhook_url()),
            knock(SLACK, notify.slack_url()),
            knock(PING, notify.ping_url()),
            server
        );
        [found.0, found.1, found.2, found.3, found.4, found.5].into_iter().flatten().collect()
    }
}

fn finding(outlet: Outlet, outcome: Result<String>) -> Finding {
    match outcome {
        Ok(message) => Finding::ok(outlet.key, message),
        Err(error) => {
            let hint =
                error.hint_text().unwrap_or("look at the URL, and at what lies between here and there");
            Finding {
                hint: Some(hint.to_owned()),
                ..Finding::warning(outlet.key, format!("runs could not tell of their end: {error}"))
            }
        }
    }
}

fn directory(path: &Path) -> Result<String> {
    let wrong = |what: &str| Error::new(Kind::Failed, format!("{} {what}", path.display()));
    match nix::unistd::access(path, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK) {
        Ok(()) if path.is_dir() => Ok(format!("{} can be written", path.display())),
        Ok(()) => Err(wrong("is no directory").hint("name the directory of the node exporter's textfiles")),
        Err(cause) => {
            Err(wrong("cannot be written").because(cause).hint("create it, for this user to write"))
        }
    }
}
