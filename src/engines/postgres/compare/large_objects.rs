//! Sums all large objects of a database as the archive's reader does.

use xxhash_rust::xxh3::Xxh3;

use super::rows::Counts;
use crate::engines::postgres::connect::Session;
use crate::error::Result;
use crate::pipeline::progress::Progress;

/// As many objects are listed at once.
const LIST: i64 = 10_000;

/// The first bytes of several objects come in one answer, which is at most `BATCH * FIRST` bytes.
const BATCH: usize = 32;
const FIRST: i32 = 128 << 10;

/// More of one object.
const NEXT: i32 = 4 << 20;

/// Objects, their bytes, and the sum of one XXH3-128 hash an object: of its OID (4 bytes,
/// little-endian) and its content. Holes read as zeros, as `pg_dump` reads them.
///
/// # Errors
/// Those of the session.
pub async fn sum(session: &Session, progress: &Progress) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut last: Option<u32> = None;
    loop {
        let sql = "SELECT oid FROM pg_catalog.pg_largeobject_metadata \
                   WHERE $1::oid IS NULL OR oid > $1 ORDER BY oid LIMIT $2";
        let rows = session.query(sql, &[&last, &LIST]).await?;
        let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
        let Some(end) = oids.last() else { return Ok(counts) };
        last = Some(*end);
        for batch in oids.chunks(BATCH) {
            add_batch(session, batch, &mut counts, progress).await?;
        }
    }
}

async fn add_batch(session: &Session, oids: &[u32], counts: &mut Counts, progress: &Progress) -> Result<()> {
    let sql = "SELECT o, pg_catalog.lo_get(o, 0, $2) FROM pg_catalog.unnest($1::oid[]) o";
    for row in session.query(sql, &[&oids, &FIRST]).await? {
        let oid: u32 = row.get(0);
        let first: &[u8] = row.get(1);
        let mut hash = Xxh3::new();
        hash.update(&oid.to_le_bytes());
        hash.update(first);
        progress.add_raw(first.len() as u64);
        let mut bytes = first.len() as i64;
        let mut whole = first.len() < FIRST as usize;
        while !whole {
            let sql = "SELECT pg_catalog.lo_get($1, $2, $3)";
            let row = session.one(sql, &[&oid, &bytes, &NEXT]).await?;
            let next: &[u8] = row.get(0);
            hash.update(next);
            progress.add_raw(next.len() as u64);
            bytes += next.len() as i64;
            whole = next.len() < NEXT as usize;
        }
        counts.rows += 1;
        counts.bytes += bytes as u64;
        counts.digest.add_hash(hash.digest128());
    }
    Ok(())
}
