//! Feeds arbitrary bytes to PackStream: what has a canonical form is a value, has the same form again, and means the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::bolt::packstream::{Reader, Value, canonical};

fuzz_target!(|input: &[u8]| {
    let mut form = Vec::new();
    let Ok(()) = canonical(input, &mut form) else {
        assert!(form.is_empty());
        return;
    };
    assert_eq!(Reader::new(input).skip().map(<[u8]>::len), Ok(input.len()));
    let mut again = Vec::new();
    canonical(&form, &mut again).unwrap();
    assert_eq!(form, again);
    if let Ok((value, used)) = Value::decode(&form) {
        assert_eq!(used, form.len());
        let mut encoded = Vec::new();
        value.encode(&mut encoded);
        assert_eq!(encoded, form);
    }
});
