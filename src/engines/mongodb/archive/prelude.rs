//! What an archive says of itself before its blocks: the server, the tool, and every namespace.

use mongodb::bson::{Bson, Document, RawDocument};

use super::extjson;
use super::namespace::Namespace;

/// The first four bytes of every archive.
pub const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
/// What stands after the prelude and after every block.
pub const TERMINATOR: [u8; 4] = [0xff; 4];

/// The first document of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Collections that mongodump read at once; mongorestore restores at least as many at once.
    pub concurrent_collections: i32,
    /// The version of the format: `0.1`.
    pub version: String,
    /// The server's version.
    pub server_version: String,
    /// mongodump's version.
    pub tool_version: String,
}

/// What kind of thing a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectionKind {
    /// A collection; also the oplog, and users and roles.
    Collection,
    /// A view: it has no documents.
    View,
    /// A time series: its documents are its buckets.
    TimeSeries,
}

/// What restoring a collection needs, besides its documents.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// The options, as `listCollections` gives them.
    pub options: Document,
    /// The indexes, as `listIndexes` gives them.
    pub indexes: Vec<Document>,
    /// The UUID, 32 hex digits. Views and time series have none.
    pub uuid: Option<String>,
    /// `collection`, `view` or `timeseries`; absent from old servers.
    pub kind: Option<String>,
    /// Whatever else there is.
    pub rest: Document,
}

/// One namespace of the prelude.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionEntry {
    /// Its names; a time series has its own, not that of its buckets.
    pub namespace: Namespace,
    /// The text of the metadata; empty for the oplog, for users and roles of one database, and for a
    /// collection that was dropped as the dump began.
    pub text: String,
    /// The same, parsed.
    pub metadata: Option<Metadata>,
    /// What mongodump says: always 0.
    pub size: i32,
    /// `collection`, `view`, `timeseries`, or empty.
    pub kind: String,
}

/// Header and namespaces.
#[derive(Debug, Clone, PartialEq)]
pub struct Prelude {
    /// The header.
    pub header: Header,
    /// The namespaces, in the order of the archive.
    pub entries: Vec<CollectionEntry>,
}

impl Metadata {
    /// Parses the text that mongodump writes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Metadata, String> {
        let mut metadata = Metadata::default();
        for (key, value) in extjson::parse(text)? {
            match (key.as_str(), value) {
                ("options", Bson::Document(options)) => metadata.options = options,
                ("indexes", Bson::Array(values)) => {
                    for value in values {
                        match value {
                            Bson::Document(index) => metadata.indexes.push(index),
                            _ => return Err("an index is not a document".to_owned()),
                        }
                    }
                }
                ("uuid", Bson::String(uuid)) => metadata.uuid = Some(uuid),
                ("type", Bson::String(kind)) => metadata.kind = Some(kind),
                ("options" | "indexes" | "uuid" | "type", _) => {
                    return Err(format!("{key} is of the wrong type"));
                }
                (_, value) => {
                    metadata.rest.insert(key, value);
                }
            }
        }
        Ok(metadata)
    }

    /// The text as mongodump writes it, for a collection of this name.
    pub fn write(&self, collection: &str) -> String {
        let mut document = Document::new();
        if !self.options.is_empty() {
            document.insert("options", self.options.clone());
        }
        document.insert("indexes", self.indexes.clone());
        if let Some(uuid) = &self.uuid {
            document.insert("uuid", uuid.clone());
        }
        document.insert("collectionName", collection);
        if let Some(kind) = &self.kind {
            document.insert("type", kind.clone());
        }
        for (key, value) in self.rest.iter().filter(|(key, _)| *key != "collectionName") {
            document.insert(key.clone(), value.clone());
        }
        extjson::write(&document)
    }
}

impl CollectionEntry {
    /// What kind of thing it is.
    pub fn shape(&self) -> CollectionKind {
        match self.kind.as_str() {
            "view" => CollectionKind::View,
            "timeseries" => CollectionKind::TimeSeries,
            _ => CollectionKind::Collection,
        }
    }

    /// True for a collection that was dropped as the dump began: it has no metadata, and no documents.
    pub fn has_vanished(&self) -> bool {
        self.metadata.is_none()
            && !self.namespace.is_oplog()
            && !self.namespace.collection.starts_with("$admin.")
    }

