//! Which entries belong to a table, for a restore of chosen tables only.

use std::collections::{HashMap, HashSet};

use super::ident;
use super::toc::{TableRef, Toc, TocEntry};
use crate::error::{Error, Kind};

/// How many near names an error lists.
const NEAR_NAMES: usize = 3;

impl Toc {
    /// The dump ids, in the order of the archive, that a restore of these tables needs.
    ///
    /// These are: the tables with all their partitions, rows, owned sequences and their values,
    /// defaults, constraints, indexes, statistics, triggers, rules, policies, comments and grants; and
    /// what all of these depend on (schemas, types, functions, extensions, parent tables), as far as the
    /// archive has it, without rows. A foreign key is included only when both of its tables were
    /// chosen. The rows of an extension's table bring all extensions. A partition whose rows are loaded through its root brings the whole root.
    pub fn closure_for_tables(&self, tables: &[TableRef]) -> Vec<i32> {
        let mut closure = Closure::new(self);
        closure.choose(tables);
        closure.grow();
        closure.attach_indexes();
        self.entries().iter().map(|entry| entry.dump_id).filter(|id| closure.included.contains(id)).collect()
    }

    /// The tables that `pattern` names: `schema.name` or `name`, either with `*` for any text, or quoted
    /// as in SQL. A bare name may match in several schemas.
    ///
    /// Fails with [`Kind::Usage`] when there is none; the hint lists the nearest names.
    pub fn match_tables(&self, pattern: &str) -> Result<Vec<TableRef>, Error> {
        let mut known: Vec<TableRef> =
            self.entries().iter().filter(|e| self.is_choosable(e)).map(TocEntry::table_ref).collect();
        known.sort();
        known.dedup();
        let quoted = pattern.contains('"').then(|| ident::qualified_name(pattern)).flatten();
        let matches = |table: &TableRef| match &quoted {
            Some(wanted) => {
                wanted.name == table.name && (wanted.schema.is_empty() || wanted.schema == table.schema)
            }
            None => glob(pattern, &table.name) || glob(pattern, &table.to_string()),
        };
        let found: Vec<TableRef> = known.iter().filter(|table| matches(table)).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let bare = pattern.replace('"', "");
        let mut near: Vec<(usize, String)> = known
            .iter()
            .map(|table| {
                (distance(&bare, &table.name).min(distance(&bare, &table.to_string())), table.to_string())
            })
            .collect();
        near.sort();
        let names: Vec<String> = near.into_iter().take(NEAR_NAMES).map(|(_, name)| name).collect();
        let error = Error::new(Kind::Usage, format!("no table in this backup matches \"{pattern}\""));
        Err(if names.is_empty() {
            error.hint("the backup holds no tables at all")
        } else {
            error.hint(format!("the nearest names are {}", names.join(", ")))
        })
    }

    /// True for tables, and for rows of an extension's table, which has no entry of its own.
    fn is_choosable(&self, entry: &TocEntry) -> bool {
        matches!(&*entry.desc, "TABLE" | "FOREIGN TABLE") || self.is_extension_data(entry)
    }

    /// True for the rows of a configuration table that an extension created: a TABLE DATA without its TABLE.
    pub fn is_extension_data(&self, entry: &TocEntry) -> bool {
        &*entry.desc == "TABLE DATA" && self.parent_of(entry).is_none()
    }
}

/// A set of entries that grows until it holds all that it needs.
struct Closure<'a> {
    toc: &'a Toc,
    dependents: HashMap<i32, Vec<&'a TocEntry>>,
    /// Tables (and extension rows) that are wanted with their rows, by dump id.
    chosen: HashSet<i32>,
    included: HashSet<i32>,
    work: Vec<&'a TocEntry>,
}

impl<'a> Closure<'a> {
    fn new(toc: &'a Toc) -> Self {
        let mut dependents: HashMap<i32, Vec<&TocEntry>> = HashMap::new();
        for entry in toc.entries() {
            for id in &entry.dependencies {
                dependents.entry(*id).or_default().push(entry);
            }
        }
        Closure { toc, dependents, chosen: HashSet::new(), included: HashSet::new(), work: Vec::new() }
    }

