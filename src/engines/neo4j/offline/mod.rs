//! The `dump` method: counted over Bolt, stopped, dumped by neo4j-admin, started.
//!
//! [`super::dump`] does the stopping and dumping; here it gets what it has to know of the server, and becomes a backup.

pub mod home;
pub(super) mod restore;

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::bookmark;
use super::connect::{self, Server, all, connect, explain, look, text};
use super::dump::{self, DUMP, Dumped, Expected, Request, SYSTEM, SYSTEM_DUMP};
use super::engine::Neo4j;
use super::export::facts;
use super::graph::counting::inventory;
use super::layout::Layout;
use super::load::aside;
use super::reading::{Output, Reader, Stop};
use super::service::{Limits, Service};
use super::tools::{self, Tool};
use super::uri::Uri;
use crate::engines::{Captured, Consistency, Finding, RecoveryPoint};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::{INVENTORY_SCHEMA, Inventory, Item};
use crate::pipeline::progress::Progress;
use crate::pipeline::{BackupReader, Sink};

use super::archive::{ArchiveReader, Summary};

/// The kind of the item that is counted from the dump itself: files of the store and their bytes.
pub const STORE: &str = "store";

/// What was counted of a server that runs.
pub(super) struct Counted {
    pub(super) server: Server,
    pub(super) inventory: Inventory,
    /// Of the state that the count began with.
    pub(super) bookmark: String,
    expected: Expected,
}

impl Neo4j {
    /// The environment of neo4j-admin: the process's own, with the home and configuration of the source.
    pub(super) fn admin_environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.settings.host.environment.clone();
        let own = [("NEO4J_HOME", &self.options.home), ("NEO4J_CONF", &self.options.conf)];
        for (name, path) in own {
            if let Some(path) = path {
                environment.insert(name.to_owned(), path.display().to_string());
            }
        }
        environment
    }

    pub(super) async fn admin_tool(&self) -> Result<Tool> {
        tools::find(self.settings.endpoint.tools.as_deref(), &self.admin_environment()).await
    }

    /// The commands around a dump; `None` where the server is stopped by others.
    fn service(&self) -> Option<Service> {
        let limit = self.options.service_timeout();
        (!self.options.stop.is_empty()).then(|| Service {
            stop: self.options.stop.clone(),
            start: self.options.start.clone(),
            environment: self.settings.host.environment.clone(),
            limits: Limits { stop: limit, start: limit, answer: limit },
        })
    }

    /// Looks at the source before a dump.
    pub(super) async fn preflight_dump(&self) -> Result<Vec<Finding>> {
        let mut findings = vec![match self.admin_tool().await {
            Ok(tool) => Finding::ok("neo4j-admin", format!("version {}", tool.version)),
            Err(error) => {
                Finding::error("neo4j-admin", error.chain(), error.hint_text().unwrap_or("install it"))
            }
        }];
        findings.extend(self.left_by_a_restore());
        let half = findings.iter().any(|finding| finding.subject == aside::SUBJECT);
        let answers = async { look(&mut connect(&self.uri).await?, &self.uri).await };
        findings.push(match (answers.await, self.options.stop.is_empty()) {
            (Ok(server), false) => Finding::ok(
                "server",
                format!(
                    "Neo4j {} {} is counted, stopped, dumped and started",
                    server.version, server.edition
                ),
            ),
            (Ok(_), true) => Finding::error(
                "server",
                format!("{} runs, and a dump needs it stopped", self.uri),
                "let lifeboat stop and start it by options.stop and options.start, or use the method export",
            ),
            // Half a database is why a server does not answer, or soon will not.
            (Err(error), false) if half => {
                Finding::error("source", error.chain(), error.hint_text().unwrap_or("start the server"))
            }
            (Err(error), false) => return Err(error),
            (Err(_), true) => Finding::warning(
                "source",
                format!("{} does not answer, as it has to be: what is in the dump is not counted", self.uri),
            ),
        });
        Ok(findings)
    }

    /// What a killed restore into this home has left, if it is known where that is.
    fn left_by_a_restore(&self) -> Vec<Finding> {
        let Ok(layout) = Layout::read(&self.admin_environment()) else { return Vec::new() };
        let database = self.uri.database.as_deref().unwrap_or("neo4j");
        [database, SYSTEM].iter().flat_map(|database| aside::findings(&layout, database)).collect()
    }

    /// Streams a dump into the sink. See [`crate::engines::Engine::backup`].
    pub(super) async fn backup_offline(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        let tool = self.admin_tool().await?;
        let service = self.service();
        let began = Instant::now();
        let counted = match service {
            Some(_) => Some(self.counted(progress).await?),
            None => None,
        };
        let database = counted.as_ref().map(|counted| counted.server.database.clone());
        let database = database.or_else(|| self.uri.database.clone()).unwrap_or_else(|| "neo4j".to_owned());
        let none = Expected::default();
        let request = Request {
            tool: &tool,
            database: &database,
            directory: None,
            service: service.as_ref(),
            expected: counted.as_ref().map_or(&none, |counted| &counted.expected),
            system: !self.options.without_system,
            stall: self.options.stall(),
        };
        let counting = began.elapsed().as_secs_f64();
        let time = self.clock(counted.as_ref()).await?;
        progress.expect_raw(0);
        let dumped = dump::dump(&request, sink, progress, answering(&self.uri)).await?;
        Ok(captured(&tool, &database, counted, dumped, (time, counting)))
    }

    /// When the data is of: never later than the stop.
    async fn clock(&self, counted: Option<&Counted>) -> Result<DateTime<Utc>> {
        match counted {
            Some(_) => Ok(look(&mut connect(&self.uri).await?, &self.uri).await?.now),
            // Nobody is there to be asked: the files tell.
            None => {
                home::last_write(&self.admin_environment(), self.uri.database.as_deref().unwrap_or("neo4j"))
            }
        }
    }

    /// Counts the graph while the server still runs.
    pub(super) async fn counted(&self, progress: &Progress) -> Result<Counted> {
        progress.phase("count");
        let mut connection = connect(&self.uri).await?;
        let server = look(&mut connection, &self.uri).await?;
        let failed = |cause| explain(&server.shown, cause);
        let database = self.uri.database.as_deref();
        let first = connect::bookmark(&mut connection, database).await.map_err(failed)?;
        let reader = Reader::open(&self.uri, &server, Some(&first), self.readers(), Stop::default()).await?;
        let read = reader.graph(&mut Output::Nowhere(progress)).await?;
        let read = read.ok_or_else(|| Error::new(Kind::Failed, "the count was stopped"))?;
        let inventory = inventory(&read.tally, read.statements.iter().map(|s| s.definition()).collect());
        let ids = all(
            &mut connection,
            Some(SYSTEM),
            "SHOW DATABASES YIELD name, databaseID RETURN name, databaseID",
        );
        let ids = ids.await.map_err(failed)?;
        let id = |name: &str| {
            let row = ids.iter().find(|row| text(row, 0) == name);
            row.map(|row| text(row, 1)).filter(|id| !id.is_empty())
        };
        let expected = Expected {
            database_id: id(&server.database),
            system_id: id(SYSTEM),
            // That of the state that the count began with: whatever was committed since is not surely in it.
            transaction: bookmark::last_transaction(&first),
            nodes: read.tally.nodes(),
            relationships: read.tally.relationships(),
        };
        Ok(Counted { server, inventory, bookmark: first, expected })
    }

    /// Reads the stored dumps to their end. What needs a server to be counted is taken from the inventory.
    pub(super) async fn recount_offline(&self, from: &BackupReader) -> Result<Inventory> {
        let mut inventory = from.inventory().await?;
        inventory.items.retain(|item| item.kind != STORE);
        for object in [DUMP, SYSTEM_DUMP] {
            if from.object(object).is_err() {
                continue;
            }
            let mut stream = from.stream(object)?;
            let mut reader = ArchiveReader::new()?;
            while let Some(chunk) = stream.next().await? {
                reader.feed(&chunk)?;
                from.progress().add_raw(chunk.len() as u64);
            }
            inventory.items.push(store_item(object, &reader.finish()?));
        }
        inventory.sort();
        Ok(inventory)
    }
}

