//! A stream's last event alone is what a longer read from the end begins with: settings, deletes, closed streams, damage and all.

use std::fs;
use std::path::Path;

use factum_engine::Engine;
use factum_store::{AppendBatch, Change, EventStore, ReadRequest, Source};
use factum_types::{
    Bytes, ExpectedRevision, Metadata, NewEvent, RecordedEvent, Revision, StreamName,
    StreamSettings, Tag,
};

use crate::support::{TempDir, event, open, stream};

const STREAMS: u64 = 60;

#[test]
fn a_last_event_alone_is_what_a_read_from_the_end_begins_with() {
    for seed in [1, 2] {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = TempDir::new();
        let store = open(dir.path());
        let mut number = 0;
        for round in 0..1_500 {
            // What is refused, a closed stream or an empty one deleted, is part of it.
            drop(pollster::block_on(
                store.append(any(&mut random, &mut number)),
            ));
            if round % 300 == 0 {
                compare(&store);
            }
        }
        store.settle().unwrap();
        assert!(store.stats().sealed_segments > 1, "{:?}", store.stats());
        let (plain, other) = compare(&store);
        assert!(plain > 5 && other > 5, "{plain} and {other}");
        store.close().unwrap();
        for damaged in 0..2 {
            damage_oldest(&dir.path().join("data/segments"), &mut random);
            let store = open(dir.path());
            println!("damaged {damaged} times: {:?}", compare(&store));
            store.close().unwrap();
        }
    }
}

/// Events mostly, with and without tags and metadata; now and then a change of a stream.
fn any(random: &mut fastrand::Rng, number: &mut u64) -> AppendBatch {
    let name = stream(&format!("order-{}", random.u64(..STREAMS)));
    let change = match random.u32(..40) {
        0 => Change::Settings(StreamSettings {
            max_count: random.bool().then(|| random.u64(1..4)),
            truncate_before: random.bool().then(|| Revision::new(random.u64(..80))),
            ..StreamSettings::default()
        }),
        1 if random.bool() => Change::Delete,
        2 if random.u32(..4) == 0 => Change::Tombstone,
        _ => {
            let events = (0..random.usize(1..4)).map(|_| one(random, number));
            Change::Events(events.collect())
        }
    };
    AppendBatch::change(name, ExpectedRevision::Any, change)
}

fn one(random: &mut fastrand::Rng, number: &mut u64) -> NewEvent {
    *number += 1;
    let mut event = event(*number);
    if random.bool() {
        event = event.with_tags([Tag::new(format!("color:{}", random.u8(..9))).unwrap()]);
    }
    if random.u8(..4) == 0 {
        event = event.with_metadata(Metadata {
            user_id: Some("somebody".to_owned()),
            custom: Bytes::from_static(b"{\"own\":true}"),
            ..Metadata::default()
        });
    }
    if random.u8(..8) == 0 {
        // Some are longer than what is read in one go.
        event.data = vec![b'7'; random.usize(400..2_000)].into();
        event.personal = Bytes::from_static(b"sealed");
    }
    event
}

/// How many streams gave an event, and how many gave none or an error.
fn compare(store: &Engine) -> (u32, u32) {
    let (mut plain, mut other) = (0, 0);
    for number in 0..STREAMS {
        let name = stream(&format!("order-{number}"));
        let alone = first(store, &name, 1);
        let longer = first(store, &name, 2);
        assert_eq!(alone, longer, "{name}");
        if matches!(alone, Some(Ok(_))) {
            plain += 1;
        } else {
            other += 1;
        }
    }
    (plain, other)
}

/// What a read of the last so many events gives first.
fn first(store: &Engine, name: &StreamName, limit: u64) -> Option<Result<RecordedEvent, String>> {
    let request = ReadRequest::backward(Source::Stream(name.clone())).limit(limit);
    let mut events = store.read(request);
    let first = pollster::block_on(events.next())?;
    Some(first.map_err(|error| format!("{:?}: {error}", error.kind())))
}

/// Flips a byte in each page of the segments that were sealed first.
fn damage_oldest(segments: &Path, random: &mut fastrand::Rng) {
    let paths = fs::read_dir(segments)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "seg"))
        .collect();
    paths.sort();
    let oldest = paths.first().unwrap();
    let mut bytes = fs::read(oldest).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        let at = random.usize(..page.len());
        page[at] ^= 1 << random.u8(..8);
    }
    fs::write(oldest, bytes).unwrap();
}
