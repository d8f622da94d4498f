//! The prototype of the durable-sequence rule: every way in which a power cut can leave a frame, and every way in
//! which one byte of a written frame can go bad, must be told apart. See `docs/decisions/0001-durable-seq.md`.

use super::*;
use crate::{
    frame::{FrameBuilder, FrameFields, FrameFlags, FrameHeader},
    support::{KEY, fields, frame, noise},
};

const SECTOR: usize = 512;

/// A pre-written file (zeros) with frames, the last of which starts at `last`.
struct Log {
    before: Vec<u8>,
    complete: Vec<u8>,
    last: u64,
    seq: u64,
}

impl Log {
    /// Two frames of `lead` bytes of payload each, then one with `payloads`.
    fn new(lead: usize, names: &[&str], payloads: &[Vec<u8>]) -> Self {
        let mut random = fastrand::Rng::with_seed(12);
        let mut file = vec![0; 4096];
        let mut position = 0;
        for seq in [1, 2] {
            let payload = [noise(&mut random, lead)];
            let (header, bytes) = frame(&[], &payload, &fields(seq, position), file.len() as u64);
            position = header.next_position();
            file.extend_from_slice(&bytes);
        }
        let last = file.len();
        let mut complete = file.clone();
        let (_, bytes) = frame(names, payloads, &fields(3, position), last as u64);
        complete.extend_from_slice(&bytes);
        let capacity = complete.len().next_multiple_of(4096) + 4096;
        file.resize(capacity, 0);
        complete.resize(capacity, 0);
        Self {
            before: file,
            complete,
            last: last as u64,
            seq: 3,
        }
    }

    /// As `new`, but the last frame has no body.
    fn bodiless(lead: usize) -> Self {
        let mut log = Self::new(lead, &[], &[vec![1]]);
        let fields = FrameFields {
            flags: FrameFlags::CHECKPOINT,
            ..fields(3, 2)
        };
        let mut out = Vec::new();
        FrameBuilder::finish_empty(&fields, KEY, log.last, &mut out).unwrap();
        let at = usize::try_from(log.last).unwrap();
        log.complete[at..].fill(0);
        log.complete[at..at + out.len()].copy_from_slice(&out);
        log
    }

    fn sectors(&self) -> std::ops::Range<usize> {
        let end = self.complete.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        usize::try_from(self.last).unwrap() / SECTOR..end.div_ceil(SECTOR)
    }

    fn judge(&self, file: &[u8]) -> Verdict {
        let area = Area::whole(file);
        let found = scan_frame(&area, self.last, KEY);
        let later: Vec<_> = find_frames_after(&area, self.last, KEY)
            .map(|(_, h)| h)
            .collect();
        verdict(&found, self.seq, &later)
    }

    fn is_valid(&self, file: &[u8]) -> bool {
        matches!(
            scan_frame(&Area::whole(file), self.last, KEY),
            FrameAt::Valid(_)
        )
    }
}

/// Every subset of the last frame's sectors did not arrive: never rot, and never valid unless nothing is missing.
fn check_torn(log: &Log) -> usize {
    let sectors: Vec<_> = log.sectors().collect();
    assert!(sectors.len() <= 12, "{} sectors", sectors.len());
    for missing in 0..1_u32 << sectors.len() {
        let mut file = log.complete.clone();
        for (bit, sector) in sectors.iter().enumerate() {
            if missing >> bit & 1 == 1 {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                file[range.clone()].copy_from_slice(&log.before[range]);
            }
        }
        if file == log.complete {
            assert!(log.is_valid(&file));
            continue;
        }
        assert!(!log.is_valid(&file), "{missing:b}");
        let header_missing = missing & 1 == 1;
        match log.judge(&file) {
            Verdict::CutTorn { header } => assert_eq!(header.frame_seq, log.seq),
            Verdict::CleanEnd { stray_bits: false } => assert!(header_missing, "{missing:b}"),
            other => panic!("{missing:b} of {} sectors: {other:?}", sectors.len()),
        }
    }
    1 << sectors.len()
}

