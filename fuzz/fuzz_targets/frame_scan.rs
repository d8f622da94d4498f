#![no_main]
//! Scanning a segment: any bytes, and frames with right hashes around any content, give a verdict and never a panic.

use factum_format::frame::{
    FrameFlags, FrameHeader, FrameView, HEADER_MAGIC, Verify, salvage_records,
};
use factum_format::scan::{Area, FrameAt, find_frames_after, scan_frame, verdict};
use factum_format::{SegmentKey, hash};
use libfuzzer_sys::fuzz_target;

const KEY: SegmentKey = SegmentKey {
    salt: 7,
    segment: 1,
};
const ALIGN: usize = 64;

fuzz_target!(|input: &[u8]| {
    let Some((&[choices, seq_expected], bytes)) = input.split_first_chunk() else {
        return;
    };
    check(bytes, seq_expected.into());
    // No input of a fuzzer has the right keyed hashes, so they are put in where a frame seems to begin.
    let mut bytes = bytes.to_vec();
    for at in (0..bytes.len()).step_by(ALIGN) {
        seal(&mut bytes, at, choices);
    }
    check(&bytes, seq_expected.into());
});

/// Puts right hashes into what looks like a frame at `at`. The bits of `choices` say into which of its parts.
fn seal(bytes: &mut [u8], at: usize, choices: u8) {
    let Some(fixed) = bytes
        .get(at..at + ALIGN)
        .filter(|fixed| fixed.starts_with(&HEADER_MAGIC))
    else {
        return;
    };
    let mut header = read(fixed);
    let end = at.saturating_add(header.frame_len as usize);
    let footer_at = end.saturating_sub(ALIGN);
    if let (1, Some(body)) = (choices & 1, bytes.get(at + ALIGN..footer_at)) {
        header.body_hash = hash::keyed(body, KEY.salt);
    }
    header.header_hash = header.expected_hash(KEY, at as u64);
    if let (2, Some(footer)) = (choices & 2, bytes.get_mut(footer_at.max(at + ALIGN)..end)) {
        let written = header.encode_footer(KEY, at as u64);
        footer.copy_from_slice(&written[..footer.len()]);
    }
    if choices & 4 == 0 {
        bytes[at..at + ALIGN].copy_from_slice(&header.encode());
    }
}

/// The fields of a header that nobody vouches for. The layout is that of `frame.rs`; one that has changed there makes
/// this target weaker, not wrong.
fn read(fixed: &[u8]) -> FrameHeader {
    let u32_at = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("4 bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("8 bytes"));
    FrameHeader {
        flags: FrameFlags(fixed[5]),
        epoch: u16::from_le_bytes([fixed[6], fixed[7]]),
        frame_len: u32_at(8),
        record_count: u32_at(12),
        frame_seq: u64_at(16),
        base_position: u64_at(24),
        durable_seq: u64_at(32),
        time: u64_at(40).cast_signed(),
        body_hash: u64_at(48),
        prev_hash: u32_at(56),
        header_hash: u32_at(60),
    }
}

fn check(bytes: &[u8], seq_expected: u64) {
    let area = Area::whole(bytes);
    for at in (0..bytes.len()).step_by(ALIGN) {
        let found = scan_frame(&area, at as u64, KEY);
        match &found {
            FrameAt::Valid(frame) => look_into(frame),
            FrameAt::Damaged(frame) => {
                if let Some(header) = frame.header {
                    let salvaged = salvage_records(frame.bytes, &header);
                    assert_eq!(salvaged.len(), header.record_count as usize);
                    if let Ok(view) = FrameView::new(header, frame.bytes) {
                        look_into(&view);
                    }
                }
            }
            FrameAt::Empty | FrameAt::StrayBits | FrameAt::Garbage => {}
        }
        if at == 0 {
            let later: Vec<FrameHeader> = find_frames_after(&area, 0, KEY)
                .map(|(_, header)| header)
                .collect();
            let first = verdict(&found, seq_expected, &later);
            assert_eq!(
                first,
                verdict(&found, seq_expected, &later),
                "a verdict is a function"
            );
        }
    }
    assert!(
        area.dirty_end(0)
            .is_none_or(|end| end <= bytes.len() as u64)
    );
}

fn look_into(frame: &FrameView<'_>) {
    if let Ok(definitions) = frame.definitions() {
        let whole = definitions.iter().all(|definition| definition.is_ok());
        let count = definitions.iter().count();
        assert!(if whole {
            count == definitions.len()
        } else {
            count <= definitions.len()
        });
    }
    if let Ok(Some(names)) = frame.names() {
        let given = names.for_each(&mut |found| assert!(found.name.len() <= 4_096));
        assert!(given <= names.count());
    }
    if let Ok(Some(map)) = frame.zero_map() {
        assert!(map.runs().count() <= frame.bytes().len());
    }
    for verify in [Verify::Checksums, Verify::Structure] {
        for found in frame.records(verify).map_while(Result::ok) {
            assert!(found.ordinal < frame.header().record_count);
        }
    }
}
