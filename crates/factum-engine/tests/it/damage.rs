//! A byte of every class of file is flipped: `verify` says so, reads are right or say which position is damaged, and nothing else
//! is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use factum_engine::verify::{Severity, VerifyDepth, VerifyReport, verify};
use factum_engine::{Engine, Options};
use factum_store::{EventStore, Kind, ReadRequest};
use factum_types::{ExpectedRevision, Position, RecordedEvent};

use crate::support::{TempDir, append, event, open, read, small, stream};

/// A store with sealed segments of both kinds, one being written, and one prepared; and all its events.
fn build(dir: &Path) -> Vec<RecordedEvent> {
    let store = open(dir);
    let mut number = 0;
    // Single events: frames on pages of their own, packed when sealed.
    while store.stats().sealed_segments < 1 {
        append(
            &store,
            &format!("a-{}", number % 5),
            ExpectedRevision::Any,
            vec![event(number)],
        )
        .unwrap();
        number += 1;
    }
    // Large appends: sealed as they are.
    while store.stats().sealed_segments < 3 {
        let events: Vec<_> = (number..number + 200).map(event).collect();
        append(
            &store,
            &format!("b-{}", number % 3),
            ExpectedRevision::Any,
            events,
        )
        .unwrap();
        number += 200;
        store.settle().unwrap();
    }
    for _ in 0..900 {
        append(&store, "c-1", ExpectedRevision::Any, vec![event(number)]).unwrap();
        number += 1;
    }
    store.settle().unwrap();
    let all = read(&store, ReadRequest::all());
    assert_eq!(all.len() as u64, number);
    store.close().unwrap();
    all
}

fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_dir_all(to));
    std::fs::create_dir_all(to.join("segments")).unwrap();
    for (path, name) in files(from) {
        std::fs::copy(path, to.join(name)).unwrap();
    }
}

/// Every file of a store but the lock, with its name relative to the store.
fn files(store: &Path) -> Vec<(PathBuf, String)> {
    let names = |dir: &Path, prefix: &str| -> Vec<(PathBuf, String)> {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files
            .map(|e| {
                (
                    e.path(),
                    format!("{prefix}{}", e.file_name().to_string_lossy()),
                )
            })
            .collect()
    };
    let mut all = names(store, "");
    all.extend(names(&store.join("segments"), "segments/"));
    all.retain(|(_, name)| name != "LOCK");
    all.sort();
    all
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[usize::try_from(offset).unwrap()] ^= 0x5A;
    std::fs::write(path, bytes).unwrap();
}

fn full(dir: &Path) -> VerifyReport {
    verify(
        dir,
        VerifyDepth::Full,
        &factum_io::Env::real(),
        &mut |_, _| {},
    )
    .unwrap()
}

/// Reads everything; gives the positions that are damaged, having checked that all others are right.
fn read_damaged(store: &Engine, expected: &[RecordedEvent], what: &str) -> Vec<Position> {
    let expected: BTreeMap<Position, &RecordedEvent> = expected
        .iter()
        .map(|event| (event.position, event))
        .collect();
    let mut damaged = Vec::new();
    let mut seen = 0;
    let mut events = store.read(ReadRequest::all());
    while let Some(item) = pollster::block_on(events.next()) {
        match item {
            Ok(event) => {
                assert_eq!(Some(&&event), expected.get(&event.position), "{what}");
                seen += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Corrupt, "{what}: {error}");
                let damage = error.as_damage().unwrap();
                assert!(
                    error.to_string().contains(&damage.first.to_string()),
                    "{error}"
                );
                damaged.push(damage.first);
            }
        }
    }
    assert_eq!(
        seen + damaged.len(),
        expected.len(),
        "{what}: nothing else is refused"
    );
    damaged
}

/// Offsets all over a file, its first bytes and its used end among them.
fn offsets(length: u64, seed: u64) -> Vec<u64> {
    let mut offsets = vec![0, 9, 40, 130, 2050, 4096, 4100, 4130, 4160, 4200];
    let mut random = seed | 1;
    for _ in 0..6 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        offsets.push((random >> 33) % length);
    }
    offsets.retain(|offset| *offset < length);
    offsets
}

