//! Canonical Extended JSON v2, as mongodump writes metadata, from and to BSON; the order of keys is kept.

use std::fmt::Write;

use mongodb::bson::{Bson, Document};

/// Reads a document.
///
/// # Errors
/// What is wrong, with line and column. Nesting beyond what BSON allows is an error.
pub fn parse(text: &str) -> Result<Document, String> {
    match serde_json::from_str::<Bson>(text) {
        Ok(Bson::Document(document)) => Ok(document),
        Ok(_) => Err("it is not a document".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes a document.
pub fn write(document: &Document) -> String {
    let mut text = String::new();
    write_document(&mut text, document);
    text
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write_document(out: &mut String, document: &Document) {
    out.push('{');
    for (place, (key, value)) in document.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(&quoted(key));
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

/// A number that reads back as the same double.
fn double(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word =
            part.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= part.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn write_value(out: &mut String, value: &Bson) {
    let text = match value {
        Bson::Document(document) => return write_document(out, document),
        Bson::Array(values) => {
            out.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_value(out, value);
            }
            out.push(']');
            return;
        }
        Bson::Double(value) => format!("{{\"$numberDouble\":\"{}\"}}", double(*value)),
        Bson::String(value) => quoted(value),
        Bson::Boolean(value) => value.to_string(),
        Bson::Null => "null".to_owned(),
        Bson::RegularExpression(regex) => format!(
            "{{\"$regularExpression\":{{\"pattern\":{},\"options\":{}}}}}",
            quoted(regex.pattern.as_str()),
            quoted(regex.options.as_str())
        ),
        Bson::JavaScriptCode(code) => format!("{{\"$code\":{}}}", quoted(code)),
        Bson::JavaScriptCodeWithScope(code) => {
            format!("{{\"$code\":{},\"$scope\":{}}}", quoted(&code.code), write(&code.scope))
        }
        Bson::Int32(value) => format!("{{\"$numberInt\":\"{value}\"}}"),
        Bson::Int64(value) => format!("{{\"$numberLong\":\"{value}\"}}"),
        Bson::Timestamp(value) => {
            format!("{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", value.time, value.increment)
        }
        Bson::Binary(value) => format!(
            "{{\"$binary\":{{\"base64\":\"{}\",\"subType\":\"{:02x}\"}}}}",
            base64(&value.bytes),
            u8::from(value.subtype)
        ),
        Bson::ObjectId(id) => format!("{{\"$oid\":\"{}\"}}", hex(&id.bytes())),
        Bson::DateTime(time) => {
            format!("{{\"$date\":{{\"$numberLong\":\"{}\"}}}}", time.timestamp_millis())
        }
        Bson::Symbol(value) => format!("{{\"$symbol\":{}}}", quoted(value)),
        Bson::Decimal128(value) => format!("{{\"$numberDecimal\":\"{value}\"}}"),
        Bson::Undefined => "{\"$undefined\":true}".to_owned(),
        Bson::MaxKey => "{\"$maxKey\":1}".to_owned(),
        Bson::MinKey => "{\"$minKey\":1}".to_owned(),
        // Its parts are private; the driver writes it alike. A failure leaves text that no one can read.
        Bson::DbPointer(_) => serde_json::to_string(value).unwrap_or_default(),
    };
    out.push_str(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"{"z":{"$numberInt":"-1"},"a":{"$numberLong":"1099511627776"},"d":{"$numberDouble":"1.5"},"e":{"$numberDouble":"-500.0"},"n":{"$numberDouble":"NaN"},"i":{"$numberDouble":"-Infinity"},"s":"ä\"\\\n","t":true,"o":null,"r":{"$regularExpression":{"pattern":"^a","options":"i"}},"c":{"$code":"x"},"cs":{"$code":"x","$scope":{"y":{"$numberInt":"1"}}},"ts":{"$timestamp":{"t":7,"i":8}},"b":{"$binary":{"base64":"AAECAw==","subType":"00"}},"id":{"$oid":"65a1b2c3d4e5f60718293a4b"},"at":{"$date":{"$numberLong":"-1"}},"dec":{"$numberDecimal":"1.10"},"max":{"$maxKey":1},"min":{"$minKey":1},"arr":[{"$numberInt":"1"},{"b":[],"a":{}}]}"#;

    #[test]
    fn every_type_goes_round_in_order() {
        let document = parse(ALL).unwrap();
        assert_eq!(write(&document), ALL);
        assert_eq!(document.keys().take(3).collect::<Vec<_>>(), ["z", "a", "d"]);
    }

    #[test]
    fn binary_is_padded_right() {
        let texts: Vec<_> = [&b""[..], b"f", b"fo", b"foo", b"foob"].iter().map(|b| base64(b)).collect();
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for wrong in
            ["", "[]", "{", "{\"a\":{\"$numberInt\":\"x\"}}", "{\"$numberInt\":\"1\",\"b\":1}", "{} {}"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(5000), "}".repeat(5000));
        assert!(parse(&deep).is_err());
    }
}
