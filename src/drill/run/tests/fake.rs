//! An engine that does as it is told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::epoch;
use crate::cancel::{self, Cancel};
use crate::engines::{
    Captured, Comparison, Consistency, Endpoint, Engine, Finding, Origin, Phase, Query, RecoveryPoint,
    RestoreOptions, Restored, Site, Staging, Target,
};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::{CleanEnd, Role};
use crate::pipeline::progress::Progress;
use crate::pipeline::{BackupReader, Sink};

/// What one step of the engine does.
#[derive(Clone, Copy, PartialEq)]
pub enum Does {
    Well,
    Fails(Kind),
    Panics,
    /// Says that it is here, and never ends.
    Hangs,
    /// Says that it is here, and goes on when the signal has come.
    Lingers,
}

pub struct Fake {
    pub provision: Does,
    pub restore: Does,
    pub compare: Does,
    pub remove: Does,
    pub differences: Vec<String>,
    pub answer: Option<&'static str>,
    pub structure: Option<&'static str>,
    /// Staging places that exist now.
    pub sites: Arc<AtomicUsize>,
    /// Told when a step hangs or lingers.
    pub here: cancel::Canceller,
    pub cancel: Cancel,
    pub options: Mutex<Option<RestoreOptions>>,
}

impl Fake {
    async fn step(&self, does: Does) -> Result<()> {
        match does {
            Does::Well => Ok(()),
            Does::Fails(kind) => Err(Error::new(kind, "it broke")),
            Does::Panics => panic!("on purpose"),
            Does::Hangs => {
                self.here.cancel(15);
                std::future::pending().await
            }
            Does::Lingers => {
                self.here.cancel(15);
                self.cancel.cancelled().await;
                tokio::task::yield_now().await;
                Ok(())
            }
        }
    }
}

struct FakeSite(Arc<AtomicUsize>, Does);

#[async_trait]
impl Site for FakeSite {
    fn target(&self) -> Target {
        Target { endpoint: Endpoint::default(), database: Some("drill_1".into()) }
    }

    fn describe(&self) -> String {
        "a fake place".into()
    }

    async fn remove(&self) -> Result<()> {
        match self.1 {
            Does::Fails(kind) => Err(Error::new(kind, "it cannot be removed")),
            Does::Hangs => std::future::pending().await,
            _ => {
                self.0.store(0, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Engine for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn method(&self) -> &'static str {
        "dump"
    }

    fn describe(&self) -> String {
        "a fake".into()
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn backup(&self, sink: &Sink, _: &Progress) -> Result<Captured> {
        let mut object = sink.object("dump", Role::Dump, "rows");
        object.write(b"a row").await?;
        Ok(Captured {
            objects: vec![object.finish(CleanEnd::of("fake")).await?],
            inventory: Inventory::default(),
            recovery_point: RecoveryPoint { time: epoch() - chrono::TimeDelta::hours(2), position: None },
            consistency: Consistency::Consistent,
            server: BTreeMap::from([("version".into(), "1".into())]),
            tools: BTreeMap::from([("fake_dump".into(), "1.2".into())]),
            properties: serde_json::Value::Null,
            warnings: Vec::new(),
            phases: Vec::new(),
            ends: vec![CleanEnd::of("fake")],
        })
    }

    async fn recount(&self, _: &BackupReader) -> Result<Inventory> {
        Ok(Inventory::default())
    }

    async fn restore(
        &self,
        from: &BackupReader,
        _: &Origin,
        _: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        *self.options.lock().unwrap() = Some(options.clone());
        self.step(self.restore).await?;
        let end = from.stream("dump")?.drain().await?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(Restored {
            target: "drill_1".into(),
            rows: 1,
            raw_bytes: 5,
            inventory: Inventory::default(),
            phases: vec![Phase { name: "index".into(), seconds: 20.0 }],
            advice: Vec::new(),
            warnings: vec!["a word about it".into()],
            end,
        })
    }

    async fn compare(&self, _: &Target, _: &Inventory, _: &Origin, _: &Progress) -> Result<Comparison> {
        self.step(self.compare).await?;
        let differences = self.differences.clone();
        Ok(Comparison { items: 3, definitions: 4, differences, notes: vec!["a text differs".into()] })
    }

    async fn provision(&self, _: &Staging, _: &Origin, _: u64) -> Result<Box<dyn Site>> {
        self.sites.store(1, Ordering::SeqCst);
        if let Err(error) = self.step(self.provision).await {
            self.sites.store(0, Ordering::SeqCst);
            return Err(error);
        }
        Ok(Box::new(FakeSite(self.sites.clone(), self.remove)))
    }

    async fn preflight_staging(&self, _: &Staging) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn ask(&self, _: &Target, query: &Query) -> Result<Option<String>> {
        match query {
            Query::Value(_) => Ok(self.answer.map(str::to_owned)),
            _ => Err(Error::new(Kind::Failed, "no such table")),
        }
    }

    async fn structural_check(&self, _: &Target) -> Result<Option<String>> {
        match self.structure {
            Some("damaged") => Err(Error::new(Kind::Damaged, "a page is broken")),
            structure => Ok(structure.map(str::to_owned)),
        }
    }

    fn by_hand(&self, _: &str, _: &serde_json::Value) -> Vec<String> {
        Vec::new()
    }
}
