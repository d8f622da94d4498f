//! Indexes with sections that are not written any more.

use std::path::Path;

use factum_engine::verify::{VerifyDepth, verify};
use factum_engine::{Engine, Options};
use factum_format::hash::xxh3_128;
use factum_format::index::{IndexBuilder, IndexFile, IndexSection};
use factum_format::manifest::{Manifest, SegmentState};
use factum_io::Env;
use factum_store::ReadRequest;
use factum_types::ExpectedRevision;

use crate::support::{TempDir, append, event, read};

type Extent = Option<(u64, u32)>;

fn open(directory: &Path) -> Engine {
    let options = Options::new(directory).segment_bytes(Options::SEGMENT_BYTES_MIN);
    Engine::open(options, Env::real()).unwrap()
}

/// What `verify` says of it, in full depth.
fn findings(directory: &Path) -> Vec<String> {
    let report = verify(directory, VerifyDepth::Full, &Env::real(), &mut |_, _| {}).unwrap();
    let found = report.findings.iter();
    found.map(|finding| finding.what.clone()).collect()
}

/// Section 1: all ends and gaps with 32 bits, and no slopes.
fn plain(extents: &[Extent]) -> Vec<u8> {
    let (mut anchors, mut bits) = (Vec::new(), Vec::new());
    let mut end = extents[0].map_or(0, |(offset, _)| offset);
    for block in extents.chunks(64) {
        let anchor = end;
        anchors.extend_from_slice(&anchor.to_le_bytes());
        anchors.extend_from_slice(&u32::try_from(bits.len()).unwrap().to_le_bytes());
        anchors.extend_from_slice(&[32, 32, 0, 0]);
        for extent in block {
            let (offset, length) = extent.unwrap_or((end, 0));
            let gap = offset - end;
            end = offset + u64::from(length);
            for number in [end - anchor, gap] {
                bits.extend_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
            }
        }
    }
    anchors.extend(bits);
    anchors
}

/// Puts indexes of before in the place of those that a store has, with what records' places are made by `change`.
fn go_back(directory: &Path, change: impl Fn(&mut Vec<Extent>)) {
    let copies = ["MANIFEST.a", "MANIFEST.b"].map(|name| directory.join(name));
    let [one, other] = copies.each_ref().map(|path| std::fs::read(path).unwrap());
    let (mut manifest, _) = Manifest::newest(&one, &other).unwrap();
    let mut changed = 0;
    for entry in &mut manifest.segments {
        if entry.state != SegmentState::Sealed {
            continue;
        }
        let name = format!("{:010}.g{}.idx", entry.number, entry.generation);
        let path = directory.join("segments").join(name);
        let bytes = std::fs::read(&path).unwrap();
        let file = IndexFile::parse(&bytes).unwrap();
        let places = file.offsets().unwrap().iter_from(0);
        let mut extents: Vec<Extent> = places.map(|place| place.unwrap().1).collect();
        change(&mut extents);
        let mut before = IndexBuilder::new(file.header().info);
        for section in &file.header().sections {
            let (_, content) = file.section(section.section).unwrap();
            match section.section {
                IndexSection::SLOPED_OFFSETS => {
                    before.section(IndexSection::OFFSETS, section.count, &plain(&extents));
                }
                other => before.section(other, section.count, content),
            }
        }
        let before = before.finish().unwrap();
        entry.index_hash = xxh3_128(&before);
        std::fs::write(path, before).unwrap();
        changed += 1;
    }
    assert!(changed > 0, "there are sealed segments");
    let manifest = manifest.encode().unwrap();
    copies
        .iter()
        .for_each(|path| std::fs::write(path, &manifest).unwrap());
}

#[test]
fn an_index_of_before_is_read_and_is_right_if_it_says_the_same() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let store = open(&data);
    let mut number = 0;
    while store.stats().sealed_segments < 2 {
        let name = format!("a-{}", number % 7);
        append(&store, &name, ExpectedRevision::Any, vec![event(number)]).unwrap();
        number += 1;
    }
    let all = read(&store, ReadRequest::all());
    store.close().unwrap();
    go_back(&data, |_| {});
    assert_eq!(findings(&data), [""; 0]);
    let store = open(&data);
    assert_eq!(read(&store, ReadRequest::all()), all);
    store.close().unwrap();
}

#[test]
fn an_index_of_before_that_says_something_else_is_found() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let store = open(&data);
    let mut number = 0;
    while store.stats().sealed_segments < 1 {
        append(&store, "a-1", ExpectedRevision::Any, vec![event(number)]).unwrap();
        number += 1;
    }
    store.close().unwrap();
    go_back(&data, |extents| *extents.last_mut().unwrap() = None);
    let found = findings(&data);
    assert!(!found.is_empty());
    let what = "the index does not say what the segment holds";
    assert!(found.iter().all(|found| found == what), "{found:?}");
}
