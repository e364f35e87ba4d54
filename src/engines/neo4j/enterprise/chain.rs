//! Which artifacts of a directory belong together: a whole one, and those that were added to it.
//!
//! `neo4j-admin database backup --inspect-path` prints a table; its columns are found by their names. Source: Neo4j
//! operations manual 5, "Restore a database backup", whose examples are in the tests.

use crate::error::{Error, Kind, Result};

/// An artifact as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// The file's name, without its directory.
    pub(super) file: String,
    /// Of which database it is.
    pub(super) database: String,
    /// When it was made, in UTC; these texts sort as times.
    pub(super) time: String,
    /// True: the whole store; false: transactions alone.
    pub(super) full: bool,
    /// The first transaction; 0 in one that is empty.
    pub(super) lowest: u64,
    /// The last transaction; 0 in one that is empty.
    pub(super) highest: u64,
}

/// Reads the table; `None` when there is none that is understood.
pub(super) fn read(answer: &str) -> Option<Vec<Listed>> {
    let mut rows = answer.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
        Some(cells.into_iter().map(str::trim).collect::<Vec<_>>())
    });
    let names = rows.find(|cells| cells.contains(&"FILE"))?;
    let column = |wanted: &str| names.iter().position(|name| *name == wanted);
    let time = column("TIME").or_else(|| column("TIME (UTC)"))?;
    let [file, database, full, lowest, highest] =
        [column("FILE")?, column("DATABASE")?, column("FULL")?, column("LOWEST TX")?, column("HIGHEST TX")?];
    rows.filter(|cells| cells.len() == names.len())
        .map(|cells| {
            Some(Listed {
                file: cells[file].rsplit('/').next()?.to_owned(),
                database: cells[database].to_owned(),
                time: cells[time].to_owned(),
                full: cells[full].parse().ok()?,
                lowest: cells[lowest].parse().ok()?,
                highest: cells[highest].parse().ok()?,
            })
        })
        .collect()
}

/// The newest chain of a database: its last whole artifact, and everything after it, in order.
///
/// # Errors
/// [`Kind::Damaged`] when there is no whole one, or transactions between two are missing.
pub(super) fn newest(mut listed: Vec<Listed>, database: &str) -> Result<Vec<Listed>> {
    listed.retain(|artifact| artifact.database == database);
    listed.sort_by(|a, b| (&a.time, a.highest, &a.file).cmp(&(&b.time, b.highest, &b.file)));
    let begin_again = "begin a new chain: empty options.backup_directory, or name another";
    let Some(first) = listed.iter().rposition(|artifact| artifact.full) else {
        return Err(
            Error::new(Kind::Damaged, format!("there is no full backup of {database}")).hint(begin_again)
        );
    };
    let chain = listed.split_off(first);
    let mut at = chain.first().map_or(0, |artifact| artifact.highest);
    for artifact in chain.iter().skip(1).filter(|artifact| artifact.lowest > 0) {
        if artifact.lowest != at + 1 {
            let what = format!(
                "{} begins with transaction {}, and what is before it ends with {at}",
                artifact.file, artifact.lowest
            );
            return Err(Error::new(Kind::Damaged, what).hint(begin_again));
        }
        at = artifact.highest;
    }
    Ok(chain)
}

/// The last transaction that a chain holds.
pub(super) fn last_transaction(chain: &[Listed]) -> Option<u64> {
    chain.iter().map(|artifact| artifact.highest).max().filter(|id| *id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual's, with an empty one at its end.
    const TABLE: &str = "\
Picked up JAVA_TOOL_OPTIONS: -Xmx1g
|                                      FILE | DATABASE |                          DATABASE ID |          TIME (UTC) |  FULL | COMPRESSED | LOWEST TX | HIGHEST TX |
|  file:///b/neo4j-2023-06-29T14-51-33.backup |    neo4j | c8368b24-55e2-474d-bb41-75657f5bfcde | 2023-06-29T13:51:33 | false |       true |        15 |         18 |
|  file:///b/neo4j-2023-06-29T14-50-45.backup |    neo4j | c8368b24-55e2-474d-bb41-75657f5bfcde | 2023-06-29T13:50:45 | false |       true |        12 |         14 |
|  file:///b/neo4j-2023-06-29T14-46-27.backup |    neo4j | c8368b24-55e2-474d-bb41-75657f5bfcde | 2023-06-29T13:46:27 |  true |       true |         1 |         11 |
|  file:///b/neo4j-2023-06-28T14-46-27.backup |    neo4j | c8368b24-55e2-474d-bb41-75657f5bfcde | 2023-06-28T13:46:27 |  true |       true |         1 |          9 |
|  file:///b/malmo-2024-10-07T16-00-50.backup |    malmo | 62d1820c-3ac6-4b15-a0b3-bf7e7becc8d0 | 2024-10-07T16:00:50 | false |       true |         0 |          0 |
|  file:///b/neo4j-2023-06-29T15-00-00.backup |    neo4j | c8368b24-55e2-474d-bb41-75657f5bfcde | 2023-06-29T14:00:00 | false |       true |         0 |          0 |
";

    #[test]
    fn the_newest_chain_is_found_in_order() {
        let listed = read(TABLE).unwrap();
        assert_eq!(listed.len(), 6);
        let chain = newest(listed.clone(), "neo4j").unwrap();
        let names: Vec<&str> = chain.iter().map(|artifact| &artifact.file[17..25]).collect();
        assert_eq!(names, ["14-46-27", "14-50-45", "14-51-33", "15-00-00"]);
        assert_eq!(last_transaction(&chain), Some(18));
        assert!(newest(listed, "malmo").unwrap_err().message().contains("no full backup"));
    }

    #[test]
    fn a_chain_with_a_hole_is_refused() {
        let without = TABLE.lines().filter(|line| !line.contains("14-50-45")).collect::<Vec<_>>().join("\n");
        let error = newest(read(&without).unwrap(), "neo4j").unwrap_err();
        assert_eq!(
            error.message(),
            "neo4j-2023-06-29T14-51-33.backup begins with transaction 15, and what is before it ends with 11"
        );
        assert_eq!(error.kind(), Kind::Damaged);
    }

    #[test]
    fn what_is_no_table_says_nothing() {
        for text in ["", "neo4j: fine", "| FILE | DATABASE |\n| a | b |", &TABLE.replace("true", "yes")] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
