//! Trouble that comes a second time, or at the one place where it had no name yet.

use std::path::Path;

use factum_engine::verify::{Severity, VerifyDepth, VerifyFinding, verify};
use factum_engine::{Engine, Options};
use factum_io::Env;
use factum_io::sim::{Fault, FaultRule, OpKind, SimEnv};
use factum_store::{AppendBatch, EventStore, Kind, ReadRequest, SnapshotStore};
use factum_types::{ExpectedRevision, NewEvent, RecordedEvent};

use crate::support::{TempDir, append, event, open, read, small, stream};

/// So many events, in appends of a hundred, which fill segments.
fn fill(store: &Engine, name: &str, count: u64) {
    for first in (0..count).step_by(100) {
        let events = (first..first + 100).map(event).collect();
        append(store, name, ExpectedRevision::Any, events).unwrap();
    }
}

fn options() -> Options {
    Options::new("/data").segment_bytes(256 << 10)
}

/// Disk, clock and randomness are simulated, threads are real.
fn env_of(sim: &SimEnv) -> Env {
    Env {
        spawner: Env::real().spawner,
        ..sim.env()
    }
}

fn simulated(sim: &SimEnv) -> Engine {
    Engine::open(options(), env_of(sim)).unwrap()
}

/// Power may have failed between the two copies of the manifest, and what was read of the newer one may not be durable: both are, before
/// anything goes by what the manifest says.
#[test]
fn both_copies_of_the_manifest_are_durable_before_they_are_relied_on() {
    let sim = SimEnv::new(9);
    let store = simulated(&sim);
    fill(&store, "a", 300);
    store.close().unwrap();
    drop(store);
    sim.disk.set_trace(true);
    drop(simulated(&sim));
    let trace = sim.disk.trace();
    let relied = trace.iter().take_while(|call| !call.contains(".seg"));
    let relied: Vec<_> = relied.filter(|call| call.contains("MANIFEST")).collect();
    for copy in ["MANIFEST.a", "MANIFEST.b"] {
        let of_copy = relied.iter().filter(|call| call.contains(copy));
        let changes =
            of_copy.filter(|call| call.starts_with("write ") || call.starts_with("sync all "));
        let kinds: Vec<_> = changes.map(|call| call.starts_with("sync all ")).collect();
        assert_eq!(kinds, [false, true], "{relied:?}");
    }
}

/// Beside a writer what vouches for something is read before that, and what was read is durable before anybody is shown it.
#[test]
fn who_only_reads_goes_from_the_back_and_makes_what_was_read_durable() {
    let sim = SimEnv::new(6);
    let large = || options().segment_bytes(4 << 20);
    let store = Engine::open(large(), env_of(&sim)).unwrap();
    fill(&store, "a", 300);
    sim.disk.set_trace(true);
    let reader = Engine::open(large().read_only(true), env_of(&sim)).unwrap();
    assert_eq!(read(&reader, ReadRequest::all()).len(), 300);
    let trace = sim.disk.trace();
    sim.disk.set_trace(false);
    let of_segment = |call: &&String| call.contains("/0000000001.seg");
    let calls: Vec<_> = trace.iter().filter(of_segment).collect();
    let reads = calls.iter().filter(|call| call.contains("read "));
    let expected = [3, 2, 1, 0].map(|step: u64| format!("offset {}", step << 20));
    let places: Vec<_> = reads.collect();
    assert_eq!(places.len(), expected.len(), "{calls:?}");
    for (place, expected) in places.iter().zip(expected) {
        assert!(place.contains(&expected), "{place}: {expected}");
    }
    let mut after = calls
        .iter()
        .rev()
        .take_while(|call| !call.contains("read "));
    assert!(after.any(|call| call.contains("sync all")), "{calls:?}");
}

/// A loss of unknown length is accepted, and the segment behind it cannot be begun. When that is tried again, the loss is as long as before.
#[test]
fn positions_behind_an_accepted_loss_are_not_given_again_after_a_failure() {
    const UNKNOWN_LOSS_POSITIONS: u64 = 1 << 20;
    let sim = SimEnv::new(8);
    let store = simulated(&sim);
    fill(&store, "a", 100);
    store.close().unwrap();
    drop(store);
    // Nothing tells how much there was behind.
    let segment = "/data/segments/0000000001.seg";
    sim.disk.truncate_file(segment, 64 << 10).unwrap();
    assert!(simulated(&sim).report().degraded);
    sim.disk
        .fail(FaultRule::once(OpKind::Create, 1, Fault::Eio).on_path(".seg"));
    Engine::open(options().accept_loss(true), env_of(&sim)).unwrap_err();
    sim.disk.clear_faults();
    let store = simulated(&sim);
    let receipt = append(&store, "b", ExpectedRevision::Any, vec![event(1_000)]).unwrap();
    let position = receipt.last.raw();
    assert!(position >= 100 + UNKNOWN_LOSS_POSITIONS, "{position}");
}

