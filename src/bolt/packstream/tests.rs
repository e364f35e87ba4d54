//! What PackStream's documentation says, and what random bytes do.

use proptest::prelude::*;

use super::{Canonical, DEEPEST, Encoder, Malformed, Reader, Value, canonical};

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

fn canonised(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    canonical(raw, &mut out).unwrap();
    out
}

fn text(length: usize) -> Value {
    Value::String("x".repeat(length))
}

#[test]
fn the_examples_of_the_documentation() {
    let map = Value::Map(vec![
        ("one".into(), Value::String("eins".into())),
        ("two".into(), Value::String("zwei".into())),
        ("three".into(), Value::String("drei".into())),
    ]);
    let date = Value::Structure { tag: 0x44, fields: vec![Value::Int(1)] };
    let cases: Vec<(Value, &[u8])> = vec![
        (Value::Null, b"\xC0"),
        (Value::Bool(false), b"\xC2"),
        (Value::Bool(true), b"\xC3"),
        (Value::Int(42), b"\x2A"),
        (Value::Int(-16), b"\xF0"),
        (Value::Int(-17), b"\xC8\xEF"),
        (Value::Int(128), b"\xC9\x00\x80"),
        (Value::Int(-128), b"\xC8\x80"),
        (Value::Int(-129), b"\xC9\xFF\x7F"),
        (Value::Int(32_768), b"\xCA\x00\x00\x80\x00"),
        (Value::Int(i64::MIN), b"\xCB\x80\x00\x00\x00\x00\x00\x00\x00"),
        (Value::Float(1.23), b"\xC1\x3F\xF3\xAE\x14\x7A\xE1\x47\xAE"),
        (Value::Bytes(vec![1, 2, 3]), b"\xCC\x03\x01\x02\x03"),
        (Value::Bytes(vec![]), b"\xCC\x00"),
        (Value::String("A".into()), b"\x81\x41"),
        (Value::String("Größenmaßstäbe".into()), b"\xD0\x12Gr\xC3\xB6\xC3\x9Fenma\xC3\x9Fst\xC3\xA4be"),
        (Value::List(vec![Value::Int(1), Value::Int(2)]), b"\x92\x01\x02"),
        (map, b"\xA3\x83one\x84eins\x83two\x84zwei\x85three\x84drei"),
        (date, b"\xB1\x44\x01"),
    ];
    for (value, bytes) in cases {
        assert_eq!(encoded(&value), bytes, "{value:?}");
        assert_eq!(Value::decode(bytes).unwrap(), (value, bytes.len()));
    }
}

#[test]
fn lengths_take_as_few_bytes_as_they_can() {
    for (length, header) in [(15, 1), (16, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5)] {
        assert_eq!(encoded(&text(length)).len(), length + header);
        let list = Value::List(vec![Value::Null; length]);
        assert_eq!(encoded(&list).len(), length + header);
        let bytes = encoded(&Value::Bytes(vec![0; length]));
        assert_eq!(bytes.len(), length + header.max(2));
        assert_eq!(Reader::new(&bytes).bytes().unwrap().len(), length);
    }
}

#[test]
fn a_promised_length_is_not_believed() {
    for bytes in [b"\xD6\xFF\xFF\xFF\xFF\x01", b"\xDA\xFF\xFF\xFF\xFF\x81", b"\xD2\xFF\xFF\xFF\xFFx"] {
        assert_eq!(Value::decode(bytes), Err(Malformed::Truncated { at: 0 }));
        assert_eq!(Reader::new(bytes).skip(), Err(Malformed::Truncated { at: 0 }));
        assert_eq!(canonical(bytes, &mut Vec::new()), Err(Malformed::Truncated { at: 0 }));
    }
}

#[test]
fn depth_has_a_limit_where_it_costs_stack() {
    let mut deep = vec![0x91; DEEPEST];
    deep.push(0xC0);
    assert!(Value::decode(&deep).is_ok() && canonical(&deep, &mut Vec::new()).is_ok());
    deep.insert(0, 0x91);
    assert_eq!(Value::decode(&deep), Err(Malformed::TooDeep { at: DEEPEST }));
    assert_eq!(canonical(&deep, &mut Vec::new()), Err(Malformed::TooDeep { at: DEEPEST }));
    let mut deeper = vec![0x91; 3_000_000];
    deeper.push(0xC0);
    assert_eq!(Reader::new(&deeper).skip().map(<[u8]>::len), Ok(3_000_001));
}

#[test]
fn a_reader_stands_where_it_stood_after_an_error() {
    let mut reader = Reader::new(b"\x82hi\x01\x82\xFF\xFF");
    assert_eq!(reader.int(), Err(Malformed::Unexpected { at: 0, marker: 0x82, wanted: "integer" }));
    assert_eq!((reader.str(), reader.int()), (Ok("hi"), Ok(1)));
    assert_eq!(reader.str(), Err(Malformed::NotUtf8 { at: 4 }));
    assert_eq!((reader.position(), reader.skip().map(<[u8]>::len)), (4, Ok(3)));
    assert_eq!((reader.is_empty(), reader.int()), (true, Err(Malformed::Truncated { at: 7 })));
    assert_eq!(Reader::new(b"\xDF").skip(), Err(Malformed::Reserved { at: 0, marker: 0xDF }));
}

