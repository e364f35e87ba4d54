//! Feeds arbitrary bytes in arbitrary portions to the reader of graph exports.
//!
//! The first two bytes of the input say how large the portions are. Whatever comes, the reader must not panic, and
//! must not depend on the portions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::engines::neo4j::graph::counting::Counting;
use lifeboat::engines::neo4j::graph::format::MAGIC;
use lifeboat::pipeline::inventory::Inventory;

fn read(bytes: &[u8], mut portion: impl FnMut() -> usize) -> Result<Inventory, String> {
    let mut counting = Counting::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(portion().clamp(1, rest.len()));
        counting.feed(part, &mut |_, _| Ok(())).map_err(|error| error.chain())?;
        rest = after;
    }
    counting.finish().map_err(|error| error.chain())
}

fuzz_target!(|input: &[u8]| {
    let [first, second, records @ ..] = input else { return };
    // The magic is given: it is of no interest.
    let file = [&MAGIC[..], records].concat();
    let whole = read(&file, || usize::MAX);
    let mut turn = false;
    let parts = read(&file, || {
        turn = !turn;
        usize::from(if turn { *first } else { *second })
    });
    // Where an error is told may differ with the portions, that there is one may not.
    assert_eq!(whole.ok(), parts.ok());
});