/// Asks whether a server answers, again and again.
fn answering(uri: &Uri) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = bool> + Send>> + use<> {
    let uri = uri.clone();
    move || {
        let uri = uri.clone();
        Box::pin(async move {
            let asked = async { look(&mut connect(&uri).await?, &uri).await };
            asked.await.is_ok()
        })
    }
}

/// What was counted from a dump itself.
fn store_item(object: &str, summary: &Summary) -> Item {
    Item {
        kind: STORE.to_owned(),
        schema: String::new(),
        name: object.to_owned(),
        rows: 0,
        bytes: summary.bytes,
        digest: Default::default(),
        value: Some(format!("{} files", summary.files)),
        place: None,
        plan: serde_json::Value::Null,
    }
}

fn captured(
    tool: &Tool,
    database: &str,
    counted: Option<Counted>,
    dumped: Dumped,
    (time, counting): (DateTime<Utc>, f64),
) -> Captured {
    let mut warnings = dumped.warnings;
    let (mut server, mut inventory) = match counted {
        Some(counted) => (facts(&counted.server), counted.inventory),
        None => {
            warnings
                .push("the server was stopped already, so the graph in the dump was not counted".to_owned());
            let server = BTreeMap::from([
                ("version".to_owned(), tool.version.clone()),
                ("database".to_owned(), database.to_owned()),
            ]);
            (server, Inventory { schema: INVENTORY_SCHEMA, ..Inventory::default() })
        }
    };
    if let Some(id) = &dumped.summary.store.database_id {
        server.insert("database_id".to_owned(), id.clone());
    }
    let counted = !inventory.items.is_empty();
    dumped.proof.mark(&mut inventory);
    if counted && dumped.proof == dump::Proof::BeforeStop {
        warnings.push(format!(
            "{database} was written to between its count and its stop: a drill cannot compare the contents exactly"
        ));
    }
    inventory.items.push(store_item(DUMP, &dumped.summary));
    inventory.items.extend(dumped.system.as_ref().map(|system| store_item(SYSTEM_DUMP, system)));
    inventory.sort();
    let mut phases = vec![crate::engines::Phase { name: "count".into(), seconds: counting }];
    phases.extend(dumped.phases);
    Captured {
        inventory,
        recovery_point: RecoveryPoint {
            time,
            position: dumped.info.last_transaction.map(|id| format!("transaction {id}")),
        },
        consistency: Consistency::Consistent,
        server,
        tools: BTreeMap::from([("neo4j-admin".to_owned(), tool.version.clone())]),
        properties: serde_json::json!({
            "method": "dump",
            "downtime_seconds": dumped.downtime.map(|time| time.as_secs_f64()),
            "last_transaction": dumped.info.last_transaction,
            "store_format": dumped.info.format,
            "system": dumped.system.is_some(),
        }),
        warnings,
        phases,
        ends: dumped.ends,
        objects: dumped.objects,
    }
}
