//! Inventories, closures and smaller archives of the real samples.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::inventory::{self, TablePlan};
use super::rewrite::{BlockSelector, list_file};
use super::samples::{ENCODING, EXTENSION, Entry, PG15, PG17, ROWS, Writer, read, toc_end};
use super::{Archive, TableRef, Toc};
use crate::error::Kind;
use crate::pipeline::inventory::{Inventory, Place};

fn archive(bytes: &[u8]) -> Archive {
    read(bytes, usize::MAX).unwrap().0
}

fn text(inventory: &Inventory) -> String {
    let mut lines = format!("encoding {}\n", inventory.encoding);
    for item in &inventory.items {
        let name = format!("{} {}", item.kind, item.full_name());
        let value = item.value.as_deref().unwrap_or("-");
        lines += &format!("{name}: {} rows, {} bytes, {}, {value}", item.rows, item.bytes, item.digest);
        lines += &if item.plan.is_null() { "\n".into() } else { format!(", {}\n", item.plan) };
    }
    for d in &inventory.definitions {
        let parent = if d.parent.is_empty() { "-" } else { &d.parent };
        lines += &format!("{} | {} | {} | {parent} | {} | {}\n", d.kind, d.schema, d.name, d.owner, d.text);
    }
    lines
}

#[test]
fn inventories_stay_as_they_are() {
    for (name, sample) in [("pg_dump_15", PG15), ("pg_dump_17", PG17), ("pg_dump_17_extension", EXTENSION)] {
        insta::assert_snapshot!(name, text(&inventory::inventory(&archive(sample), &|_| None)));
    }
}

#[test]
fn two_versions_of_the_tool_count_the_same() {
    let of = |sample| inventory::inventory(&archive(sample), &|_| None);
    let (old, new) = (of(PG15), of(PG17));
    assert_eq!(old.items, new.items);
    let rows = |name: &str| new.items.iter().find(|item| item.name == name).map(|item| item.rows);
    assert_eq!([rows("nothing"), rows("empty_table"), rows("moods")], [Some(4), Some(0), Some(4)]);
    assert_eq!([rows("moods_0"), rows("events_2025"), rows("events")], [None, Some(2), None]);
}

#[test]
fn items_know_their_place_and_plan() {
    let archive = archive(PG17);
    let place = |at: u64| Some(Place { frame: 1, offset: at });
    let inventory = inventory::inventory(&archive, &place);
    let item = |name: &str| inventory.items.iter().find(|item| item.name == name).unwrap();
    let plan = |name: &str| serde_json::from_value::<TablePlan>(item(name).plan.clone()).unwrap();
    assert_eq!(plan("orders").columns, ["id", "customer", "total", "code", "odd \"name, x"]);
    assert!(plan("moods").via_root && !plan("orders").via_root && !plan("orders").extension);
    let first = archive.tables[0];
    let first_name = &archive.toc.get(first.dump_id).unwrap().tag;
    assert_eq!(item(first_name).place, place(first.at));
    assert_eq!(item("large_objects").place, archive.large_objects.at.and_then(place));
    assert_eq!(
        (item("fresh").value.as_deref(), item("Zähler").value.as_deref()),
        (Some("5,f"), Some("-9,t"))
    );
    assert_eq!(item("unfilled").value.as_deref(), Some(inventory::NOT_POPULATED));
    assert_eq!(item("totals").value.as_deref(), Some(inventory::POPULATED));
}

fn closure(toc: &Toc, names: &[&str]) -> String {
    let tables: Vec<TableRef> = names.iter().flat_map(|name| toc.match_tables(name).unwrap()).collect();
    let ids = toc.closure_for_tables(&tables);
    let names: Vec<String> = ids.iter().map(|id| toc.get(*id).unwrap().full_name()).collect();
    names.join("\n")
}

#[test]
fn closures_hold_what_a_table_needs() {
    for (version, sample) in [("15", PG15), ("17", PG17)] {
        let toc = archive(sample).toc;
        let chosen: [&[&str]; 7] = [
            &["orders"],
            &["customers", "public.orders"],
            &["events"],
            &["events_2024"],
            &["moods_0"],
            &["Tabelle*"],
            &["child_plain"],
        ];
        let texts = chosen.map(|names| format!("== {}\n{}\n", names.join(", "), closure(&toc, names)));
        insta::assert_snapshot!(format!("closures_{version}"), texts.concat());
    }
    let toc = archive(EXTENSION).toc;
    assert_eq!(closure(&toc, &["cfg"]), "EXTENSION cfgx\nCOMMENT EXTENSION cfgx\nTABLE DATA public.cfg");
}

#[test]
fn partitions_that_attach_themselves_belong_to_their_root() {
    // As pg_dump 12 and 13 write them, without TABLE ATTACH entries.
    let table = Entry {
        id: 10,
        tag: "root",
        desc: "TABLE",
        definition: "CREATE TABLE",
        data: false,
        copy: None,
        ..ROWS
    };
    let attach = "CREATE TABLE public.leaf (a int);\nALTER TABLE ONLY public.root ATTACH PARTITION public.leaf DEFAULT;\n";
    let leaf = Entry { id: 11, tag: "leaf", definition: attach, dependencies: &["10"], ..table };
    let heir = Entry { id: 12, tag: "heir", dependencies: &["10"], ..table };
    let mut writer =
        Writer::toc(&[ENCODING, table, leaf, heir, Entry { tag: "leaf", dependencies: &["11"], ..ROWS }]);
    writer.rows(2, "x\n");
    let toc = archive(&writer.bytes).toc;
    assert_eq!(closure(&toc, &["root"]), "TABLE public.root\nTABLE public.leaf\nTABLE DATA public.leaf");
    assert_eq!(closure(&toc, &["heir"]), "TABLE public.root\nTABLE public.heir");
}