/// A sealed segment that the device cannot give is damage in its place, for each event; what stands elsewhere is read.
#[test]
fn events_that_the_device_cannot_give_are_damaged_in_their_places() {
    let sim = SimEnv::new(4);
    let store = simulated(&sim);
    fill(&store, "a", 10_000);
    let all = read(&store, ReadRequest::all());
    let files = sim.disk.files();
    let segment = files.iter().find(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("0000000001")
            && path.extension().is_some_and(|end| end == "seg")
    });
    let segment = segment.unwrap().file_name().unwrap();
    let name = segment.to_string_lossy().into_owned();
    let unreadable = FaultRule::from_then_on(OpKind::Read, 1, Fault::Eio);
    sim.disk.fail(unreadable.on_path(&name));

    let mut reading = store.read(ReadRequest::all());
    let mut items = Vec::new();
    while let Some(item) = pollster::block_on(reading.next()) {
        items.push(item);
    }
    assert_eq!(items.len(), all.len(), "{:?}", items.first());
    let good: Vec<RecordedEvent> = items.iter().flatten().cloned().collect();
    let damaged = items.len() - good.len();
    assert!(
        damaged > 0 && !good.is_empty(),
        "{damaged} of {}",
        items.len()
    );
    assert_eq!(good, all[damaged..]);
    let mut bad = items.iter().filter_map(|item| item.as_ref().err());
    assert!(bad.all(|error| error.kind() == Kind::Corrupt));
    let data = Path::new("/data");
    let report = verify(data, VerifyDepth::Full, &env_of(&sim), &mut |_, _| {}).unwrap();
    let lost = |finding: &&VerifyFinding| finding.severity == Severity::Lost;
    assert_eq!(report.findings.iter().filter(lost).count(), 1);
    assert!(report.findings[0].file.ends_with(&name));
}

/// A segment that cannot be begun ends all writing, whatever waits behind the one that needed it.
#[test]
fn nothing_is_stored_behind_a_segment_that_could_not_be_begun() {
    for nth in 1..4 {
        let sim = SimEnv::new(5);
        let store = simulated(&sim);
        let failing = FaultRule::once(OpKind::WriteDurable, nth, Fault::Eio);
        sim.disk.fail(failing.on_path("0000000002"));
        let mut stored = 0;
        let mut has_failed = false;
        for round in 0..200 {
            let batch = |number: u64| {
                let events = vec![event(round * 100 + number)];
                AppendBatch::events(stream(&format!("s{number}")), ExpectedRevision::Any, events)
            };
            for answer in pollster::block_on(store.append_each((0..100).map(batch).collect())) {
                if answer.is_ok() {
                    assert!(
                        !has_failed,
                        "stored after {stored} although writing had ended"
                    );
                    stored += 1;
                }
                has_failed |= answer.is_err();
            }
        }
        assert!(has_failed, "the {nth}. write was not reached");
        drop(store);
        sim.disk.clear_faults();
        let store = simulated(&sim);
        assert!(!store.report().degraded);
        let found = read(&store, ReadRequest::all()).len();
        assert!(found >= stored, "{found} of {stored}");
        append(&store, "after", ExpectedRevision::Any, vec![event(90_000)]).unwrap();
        store.close().unwrap();
        drop(store);
        assert!(!simulated(&sim).report().degraded);
    }
}

/// What is remembered of ids at opening are ids of events, however many other records came after them.
#[test]
fn ids_of_events_are_remembered_beyond_other_records() {
    let dir = TempDir::new();
    let options = || small(dir.path()).id_window(1_000);
    let store = Engine::open(options(), Env::real()).unwrap();
    let first = append(&store, "a", ExpectedRevision::Any, vec![event(1)]).unwrap();
    for number in 0..3_000_u64 {
        let snapshot = factum_store::Snapshot::new(
            stream("a"),
            format!("key-{}", number % 2),
            0,
            vec![b'x'; 400],
        );
        pollster::block_on(store.save_snapshot(snapshot)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let store = Engine::open(options(), Env::real()).unwrap();
    assert!(store.report().sealed_segments > 1);
    let again = append(&store, "a", ExpectedRevision::Any, vec![event(1)]).unwrap();
    assert_eq!(again.last, first.last);
    assert_eq!(read(&store, ReadRequest::all()).len(), 1);
}

/// The events that made a conflict are told, unless they are large.
#[test]
fn a_conflict_does_not_bring_large_events() {
    let dir = TempDir::new();
    let store = open_large(dir.path());
    let large = NewEvent {
        data: vec![b'x'; 300 << 10].into(),
        ..event(2)
    };
    append(&store, "small", ExpectedRevision::Any, vec![event(1)]).unwrap();
    append(&store, "large", ExpectedRevision::Any, vec![large]).unwrap();
    for (name, told) in [("small", 1), ("large", 0)] {
        let refused = append(&store, name, ExpectedRevision::NoStream, vec![event(3)]);
        let error = refused.unwrap_err();
        assert_eq!(error.as_conflict().unwrap().events.len(), told, "{name}");
    }
}

fn open_large(dir: &Path) -> Engine {
    Engine::open(Options::new(dir.join("data")), Env::real()).unwrap()
}

/// A backup that is opened finds the space that it writes on in.
#[test]
fn a_backup_has_all_of_its_space() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = TempDir::new();
    let store = open(dir.path());
    fill(&store, "a", 300);
    let target = dir.path().join("backup");
    store.backup(&target, &mut |_, _| {}).unwrap();
    let segments = std::fs::read_dir(target.join("segments")).unwrap();
    let mut looked_at = 0;
    for segment in segments {
        let metadata = segment.unwrap().metadata().unwrap();
        assert!(metadata.blocks() * 512 >= metadata.len());
        looked_at += 1;
    }
    assert!(looked_at > 0);
}