#[test]
fn canonical_sorts_keys_at_every_level_and_knows_one_nan() {
    let raw = b"\xD8\x02\xD0\x01b\xC9\x00\x01\x81a\x92\xA2\x81z\xC0\x82aa\xC0\xB1\x52\xA2\x81d\x02\x81c\x01";
    let smallest = b"\xA2\x81a\x92\xA2\x82aa\xC0\x81z\xC0\xB1\x52\xA2\x81c\x01\x81d\x02\x81b\x01";
    assert_eq!(canonised(raw), smallest);
    let nan = canonised(b"\xC1\xFF\xF0\x00\x00\x00\x00\x00\x01");
    assert_eq!(nan, canonised(b"\xC1\x7F\xF8\x00\x00\x00\x00\x00\x00"));
    assert_ne!(canonised(&encoded(&Value::Float(-0.0))), canonised(&encoded(&Value::Float(0.0))));
    let mut out = vec![7];
    assert_eq!(canonical(b"\xA2\x81a\x01\x81a\x02", &mut out), Err(Malformed::Twice { at: 0 }));
    assert_eq!(canonical(b"\x01\x02", &mut out), Err(Malformed::Trailing { at: 1 }));
    assert_eq!(out, [7]);
    // An error inside leaves nothing behind for the next value.
    let mut many = Canonical::default();
    assert!(many.write(b"\xA2\x81b\x01\x81", &mut out).is_err());
    many.write(b"\xA1\x81a\x01", &mut out).unwrap();
    assert_eq!(out, b"\x07\xA1\x81a\x01");
}

/// Any value, with keys of maps once each.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-200i64..200).prop_map(Value::Int),
        any::<f64>().prop_filter("NaN is not equal", |float| !float.is_nan()).prop_map(Value::Float),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        ".{0,20}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
            proptest::collection::btree_map(".{0,4}", inner.clone(), 0..20)
                .prop_map(|map| Value::Map(map.into_iter().collect())),
            (any::<u8>(), proptest::collection::vec(inner, 0..16))
                .prop_map(|(tag, fields)| Value::Structure { tag, fields }),
        ]
    })
}

/// Encodes with the greatest forms, and maps from behind.
fn clumsy(value: &Value, out: &mut Vec<u8>) {
    let sized = |out: &mut Vec<u8>, marker: u8, length: usize| {
        out.push(marker);
        out.extend_from_slice(&(length as u32).to_be_bytes());
    };
    match value {
        Value::Int(value) => {
            out.push(0xCB);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::String(text) => {
            sized(out, 0xD2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            sized(out, 0xCE, bytes.len());
            out.extend_from_slice(bytes);
        }
        Value::List(values) => {
            sized(out, 0xD6, values.len());
            values.iter().for_each(|value| clumsy(value, out));
        }
        Value::Map(entries) => {
            sized(out, 0xDA, entries.len());
            for (key, value) in entries.iter().rev() {
                clumsy(&Value::String(key.clone()), out);
                clumsy(value, out);
            }
        }
        Value::Structure { tag, fields } => {
            Encoder::new(out).struct_header(fields.len(), *tag);
            fields.iter().for_each(|value| clumsy(value, out));
        }
        other => other.encode(out),
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(value in any_value()) {
        let bytes = encoded(&value);
        prop_assert_eq!(Value::decode(&bytes), Ok((value, bytes.len())));
        prop_assert_eq!(Reader::new(&bytes).skip(), Ok(&bytes[..]));
    }

    #[test]
    fn canonical_is_one_form_whatever_the_encoder_chose(value in any_value()) {
        let mut raw = Vec::new();
        clumsy(&value, &mut raw);
        let once = canonised(&raw);
        // The maps of these values are sorted, so the smallest form is the canonical one.
        prop_assert_eq!(&once, &encoded(&value));
        prop_assert_eq!(canonised(&once), once);
    }

    #[test]
    fn a_cut_value_is_an_error(value in any_value(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&value);
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(Value::decode(cut).is_err());
        prop_assert!(Reader::new(cut).skip().is_err());
        prop_assert!(canonical(cut, &mut Vec::new()).is_err());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let skipped = Reader::new(&bytes).skip().map(<[u8]>::len);
        if let Ok((_, length)) = Value::decode(&bytes) {
            prop_assert_eq!(skipped, Ok(length));
        }
        let mut out = Vec::new();
        if canonical(&bytes, &mut out).is_ok() {
            prop_assert!(out.len() <= bytes.len());
            prop_assert_eq!(canonised(&out), out);
        }
        let mut reader = Reader::new(&bytes);
        let _ = (reader.list(), reader.map(), reader.structure(), reader.int(), reader.str(), reader.bytes());
    }
}
