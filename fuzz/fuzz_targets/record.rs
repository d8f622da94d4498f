#![no_main]
//! The record: any bytes give a record or an error, and a record survives being written and read.

use factum_format::record::{self, RecordHead, RecordView};
use factum_format::{hash, metadata::StandardMetadata, settings::StreamSettings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((position, bytes)) = input.split_first_chunk() else {
        return;
    };
    let position = u64::from_le_bytes(*position);
    let verified = record::decode(bytes, position);
    let head_only = record::decode_head(bytes, position);
    let unverified = record::decode_unverified(bytes, position);
    // Each depth checks what the one before does, and more.
    assert!(verified.is_err() || verified == head_only);
    assert!(head_only.is_err() || head_only == unverified);
    if let Ok((record, length)) = unverified {
        assert_eq!(record.bytes().len(), length);
        check(&record);
    }
});

fn check(record: &RecordView<'_>) {
    // A damaged section ends the sections; what it held is nobody's.
    for (_, bytes) in record.sections().map_while(Result::ok) {
        // Sections do not say which of these they are to a reader without the type; each must stand any bytes.
        let _ = StandardMetadata::decode(bytes).is_ok();
        let _ = StreamSettings::decode(bytes).is_ok();
    }
    let tag_refs: Vec<u32> = record.tag_refs().collect();
    let head = RecordHead {
        position: record.position,
        kind: record.kind,
        flags: record.flags,
        id: record.id,
        stream_ref: record.stream_ref,
        revision: record.revision,
        type_ref: record.type_ref,
        schema_version: record.schema_version,
        time_delta: record.time_delta,
        tag_refs: &tag_refs,
    };
    let mut bytes = Vec::new();
    if record::encode(&mut bytes, &head, record.body(), hash::crc(record.body())).is_err() {
        return;
    }
    let (again, _) = record::decode(&bytes, record.position).expect("it was just written");
    assert_eq!(
        (again.id, again.revision, again.body()),
        (record.id, record.revision, record.body())
    );
    assert_eq!(again.tag_refs().collect::<Vec<_>>(), tag_refs);
}
