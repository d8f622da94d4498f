//! The last events of a stream are lost. Its revisions are not given again: appends to it are refused, naming the file and the positions,
//! and everything that does not depend on what was lost goes on.

use std::ops::Range;
use std::path::{Path, PathBuf};

use factum_engine::{Engine, Options};
use factum_store::{AppendBatch, Change, EventStore, Kind, ReadRequest, Source, StoreError};
use factum_types::ExpectedRevision::{Any, NoStream, StreamExists};
use factum_types::{ExpectedRevision, NewEvent, Position, RecordedEvent, StreamSettings};

use crate::support::{TempDir, append, event, exactly, open, read, small, stream};

const LOST: u64 = 7_000_000;

/// Writes single events to a few streams until so many segments are sealed, from this number on.
fn fill(store: &Engine, sealed: usize, mut number: u64, names: &[&str]) -> u64 {
    while store.stats().sealed_segments < sealed {
        let name = names[usize::try_from(number).unwrap() % names.len()];
        append(store, name, Any, vec![event(number)]).unwrap();
        number += 1;
    }
    number
}

fn many(first: u64, count: u64) -> Vec<NewEvent> {
    (first..first + count).map(event).collect()
}

fn data(dir: &TempDir) -> PathBuf {
    dir.path().join("data")
}

/// The file of a segment, whatever its generation.
fn segment_file(data: &Path, number: u64, end: &str) -> PathBuf {
    let names = |generation: &str| data.join(format!("segments/{number:010}{generation}.{end}"));
    let generations = ["", ".g0", ".g1"].map(names);
    generations.into_iter().find(|path| path.exists()).unwrap()
}

/// Where the data of an event stands in a file.
fn place_of(bytes: &[u8], number: u64) -> usize {
    let text = format!("{{\"number\":{number},");
    let found = bytes.windows(text.len()).position(|w| w == text.as_bytes());
    found.unwrap()
}

fn damage(path: &Path, range: impl Fn(&[u8]) -> Range<usize>) {
    let mut bytes = std::fs::read(path).unwrap();
    let range = range(&bytes);
    bytes[range].iter_mut().for_each(|byte| *byte ^= 0x5A);
    std::fs::write(path, bytes).unwrap();
}

/// The head of a record.
fn head_of(bytes: &[u8], number: u64) -> Range<usize> {
    let at = place_of(bytes, number);
    at - 30..at
}

/// The frame with an event, from its header to its footer.
fn frame_of(bytes: &[u8], number: u64) -> Range<usize> {
    let at = place_of(bytes, number);
    let begin = bytes[..at].windows(4).rposition(|w| w == b"fFrM").unwrap();
    let end = bytes[at..].windows(4).position(|w| w == b"mRfF").unwrap();
    begin..at + end + 64
}

fn store(dir: &TempDir, options: impl Fn(Options) -> Options) -> Engine {
    Engine::open(options(small(dir.path())), factum_io::Env::real()).unwrap()
}

/// Appends one event as a writer does who knows nothing of a loss.
fn try_append(store: &Engine, name: &str, expected: ExpectedRevision) -> Result<u64, StoreError> {
    let id = 8_000_000 + store.stats().records;
    let receipt = append(store, name, expected, vec![event(id)])?;
    Ok(receipt.writes[0].last_revision.unwrap().number())
}

/// Every kind of append to the stream is refused, naming the lost position.
fn check_refused(store: &Engine, name: &str, left: u64, lost: Position) {
    for expected in [Any, NoStream, StreamExists, exactly(left)] {
        let error = try_append(store, name, expected).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{name} {expected}: {error}");
        let damage = error.as_damage().unwrap();
        assert!(damage.first <= lost && lost <= damage.last, "{error}");
        assert!(damage.file.starts_with("segments/"), "{error}");
    }
    let info = pollster::block_on(store.stream_info(stream(name))).unwrap_err();
    assert_eq!(info.kind(), Kind::Corrupt, "{info}");
}

/// Backwards and forwards, what is left is read.
fn check_left(store: &Engine, name: &str, expected: &[RecordedEvent]) {
    let forward = read(store, ReadRequest::stream(stream(name)));
    assert_eq!(forward, expected, "{name}");
    let mut backward = read(store, ReadRequest::backward(Source::Stream(stream(name))));
    backward.reverse();
    assert_eq!(backward, expected, "{name}");
}