    fn dependents(&self, id: i32) -> Vec<&'a TocEntry> {
        self.dependents.get(&id).cloned().unwrap_or_default()
    }

    /// Marks the tables, all their partitions, and the roots that their rows are loaded through.
    fn choose(&mut self, tables: &[TableRef]) {
        let toc = self.toc;
        let mut by_name: HashMap<TableRef, &TocEntry> = HashMap::new();
        for entry in toc.entries().iter().filter(|entry| toc.is_choosable(entry)) {
            by_name.insert(entry.table_ref(), entry);
        }
        let mut queue: Vec<&TocEntry> =
            tables.iter().filter_map(|table| by_name.get(table).copied()).collect();
        while let Some(table) = queue.pop() {
            if !self.chosen.insert(table.dump_id) {
                continue;
            }
            self.include(table);
            if toc.is_extension_data(table) {
                // The archive does not tell which extension made the table.
                toc.entries()
                    .iter()
                    .filter(|entry| &*entry.desc == "EXTENSION")
                    .for_each(|e| self.include(e));
            }
            for entry in self.dependents(table.dump_id) {
                match &*entry.desc {
                    "TABLE ATTACH" if self.is_parent(table, entry) => {
                        queue.extend(by_name.get(&entry.table_ref()));
                    }
                    // Before pg_dump 14 a partition attaches itself.
                    "TABLE" | "FOREIGN TABLE" if attaches_itself(entry) => queue.push(entry),
                    "TABLE DATA" => {
                        queue.extend(entry.copy.as_ref().and_then(|copy| by_name.get(&copy.table)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Includes what included entries depend on and what belongs to them, until nothing is added.
    fn grow(&mut self) {
        while let Some(entry) = self.work.pop() {
            for id in &entry.dependencies {
                if let Some(needed) = self.toc.get(*id)
                    && (&*needed.desc != "FK CONSTRAINT" || self.both_chosen(needed))
                {
                    self.include(needed);
                }
            }
            for other in self.dependents(entry.dump_id) {
                if self.belongs(other, entry) {
                    self.include(other);
                }
            }
        }
    }

    /// Whether `other`, which depends on the included `entry`, is restored with it.
    fn belongs(&self, other: &TocEntry, entry: &TocEntry) -> bool {
        match &*other.desc {
            "COMMENT" | "ACL" | "SECURITY LABEL" => true,
            "SEQUENCE SET" | "SEQUENCE OWNED BY" => &*entry.desc == "SEQUENCE",
            _ if !self.chosen.contains(&entry.dump_id) => false,
            "FK CONSTRAINT" => self.is_parent(entry, other) && self.both_chosen(other),
            // A sequence depends on a table only when a column of it owns the sequence.
            "SEQUENCE" => true,
            // Of a partition; those of a root belong to its partitions, which are chosen too.
            "TABLE ATTACH" => true,
            "TABLE DATA" | "DEFAULT" | "CONSTRAINT" | "CHECK CONSTRAINT" | "INDEX" | "TRIGGER" | "RULE"
            | "POLICY" | "ROW SECURITY" | "STATISTICS" | "STATISTICS DATA" => self.is_parent(entry, other),
            _ => false,
        }
    }

    fn is_parent(&self, table: &TocEntry, entry: &TocEntry) -> bool {
        self.toc.parent_of(entry).is_some_and(|parent| parent.dump_id == table.dump_id)
    }

    /// Whether all tables that a foreign key depends on were chosen.
    fn both_chosen(&self, key: &TocEntry) -> bool {
        let tables = key.dependencies.iter().filter_map(|id| self.toc.get(*id)).filter(|e| e.is_relation());
        tables.into_iter().all(|table| self.chosen.contains(&table.dump_id))
    }

    /// An index is attached to its parent index when both are there.
    fn attach_indexes(&mut self) {
        for entry in self.toc.entries().iter().filter(|entry| &*entry.desc == "INDEX ATTACH") {
            let there =
                |id: &i32| self.toc.get(*id).is_none_or(|other| self.included.contains(&other.dump_id));
            if entry.dependencies.iter().all(there) {
                self.included.insert(entry.dump_id);
            }
        }
    }

    fn include(&mut self, entry: &'a TocEntry) {
        if self.included.insert(entry.dump_id) {
            self.work.push(entry);
        }
    }
}

fn attaches_itself(entry: &TocEntry) -> bool {
    memchr::memmem::find(&entry.definition, b" ATTACH PARTITION ").is_some()
}

/// Whether `pattern`, in which `*` stands for any text, matches all of `text`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// The Levenshtein distance: how many characters differ.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_and_distances() {
        assert!(glob("orders", "orders") && !glob("orders", "orders_2"));
        assert!(glob("*", "") && glob("a*", "abc") && glob("*c", "abc") && glob("a*b*c", "a1b2c"));
        assert!(!glob("a*b", "abc") && !glob("*b*", "ac") && glob("*.orders", "public.orders"));
        assert_eq!(
            (distance("order", "orders"), distance("", "ab"), distance("kitten", "sitting")),
            (1, 2, 3)
        );
    }
}