#[test]
fn a_flipped_byte_is_named_and_refuses_one_event_at_most() {
    let dir = TempDir::new();
    let all = build(dir.path());
    let (whole, broken) = (dir.path().join("data"), dir.path().join("broken"));
    assert!(full(&whole).is_clean(), "{:#?}", full(&whole));
    let classes = files(&whole);
    assert!(classes.len() >= 8, "{classes:?}");
    for (number, (_, name)) in classes.iter().enumerate() {
        let length = std::fs::metadata(whole.join(name)).unwrap().len();
        for offset in offsets(length, number as u64 + 7) {
            let what = format!("{name} at {offset}");
            copy(&whole, &broken);
            flip(&broken.join(name), offset);
            let report = full(&broken);
            assert!(!report.is_clean(), "{what}: verify says nothing");
            let named = report.findings.iter().any(|finding| finding.file == *name);
            assert!(named, "{what}: {:?}", report.findings);
            let store = Engine::open(small(dir.path()).read_only(true), factum_io::Env::real());
            drop(store.unwrap());
            let options = Options::new(&broken).read_only(true);
            let store = Engine::open(options, factum_io::Env::real()).unwrap();
            let damaged = read_damaged(&store, &all, &what);
            assert!(damaged.len() <= 1, "{what}: {damaged:?}");
            if let Some(position) = damaged.first() {
                let finding = report
                    .findings
                    .iter()
                    .find(|finding| finding.first.is_some());
                let finding = finding.unwrap_or_else(|| panic!("{what}: {:?}", report.findings));
                assert!(finding.first <= Some(*position), "{what}: {finding:?}");
            }
            check_streams(&store, &all, damaged.len(), &what);
        }
    }
}

/// Reads by stream find what reading everything finds.
fn check_streams(store: &Engine, all: &[RecordedEvent], damaged: usize, what: &str) {
    let mut refused = 0;
    for name in ["a-0", "a-3", "b-0", "b-1", "b-2", "c-1"] {
        let expected: Vec<&RecordedEvent> = all
            .iter()
            .filter(|event| event.stream.as_str() == name)
            .collect();
        let mut found = Vec::new();
        let mut events = store.read(ReadRequest::stream(stream(name)));
        while let Some(item) = pollster::block_on(events.next()) {
            match item {
                Ok(event) => found.push(event),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), Kind::Corrupt | Kind::NotFound),
                        "{what}: {error}"
                    );
                    refused += 1;
                }
            }
        }
        assert!(
            found.iter().all(|event| expected.contains(&event)),
            "{what}: {name}"
        );
        assert!(found.len() + refused >= expected.len(), "{what}: {name}");
    }
    assert!(
        refused <= damaged,
        "{what}: {refused} refused, {damaged} damaged"
    );
}

