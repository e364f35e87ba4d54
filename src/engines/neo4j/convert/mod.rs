//! Exports as something that loads without lifeboat: a Cypher script.

mod literal;
mod script;
mod shape;
mod time;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::engine::Neo4j;
use super::export::GRAPH;
use super::graph::counting::Counting;
use super::graph::format::Record;
use super::graph::schema::Statement;
use super::restore::{check_format, differs};
use crate::bolt::packstream::Value;
use crate::engines::{Conversion, Converted, Origin};
use crate::error::{Error, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::object::CleanEnd;

use script::Script;

/// The only format so far.
const CYPHER: &str = "cypher";

impl Neo4j {
    /// Writes a stored export as a script. See [`crate::engines::Engine::convert`].
    pub(super) async fn convert_export(
        &self,
        from: &BackupReader,
        origin: &Origin,
        conversion: &Conversion<'_>,
        output: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<Converted> {
        if conversion.format != CYPHER {
            return Err(Error::new(
                Kind::Usage,
                format!("an export cannot be converted to {}", conversion.format),
            )
            .hint(format!("the format is {CYPHER}")));
        }
        if origin.properties["method"] != "export" {
            return Err(Error::new(
                Kind::Usage,
                "only backups of the method export can be converted; a dump is read by neo4j-admin",
            )
            .hint("docs/restore-by-hand.md tells how to load a dump"));
        }
        let inventory = from.inventory().await?;
        from.progress().phase("convert");
        let about = |name: &str| origin.server.get(name).map_or("?", String::as_str);
        let comment = format!(
            "backup {} of the database {}, Neo4j {} {}",
            conversion.id,
            about("database"),
            about("version"),
            about("edition")
        );
        let mut script = Script::new(conversion.id, &comment);
        let mut counting = Counting::default();
        let (mut statements, mut users): (Vec<Statement>, Vec<String>) = (Vec::new(), Vec::new());
        let (mut raw_bytes, mut bytes) = (0, 0);
        let mut stream = from.stream(GRAPH)?;
        while let Some(chunk) = stream.next().await? {
            raw_bytes += chunk.len() as u64;
            from.progress().add_raw(chunk.len() as u64);
            counting.feed(&chunk, &mut |record, whole| {
                match record {
                    Record::Header(header) => check_format(&header)?,
                    Record::Node(node, _) => script.node(&node)?,
                    Record::Relationship(relationship) if whole => script.relationship(&relationship)?,
                    Record::Relationship(_) => {}
                    Record::Definition(statement) => statements.push(statement),
                    Record::User(user) => {
                        users.extend(user.get("name").and_then(Value::as_str).map(str::to_owned));
                    }
                }
                Ok(())
            })?;
            bytes += written(&mut script, output).await?;
        }
        let (nodes, relationships) = (counting.tally.nodes(), counting.tally.relationships());
        let dangling = counting.tally.dangling();
        // Before the end of the script, which says that it is whole.
        let counted = counting.finish()?;
        differs(&inventory, &counted)?;
        script.finish(&statements);
        bytes += written(&mut script, output).await?;
        output.flush().await.map_err(unwritten)?;
        let mut warnings = Vec::new();
        if dangling > 0 {
            warnings.push(format!(
                "{dangling} relationships were left out, since an end of each is not in the backup"
            ));
        }
        if script.byte_arrays > 0 {
            warnings.push(format!(
                "{} byte arrays became lists of integers: Cypher cannot write byte arrays",
                script.byte_arrays
            ));
        }
        let mut advice = vec![format!(
            "{nodes} nodes, {relationships} relationships, {} constraints and indexes",
            statements.len()
        )];
        if !users.is_empty() {
            advice
                .push(format!("users of the source, to be made again by CREATE USER: {}", users.join(", ")));
        }
        Ok(Converted {
            rows: nodes + relationships,
            raw_bytes,
            bytes,
            warnings,
            advice,
            end: CleanEnd::of("the whole export was read, and is what was written"),
        })
    }
}

/// Writes what is ready. Returns how much that was.
async fn written(script: &mut Script, output: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<u64> {
    let bytes = script.ready.len() as u64;
    output.write_all(script.ready.as_bytes()).await.map_err(unwritten)?;
    script.ready.clear();
    Ok(bytes)
}

fn unwritten(cause: std::io::Error) -> Error {
    Error::new(Kind::Failed, "the script cannot be written").because(cause)
}
