//! Under which names a backup is restored.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::Namespace;
use crate::error::{Error, Kind, Result};

/// The longest name of a database, in bytes (manual, "MongoDB Limits").
const LONGEST_DATABASE: usize = 63;

/// Other names for databases and collections; without any, everything keeps its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    /// Goes before every database's name.
    prefix: Option<String>,
    databases: BTreeMap<String, String>,
    collections: BTreeMap<String, Namespace>,
}

impl Naming {
    /// Names as a drill gives them: all databases behind a prefix of its own, if it has one.
    pub fn staged(prefix: Option<&str>) -> Naming {
        Naming { prefix: prefix.map(str::to_owned), ..Naming::default() }
    }

    /// Names as an operator gives them: one database's new name, or pairs of databases or collections.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a name that is not in the backup, or that cannot be one.
    pub fn asked(
        database: Option<&str>,
        renames: &[(String, String)],
        there: &BTreeSet<&str>,
    ) -> Result<Naming> {
        let mut naming = Naming::default();
        let usage = |message: String, hint: String| Error::new(Kind::Usage, message).hint(hint);
        if let Some(new) = database {
            let own: Vec<&str> = there.iter().copied().filter(|name| !is_system(name)).collect();
            let [only] = own.as_slice() else {
                return Err(usage(
                    format!("{} databases cannot all be restored as {new}", own.len()),
                    format!("give each its own name: {}", example(&own)),
                ));
            };
            check_database(new)?;
            naming.databases.insert((*only).to_owned(), new.to_owned());
        }
        for (from, to) in renames {
            match (from.split_once('.'), to.split_once('.')) {
                (None, None) => {
                    if !there.contains(from.as_str()) {
                        return Err(usage(
                            format!("there is no database {from} in the backup"),
                            format!("its databases: {}", list(there)),
                        ));
                    }
                    check_database(to)?;
                    naming.databases.insert(from.clone(), to.clone());
                }
                (Some((database, _)), Some((new, collection))) if !collection.is_empty() => {
                    if !there.contains(database) {
                        return Err(usage(
                            format!("there is no database {database} in the backup"),
                            format!("its databases: {}", list(there)),
                        ));
                    }
                    check_database(new)?;
                    naming.collections.insert(from.clone(), Namespace::new(new, collection));
                }
                _ => {
                    return Err(usage(
                        format!("{from}={to}: one is a database and the other a collection"),
                        "write shop=shop_old, or shop.orders=shop.orders_old".to_owned(),
                    ));
                }
            }
        }
        Ok(naming)
    }

    /// The name of a database.
    pub fn database(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => behind(prefix, name),
            None => self.databases.get(name).cloned().unwrap_or_else(|| name.to_owned()),
        }
    }

    /// The name of a collection, view or time series. Buckets go with their time series.
    pub fn of(&self, name: &Namespace) -> Namespace {
        if let Some(series) = name.time_series() {
            return self.of(&series).buckets();
        }
        match self.collections.get(&name.to_string()) {
            Some(new) => new.clone(),
            None => Namespace::new(self.database(&name.db), &*name.collection),
        }
    }

    /// The collections that get another name, and that were not found in the backup.
    pub fn unknown<'n>(&'n self, known: &BTreeSet<String>) -> Option<&'n str> {
        self.collections.keys().map(String::as_str).find(|name| !known.contains(*name))
    }
}

/// True for the databases of the server itself.
pub fn is_system(database: &str) -> bool {
    matches!(database, "admin" | "config" | "local")
}

/// `PREFIX_NAME`, where that is too long with a hash in place of the name's end.
fn behind(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}_{name}");
    if whole.len() <= LONGEST_DATABASE {
        return whole;
    }
    let hash = format!("_{:08x}", xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as u32);
    let mut end = LONGEST_DATABASE - hash.len();
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{hash}", &whole[..end])
}

/// Source: manual, "MongoDB Limits: Naming Restrictions".
fn check_database(name: &str) -> Result<()> {
    let bad = name.is_empty()
        || name.len() > LONGEST_DATABASE
        || name.contains(['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0']);
    if bad || is_system(name) {
        return Err(Error::new(Kind::Usage, format!("{name:?} cannot be the name of a restored database"))
            .hint("a name has at most 63 bytes and none of / \\ . \" $ * < > : | ? or a space"));
    }
    Ok(())
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

fn example(names: &[&str]) -> String {
    names.iter().take(2).map(|name| format!("--map {name}={name}_restored")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(full: &str) -> Namespace {
        Namespace::parse(full).unwrap()
    }

    #[test]
    fn drills_have_a_prefix_that_always_fits() {
        let naming = Naming::staged(Some("lifeboat_drill_x"));
        assert_eq!(naming.of(&name("shop.system.buckets.t")), name("lifeboat_drill_x_shop.system.buckets.t"));
        let (long, other) = ("ü".repeat(31), format!("{}x", "ü".repeat(30)));
        assert!(naming.database(&long).len() <= 63);
        assert_ne!(naming.database(&long), naming.database(&other));
        assert_eq!(Naming::staged(None).of(&name("a.b")), name("a.b"));
    }

    #[test]
    fn operators_name_databases_and_collections() {
        let there = BTreeSet::from(["shop", "blog", "admin"]);
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let naming = Naming::asked(None, &[pair("shop", "shop2"), pair("blog.a.b", "x.y")], &there).unwrap();
        assert_eq!(naming.of(&name("shop.orders")), name("shop2.orders"));
        assert_eq!(naming.of(&name("blog.a.b")), name("x.y"));
        assert_eq!(naming.of(&name("blog.system.buckets.a.b")), name("x.system.buckets.y"));
        assert_eq!(naming.of(&name("blog.c")), name("blog.c"));
        assert_eq!(naming.unknown(&BTreeSet::new()), Some("blog.a.b"));
        let one = Naming::asked(Some("new"), &[], &BTreeSet::from(["shop", "admin"])).unwrap();
        assert_eq!(one.of(&name("shop.orders")), name("new.orders"));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let there = BTreeSet::from(["shop", "blog"]);
        let asked = |database, from: &str, to: &str| {
            Naming::asked(database, &[(from.to_owned(), to.to_owned())], &there).unwrap_err()
        };
        assert!(asked(Some("x"), "shop", "y").message().contains("2 databases cannot all"));
        assert!(asked(None, "nope", "y").message().contains("no database nope"));
        assert!(asked(None, "shop", "a.b").message().contains("one is a database"));
        assert!(asked(None, "shop", "admin").message().contains("cannot be the name"));
        assert!(asked(None, "shop", "a b").message().contains("cannot be the name"));
    }
}
