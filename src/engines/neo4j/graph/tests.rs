use proptest::prelude::*;

use super::counting::Counting;
use super::format::{self, Counts, put, put_map};
use super::schema::Statement;
use crate::bolt::packstream::Value;
use crate::error::{Error, Kind};

fn record(fields: Vec<Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Value::List(fields).encode(&mut bytes);
    bytes
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Two nodes, a relationship between them and one into nowhere, an index.
fn sample() -> Vec<u8> {
    let mut file = format::MAGIC.to_vec();
    put_map(&mut file, format::HEADER, vec![("version", text("5.26.30"))]).unwrap();
    for id in [0, 7] {
        let properties = Value::Map(vec![("name".into(), text("x")), ("at".into(), Value::Float(f64::NAN))]);
        put(&mut file, format::NODE, &record(vec![Value::Int(id), Value::List(vec![text("A")]), properties]))
            .unwrap();
    }
    for (id, end) in [(0, 7), (1, 8)] {
        let fields = vec![Value::Int(id), Value::Int(0), Value::Int(end), text("KNOWS"), Value::Map(vec![])];
        put(&mut file, format::RELATIONSHIP, &record(fields)).unwrap();
    }
    let index = Statement {
        constraint: false,
        name: "i".into(),
        kind: "RANGE".into(),
        of: "A".into(),
        create: "CREATE RANGE INDEX `i` FOR (n:`A`) ON (n.`name`)".into(),
    };
    put_map(&mut file, format::DEFINITION, index.fields()).unwrap();
    let counts = Counts { nodes: 2, relationships: 2, definitions: 1, users: 0 };
    put_map(&mut file, format::END, counts.fields()).unwrap();
    file
}

fn read(pieces: &[&[u8]]) -> Result<crate::pipeline::inventory::Inventory, Error> {
    let mut counting = Counting::default();
    for piece in pieces {
        counting.feed(piece, &mut |_, _| Ok(()))?;
    }
    counting.finish()
}

#[test]
fn a_file_is_read_whole_or_byte_by_byte() {
    let file = sample();
    let whole = read(&[&file]).unwrap();
    let single: Vec<&[u8]> = file.chunks(1).collect();
    assert_eq!(read(&single).unwrap(), whole);
    let rows: Vec<_> = whole.items.iter().map(|item| (item.kind.as_str(), item.rows)).collect();
    assert_eq!(rows, [("graph", 0), ("nodes", 2), ("relationships", 1)]);
    assert_eq!((whole.definitions.len(), whole.definitions[0].kind.as_str()), (1, "RANGE INDEX"));
}

#[test]
fn a_file_that_ends_early_is_damaged() {
    let file = sample();
    for end in 0..file.len() {
        assert_eq!(read(&[&file[..end]]).unwrap_err().kind(), Kind::Damaged, "cut at {end}");
    }
    let mut more = file.clone();
    more.push(0);
    assert_eq!(read(&[&more]).unwrap_err().kind(), Kind::Damaged);
    more.pop();
    more.extend_from_slice(&file[8..]);
    assert!(read(&[&more]).unwrap_err().message().contains("out of place"));
}

#[test]
fn records_out_of_order_and_wrong_counts_are_damage() {
    let end = |nodes| Counts { nodes, ..Counts::default() }.fields();
    let mut file = format::MAGIC.to_vec();
    put_map(&mut file, format::HEADER, vec![]).unwrap();
    let headed = file.clone();
    put_map(&mut file, format::END, end(1)).unwrap();
    assert!(read(&[&file]).unwrap_err().message().contains("its end tells of"));
    let mut file = headed.clone();
    put_map(&mut file, format::HEADER, vec![]).unwrap();
    assert!(read(&[&file]).unwrap_err().message().contains("out of place"));
    let mut file = format::MAGIC.to_vec();
    put_map(&mut file, format::END, end(0)).unwrap();
    assert!(read(&[&file]).unwrap_err().message().contains("out of place"));
    let mut file = headed;
    put(&mut file, b'X', &[0xA0]).unwrap();
    assert!(read(&[&file]).unwrap_err().message().contains("unknown type"));
    assert!(read(&[b"LBGRAPH\x02"]).unwrap_err().message().contains("newer version"));
    assert!(read(&[b"PGDMP"]).unwrap_err().message().contains("does not begin"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), headed: bool) {
        if headed {
            let mut file = format::MAGIC.to_vec();
            put_map(&mut file, format::HEADER, vec![]).unwrap();
            file.append(&mut bytes);
            bytes = file;
        }
        let _ = read(&[&bytes]);
    }
}
