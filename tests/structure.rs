//! The shape of the sources: imports point one way, and only the command line talks to the world.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// For each room, the rooms that it may use. What is in no list may be used by nobody but `main.rs`.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("secret", &[]),
    ("cancel", &["error"]),
    ("clock", &[]),
    ("duty", &["error"]),
    ("units", &[]),
    ("http", &["error"]),
    ("mail", &["http", "error", "secret"]),
    ("tls", &[]),
    ("bolt", &["tls", "error", "secret"]),
    ("stores", &["http", "error", "secret"]),
    ("pipeline", &["stores", "error", "secret"]),
    ("retention", &["error"]),
    ("engines", &["bolt", "tls", "pipeline", "cancel", "duty", "error", "secret"]),
    ("catalog", &["pipeline", "stores", "clock", "error"]),
    ("config", &["retention", "stores", "mail", "error", "secret"]),
    ("kubernetes", &["error"]),
    (
        "operations",
        &["catalog", "engines", "retention", "pipeline", "stores", "cancel", "clock", "units", "error"],
    ),
    (
        "drill",
        &["operations", "catalog", "engines", "config", "pipeline", "stores", "cancel", "clock", "error"],
    ),
    ("reports", &["drill", "operations", "catalog", "retention", "engines", "pipeline", "units", "error"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with its path under `src`.
fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 50, "only {} sources", found.len());
    found.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The part of a file that is not tests. Files of tests have none.
fn production<'a>(name: &str, text: &'a str) -> &'a str {
    let file_of_tests = ["retention/golden.rs", "retention/properties.rs"].contains(&name)
        || name.split('/').any(|part| part == "tests" || part.ends_with("tests.rs"));
    if file_of_tests { "" } else { text.split("#[cfg(test)]").next().unwrap_or_default() }
}

fn room(name: &str) -> &str {
    let first = name.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

#[test]
fn imports_point_one_way() {
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, text) in all() {
        let (here, text) = (room(&name), production(&name, &text));
        let Some(allowed) = rooms.get(here) else { continue };
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for part in line.split("crate::").skip(1) {
                let used: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if used != here && !used.is_empty() && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{name} uses {used}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn engines_are_named_in_one_table_alone() {
    let mut wrong = Vec::new();
    for (name, text) in all() {
        if name.starts_with("engines/") {
            continue;
        }
        let lines = production(&name, &text).lines();
        for line in
            lines.filter(|line| line.contains("engines::postgres") || line.contains("\"postgres\" =>"))
        {
            wrong.push(format!("{name}: {}", line.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_below_the_command_line_asks_the_environment_or_the_clock() {
    let forbidden =
        ["std::env::var", "env::vars", "Utc::now()", "Local::now()", "SystemTime::now()", "process::exit"];
    let mut wrong = Vec::new();
    for (name, text) in all() {
        if name.starts_with("cli/") || name == "main.rs" {
            continue;
        }
        for (number, line) in production(&name, &text).lines().enumerate() {
            // A file's time is the time of the store that it is: touching one asks that store's clock.
            if name == "stores/file/disk.rs" && line.contains("set_modified") {
                continue;
            }
            if !line.trim_start().starts_with("//") && forbidden.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_small() {
    let long: Vec<String> = all()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 500)
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn the_entry_point_is_thin() {
    let main = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs")).unwrap();
    assert!(main.lines().count() <= 40);
}

#[test]
fn the_image_has_the_versions_that_are_tested() {
    let read =
        |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let (dockerfile, services) = (read("Dockerfile"), read("scripts/services"));
    for name in ["MONGOTOOLS", "MONGOTOOLS_COMMIT"] {
        let line = services.lines().find(|line| line.starts_with(&format!("{name}="))).unwrap();
        let line = line.split_whitespace().next().unwrap();
        assert!(dockerfile.contains(&format!("\nARG {line}\n")), "{line} is not in the Dockerfile");
    }
    let version = format!("\nARG VERSION={}\n", env!("CARGO_PKG_VERSION"));
    assert!(dockerfile.contains(&version), "{version}");
}
