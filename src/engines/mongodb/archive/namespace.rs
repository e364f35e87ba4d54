//! Names of collections, and which of them a dump of a whole server holds.

use std::fmt;

/// What the name of the collection with a time series' data begins with, before MongoDB 8.3.
pub const BUCKETS: &str = "system.buckets.";
/// The collection in which a database keeps its views.
pub const VIEWS: &str = "system.views";

/// A database and a collection (or view, or time series) in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace {
    /// The database; empty for the oplog in an archive.
    pub db: String,
    /// The collection.
    pub collection: String,
}

impl Namespace {
    /// Puts the two names together.
    pub fn new(db: impl Into<String>, collection: impl Into<String>) -> Self {
        Namespace { db: db.into(), collection: collection.into() }
    }

    /// Divides `database.collection` at the first dot; `None` where there is none.
    pub fn parse(full: &str) -> Option<Self> {
        full.split_once('.').map(|(db, collection)| Namespace::new(db, collection))
    }

    /// True for the oplog of `mongodump --oplog` in an archive.
    pub fn is_oplog(&self) -> bool {
        self.db.is_empty() && self.collection == "oplog"
    }

    /// For a buckets collection, the time series that it belongs to.
    pub fn time_series(&self) -> Option<Namespace> {
        self.collection.strip_prefix(BUCKETS).map(|name| Namespace::new(&*self.db, name))
    }

    /// The buckets collection of a time series of this name.
    pub fn buckets(&self) -> Namespace {
        Namespace::new(&*self.db, format!("{BUCKETS}{}", self.collection))
    }

    /// True for what a dump of all databases holds, by the rules of mongodump 100.12
    /// (`shouldSkipSystemNamespace` and `GetValidDbs`). Buckets collections are dumped as their time series.
    pub fn is_dumped(&self) -> bool {
        let name = self.collection.strip_prefix(BUCKETS).unwrap_or(&self.collection);
        if self.db.starts_with("__mdb_internal") {
            return false;
        }
        match self.db.as_str() {
            "local" => false,
            "admin" => name != "system.keys",
            "config" => ["chunks", "collections", "databases", "settings", "shards", "tags", "version"]
                .contains(&name),
            _ => name == "system.js" || (!name.starts_with("system.") && !name.contains('$')),
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.db.is_empty() {
            return f.write_str(&self.collection);
        }
        write!(f, "{}.{}", self.db, self.collection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_divided_at_the_first_dot() {
        let name = Namespace::parse("shop.with.dots").unwrap();
        assert_eq!(name, Namespace::new("shop", "with.dots"));
        assert_eq!(name.to_string(), "shop.with.dots");
        assert_eq!(Namespace::parse("shop"), None);
        assert_eq!(Namespace::new("", "oplog").to_string(), "oplog");
        assert_eq!(name.buckets().time_series(), Some(name));
    }

    #[test]
    fn system_collections_are_not_dumped() {
        let dumped = |full: &str| Namespace::parse(full).unwrap().is_dumped();
        for yes in ["shop.orders", "shop.system.js", "shop.system.buckets.w", "admin.system.users"] {
            assert!(dumped(yes), "{yes}");
        }
        for no in
            ["shop.system.views", "shop.system.profile", "local.x", "config.system.indexBuilds", "a.$cmd"]
        {
            assert!(!dumped(no), "{no}");
        }
    }
}
