//! Measures the figures of `docs/decisions/0002-sorted-hash-directory.md`, and the hot path of a frame.
//!
//! ```text
//! cargo run --release -p factum-format --example measure
//! ```
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "measures time, in no part of the product"
)]

use factum_format::{
    FormatError, SegmentKey,
    definition::DefinitionKind,
    frame::{FrameBuilder, FrameFields, FrameFlags, FrameView, Verify},
    hash,
    index::{Directory, DirectoryBuilder},
    record::{self, RecordFlags, RecordHead, RecordKind},
    section::{self, SectionType},
};
use std::{hint::black_box, time::Instant};

const LOOKUPS: u32 = 1_000_000;

fn main() -> Result<(), FormatError> {
    println!(
        "directory: keys | bits | bytes per key | build ns/key | hit ns | miss ns | false finds per 10^6 | sorted u128 array ns"
    );
    for keys in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        directory(keys)?;
    }
    for data_bytes in [64, 256, 1024] {
        frame(data_bytes)?;
    }
    Ok(())
}

fn nanos(started: Instant, count: u32) -> f64 {
    started.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

fn directory(count: u32) -> Result<(), FormatError> {
    let mut random = fastrand::Rng::with_seed(1);
    let hashes: Vec<u128> = (0..count).map(|_| random.u128(..)).collect();
    let mut builder = DirectoryBuilder::new();
    hashes
        .iter()
        .zip(0..)
        .for_each(|(&hash, posting)| builder.push(hash, posting));
    let started = Instant::now();
    let bytes = builder.finish()?;
    let build = nanos(started, count);
    let directory = Directory::parse(&bytes)?;
    let picks: Vec<u128> = (0..LOOKUPS)
        .filter_map(|_| random.choice(&hashes).copied())
        .collect();
    let started = Instant::now();
    let hits: usize = picks
        .iter()
        .map(|&hash| directory.candidates(hash).count())
        .sum();
    let hit = nanos(started, LOOKUPS);
    let absent: Vec<u128> = (0..LOOKUPS).map(|_| random.u128(..)).collect();
    let started = Instant::now();
    let false_finds: usize = absent
        .iter()
        .map(|&hash| directory.candidates(hash).count())
        .sum();
    let miss = nanos(started, LOOKUPS);
    let mut sorted: Vec<(u128, u32)> = hashes.into_iter().zip(0..).collect();
    sorted.sort_unstable();
    let started = Instant::now();
    for &hash in &picks {
        black_box(sorted.binary_search_by_key(&hash, |&(key, _)| key).is_ok());
    }
    let baseline = nanos(started, LOOKUPS);
    let bytes_per_key =
        f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX)) / f64::from(count);
    println!(
        "{count} | {} | {bytes_per_key:.2} | {build:.0} | {hit:.0} | {miss:.0} | {false_finds} | {baseline:.0}",
        directory.bits()
    );
    black_box(hits);
    Ok(())
}

fn frame(data_bytes: usize) -> Result<(), FormatError> {
    const RECORDS: u32 = 1_000;
    const ROUNDS: u32 = 500;
    let mut random = fastrand::Rng::with_seed(2);
    let data: Vec<u8> = (0..data_bytes).map(|_| random.u8(..)).collect();
    let mut body = Vec::new();
    section::push(&mut body, SectionType::DATA, &data);
    let crc = hash::crc(&body);
    let head = |ordinal: u32| RecordHead {
        position: u64::from(ordinal),
        kind: RecordKind::EVENT,
        flags: RecordFlags::JSON,
        id: u128::from(ordinal).to_le_bytes(),
        stream_ref: 1_000,
        revision: 300,
        type_ref: 5,
        schema_version: 1,
        time_delta: 60_000_000,
        tag_refs: &[7, 300],
    };
    let key = SegmentKey {
        salt: 3,
        segment: 4,
    };
    let fields = FrameFields {
        flags: FrameFlags::NONE,
        epoch: 0,
        frame_seq: 1,
        base_position: 0,
        durable_seq: 0,
        time: 0,
        prev_hash: 0,
    };
    let mut builder = FrameBuilder::new();
    let mut out = Vec::new();
    let (mut encode, mut finish, mut trusted, mut checked) = (0.0, 0.0, 0.0, 0.0);
    for _ in 0..ROUNDS {
        builder.reset();
        out.clear();
        builder.define(DefinitionKind::TYPE, 0, "OrderPlaced")?;
        let started = Instant::now();
        for ordinal in 0..RECORDS {
            builder.record(&head(ordinal), &body, crc)?;
        }
        encode += nanos(started, RECORDS);
        let started = Instant::now();
        builder.finish(&fields, key, 4096, &mut out)?;
        finish += nanos(started, RECORDS);
        let frame = FrameView::decode(&out, key, 4096)?;
        for (verify, total) in [
            (Verify::Structure, &mut trusted),
            (Verify::Checksums, &mut checked),
        ] {
            let started = Instant::now();
            for found in frame.records(verify) {
                black_box(found?.record.revision);
            }
            *total += nanos(started, RECORDS);
        }
    }
    let mut one = Vec::new();
    let length = record::encode(&mut one, &head(0), &body, crc)?;
    let [encode, finish, trusted, checked] =
        [encode, finish, trusted, checked].map(|total| total / f64::from(ROUNDS));
    println!(
        "record of {data_bytes} B data ({length} B): encode {encode:.0} ns, finish {finish:.0} ns, \
         read {trusted:.0} ns, read with checksums {checked:.0} ns"
    );
    Ok(())
}
