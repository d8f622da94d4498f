#![no_main]
//! The manifest: any bytes give a manifest or an error, and a manifest survives being written and read.

use factum_format::hash::xxh3_64;
use factum_format::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

/// Where the total length stands.
const LENGTH_AT: usize = 12;

fuzz_target!(|input: &[u8]| {
    check(input);
    // No input of a fuzzer has the right length and checksum, so they are put in.
    let mut bytes = input.to_vec();
    let Ok(total) = u32::try_from(bytes.len() + 8) else {
        return;
    };
    if bytes.len() >= LENGTH_AT + 4 {
        bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&total.to_le_bytes());
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        check(&bytes);
    }
});

fn check(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        let again = manifest
            .encode()
            .expect("a manifest that was read fits its limit");
        assert_eq!(Manifest::decode(&again), Ok(manifest));
    }
}
