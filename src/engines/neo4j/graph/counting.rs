//! An export read to its end and counted: the same at a backup, at `verify`, and while it is restored.

use super::format::{Counts, FormatReader, Record};
use super::tally::Tally;
use crate::bolt::packstream::Value;
use crate::error::Result;
use crate::pipeline::inventory::{Definition, INVENTORY_SCHEMA, Inventory};

/// A reader with a tally beside it.
#[derive(Debug, Default)]
pub struct Counting {
    reader: FormatReader,
    /// What was counted.
    pub tally: Tally,
    definitions: Vec<Definition>,
    header: Option<Value>,
}

impl Counting {
    /// Takes the next bytes. Each record is given to `seen` after it was counted; for a relationship of which an end
    /// is not there, that says so.
    ///
    /// # Errors
    /// Those of the reader, of the tally and of `seen`.
    pub fn feed(&mut self, bytes: &[u8], seen: &mut dyn FnMut(Record<'_>, bool) -> Result<()>) -> Result<()> {
        let Counting { reader, tally, definitions, header } = self;
        reader.feed(bytes, &mut |record| {
            let mut whole = true;
            match &record {
                Record::Header(value) => *header = Some(value.clone()),
                Record::Node(node, _) => tally.node(node)?,
                Record::Relationship(relationship) => whole = tally.relationship(relationship)?,
                Record::Definition(statement) => definitions.push(statement.definition()),
                Record::User(_) => {}
            }
            seen(record, whole)
        })
    }

    /// The header, once it has come.
    pub fn header(&self) -> Option<&Value> {
        self.header.as_ref()
    }

    /// What came so far.
    pub fn counts(&self) -> Counts {
        self.reader.counts()
    }

    /// The inventory of a whole export.
    ///
    /// # Errors
    /// [`Kind::Damaged`](crate::error::Kind::Damaged) when it is not whole.
    pub fn finish(self) -> Result<Inventory> {
        self.reader.finish()?;
        Ok(inventory(&self.tally, self.definitions))
    }
}

/// The inventory of what was counted.
pub fn inventory(tally: &Tally, definitions: Vec<Definition>) -> Inventory {
    let mut inventory =
        Inventory { schema: INVENTORY_SCHEMA, items: tally.items(), definitions, ..Inventory::default() };
    inventory.sort();
    inventory
}
