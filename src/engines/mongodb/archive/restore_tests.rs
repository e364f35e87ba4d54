//! Rewritten archives, and what the oplog does to definitions, on real archives.

use std::collections::BTreeSet;

use mongodb::bson::doc;

use super::inventory::inventory;
use super::oplog::{Command, Entry, Operation, Touched};
use super::rewrite::{Kept, Placement, Rewriter};
use super::samples::{ALL, OPLOG, SHOP, bytes, oplog, read, read_with};
use super::state::Definitions;
use super::*;
use crate::error::{Kind, Result};

fn rewrite(archive: &[u8], portion: usize, plan: &dyn Fn(&CollectionEntry) -> Placement) -> Result<Vec<u8>> {
    let mut rewriter = Rewriter::new(|entry: &CollectionEntry| Ok(plan(entry)));
    let mut out = Vec::new();
    read_with(archive, portion, &mut |event| rewriter.event(&event, &mut out))?;
    Ok(out)
}

#[test]
fn with_everything_kept_the_archive_stays_to_the_byte() {
    for sample in ALL {
        for portion in [13, usize::MAX] {
            assert!(rewrite(sample, portion, &|entry| Kept::as_it_is(entry).into()).unwrap() == sample);
        }
    }
}

#[test]
fn namespaces_are_dropped_renamed_emptied_and_changed() {
    let out = rewrite(SHOP, 64, &|entry| {
        let mut kept = Kept::as_it_is(entry);
        kept.namespace.db = "copy".into();
        match entry.namespace.collection.as_str() {
            "log" => return Placement::Drop,
            "orders" => kept.documents = false,
            "weather" => kept.namespace.collection = "wetter".into(),
            "people" => kept.metadata.as_mut().unwrap().options = doc! {"validationLevel": "off"},
            _ => {}
        }
        kept.into()
    })
    .unwrap();
    let (before, _) = read(SHOP, usize::MAX).unwrap();
    let (after, events) = read(&out, 5).unwrap();
    assert_eq!(after.prelude.entries.len(), before.prelude.entries.len() - 1);
    let find = |name: &str| {
        let place = after.prelude.entries.iter().position(|e| e.namespace == Namespace::new("copy", name));
        place.map(|place| (&after.prelude.entries[place], after.contents[place]))
    };
    assert_eq!(find("log"), None);
    assert_eq!(find("orders").unwrap().1.rows, 0);
    assert_eq!(find("orders").unwrap().0.metadata.as_ref().unwrap().indexes.len(), 12);
    let (wetter, content) = find("wetter").unwrap();
    let old = before.prelude.entries.iter().position(|e| e.namespace.collection == "weather").unwrap();
    assert_eq!(content.digest, before.contents[old].digest);
    assert!(wetter.text.contains(r#""collectionName":"wetter""#));
    assert!(events.iter().any(|event| event.contains("SegmentStart") && event.contains("buckets: true")));
    assert_eq!(find("people").unwrap().0.metadata.as_ref().unwrap().options, doc! {"validationLevel": "off"});
}

#[test]
fn two_namespaces_cannot_become_one() {
    let error = rewrite(SHOP, 64, &|entry| {
        let mut kept = Kept::as_it_is(entry);
        kept.namespace = Namespace::new("x", "y");
        kept.into()
    })
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.message().ends_with("would both be restored as x.y"), "{error}");
}

#[test]
fn the_oplog_is_understood_to_the_last_entry() {
    let (_, entries) = oplog(OPLOG);
    let mut touched = BTreeSet::new();
    let mut commands = BTreeSet::new();
    let mut last = (0, 0);
    for bytes in &entries {
        let entry = Entry::parse(bytes).unwrap();
        assert!((entry.ts.time, entry.ts.increment) > last);
        last = (entry.ts.time, entry.ts.increment);
        if let Operation::Command { command, .. } = entry.operation {
            commands.insert(command);
            if command == Command::ApplyOps {
                assert_eq!(entry.nested().unwrap().len(), 5);
                assert!(!entry.is_prepared() && !entry.is_partial() && entry.lsid.is_some());
            }
        }
        touched.extend(entry.touched().unwrap());
    }
    use Command::*;
    let seen =
        [Create, Drop, CreateIndexes, StartIndexBuild, CommitIndexBuild, DropIndexes, CollMod, ApplyOps];
    assert_eq!(commands, BTreeSet::from(seen));
    let names: Vec<_> = touched
        .iter()
        .map(|touched| match touched {
            Touched::Namespace(name) => name.to_string(),
            Touched::Database(name) => name.clone(),
        })
        .collect();
    assert_eq!(
        names,
        [
            "app.a",
            "app.b",
            "app.fresh",
            "app.gone",
            "app.made",
            "app.series2",
            "app.system.buckets.series2",
            "app.system.views",
            "app.v",
            "app.v2",
            "config.system.indexBuilds"
        ]
    );
}

#[test]
fn the_oplog_changes_the_definitions() {
    let (prelude, entries) = oplog(OPLOG);
    let mut definitions = Definitions::of(&prelude);
    for bytes in &entries {
        definitions.apply(&Entry::parse(bytes).unwrap()).unwrap();
    }
    definitions.check().unwrap();
    let lines: Vec<_> = definitions
        .iter()
        .map(|(name, defined)| {
            let indexes: Vec<_> =
                defined.indexes.iter().map(|index| index.get_str("name").unwrap()).collect();
            format!("{name} {:?} {indexes:?}", defined.kind)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    admin.system.version Collection ["_id_"]
    app.a Collection ["_id_", "ttl", "built"]
    app.b Collection ["_id_"]
    app.fresh Collection ["_id_", "on_new"]
    app.made Collection ["_id_", "empty_q"]
    app.series TimeSeries []
    app.series2 TimeSeries []
    app.v View []
    app.v2 View []
    "#);
    let of = |name| definitions.get(&Namespace::new("app", name)).unwrap();
    assert_eq!(of("a").indexes[1].get_i64("expireAfterSeconds").unwrap(), 200_000);
    assert_eq!(of("b").options.get_str("validationLevel").unwrap(), "moderate");
    assert_eq!(of("v").options, doc! {"viewOn": "b", "pipeline": [{"$limit": 1}]});
    assert_eq!(of("series2").options.keys().collect::<Vec<_>>(), ["timeseries"]);
    assert!(of("made").indexes[1].contains_key("collation"));
}

fn entry(op: &str, ns: &str, o: mongodb::bson::Document) -> Vec<u8> {
    let ts = mongodb::bson::Timestamp { time: 5, increment: 1 };
    bytes(&doc! {"op": op, "ns": ns, "o": o, "ts": ts})
}

#[test]
fn what_is_not_known_is_named() {
    let error = Entry::parse(&entry("z", "a.b", doc! {})).unwrap_err();
    assert_eq!(error.message(), "the oplog entry of 5.1 is of an unknown kind \"z\", on a.b");
    let error = Entry::parse(&entry("c", "a.$cmd", doc! {"explode": 1})).unwrap_err();
    assert_eq!(error.message(), "the oplog entry of 5.1 is an unknown command \"explode\", on a.$cmd");
    let nested =
        entry("c", "admin.$cmd", doc! {"applyOps": [{"op": "c", "ns": "a.$cmd", "o": {"explode": 1}}]});
    assert!(Entry::parse(&nested).unwrap().touched().is_err());
    let modified = entry("c", "a.$cmd", doc! {"collMod": "b", "colour": "red"});
    let error = Definitions::default().apply(&Entry::parse(&modified).unwrap()).unwrap_err();
    assert!(error.message().ends_with("changes \"colour\" by collMod"), "{error}");
    assert!(Entry::parse(&entry("n", "", doc! {"msg": "x"})).unwrap().is_noop());
}

#[test]
fn what_was_gone_before_the_dump_may_be_changed_if_it_is_dropped() {
    let index = entry("c", "a.$cmd", doc! {"createIndexes": "b", "v": 2, "key": {"x": 1}, "name": "x_1"});
    let mut definitions = Definitions::default();
    definitions.apply(&Entry::parse(&index).unwrap()).unwrap();
    assert_eq!(definitions.check().unwrap_err().kind(), Kind::Damaged);
    definitions.apply(&Entry::parse(&entry("c", "a.$cmd", doc! {"drop": "b"})).unwrap()).unwrap();
    definitions.check().unwrap();
    assert_eq!(definitions.iter().count(), 0);
}

#[test]
fn prepared_transactions_and_renames_are_followed_or_refused() {
    let mut definitions = Definitions::default();
    let create = doc! {"op": "c", "ns": "a.$cmd", "o": {"create": "b", "idIndex": {"name": "_id_"}}};
    let prepared = entry("c", "admin.$cmd", doc! {"applyOps": [create.clone()], "prepare": true});
    assert!(definitions.apply(&Entry::parse(&prepared).unwrap()).is_err());
    let plain = entry("c", "admin.$cmd", doc! {"applyOps": [create], "partialTxn": true});
    let plain = Entry::parse(&plain).unwrap();
    assert!(plain.is_partial());
    definitions.apply(&plain).unwrap();
    let rename = entry("c", "a.$cmd", doc! {"renameCollection": "a.b", "to": "c.d", "dropTarget": false});
    let rename = Entry::parse(&rename).unwrap();
    assert_eq!(rename.touched().unwrap().len(), 2);
    definitions.apply(&rename).unwrap();
    assert_eq!(definitions.get(&Namespace::new("c", "d")).unwrap().indexes.len(), 1);
    definitions.apply(&Entry::parse(&entry("c", "c.$cmd", doc! {"dropDatabase": 1})).unwrap()).unwrap();
    assert_eq!(definitions, Definitions::default());
}

#[test]
fn the_inventory_names_collections_time_series_views_and_indexes() {
    let (summary, _) = read(SHOP, usize::MAX).unwrap();
    let counted = inventory(&summary, &Definitions::of(&summary.prelude), &|_| None);
    let items: Vec<_> = counted
        .items
        .iter()
        .map(|item| format!("{} {} {} {}", item.kind, item.full_name(), item.rows, item.bytes))
        .collect();
    insta::assert_snapshot!(items.join("\n"), @r#"
    collection shop.clustered 1 14
    collection shop.flat 5 185
    collection shop.log 20 520
    collection shop.nothing 0 0
    collection shop.orders 60 11860
    collection shop.people 2 74
    collection shop.system.js 1 49
    collection shop.types 1 192
    collection shop.with.dots 1 14
    time_series shop.weather 3 1716
    "#);
    let kinds = |kind: &str| counted.definitions.iter().filter(|d| d.kind == kind).count();
    assert_eq!([kinds("COLLECTION"), kinds("VIEW"), kinds("TIME_SERIES"), kinds("INDEX")], [9, 3, 1, 22]);
}
