//! Names of an archive that is not in UTF-8.
//!
//! `pg_dump` writes names in the archive's encoding. Its reader shows a byte that is not UTF-8 as `\xHH`,
//! so that different names stay different; the server knows which character it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::engines::postgres::archive::inventory::TablePlan;
use crate::engines::postgres::connect::Session;
use crate::error::{Explain, Kind, Result};
use crate::pipeline::inventory::Inventory;

/// Encodings of which no byte has to be translated, or can be.
const AS_THEY_ARE: [&str; 3] = ["", "UTF8", "SQL_ASCII"];

/// The inventory with the names of items and columns as the server shows them. Definitions stay as they
/// are: both sides of their comparison come from an archive.
///
/// # Errors
/// Those of the session.
pub async fn readable<'a>(session: &Session, backup: &'a Inventory) -> Result<Cow<'a, Inventory>> {
    if AS_THEY_ARE.contains(&backup.encoding.as_str()) {
        return Ok(Cow::Borrowed(backup));
    }
    let mut inventory = backup.clone();
    let mut plans: Vec<Option<TablePlan>> =
        inventory.items.iter().map(|item| serde_json::from_value(item.plan.clone()).ok()).collect();
    let mut found = BTreeMap::new();
    let mut note = |name: &str| {
        if let Some(bytes) = bytes_of(name) {
            found.insert(name.to_owned(), bytes);
        }
    };
    for (item, plan) in inventory.items.iter().zip(&plans) {
        note(&item.schema);
        note(&item.name);
        plan.iter().flat_map(|plan| &plan.columns).for_each(|column| note(column));
    }
    if found.is_empty() {
        return Ok(Cow::Borrowed(backup));
    }
    let names = translate(session, found, &backup.encoding).await?;
    let put = |name: &mut String| {
        if let Some(translated) = names.get(name) {
            name.clone_from(translated);
        }
    };
    for (item, plan) in inventory.items.iter_mut().zip(&mut plans) {
        put(&mut item.schema);
        put(&mut item.name);
        if let Some(plan) = plan {
            plan.columns.iter_mut().for_each(put);
            item.plan = serde_json::to_value(&*plan)
                .explain(Kind::Failed, || format!("the plan of {} has no JSON form", item.full_name()))?;
        }
    }
    Ok(Cow::Owned(inventory))
}

async fn translate(
    session: &Session,
    names: BTreeMap<String, Vec<u8>>,
    encoding: &str,
) -> Result<BTreeMap<String, String>> {
    let (names, bytes): (Vec<String>, Vec<Vec<u8>>) = names.into_iter().unzip();
    let sql = "SELECT pg_catalog.convert_from(b, $2) FROM pg_catalog.unnest($1::bytea[]) \
               WITH ORDINALITY AS t(b, n) ORDER BY n";
    let rows = session.query(sql, &[&bytes, &encoding]).await?;
    Ok(names.into_iter().zip(rows.iter().map(|row| row.get(0))).collect())
}

/// The bytes of a name that has bytes which are not UTF-8; `None` for any other.
fn bytes_of(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    let mut any = false;
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        // Only bytes of 0x80 and above are not UTF-8 by themselves.
        let byte =
            rest.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|b| *b >= 0x80);
        match byte {
            Some(byte) => {
                any = true;
                bytes.push(byte);
                rest = &rest[at + 4..];
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    any.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_in_names() {
        assert_eq!(bytes_of("gr\\xF6\\xDFe").unwrap(), b"gr\xF6\xDFe");
        for plain in ["größe", "a\\x41", "a\\xZZ", "\\x", "\\xF"] {
            assert_eq!(bytes_of(plain), None, "{plain}");
        }
    }
}
