//! Documents with every kind of value that BSON has, down to those that the driver cannot write itself.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Document, JavaScriptCodeWithScope, RawDocumentBuf, Regex, Timestamp, cstr, doc,
};

/// One element as it is on the wire; see <https://bsonspec.org/spec.html>.
fn element(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], content].concat()
}

/// A document of such elements.
fn raw(id: &str, elements: &[Vec<u8>]) -> RawDocumentBuf {
    let text = [&(id.len() as i32 + 1).to_le_bytes()[..], id.as_bytes(), &[0]].concat();
    let body = [element(0x02, "_id", &text), elements.concat()].concat();
    let bytes = [&(body.len() as i32 + 5).to_le_bytes()[..], &body, &[0]].concat();
    RawDocumentBuf::from_bytes(bytes).unwrap()
}

fn binary(subtype: u8, bytes: &[u8]) -> Bson {
    Binary { subtype: BinarySubtype::from(subtype), bytes: bytes.to_vec() }.into()
}

fn oid(byte: u8) -> ObjectId {
    ObjectId::from_bytes([byte; 12])
}

fn regex(pattern: &str, options: &str) -> Bson {
    let (pattern, options) = (pattern.try_into().unwrap(), options.try_into().unwrap());
    Bson::RegularExpression(Regex { pattern, options })
}

/// So many documents, one in the other.
fn nested(depth: usize) -> Document {
    (1..depth).fold(doc! { "bottom": true }, |inner, _| doc! { "d": inner })
}

/// Documents whose `_id` says what is in them.
pub fn values() -> Vec<RawDocumentBuf> {
    let documents = [
        doc! { "_id": "numbers", "int32": 1_i32, "int64": 1_i64, "double": 1.0, "decimal": decimal("1"),
        "least": i64::MIN, "most": i64::MAX, "least32": i32::MIN, "most32": i32::MAX, "tiny": 5e-324, "huge": f64::MAX,
        "tenth": 0.1, "above 2^53": 9_007_199_254_740_993_i64 },
        doc! { "_id": "not numbers", "nan": f64::NAN, "infinity": f64::INFINITY, "-infinity": f64::NEG_INFINITY,
        "-0": -0.0, "0": 0.0, "other nan": f64::from_bits(0xfff8_0000_0000_0001) },
        doc! { "_id": "decimals", "trailing zeros": decimal("1.000"), "exponent": decimal("1E+6144"), "small": decimal("-1E-6176"),
        "nan": decimal("NaN"), "infinity": decimal("-Infinity"), "-0": decimal("-0"),
        "digits": decimal("1234567890.123456789012345678901234") },
        doc! { "_id": "strings", "empty": "", "null byte": "a\0b", "emoji": "👩‍🚀🇳🇵", "combining": "e\u{301}", "control": "\u{1}\r\n\t\u{7f}\u{2028}",
        "quotes": r#"'"\`$'"#, "last": "\u{10ffff}", "long": "ß".repeat(70_000) },
        doc! { "_id": "empty things", "document": {}, "array": [], "arrays": [[], [[]], {}], "binary": binary(0, b""),
        "regex": regex("", "") },
        doc! { "_id": "binaries", "generic": binary(0, &[0, 255, 10]), "function": binary(1, b"f"), "old": binary(2, b"old"), "uuid old": binary(3, &[3; 16]),
        "uuid": binary(4, &[4; 16]), "md5": binary(5, &[5; 16]), "user": binary(0x80, b"user"), "last": binary(0xff, b"last") },
        doc! { "_id": "times", "epoch": DateTime::from_millis(0), "before": DateTime::from_millis(-1), "least": DateTime::from_millis(i64::MIN),
        "most": DateTime::from_millis(i64::MAX), "timestamp": Timestamp { time: 1_700_000_000, increment: 7 },
        "last timestamp": Timestamp { time: u32::MAX, increment: u32::MAX }, "zero in a document": { "timestamp": Timestamp { time: 0, increment: 0 } } },
        doc! { "_id": "others", "null": null, "true": true, "false": false, "oid": oid(7), "min": Bson::MinKey, "max": Bson::MaxKey,
        "symbol": Bson::Symbol("symbol".into()), "undefined": Bson::Undefined, "regex": regex("^a/b\"[é]$", "imsx"),
        "code": Bson::JavaScriptCode("return 1".into()),
        "code with scope": JavaScriptCodeWithScope { code: "return x".into(), scope: doc! { "x": 1, "y": { "z": [1] } } },
        "dbref": { "$ref": "plain", "$id": oid(1), "$db": "elsewhere" } },
        doc! { "_id": "names", "a.b": 1, "$dollar": 2, "": 3, ".": 4, "..": 5, "$": 6, "a..b": 7, "Ünï 空 👩‍🚀": 8, " ": 9,
        "a": { "b": 10, "$c": 11, "d.e": { "": 12 } }, "é": 13, "e\u{301}": 14, "A": 15, "0": 16, "__proto__": 17, "NaN": 18,
        "toString": 19, "\"quoted\"": 20, "line\nbreak": 21 },
        doc! { "_id": "order", "z": 1, "a": { "z": 1, "a": 2 }, "m": 3, "1": 4, "0": 5 },
        doc! { "_id": "mixed array", "array": [1, 1_i64, 1.0, "1", null, true, [1, [2]], { "a": [] }, oid(3), Bson::MinKey, f64::NAN] },
        // The server's own limit is 180 for BSON, and 100 is what its manual promises.
        doc! { "_id": "deep", "deep": nested(99) },
    ];
    let mut found: Vec<RawDocumentBuf> =
        documents.iter().map(|document| RawDocumentBuf::try_from(document).unwrap()).collect();
    let namespace = [&9_i32.to_le_bytes()[..], b"db.plain\0", &[9; 12]].concat();
    found.push(raw("dbpointer", &[element(0x0c, "pointer", &namespace)]));
    let twice = [element(0x10, "twice", &1_i32.to_le_bytes()), element(0x10, "twice", &2_i32.to_le_bytes())];
    found.push(raw("the same name twice", &twice));
    // Arrays whose names are not 0, 1, 2 …, as some drivers wrote them.
    let names = [element(0x10, "7", &1_i32.to_le_bytes()), element(0x10, "7", &2_i32.to_le_bytes())].concat();
    let array = [&(names.len() as i32 + 5).to_le_bytes()[..], &names, &[0]].concat();
    found.push(raw("array with odd names", &[element(0x04, "array", &array)]));
    found.push(raw("true", &[element(0x08, "bool", &[1])]));
    found
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().unwrap())
}

