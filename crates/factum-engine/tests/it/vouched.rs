//! The log says of its last events that they are durable, soon after they are: recovery can then tell a frame that went bad from one that never
//! arrived. Whichever committer wrote it last.

use std::path::Path;
use std::time::Duration;

use factum_engine::{Engine, Options};
use factum_format::frame::{FrameFlags, FrameHeader};
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::scan::{Area, find_frames_after};
use factum_format::segment::SegmentHeader;
use factum_types::ExpectedRevision;

use crate::support::{TempDir, append, event};

const BURSTS: usize = 60;
/// All frames stand in one segment.
const SEGMENT_BYTES: u64 = 4 << 20;
const WRITERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);

fn open(directory: &Path) -> Engine {
    let options = Options::new(directory.join("data")).segment_bytes(SEGMENT_BYTES);
    Engine::open(options, factum_io::Env::real()).unwrap()
}

/// Each of the writers appends one event, all at once.
fn burst(store: &Engine, first: u64, writers: usize) {
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let number = first + writer as u64;
            scope.spawn(move || {
                let stream = format!("writer-{writer}");
                append(store, &stream, ExpectedRevision::Any, vec![event(number)]).unwrap();
            });
        }
    });
}

/// The frames of the first segment, as the file has them now, by sequence number.
fn frames(segment: &Path) -> Vec<(u64, FrameHeader)> {
    let bytes = std::fs::read(segment).unwrap();
    let (header, _) = SegmentHeader::decode(&bytes).unwrap();
    let area = Area::whole(&bytes);
    let mut frames: Vec<_> =
        find_frames_after(&area, SEGMENT_HEADER_BYTES - 64, header.key()).collect();
    frames.sort_by_key(|(_, header)| header.frame_seq);
    frames
}

/// Waits until the last frame says that the one before it is durable; gives that one, and where it stands.
fn vouched_for(segment: &Path) -> (u64, FrameHeader) {
    let clock = factum_io::Env::real().clock;
    let began = clock.monotonic_ns();
    loop {
        if let [.., last, mark] = frames(segment).as_slice()
            && mark.1.flags.contains(FrameFlags::CHECKPOINT)
            && mark.1.durable_seq == last.1.frame_seq
        {
            return *last;
        }
        let waited = Duration::from_nanos(clock.monotonic_ns() - began);
        assert!(waited < PATIENCE, "nothing says so after {waited:?}");
        clock.sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_last_event_is_vouched_for_whoever_wrote_it() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = TempDir::new();
    let store = open(dir.path());
    let segment = dir.path().join("data/segments/0000000001.seg");
    let (mut number, mut last) = (0, None);
    for _ in 0..BURSTS {
        let writers = random.usize(1..=WRITERS);
        burst(&store, number, writers);
        number += writers as u64;
        last = Some(vouched_for(&segment));
    }
    // So a last frame that is gone without a trace is a loss, and no end that never arrived; looked at in a copy, as it would be after a power cut.
    let (offset, header) = last.unwrap();
    assert!(header.record_count > 0);
    let copy = TempDir::new();
    copy_files(&dir.path().join("data"), &copy.path().join("data"));
    let segment = copy.path().join("data/segments/0000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = usize::try_from(offset).unwrap();
    bytes[at..at + header.frame_len as usize].fill(0);
    std::fs::write(&segment, bytes).unwrap();
    let store = open(copy.path());
    assert!(store.report().degraded, "{:?}", store.report());
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_files(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
