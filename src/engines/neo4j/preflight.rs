//! What would make an export fail or be partial.

use super::connect::{Server, all, connect, explain, look, text};
use super::engine::Neo4j;
use super::restore::existing;
use crate::bolt::Connection;
use crate::engines::Finding;
use crate::error::Result;

impl Neo4j {
    /// Looks at the source before an export.
    pub(super) async fn preflight_export(&self) -> Result<Vec<Finding>> {
        let mut connection = connect(&self.uri).await?;
        let server = look(&mut connection, &self.uri).await?;
        let mut findings = vec![Finding::ok(
            "server",
            format!("Neo4j {} {}, Bolt {}", server.version, server.edition, connection.version()),
        )];
        let held = existing::held(&mut connection, &server).await?;
        match held.claim {
            Some(claim) => findings.push(Finding::error(
                "database",
                format!("{} holds half of {claim}", server.database),
                "wait until it is done, or restore again with --replace",
            )),
            None => findings.push(Finding::ok(
                "database",
                format!(
                    "{} has {} nodes, {}",
                    server.database,
                    held.nodes,
                    super::graph::schema::counted(held.definitions)
                ),
            )),
        }
        findings.extend(privileges(&mut connection, &server).await?);
        Ok(findings)
    }
}

/// In the Enterprise edition a user may see a part of the graph, and is not told.
async fn privileges(connection: &mut Connection, server: &Server) -> Result<Vec<Finding>> {
    if server.edition != "enterprise" {
        return Ok(Vec::new());
    }
    const QUERY: &str = "SHOW USER PRIVILEGES YIELD access, action, resource, graph, segment \
                         RETURN access, action, resource, graph, segment";
    let rows = match all(connection, Some("system"), QUERY).await {
        Ok(rows) => rows,
        Err(cause) => {
            let error = explain(&server.shown, cause);
            return Ok(vec![Finding::warning(
                "privileges",
                format!("it cannot be seen whether the user may read everything: {}", error.chain()),
            )]);
        }
    };
    let rows: Vec<[String; 5]> =
        rows.iter().map(|row| [0, 1, 2, 3, 4].map(|column| text(row, column))).collect();
    Ok(vec![match problem(&rows, &server.database) {
        None => Finding::ok("privileges", "the user may read every node and relationship"),
        Some(problem) => Finding::error(
            "privileges",
            problem,
            format!("as an administrator: GRANT MATCH {{*}} ON GRAPH {} TO role", server.database),
        ),
    }])
}

/// What keeps a user from reading everything. Rows: access, action, resource, graph, segment.
/// Source: Cypher manual, "Listing privileges".
fn problem(rows: &[[String; 5]], database: &str) -> Option<String> {
    let here = |graph: &String| graph == "*" || graph == database || graph == "DEFAULT" || graph == "HOME";
    let reads = |action: &str| ["match", "read", "traverse"].contains(&action);
    let denied =
        rows.iter().find(|[access, action, _, graph, _]| access == "DENIED" && reads(action) && here(graph));
    if let Some([_, action, resource, _, segment]) = denied {
        return Some(format!("the user is denied to {action} {resource} on {segment}"));
    }
    for wanted in ["NODE(*)", "RELATIONSHIP(*)"] {
        let granted = |action: &str| {
            rows.iter().any(|[access, found, resource, graph, segment]| {
                let all = resource == "all_properties" || resource == "graph" || action == "traverse";
                access == "GRANTED" && found == action && here(graph) && segment == wanted && all
            })
        };
        if !(granted("match") || granted("read") && granted("traverse")) {
            return Some(format!("the user may not read all properties of {wanted}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lines: &[&str]) -> Vec<[String; 5]> {
        let row = |line: &&str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            words.try_into().unwrap()
        };
        lines.iter().map(row).collect()
    }

    #[test]
    fn a_user_who_does_not_see_everything_is_found() {
        let whole =
            ["GRANTED match all_properties * NODE(*)", "GRANTED match all_properties * RELATIONSHIP(*)"];
        assert_eq!(problem(&rows(&whole), "neo4j"), None);
        let apart = [
            "GRANTED traverse graph neo4j NODE(*)",
            "GRANTED read all_properties neo4j NODE(*)",
            "GRANTED match all_properties neo4j RELATIONSHIP(*)",
        ];
        assert_eq!(problem(&rows(&apart), "neo4j"), None);
        assert!(problem(&rows(&apart), "movies").unwrap().contains("NODE(*)"));
        assert!(problem(&rows(&whole[..1]), "neo4j").unwrap().contains("RELATIONSHIP(*)"));
        let mut denied = whole.to_vec();
        denied.push("DENIED traverse graph * NODE(Secret)");
        assert_eq!(
            problem(&rows(&denied), "neo4j").unwrap(),
            "the user is denied to traverse graph on NODE(Secret)"
        );
    }
}