/// Every byte of the last frame takes other values: always rot, and lossless unless the body is hit.
///
/// Left out is what nobody can see: the only byte of a sector that is not zero becomes zero. That is byte for byte the
/// state in which the sector never arrived.
fn check_rot(log: &Log, values: impl Fn(u8) -> Vec<u8>) {
    let end = log.complete.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let start = usize::try_from(log.last).unwrap();
    let mut file = log.complete.clone();
    for at in start..end {
        for value in values(log.complete[at]) {
            if value == log.complete[at] {
                continue;
            }
            file[at] = value;
            let sector = &file[at / SECTOR * SECTOR..(at / SECTOR + 1) * SECTOR];
            if sector.iter().all(|&byte| byte == 0) {
                continue;
            }
            assert!(!log.is_valid(&file));
            let Verdict::Rot {
                acknowledged: false,
                lossless,
                cause,
            } = log.judge(&file)
            else {
                panic!("byte {} = {value:#x}: {:?}", at - start, log.judge(&file));
            };
            let in_body = (start + 64..end - 64).contains(&at);
            assert_eq!(lossless, !in_body, "byte {}: {cause:?}", at - start);
        }
        file[at] = log.complete[at];
    }
}

fn all_values(_: u8) -> Vec<u8> {
    (0..=255).collect()
}

fn some_values(good: u8) -> Vec<u8> {
    vec![0, 0xFF, good ^ 1, good ^ 0x80]
}

fn dense(lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(13);
    lengths
        .iter()
        .map(|&length| noise(&mut random, length))
        .collect()
}

/// Payloads with long runs of zeros, so that the frame has a zero map.
fn sparse(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths.iter().map(|&length| vec![0; length]).collect()
}

#[test]
fn every_torn_state_of_a_frame_is_told_from_rot() {
    let mut states = 0;
    // The lead shifts the last frame over all starts within a sector.
    for lead in (0..512).step_by(32) {
        states += check_torn(&Log::new(lead, &["order-1"], &dense(&[100, 700, 900])));
        states += check_torn(&Log::new(lead, &["order-1"], &dense(&[40])));
        states += check_torn(&Log::new(lead, &["order-1"], &sparse(&[1400, 30, 1900])));
        states += check_torn(&Log::new(lead, &[&"\0".repeat(1200)], &sparse(&[600])));
        states += check_torn(&Log::bodiless(lead));
    }
    assert!(states > 7_000, "{states}");
}

#[test]
fn every_bad_byte_of_a_frame_is_told_from_a_torn_one() {
    for lead in [0, 96, 192, 288] {
        check_rot(&Log::new(lead, &["order-1"], &dense(&[40, 90])), all_values);
        check_rot(
            &Log::new(lead, &["order-1"], &dense(&[100, 700, 900])),
            some_values,
        );
        check_rot(&Log::bodiless(lead), all_values);
    }
}

/// The zero map itself may go bad, and sectors that are meant to be zero may become something else.
#[test]
fn every_bad_byte_of_a_frame_with_a_zero_map_is_told_from_a_torn_one() {
    for lead in [0, 96, 192, 288] {
        check_rot(
            &Log::new(lead, &["order-1"], &sparse(&[1400, 30, 1900])),
            some_values,
        );
        check_rot(
            &Log::new(lead, &[&"\0".repeat(1200)], &sparse(&[600])),
            some_values,
        );
    }
}

/// Bits that change in the area written ahead do not make a log end in rot.
#[test]
fn a_stray_bit_after_the_end_is_not_rot() {
    let mut log = Log::new(0, &[], &dense(&[40]));
    log.last = log.complete.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
    log.seq = 4;
    assert_eq!(
        log.judge(&log.complete),
        Verdict::CleanEnd { stray_bits: false }
    );
    for at in 0..128 {
        let mut file = log.complete.clone();
        let at = usize::try_from(log.last).unwrap() + at;
        file[at] = 0x10;
        let stray_bits = at < usize::try_from(log.last).unwrap() + 64;
        let in_first_sector = at / SECTOR == usize::try_from(log.last).unwrap() / SECTOR;
        match log.judge(&file) {
            Verdict::CleanEnd { stray_bits: found } if stray_bits => assert!(found),
            Verdict::CleanEnd { stray_bits: false } => assert!(!in_first_sector),
            // Past the header, in its sector: this is not what a header that never arrived looks like.
            Verdict::Rot {
                cause: RotCause::Header,
                ..
            } => assert!(in_first_sector && !stray_bits),
            other => panic!("{at}: {other:?}"),
        }
    }
}

fn header(frame_seq: u64, durable_seq: u64) -> FrameHeader {
    let fields = FrameFields {
        durable_seq,
        ..fields(frame_seq, 9)
    };
    frame(&[], &[vec![1]], &fields, 4096).0
}

