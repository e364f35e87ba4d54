//! `lifeboat doctor`.

use std::time::Duration;

use super::{Context, Outcome};
use crate::engines::{Finding, Level};
use crate::error::{Error, Kind, Result};
use crate::operations::doctor;
use crate::reports::messages;

/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Probe everything that backups need, and say what to fix
///
/// Writes, reads, conditionally writes and removes a probe object, aborts an upload, asks each source whether its
/// role may read every table, and looks for tools and staging. Asks push gateway, webhooks and mail server whether
/// they are there, without telling them anything; where they are not, that is a warning. Changes nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat doctor
  lifeboat doctor orders
  lifeboat doctor --json | jq 'select(.level != \"ok\")'")]
pub struct Args {
    /// The sources; all that are configured when left out
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
}

/// Prints a line for each finding. The exit code is that of the worst: 5 the store, 4 a source or staging.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let sources = context.sources(&args.sources)?;
    let mut errors: Vec<(Kind, usize)> = Vec::new();
    let found = match context.store().await {
        Ok(store) => context.cancel.guard(async { Ok(doctor::store(&store, &context.run.id).await) }).await?,
        Err(error) if matches!(error.kind(), Kind::Config) => return Err(error.into()),
        Err(error) => vec![Finding::error(
            "store",
            error.chain(),
            error.hint_text().unwrap_or("check [store] in the configuration"),
        )],
    };
    show(context, None, &found);
    errors.push((Kind::Store, count(&found)));
    let found = context.cancel.guard(async { Ok(context.probe_outlets().await) }).await?;
    if !found.is_empty() {
        show_under(context, "metrics and notifications", None, &found);
    }
    for source in sources {
        let checked = async {
            let engine = context.engine(source)?;
            let staging = context.staging(source)?;
            Ok(doctor::source(engine.as_ref(), staging.as_ref(), PATIENCE).await)
        };
        let found = match context.cancel.guard(checked).await {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Err(error.into()),
            Err(error) => {
                let hint = error.hint_text().unwrap_or("check the source's section in the configuration");
                vec![Finding::error("configuration", error.chain(), hint)]
            }
        };
        show(context, Some(&source.name), &found);
        errors.push((Kind::Unreachable, count(&found)));
    }
    let total: usize = errors.iter().map(|(_, count)| count).sum();
    match errors.iter().find(|(_, count)| *count > 0) {
        None => Ok(()),
        Some((kind, _)) => Err(Error::new(*kind, format!("{total} things need to be fixed"))
            .hint("each line marked ERROR says what to do")
            .into()),
    }
}

fn count(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.level == Level::Error).count()
}

/// Prints findings.
pub(super) fn show(context: &Context, source: Option<&str>, findings: &[Finding]) {
    show_under(context, source.unwrap_or("store"), source, findings);
}

fn show_under(context: &Context, heading: &str, source: Option<&str>, findings: &[Finding]) {
    if !context.ui.json() {
        context.ui.text(&format!("{heading}\n"));
    }
    for finding in findings {
        let (level, mark) = match finding.level {
            Level::Ok => ("ok", "ok   "),
            Level::Warning => ("warning", "WARN "),
            Level::Error => ("error", "ERROR"),
        };
        let message = messages::Finding {
            source: source.map(str::to_owned),
            level: level.to_owned(),
            subject: finding.subject.clone(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        };
        context.ui.result(&message, || {
            let mut text = format!("  {mark} {}: {}\n", finding.subject, finding.message);
            if let Some(hint) = &finding.hint {
                text.push_str(&format!("        hint: {hint}\n"));
            }
            text
        });
    }
}

/// Fails when a finding is an error.
pub(super) fn judge(findings: &[Finding], what: &str) -> Result<()> {
    match findings.iter().find(|finding| finding.level == Level::Error) {
        None => Ok(()),
        Some(first) => {
            let error =
                Error::new(Kind::Unreachable, format!("{what}: {}: {}", first.subject, first.message));
            Err(error.hint(first.hint.clone().unwrap_or_else(|| "run `lifeboat doctor`".to_owned())))
        }
    }
}