/// Documents whose `_id`s are of every type that may be one.
pub fn identities() -> Vec<Document> {
    let ids: Vec<Bson> = vec![
        1_i32.into(),
        2_i64.into(),
        2.5.into(),
        f64::NAN.into(),
        f64::NEG_INFINITY.into(),
        i64::MAX.into(),
        decimal("3.10"),
        "".into(),
        "text".into(),
        "a\0b".into(),
        oid(0).into(),
        oid(255).into(),
        DateTime::from_millis(-5).into(),
        Timestamp { time: 1, increment: 1 }.into(),
        true.into(),
        false.into(),
        Bson::Null,
        Bson::MinKey,
        Bson::MaxKey,
        binary(4, &[8; 16]),
        binary(0, b""),
        doc! {}.into(),
        doc! { "a": 1, "b": { "c": [1, 2] } }.into(),
        doc! { "b": 1, "a": 1 }.into(),
        Bson::Symbol("symbol as id".into()),
        Bson::JavaScriptCode("code()".into()),
    ];
    ids.into_iter().enumerate().map(|(number, id)| doc! { "_id": id, "number": number as i32 }).collect()
}

/// A document of exactly the size that a server takes: 16 MiB.
pub fn biggest() -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), "biggest");
    let empty = document.as_bytes().len() + "\u{3}text\0".len() + size_of::<i32>() + 1;
    document.append(cstr!("text"), "x".repeat(16 * 1024 * 1024 - empty).as_str());
    assert_eq!(document.as_bytes().len(), 16 * 1024 * 1024);
    document
}