    pub(super) fn parse(document: &RawDocument) -> Result<Self, String> {
        let mut entry = CollectionEntry {
            namespace: Namespace::new("", ""),
            text: String::new(),
            metadata: None,
            size: 0,
            kind: String::new(),
        };
        for (key, value) in fields(document)? {
            let text = || value.as_str().map(str::to_owned).ok_or_else(|| wrong(&key));
            match key.as_str() {
                "db" => entry.namespace.db = text()?,
                "collection" => entry.namespace.collection = text()?,
                "metadata" => entry.text = text()?,
                "type" => entry.kind = text()?,
                "size" => entry.size = value.as_i32().ok_or_else(|| wrong(&key))?,
                _ => return Err(format!("an unknown field {key:?}")),
            }
        }
        if entry.namespace.collection.is_empty() {
            return Err("a collection without a name".to_owned());
        }
        if !["", "collection", "view", "timeseries"].contains(&entry.kind.as_str()) {
            return Err(format!("{} is of an unknown type {:?}", entry.namespace, entry.kind));
        }
        if !entry.text.is_empty() {
            let parsed = Metadata::parse(&entry.text);
            entry.metadata =
                Some(parsed.map_err(|why| format!("the metadata of {}: {why}", entry.namespace))?);
        }
        Ok(entry)
    }

    pub(super) fn document(&self) -> Document {
        let mut document = Document::new();
        document.insert("db", self.namespace.db.clone());
        document.insert("collection", self.namespace.collection.clone());
        document.insert("metadata", self.text.clone());
        document.insert("size", self.size);
        document.insert("type", self.kind.clone());
        document
    }
}

impl Header {
    /// Major and minor number of the server's version; `None` if it is not one.
    pub fn server(&self) -> Option<(u32, u32)> {
        let mut numbers = self.server_version.split(['.', '-', '+']).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
            _ => None,
        }
    }

    pub(super) fn parse(document: &RawDocument) -> Result<Self, String> {
        let (mut concurrent, mut version, mut server, mut tool) = (None, None, None, None);
        for (key, value) in fields(document)? {
            let text = || value.as_str().map(str::to_owned).ok_or_else(|| wrong(&key));
            match key.as_str() {
                "concurrent_collections" => concurrent = Some(value.as_i32().ok_or_else(|| wrong(&key))?),
                "version" => version = Some(text()?),
                "server_version" => server = Some(text()?),
                "tool_version" => tool = Some(text()?),
                _ => return Err(format!("an unknown field {key:?}")),
            }
        }
        match (concurrent, version, server, tool) {
            (Some(concurrent_collections), Some(version), Some(server_version), Some(tool_version)) => {
                if version != "0.1" {
                    return Err(format!("the archive is of version {version:?}, and not of version 0.1"));
                }
                let header = Header { concurrent_collections, version, server_version, tool_version };
                if header.server().is_none() {
                    return Err(format!("the server version {:?} is not one", header.server_version));
                }
                Ok(header)
            }
            _ => Err("a field is missing".to_owned()),
        }
    }

    pub(super) fn document(&self) -> Document {
        let mut document = Document::new();
        document.insert("concurrent_collections", self.concurrent_collections);
        document.insert("version", self.version.clone());
        document.insert("server_version", self.server_version.clone());
        document.insert("tool_version", self.tool_version.clone());
        document
    }
}

impl Prelude {
    /// The place of the oplog in the entries, if there is one.
    pub fn oplog(&self) -> Option<usize> {
        self.entries.iter().position(|entry| entry.namespace.is_oplog())
    }

    /// The bytes of a prelude, from the magic number to the terminator.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&MAGIC);
        for document in
            std::iter::once(self.header.document()).chain(self.entries.iter().map(CollectionEntry::document))
        {
            document.to_writer(&mut *out).map_err(|error| error.to_string())?;
        }
        out.extend_from_slice(&TERMINATOR);
        Ok(())
    }
}

fn wrong(key: &str) -> String {
    format!("{key} is of the wrong type")
}

/// Keys and values of a document, none of them twice.
fn fields(document: &RawDocument) -> Result<Vec<(String, Bson)>, String> {
    let mut fields: Vec<(String, Bson)> = Vec::new();
    for element in document {
        let (key, value) = element.map_err(|error| error.to_string())?;
        if fields.iter().any(|(known, _)| known == key.as_str()) {
            return Err(format!("{key} is there twice"));
        }
        let value = Bson::try_from(value).map_err(|error| error.to_string())?;
        fields.push((key.to_string(), value));
    }
    Ok(fields)
}
