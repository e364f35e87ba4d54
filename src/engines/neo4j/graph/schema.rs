//! Constraints and indexes, as the statements that make them.

use crate::bolt::packstream::Value;
use crate::pipeline::digest::RowDigest;
use crate::pipeline::inventory::Definition;

/// What makes one constraint or index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// True for a constraint.
    pub constraint: bool,
    /// Its name.
    pub name: String,
    /// Neo4j's word for what it is (`UNIQUENESS`, `RANGE`, `FULLTEXT`, …).
    pub kind: String,
    /// The labels or types that it is for, with commas.
    pub of: String,
    /// The `CREATE` statement.
    pub create: String,
}

/// So many constraints and indexes, in words.
pub fn counted(count: usize) -> String {
    match count {
        1 => "1 constraint or index".to_owned(),
        count => format!("{count} constraints and indexes"),
    }
}

impl Statement {
    /// The fields of its record in an export.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &str| Value::String(text.to_owned());
        vec![
            ("definition", text(if self.constraint { "constraint" } else { "index" })),
            ("name", text(&self.name)),
            ("type", text(&self.kind)),
            ("of", text(&self.of)),
            ("create", text(&self.create)),
        ]
    }

    /// Reads the map of a record.
    pub fn of(value: &Value) -> Option<Statement> {
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let constraint = match value.get("definition")?.as_str()? {
            "constraint" => true,
            "index" => false,
            _ => return None,
        };
        Some(Statement {
            constraint,
            name: text("name")?,
            kind: text("type")?,
            of: text("of")?,
            create: text("create")?,
        })
    }

    /// The `CREATE` statement as it is to be run. The server writes names into it as they are, and reads `\uXXXX` in
    /// them: without this, a name could end itself and go on as Cypher.
    pub fn cypher(&self) -> String {
        self.create.replace('\\', "\\u005C")
    }

    /// As the inventory has it.
    pub fn definition(&self) -> Definition {
        let mut digest = RowDigest::default();
        digest.add(self.create.as_bytes());
        let kind = if self.constraint { "CONSTRAINT" } else { "INDEX" };
        Definition {
            kind: format!("{} {kind}", self.kind.replace('_', " ")),
            schema: String::new(),
            name: self.name.clone(),
            parent: self.of.clone(),
            owner: String::new(),
            text: digest,
        }
    }
}
