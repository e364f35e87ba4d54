//! Probing everything that a backup, a restore and a drill need, before they need it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::engines::{Engine, Finding, Level, Staging};
use crate::error::Result;
use crate::stores::{Conditional, SharedStore, Versioning};

/// How many writers race for one key.
const RACERS: usize = 12;

/// Writes, reads, conditionally writes, lists and removes a probe object, and aborts an upload.
/// `name` makes the probe's keys unique to this run.
pub async fn store(store: &SharedStore, name: &str) -> Vec<Finding> {
    let key = format!("lifeboat-doctor/{name}");
    let mut findings = Vec::new();
    let written = write_and_read(store, &key).await;
    let usable = written.level != Level::Error;
    findings.push(written);
    if usable {
        findings.push(conditional(store, &format!("{key}-race")).await);
        findings.push(upload(store, &format!("{key}-upload")).await);
        findings.push(versioning(store).await);
    }
    // Whatever happened, nothing of the probe stays.
    for end in ["", "-race", "-upload"] {
        if let Err(error) = store.delete(&format!("{key}{end}")).await {
            findings.push(told("store: remove", &error));
        }
    }
    findings
}

/// An error of a probe as a finding.
fn told(subject: &str, error: &crate::error::Error) -> Finding {
    let hint = error.hint_text().unwrap_or("look at the store's own log").to_owned();
    Finding::error(subject, error.chain(), hint)
}

async fn write_and_read(store: &SharedStore, key: &str) -> Finding {
    let subject = "store: write and read";
    let body = Bytes::from_static(b"lifeboat doctor was here");
    let outcome: Result<bool> = async {
        store.put(key, body.clone()).await?;
        let read = store.get(key).await?;
        let listed = store.list(key).await?;
        Ok(read.is_some_and(|(bytes, _)| bytes == body) && listed.iter().any(|entry| entry.key == key))
    }
    .await;
    match outcome {
        Ok(true) => Finding::ok(subject, format!("{} takes, gives and lists objects", store.url())),
        Ok(false) => Finding::error(
            subject,
            format!("{} does not give or list what was just written", store.url()),
            "use a store that reads its own writes",
        ),
        Err(error) => told(subject, &error),
    }
}

/// Several writers race for one key: exactly one may win.
async fn conditional(store: &SharedStore, key: &str) -> Finding {
    let subject = "store: conditional writes";
    let race = (0..RACERS).map(|n| store.put_if_absent(key, Bytes::from(n.to_string())));
    let mut winners = 0;
    for outcome in join_all(race).await {
        match outcome {
            Ok(Conditional::Done(_)) => winners += 1,
            Ok(Conditional::Refused) => {}
            Err(error) => return told(subject, &error),
        }
    }
    match winners {
        1 => Finding::ok(subject, format!("of {RACERS} writers that raced, one won")),
        n => Finding {
            hint: Some(
                "set `conditional_writes = \"weak\"` in [store], so that the lease does not rely on them"
                    .to_owned(),
            ),
            ..Finding::warning(
                subject,
                format!("of {RACERS} writers that raced, {n} won: the store loses races"),
            )
        },
    }
}

async fn upload(store: &SharedStore, key: &str) -> Finding {
    let subject = "store: multipart uploads";
    let outcome: Result<bool> = async {
        let upload = store.upload(key).await?;
        let part = upload.part(1, Bytes::from(vec![0; 64 * 1024])).await;
        upload.abort().await?;
        part?;
        Ok(store.head(key).await?.is_none() && store.open_uploads(key).await?.is_empty())
    }
    .await;
    match outcome {
        Ok(true) => Finding::ok(subject, "an upload was begun and aborted, and left nothing"),
        Ok(false) => Finding::warning(subject, "an aborted upload has left something behind"),
        Err(error) => told(subject, &error),
    }
}

async fn versioning(store: &SharedStore) -> Finding {
    let subject = "store: versioning";
    match store.versioning().await {
        Ok(Versioning::Off) => Finding::ok(subject, "off: what prune removes is gone"),
        Ok(Versioning::On | Versioning::Suspended) => Finding {
            hint: Some("add a lifecycle rule with NoncurrentVersionExpiration".to_owned()),
            ..Finding::warning(subject, "on: what prune removes stays stored until a lifecycle rule ends it")
        },
        Ok(Versioning::Unknown) | Err(_) => Finding::ok(subject, "the store does not tell"),
    }
}

/// Everything about one source: its server, the role's privileges, tools, staging.
pub async fn source(engine: &dyn Engine, staging: Option<&Staging>, patience: Duration) -> Vec<Finding> {
    let mut findings = match tokio::time::timeout(patience, engine.preflight()).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => vec![told("source", &error)],
        Err(_) => vec![no_answer("source", patience)],
    };
    if !findings.iter().any(|finding| finding.subject == "source") {
        findings.insert(0, Finding::ok("source", format!("{} answers", engine.describe())));
    }
    match staging {
        None => findings.push(Finding {
            hint: Some("add [sources.NAME.staging] with url = \"ephemeral\" or a staging server".to_owned()),
            ..Finding::warning(
                "staging",
                "none is configured: this source's backups cannot be proven by a drill",
            )
        }),
        Some(staging) => match tokio::time::timeout(patience, engine.preflight_staging(staging)).await {
            Ok(Ok(more)) => findings.extend(more),
            Ok(Err(error)) => findings.push(told("staging", &error)),
            Err(_) => findings.push(no_answer("staging", patience)),
        },
    }
    findings
}

fn no_answer(subject: &str, patience: Duration) -> Finding {
    Finding::error(
        subject,
        format!("no answer within {} s", patience.as_secs()),
        "look whether the server is up and the network lets you through",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stores::memory::MemoryStore;

    async fn race(memory: MemoryStore) -> Finding {
        let probed: SharedStore = Arc::new(memory);
        let findings = store(&probed, "test").await;
        assert!(probed.list("").await.unwrap().is_empty(), "the probe left something");
        findings.into_iter().find(|finding| finding.subject == "store: conditional writes").unwrap()
    }

    #[tokio::test]
    async fn a_store_that_loses_races_is_told_with_the_key_to_set() {
        assert_eq!(race(MemoryStore::new()).await.level, Level::Ok);
        let weak = race(MemoryStore::new().weak()).await;
        assert_eq!(weak.level, Level::Warning);
        assert_eq!(weak.message, "of 12 writers that raced, 12 won: the store loses races");
        assert!(weak.hint.unwrap().starts_with("set `conditional_writes = \"weak\"` in [store]"));
    }
}
