//! `lifeboat k8s`.

mod plan;
mod secrets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Context, Outcome};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::kubernetes::{File, manifests, yaml};
use crate::reports::messages::Manifests;

/// Print Kubernetes manifests that run this configuration
///
/// Namespace, ServiceAccount, ConfigMap, NetworkPolicies, and a CronJob for each of backup, prune, verify,
/// drill and status; for Kubernetes 1.33 and later, ready for kustomize. The configuration file goes into
/// the ConfigMap as it is, so it must not hold a password; passwords come from Secrets, at the paths
/// that `password_file` names. Values of the environment are not in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat k8s | kubectl apply -f -
  lifeboat k8s --output deploy/base --image registry.example.com/lifeboat:0.1.0
  lifeboat k8s --backup-at '0 3 * * *' --shards 8 --external-secrets vault")]
pub struct Args {
    /// Write a file for each kind of object, and kustomization.yaml, into this directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// The namespace
    #[arg(long, value_name = "NAME", default_value = "lifeboat", value_parser = label)]
    namespace: String,

    /// The image
    #[arg(long, value_name = "IMAGE", default_value = concat!("lifeboat:", env!("CARGO_PKG_VERSION")))]
    image: String,

    /// The image of drills [else: --image, with `-drill` or `-neo4j` added where staging is ephemeral]
    #[arg(long, value_name = "IMAGE")]
    drill_image: Option<String>,

    /// When to back up, in cron's five fields
    #[arg(long, value_name = "CRON", default_value = "0 2 * * *", value_parser = schedule)]
    backup_at: String,

    /// When to prune: after the backup. Should that still run, prune gives way
    #[arg(long, value_name = "CRON", default_value = "0 5 * * *", value_parser = schedule)]
    prune_at: String,

    /// When to verify
    #[arg(long, value_name = "CRON", default_value = "0 6 * * 6", value_parser = schedule)]
    verify_at: String,

    /// When to drill
    #[arg(long, value_name = "CRON", default_value = "0 6 * * 0", value_parser = schedule)]
    drill_at: String,

    /// When to look at the objectives
    #[arg(long, value_name = "CRON", default_value = "*/15 * * * *", value_parser = schedule)]
    status_at: String,

    /// The zone of these times [else: that of the policies' retention, UTC without]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    time_zone: Option<String>,

    /// Pods that share the sources of a job, in an Indexed Job [else: 1, or one for every 5 sources from 6 on]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: Option<u32>,

    /// Of these, so many at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    parallelism: u32,

    /// How long a pod may back up, verify or drill
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = deadline)]
    deadline: Duration,

    /// The size of the volume for ephemeral staging
    #[arg(long, value_name = "SIZE", default_value = "20Gi", value_parser = quantity)]
    drill_volume: String,

    /// Let pods connect to a push gateway on this port [else: that of metrics.push_url]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    push_gateway: Option<u16>,

    /// Make ExternalSecrets too, which read from this ClusterSecretStore
    #[arg(long, value_name = "NAME")]
    external_secrets: Option<String>,
}

/// Prints the manifests, or writes them into a directory.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let plan = plan::plan(&args, context)?;
    let files = manifests(&plan);
    if let Some(dir) = &args.output {
        write(dir, &files)?;
        context.ui.info(&format!("wrote {} files to {}", files.len(), dir.display()));
    }
    for file in files.iter().filter(|file| file.resource || args.output.is_some()) {
        context.ui.message(&Manifests {
            file: file.name.clone(),
            documents: file.documents.iter().map(without_comments).collect(),
        });
    }
    if args.output.is_none() {
        let texts: Vec<String> = files.iter().filter(|file| file.resource).map(File::text).collect();
        context.ui.text(&texts.join("---\n"));
    }
    Ok(())
}

fn write(dir: &Path, files: &[File]) -> Result<()> {
    let hint = "give --output a directory that can be written";
    std::fs::create_dir_all(dir)
        .explain(Kind::Failed, || format!("cannot make the directory {}", dir.display()))
        .map_err(|error| error.hint(hint))?;
    for file in files {
        let path = dir.join(&file.name);
        std::fs::write(&path, file.text())
            .explain(Kind::Failed, || format!("cannot write {}", path.display()))
            .map_err(|error| error.hint(hint))?;
    }
    Ok(())
}

/// The object as Kubernetes gets it.
fn without_comments(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries = map.iter().filter(|(key, _)| *key != yaml::COMMENT);
            Value::Object(entries.map(|(key, value)| (key.clone(), without_comments(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_comments).collect(),
        other => other.clone(),
    }
}

/// A DNS label (RFC 1123).
fn label(text: &str) -> std::result::Result<String, String> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match (1..=63).contains(&text.len())
        && text.chars().all(inside)
        && !text.starts_with('-')
        && !text.ends_with('-')
    {
        true => Ok(text.to_owned()),
        false => Err("lower-case letters, digits and - inside, at most 63".to_owned()),
    }
}

/// Five fields of characters that cron knows. The zone has a flag of its own.
fn schedule(text: &str) -> std::result::Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "*/,-?".contains(c);
    let fields: Vec<&str> = text.split_whitespace().collect();
    match fields.len() == 5 && fields.iter().all(|field| field.chars().all(known)) {
        true => Ok(fields.join(" ")),
        false => Err("write cron's five fields, such as '0 2 * * *'; --time-zone gives the zone".to_owned()),
    }
}

fn zone(text: &str) -> std::result::Result<String, String> {
    match text.parse::<chrono_tz::Tz>() {
        Ok(zone) => Ok(zone.name().to_owned()),
        Err(_) => Err("write the name of a time zone, such as America/Sao_Paulo".to_owned()),
    }
}

/// At least a minute, whole seconds: Kubernetes counts those.
fn deadline(text: &str) -> std::result::Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if (60..=30 * 86_400).contains(&duration.as_secs()) => Ok(duration),
        Ok(_) => Err("from 1m to 30d".to_owned()),
        Err(_) => Err("write it as 6h or 90m".to_owned()),
    }
}

/// A quantity of bytes as Kubernetes writes it.
fn quantity(text: &str) -> std::result::Result<String, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    match digits.parse::<u64>().is_ok_and(|n| n > 0) && ["Mi", "Gi", "Ti", "M", "G", "T"].contains(&unit) {
        true => Ok(text.to_owned()),
        false => Err("write it as 20Gi".to_owned()),
    }
}

/// That something in the configuration cannot be so in a cluster.
fn unfit(message: String, hint: &str) -> Error {
    Error::new(Kind::Config, message).hint(hint)
}
