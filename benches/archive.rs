//! How fast an archive of mongodump is read, checked and digested: one thread, from memory.
//!
//! `LIFEBOAT_BENCH_ARCHIVE` names an archive. Prints JSON: bytes, documents and the best of three times in seconds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints and may panic")]

use std::io::Read;
use std::time::Instant;

use lifeboat::engines::mongodb::counted::Counting;

/// As much as comes from a pipe at once.
const CHUNK: usize = 512 * 1024;

/// Read at once from the file, which is not measured.
const SLICE: usize = 64 << 20;

fn main() {
    let Some(path) = std::env::var_os("LIFEBOAT_BENCH_ARCHIVE") else {
        println!("{{}}");
        return;
    };
    let (mut best, mut bytes, mut rows) = (f64::MAX, 0, 0);
    for _ in 0..3 {
        let mut file = std::fs::File::open(&path).unwrap();
        let mut counting = Counting::default();
        let mut slice = Vec::with_capacity(SLICE);
        let mut seconds = 0.0;
        loop {
            slice.clear();
            file.by_ref().take(SLICE as u64).read_to_end(&mut slice).unwrap();
            if slice.is_empty() {
                break;
            }
            let began = Instant::now();
            for chunk in slice.chunks(CHUNK) {
                counting.feed(chunk).unwrap();
            }
            seconds += began.elapsed().as_secs_f64();
        }
        let summary = counting.reader.finish().unwrap();
        bytes = summary.length;
        rows = summary.contents.iter().map(|content| content.rows).sum::<u64>();
        best = f64::min(best, seconds);
    }
    println!("{}", serde_json::json!({"bytes": bytes, "rows": rows, "seconds": best}));
}
