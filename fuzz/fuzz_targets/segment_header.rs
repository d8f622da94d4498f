#![no_main]
//! The segment header: any bytes give a header or an error, and a header survives being written and read.

use factum_format::hash::xxh3_64;
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::segment::{Copies, SegmentHeader};
use libfuzzer_sys::fuzz_target;

/// Where the checksum of the core stands.
const CHECKSUM_AT: usize = 120;

fuzz_target!(|input: &[u8]| {
    check(input);
    // No input of a fuzzer has the right checksum, so it is put in, into the first copy.
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
    let length = input.len().min(bytes.len());
    bytes[..length].copy_from_slice(&input[..length]);
    let checksum = xxh3_64(&bytes[..CHECKSUM_AT]).to_le_bytes();
    bytes[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&checksum);
    check(&bytes);
});

fn check(bytes: &[u8]) {
    if let Ok((header, _)) = SegmentHeader::decode(bytes) {
        assert_eq!(
            SegmentHeader::decode(&*header.encode()),
            Ok((header, Copies::Both))
        );
    }
}