fn events_of(all: &[RecordedEvent], name: &str) -> Vec<RecordedEvent> {
    let of_stream = all.iter().filter(|event| event.stream.as_str() == name);
    of_stream.cloned().collect()
}

fn position_of(all: &[RecordedEvent], number: u64) -> Position {
    let text = format!("\"number\":{number},");
    let found = all
        .iter()
        .find(|event| String::from_utf8_lossy(&event.data).contains(&text));
    found.unwrap().position
}

/// A packed segment whose index is gone and in which one event is lost: its names are all there.
#[test]
fn a_lost_last_event_in_a_packed_segment_is_not_overwritten() {
    let dir = TempDir::new();
    let engine = open(dir.path());
    append(&engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
    append(&engine, "w-1", NoStream, many(6_100_000, 2)).unwrap();
    let half = 100;
    for number in 0..half {
        append(
            &engine,
            &format!("a-{}", number % 5),
            Any,
            vec![event(number)],
        )
        .unwrap();
    }
    append(&engine, "x-1", exactly(2), vec![event(LOST)]).unwrap();
    append(&engine, "v-1", NoStream, vec![event(6_200_000)]).unwrap();
    append(&engine, "early-1", NoStream, vec![event(6_400_000)]).unwrap();
    let next = fill(&engine, 1, half, &["a-0", "a-1", "a-2", "a-3", "a-4"]);
    append(&engine, "w-1", exactly(1), vec![event(6_300_000)]).unwrap();
    fill(&engine, 2, next, &["a-0", "a-1"]);
    let all = read(&engine, ReadRequest::all());
    engine.close().unwrap();
    let lost = position_of(&all, LOST);
    let segment = segment_file(&data(&dir), 1, "seg");
    let index = segment_file(&data(&dir), 1, "idx");
    assert!(segment.to_string_lossy().contains(".g1."), "it is packed");
    let kept = std::fs::read(&index).unwrap();
    damage(&segment, |bytes| head_of(bytes, LOST));

    // The index knows how many events there were.
    let engine = open(dir.path());
    assert_eq!(try_append(&engine, "early-1", Any).unwrap(), 1);
    let info = pollster::block_on(engine.stream_info(stream("x-1"))).unwrap();
    assert_eq!(info.last_revision.unwrap().number(), 3);
    engine.close().unwrap();
    let bytes = std::fs::read(&index).unwrap();
    assert_eq!(bytes, kept);

    std::fs::write(&index, b"").unwrap();
    let engine = open(dir.path());
    check_refused(&engine, "x-1", 2, lost);
    check_left(&engine, "x-1", &events_of(&all, "x-1")[..3]);
    // Streams that are seen again behind it, there or in a later segment, and names that the segment does not know.
    for (name, last) in [("v-1", 1), ("w-1", 3), ("early-1", 2)] {
        assert_eq!(try_append(&engine, name, StreamExists).unwrap(), last);
    }
    assert!(try_append(&engine, "a-3", StreamExists).is_ok());
    assert_eq!(try_append(&engine, "never-seen-1", NoStream).unwrap(), 0);
    let missing = pollster::block_on(engine.read(ReadRequest::stream(stream("none-1"))).collect());
    assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
    engine.close().unwrap();

    // With the index back, nothing is in doubt.
    std::fs::write(&index, kept).unwrap();
    let engine = open(dir.path());
    assert_eq!(try_append(&engine, "x-1", exactly(3)).unwrap(), 4);
    engine.close().unwrap();
    // What is written behind the loss proves the rest.
    std::fs::write(&index, b"").unwrap();
    let engine = open(dir.path());
    assert_eq!(try_append(&engine, "x-1", Any).unwrap(), 5);
    engine.close().unwrap();
}

/// A segment that was sealed as it stood, and of which a frame and the index are gone: with the frame went a name.
#[test]
fn a_name_that_may_be_lost_is_not_given_to_a_new_stream() {
    let dir = TempDir::new();
    let engine = open(dir.path());
    append(&engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
    append(&engine, "q-1", NoStream, many(LOST, 200)).unwrap();
    append(&engine, "y-1", NoStream, many(6_100_000, 200)).unwrap();
    let mut number = 0;
    while engine.stats().sealed_segments < 2 {
        append(&engine, "b-1", Any, many(number, 200)).unwrap();
        engine.settle().unwrap();
        number += 200;
    }
    let all = read(&engine, ReadRequest::all());
    engine.close().unwrap();
    let lost = position_of(&all, LOST);
    let segment = segment_file(&data(&dir), 1, "seg");
    assert!(
        !segment.to_string_lossy().contains(".g"),
        "it is not packed"
    );
    damage(&segment, |bytes| frame_of(bytes, LOST));
    std::fs::write(segment_file(&data(&dir), 1, "idx"), b"").unwrap();

    let engine = open(dir.path());
    check_refused(&engine, "x-1", 2, lost);
    check_refused(&engine, "q-1", 199, lost);
    check_refused(&engine, "new-1", 0, lost);
    check_left(&engine, "x-1", &events_of(&all, "x-1"));
    check_left(&engine, "y-1", &events_of(&all, "y-1"));
    let missing = pollster::block_on(engine.read(ReadRequest::stream(stream("q-1"))).collect());
    assert_eq!(missing.unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(try_append(&engine, "y-1", exactly(199)).unwrap(), 200);
    assert!(try_append(&engine, "b-1", StreamExists).is_ok());
    // What is recorded is answered as before.
    let again = append(&engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
    assert!(again.replayed);
    engine.close().unwrap();

    let engine = store(&dir, |options| options.accept_lost_tails(true));
    assert_eq!(try_append(&engine, "x-1", exactly(2)).unwrap(), 3);
    assert_eq!(try_append(&engine, "new-1", NoStream).unwrap(), 0);
    engine.close().unwrap();
}

/// A frame of the segment that was being written is lost, and the loss accepted.
#[test]
fn an_accepted_loss_does_not_give_revisions_again() {
    let dir = TempDir::new();
    let engine = open(dir.path());
    append(&engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
    append(&engine, "cold-1", NoStream, many(6_100_000, 2)).unwrap();
    append(&engine, "x-1", exactly(2), vec![event(LOST)]).unwrap();
    append(&engine, "y-1", NoStream, vec![event(6_200_000)]).unwrap();
    let all = read(&engine, ReadRequest::all());
    engine.close().unwrap();
    let lost = position_of(&all, LOST);
    damage(&segment_file(&data(&dir), 1, "seg"), |bytes| {
        frame_of(bytes, LOST)
    });
    let engine = open(dir.path());
    assert!(engine.report().degraded, "{:?}", engine.report());
    engine.close().unwrap();

    let engine = store(&dir, |options| options.accept_loss(true));
    let check = |engine: &Engine| {
        check_refused(engine, "x-1", 2, lost);
        // Nothing tells that the lost event was not one of this stream.
        check_refused(engine, "cold-1", 1, lost);
        check_left(engine, "x-1", &events_of(&all, "x-1")[..3]);
        assert!(try_append(engine, "y-1", StreamExists).is_ok());
        assert!(try_append(engine, "x-2", Any).is_ok());
        let again = append(engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
        assert!(again.replayed);
    };
    check(&engine);
    engine.close().unwrap();
    let engine = open(dir.path());
    check(&engine);
    fill(&engine, 2, 0, &["a-1", "a-2"]);
    check(&engine);
    engine.close().unwrap();
    let engine = open(dir.path());
    check(&engine);
    engine.close().unwrap();
    std::fs::write(segment_file(&data(&dir), 1, "idx"), b"").unwrap();
    let engine = open(dir.path());
    check(&engine);
    engine.close().unwrap();

    let engine = store(&dir, |options| options.accept_lost_tails(true));
    assert_eq!(try_append(&engine, "x-1", exactly(2)).unwrap(), 3);
    engine.close().unwrap();
    // From then on what is written proves it.
    let engine = open(dir.path());
    assert_eq!(try_append(&engine, "x-1", Any).unwrap(), 4);
    check_refused(&engine, "cold-1", 1, lost);
    engine.close().unwrap();
}

/// A segment with an accepted loss is sealed, and loses more later, with its index: nobody has accepted that.
#[test]
fn a_loss_after_sealing_is_not_accepted_with_an_earlier_one() {
    const LATER: u64 = 9_100_000;
    let dir = TempDir::new();
    let engine = open(dir.path());
    append(&engine, "x-1", NoStream, many(6_000_000, 200)).unwrap();
    append(&engine, "q-1", NoStream, many(LOST, 200)).unwrap();
    append(&engine, "z-1", NoStream, many(LATER, 200)).unwrap();
    let lost = position_of(&read(&engine, ReadRequest::all()), LATER);
    engine.close().unwrap();
    damage(&segment_file(&data(&dir), 1, "seg"), |bytes| {
        frame_of(bytes, LOST)
    });
    let engine = store(&dir, |options| options.accept_loss(true));
    // The loss that was accepted: a stream without a trace is new.
    assert_eq!(try_append(&engine, "new-1", NoStream).unwrap(), 0);
    let mut number = 0;
    while engine.stats().sealed_segments < 1 {
        append(&engine, "b-1", Any, many(number, 200)).unwrap();
        engine.settle().unwrap();
        number += 200;
    }
    engine.close().unwrap();
    let segment = segment_file(&data(&dir), 1, "seg");
    damage(&segment, |bytes| frame_of(bytes, LATER));
    std::fs::write(segment_file(&data(&dir), 1, "idx"), b"").unwrap();
    let engine = open(dir.path());
    check_refused(&engine, "z-1", 0, lost);
    engine.close().unwrap();
}

/// Streams that go on behind a loss account for it: then no other stream has lost anything.
#[test]
fn a_loss_that_is_accounted_for_puts_no_other_stream_in_doubt() {
    let dir = TempDir::new();
    let engine = open(dir.path());
    append(&engine, "cold-1", NoStream, many(6_100_000, 2)).unwrap();
    append(&engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
    append(&engine, "x-1", exactly(2), vec![event(LOST)]).unwrap();
    append(&engine, "x-1", exactly(3), vec![event(6_200_000)]).unwrap();
    engine.close().unwrap();
    damage(&segment_file(&data(&dir), 1, "seg"), |bytes| {
        frame_of(bytes, LOST)
    });
    let engine = store(&dir, |options| options.accept_loss(true));
    assert_eq!(try_append(&engine, "cold-1", exactly(1)).unwrap(), 2);
    assert_eq!(try_append(&engine, "x-1", exactly(4)).unwrap(), 5);
    assert_eq!(try_append(&engine, "new-1", NoStream).unwrap(), 0);
    engine.close().unwrap();
}

/// The settings of a stream say where it stood, should its last events be lost.
#[test]
fn settings_behind_a_loss_prove_the_next_revision() {
    let dir = TempDir::new();
    let engine = open(dir.path());
    append(&engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
    append(&engine, "x-1", exactly(2), vec![event(LOST)]).unwrap();
    let settings = StreamSettings {
        max_count: Some(100),
        ..StreamSettings::default()
    };
    let change = Change::Settings(settings);
    let batch = AppendBatch::change(stream("x-1"), Any, change);
    pollster::block_on(engine.append(batch)).unwrap();
    engine.close().unwrap();
    damage(&segment_file(&data(&dir), 1, "seg"), |bytes| {
        frame_of(bytes, LOST)
    });
    let engine = store(&dir, |options| options.accept_loss(true));
    let conflict = try_append(&engine, "x-1", exactly(2)).unwrap_err();
    assert_eq!(conflict.kind(), Kind::Conflict, "{conflict}");
    assert_eq!(try_append(&engine, "x-1", exactly(3)).unwrap(), 4);
    let items: Vec<_> = {
        let mut read = engine.read(ReadRequest::stream(stream("x-1")));
        std::iter::from_fn(|| pollster::block_on(read.next())).collect()
    };
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 4);
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
    engine.close().unwrap();
}

/// The file was cut off: nothing tells how much there was, so every stream that is not seen behind the loss is in doubt.
#[test]
fn a_loss_of_unknown_length_puts_every_older_stream_in_doubt() {
    let dir = TempDir::new();
    let engine = open(dir.path());
    append(&engine, "x-1", NoStream, many(6_000_000, 3)).unwrap();
    engine.close().unwrap();
    let segment = segment_file(&data(&dir), 1, "seg");
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..64 << 10]).unwrap();
    let engine = store(&dir, |options| options.accept_loss(true));
    check_refused(&engine, "x-1", 2, Position::from_raw(3));
    assert_eq!(try_append(&engine, "new-1", NoStream).unwrap(), 0);
    engine.close().unwrap();
    let engine = open(dir.path());
    check_refused(&engine, "x-1", 2, Position::from_raw(3));
    engine.close().unwrap();
}