#[test]
fn the_parent_is_told_by_schema_and_tag() {
    let table = Entry { id: 10, tag: "t", desc: "TABLE", data: false, copy: None, ..ROWS };
    let other = Entry { id: 11, schema: "other", ..table };
    let near = Entry { id: 12, tag: "t x", ..table };
    let key =
        Entry { id: 13, tag: "t x key", desc: "FK CONSTRAINT", dependencies: &["11", "10", "12"], ..table };
    let same = Entry { id: 14, tag: "t key", schema: "other", dependencies: &["11", "10"], ..key };
    let view = Entry { id: 15, tag: "t view", desc: "VIEW", dependencies: &["10"], ..table };
    let toc = archive(&Writer::toc(&[ENCODING, table, other, near, key, same, view]).bytes).toc;
    let parent = |id: i32| toc.parent_of(toc.get(id).unwrap()).map(|parent| parent.dump_id);
    assert_eq!([parent(13), parent(14), parent(15)], [Some(12), Some(11), None]);
}

#[test]
fn tables_are_found_by_name() {
    let toc = archive(PG17).toc;
    let names = |pattern: &str| -> Vec<String> {
        toc.match_tables(pattern).unwrap().iter().map(TableRef::to_string).collect()
    };
    assert_eq!(names("orders"), ["public.orders"]);
    assert_eq!(names("public.moods*"), ["public.moods", "public.moods_0", "public.moods_1"]);
    assert_eq!(names("Tabelle \"Nr. 1\""), ["Ünïcode schema.Tabelle \"Nr. 1\""]);
    assert_eq!(names("\"Ünïcode schema\".\"Tabelle \"\"Nr. 1\"\"\""), ["Ünïcode schema.Tabelle \"Nr. 1\""]);
    let error = toc.match_tables("public.oders").unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    insta::assert_snapshot!(
        format!("{error:?}"),
        @r#"Usage: no table in this backup matches "public.oders" (hint: the nearest names are public.orders, public.events, public.moods)"#
    );
}

/// The archive with the blocks of these entries only.
fn select(bytes: &[u8], wanted: &[i32], portion: usize) -> Vec<u8> {
    let mut selector = BlockSelector::new(wanted.iter().copied());
    let mut out = Vec::new();
    for part in bytes.chunks(portion) {
        selector.feed(part, &mut |bytes| out.extend_from_slice(bytes)).unwrap();
    }
    assert!(selector.toc().is_some());
    selector.finish().unwrap();
    out
}

#[test]
fn chosen_blocks_pass_and_others_do_not() {
    let archive = archive(PG17);
    let wanted = [archive.tables[1].dump_id, archive.tables[4].dump_id];
    let whole = select(PG17, &wanted, usize::MAX);
    for portion in [1, 2, 3, 5, 6, 7, 64, 1000] {
        assert_eq!(select(PG17, &wanted, portion), whole, "portions of {portion}");
    }
    let block = |number: usize| {
        let [start, end] = [archive.tables[number].at, archive.tables[number + 1].at];
        &PG17[start as usize..end as usize]
    };
    assert_eq!(whole, [&PG17[..toc_end(PG17)], block(1), block(4)].concat());
    assert_eq!(select(PG17, &[], 1), &PG17[..toc_end(PG17)]);
    let all: Vec<i32> = archive.toc.entries().iter().map(|entry| entry.dump_id).collect();
    assert_eq!(select(PG17, &all, 1), PG17);
}

/// The pg_restore programs of this machine that can read archives of version 1.14.
fn pg_restores() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/pg_restore")).filter(|path| path.exists()).collect()
}

/// Runs pg_restore, which writes the commands that it would send, and returns these.
fn run(program: &PathBuf, arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new(program);
    command.args(["--file=-"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may stop reading after the last block that it wants.
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    // A key of the security fix CVE-2025-8714 is random.
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.contains("restrict ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn pg_restore_accepts_the_contents_alone_and_chosen_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let contents = directory.path().join("contents.dump");
    std::fs::write(&contents, &PG15[..toc_end(PG15)]).unwrap();
    let contents = contents.to_str().unwrap();
    let archive = archive(PG15);
    let wanted = archive.toc.closure_for_tables(&archive.toc.match_tables("single").unwrap());
    let list = directory.path().join("list");
    std::fs::write(&list, list_file(&archive.toc, &wanted)).unwrap();
    let list = format!("--use-list={}", list.display());
    for program in pg_restores() {
        let pre = run(&program, &["--section=pre-data", contents], b"");
        assert!(pre.contains("CREATE TABLE public.orders") && !pre.contains("COPY"), "{pre}");
        let post = run(&program, &["--section=post-data", contents], b"");
        assert!(post.contains("REFRESH MATERIALIZED VIEW") && !post.contains("CREATE TABLE"), "{post}");
        let some = run(&program, &[&list], &select(PG15, &wanted, 1000));
        assert!(some.contains("COPY public.single (t) FROM stdin;\n\\\\.\n.\n\n"), "{some}");
        assert!(!some.contains("COPY public.orders"), "{some}");
        assert_eq!(some, run(&program, &[&list], PG15));
    }
}