/// The names of a packed segment stand once in its file. A bad byte or sector among them, or even their loss, refuses nothing.
#[test]
fn names_survive_with_or_without_the_index() {
    let dir = TempDir::new();
    let store = open(dir.path());
    let mut number = 0_u64;
    while store.stats().sealed_segments < 1 {
        let name = format!("order-{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        append(&store, &name, ExpectedRevision::Any, vec![event(number)]).unwrap();
        number += 1;
    }
    let all = read(&store, ReadRequest::all());
    store.close().unwrap();
    let (whole, broken) = (dir.path().join("data"), dir.path().join("broken"));
    let packed = |dir: &Path, end: &str| dir.join(format!("segments/0000000001.g1.{end}"));
    let bytes = std::fs::read(packed(&whole, "seg")).unwrap();
    let names = 4_096..4_096 + 900;
    assert!(
        !bytes[names.clone()]
            .windows(6)
            .any(|text| text == b"number"),
        "no records there"
    );
    let check = |bad: std::ops::Range<usize>, with_index: bool| {
        copy(&whole, &broken);
        let mut bytes = bytes.clone();
        bytes[bad.clone()].iter_mut().for_each(|byte| *byte ^= 0x5A);
        std::fs::write(packed(&broken, "seg"), bytes).unwrap();
        if !with_index {
            std::fs::write(packed(&broken, "idx"), b"").unwrap();
        }
        let options = Options::new(&broken).read_only(true);
        let store = Engine::open(options, factum_io::Env::real()).unwrap();
        let what = format!("{bad:?}, index: {with_index}");
        let damaged = read_damaged(&store, &all, &what).len();
        let worst = full(&broken)
            .findings
            .iter()
            .map(|found| found.severity)
            .max();
        (damaged, worst)
    };
    let nothing_lost = (0, Some(Severity::Repairable));
    for at in names.clone().step_by(13) {
        assert_eq!(check(at..at + 1, false), nothing_lost, "byte {at}");
    }
    for at in names.step_by(128) {
        assert_eq!(check(at..at + 200, true), nothing_lost, "from {at}");
    }
    // Header and footer too, so that nothing is left of the frame; and then the index.
    let end = bytes.windows(4).position(|text| text == b"mRfF").unwrap() + 64;
    assert_eq!(check(4_096..end, true).0, 0);
    let (damaged, worst) = check(4_096 + 64..end - 64, false);
    assert!(damaged > 100);
    assert_eq!(worst, Some(Severity::Lost));
}

#[test]
fn an_accepted_loss_lets_the_store_be_written_again() {
    let dir = TempDir::new();
    let all = build(dir.path());
    let data = dir.path().join("data");
    // In the middle of the records of the segment being written: the last one that has any, since the next one may be prepared.
    let (active, mut bytes, at) = files(&data)
        .into_iter()
        .rev()
        .filter(|(_, name)| name.ends_with(".seg"))
        .find_map(|(path, _)| {
            let bytes = std::fs::read(&path).unwrap();
            let at = bytes
                .windows(8)
                .position(|window| window == b"\"number\"")?;
            Some((path, bytes, at))
        })
        .unwrap();
    bytes[at + 3] ^= 0xFF;
    std::fs::write(&active, bytes).unwrap();

    let store = open(dir.path());
    assert!(store.report().degraded, "{:?}", store.report());
    let refused = append(&store, "c-1", ExpectedRevision::Any, vec![event(9_999_999)]).unwrap_err();
    assert_eq!(refused.kind(), Kind::ReadOnly);
    let damaged = read_damaged(&store, &all, "degraded");
    assert_eq!(damaged.len(), 1);
    store.close().unwrap();

    let store = Engine::open(small(dir.path()).accept_loss(true), factum_io::Env::real()).unwrap();
    assert!(!store.report().degraded);
    append(
        &store,
        "d-1",
        ExpectedRevision::NoStream,
        vec![event(9_999_999)],
    )
    .unwrap();
    let record = read(&store, ReadRequest::stream(stream("$system-integrity")));
    assert_eq!(record.len(), 1);
    assert!(
        std::fs::read_dir(data.join("quarantine"))
            .unwrap()
            .next()
            .is_some()
    );
    store.close().unwrap();

    // It stays accepted, and the rest stays readable, sealed or not.
    let store = open(dir.path());
    assert!(!store.report().degraded, "{:?}", store.report());
    store.settle().unwrap();
    let mut expected = all.clone();
    expected.extend(read(
        &store,
        ReadRequest::stream(stream("$system-integrity")),
    ));
    expected.extend(read(&store, ReadRequest::stream(stream("d-1"))));
    assert_eq!(read_damaged(&store, &expected, "accepted"), damaged);

    // A backup of it can be restored, and is written on as well.
    let [backup, restored] = ["backup", "restored"].map(|name| dir.path().join(name));
    store.backup(&backup, &mut |_, _| {}).unwrap();
    store.close().unwrap();
    let env = factum_io::Env::real();
    let report = factum_engine::backup::restore(&backup, &restored, &env, &mut |_, _| {}).unwrap();
    let worst = report.verified.findings.iter().map(|f| f.severity).max();
    assert_eq!(worst, Some(Severity::Accepted));
    let store = Engine::open(Options::new(&restored), env).unwrap();
    assert!(!store.report().degraded, "{:?}", store.report());
    assert_eq!(read_damaged(&store, &expected, "restored"), damaged);
}