/// The rule table, row by row, with X = 3.
#[test]
fn later_frames_decide_between_loss_and_rot() {
    let log = Log::new(0, &[], &dense(&[1500]));
    let start = usize::try_from(log.last).unwrap();
    let mut torn = log.complete.clone();
    torn[start.next_multiple_of(SECTOR)..][..SECTOR].fill(0);
    let mut rotten = log.complete.clone();
    rotten[start + 200] ^= 1;
    let [empty, torn, rotten] = [&log.before, &torn, &rotten].map(|file| Area::whole(file));
    let [empty, torn, rotten] = [empty, torn, rotten].map(|area| scan_frame(&area, log.last, KEY));
    let (vouches, silent, stale) = (header(4, 3), header(4, 2), header(2, 9));

    let missing = Verdict::Rot {
        cause: RotCause::Missing,
        acknowledged: true,
        lossless: false,
    };
    assert_eq!(verdict(&empty, 3, &[silent, vouches]), missing);
    assert_eq!(verdict(&torn, 3, &[vouches]), missing);
    let body = |acknowledged| Verdict::Rot {
        cause: RotCause::Body,
        acknowledged,
        lossless: false,
    };
    assert_eq!(verdict(&rotten, 3, &[vouches]), body(true));
    // Frames written together with X do not vouch for it, but a frame that is all there may have been acknowledged.
    assert_eq!(verdict(&rotten, 3, &[silent]), body(false));
    assert_eq!(verdict(&rotten, 3, &[]), body(false));
    let cut = Verdict::CutUnacknowledged { later_frames: 1 };
    assert_eq!(verdict(&empty, 3, &[silent]), cut);
    assert_eq!(verdict(&torn, 3, &[silent, stale]), cut);
    assert!(matches!(
        verdict(&torn, 3, &[stale]),
        Verdict::CutTorn { .. }
    ));
    assert_eq!(
        verdict(&empty, 3, &[stale]),
        Verdict::CleanEnd { stray_bits: false }
    );

    let out_of_sequence = |found: &FrameAt<'_>| {
        let found = verdict(found, 9, &[]);
        assert!(
            matches!(
                found,
                Verdict::Rot {
                    cause: RotCause::OutOfSequence,
                    ..
                }
            ),
            "{found:?}"
        );
    };
    out_of_sequence(&scan_frame(&Area::whole(&log.complete), log.last, KEY));
    out_of_sequence(&torn);
}

#[test]
fn frames_are_found_by_header_and_by_footer() {
    let log = Log::new(300, &[], &dense(&[1500]));
    let area = Area::whole(&log.complete);
    let starts = |area: &Area<'_>, after| {
        find_frames_after(area, after, KEY)
            .map(|(at, h)| (at, h.frame_seq))
            .collect::<Vec<_>>()
    };
    let all = starts(&area, 0);
    assert_eq!(
        all.iter().map(|&(_, seq)| seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(all[0].0, 4096);
    assert_eq!(starts(&area, 4096), all[1..]);
    assert_eq!(
        starts(&Area::from(&log.complete[4096..], 4096), 4096),
        all[1..]
    );
    // Without its header the last frame is found by its footer, and not when its start is not after the offset.
    let mut file = log.complete.clone();
    file[usize::try_from(log.last).unwrap()] ^= 1;
    let area = Area::whole(&file);
    assert_eq!(starts(&area, 4096), all[1..]);
    assert_eq!(starts(&area, log.last), []);
    let other = crate::SegmentKey { salt: 0, ..KEY };
    assert_eq!(find_frames_after(&area, 0, other).count(), 0);
}

#[test]
fn a_shortened_file_is_rot() {
    let log = Log::new(0, &[], &dense(&[1500]));
    let last = usize::try_from(log.last).unwrap();
    for end in [last + 64, last + 65, last + 700] {
        let found = log.judge(&log.complete[..end]);
        assert!(
            matches!(
                found,
                Verdict::Rot {
                    cause: RotCause::PastEnd,
                    ..
                }
            ),
            "{found:?}"
        );
    }
    assert_eq!(
        log.judge(&log.complete[..last]),
        Verdict::CleanEnd { stray_bits: false }
    );
}

#[test]
fn the_dirty_end_is_found() {
    let mut bytes = vec![0; 20_000];
    let area = |bytes: &[u8], from| Area::from(bytes, 4096).dirty_end(from);
    assert_eq!(area(&bytes, 4096), None);
    for at in [0, 1, 4095, 4096, 15_903, 15_904, 19_999] {
        bytes[at] = 1;
        assert_eq!(area(&bytes, 4096), Some(4096 + at as u64 + 1), "{at}");
        assert_eq!(area(&bytes, 4096 + at as u64 + 1), None);
    }
    assert_eq!(area(&bytes, 0), None, "outside");
}
