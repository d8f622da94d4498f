//! Bytes that change by themselves: at once, and for good.

use std::io::ErrorKind;

use factum_io::sim::{CrashPolicy, SimDisk};
use factum_io::{Disk, DiskFileExt, Open};

use crate::support::{S, durable, fill, kept, kind, p, with_file};

/// Rot is visible and durable.
fn check(disk: &SimDisk, expected: &[u8]) {
    assert_eq!(disk.read_file("/a").unwrap(), expected);
    assert_eq!(
        kept(&disk.fork(), CrashPolicy::KeepNone, "/a").unwrap(),
        expected
    );
}

#[test]
fn bits_and_bytes() {
    let (disk, _) = with_file(&[0b1000; 5]);
    disk.flip_bit("/a", 1, 0).unwrap();
    disk.flip_bit("/a", 2, 3).unwrap();
    disk.flip_byte("/a", 4).unwrap();
    check(&disk, &[0b1000, 0b1001, 0, 0b1000, 0b1111_0111]);
    assert_eq!(
        kind(disk.flip_bit("/a", 5, 0)),
        Some(ErrorKind::InvalidInput)
    );
    assert_eq!(kind(disk.flip_bit("/b", 0, 0)), Some(ErrorKind::NotFound));
}

#[test]
fn zeroed_and_swapped_sectors() {
    let (disk, _) = with_file(&[fill(1, 1), fill(2, 1), fill(3, 8)].concat());
    disk.swap_sectors("/a", 0, 1).unwrap();
    disk.swap_sectors("/a", 1, 9).unwrap();
    check(&disk, &[fill(2, 1), fill(3, 8), fill(1, 1)].concat());
    disk.zero_sector("/a", 0).unwrap();
    check(&disk, &[fill(0, 1), fill(3, 8), fill(1, 1)].concat());
    assert_eq!(
        kind(disk.zero_sector("/a", 10)),
        Some(ErrorKind::InvalidInput)
    );
}

#[test]
fn a_stale_sector_is_the_last_but_one_durable_version() {
    let (disk, file) = with_file(&fill(1, 2));
    assert!(
        !disk.stale_sector("/a", 0).unwrap(),
        "the first version has none before it"
    );
    file.write_all_durable_at(&fill(2, 1), 0).unwrap();
    file.write_all_at(&fill(3, 1), 0).unwrap();
    file.sync().unwrap();
    file.write_all_durable_at(&fill(3, 1), 0).unwrap(); // no change, not a version
    assert!(disk.stale_sector("/a", 0).unwrap());
    check(&disk, &[fill(2, 1), fill(1, 1)].concat());
    let after = disk.crash(CrashPolicy::KeepNone);
    assert!(
        after.stale_sector("/a", 0).unwrap(),
        "remembered across crashes"
    );
}

#[test]
fn a_misdirected_write_lands_elsewhere_once() {
    let (disk, file) = with_file(&fill(1, 3));
    disk.misdirect_next_write(512);
    file.write_all_durable_at(&fill(2, 1), 0).unwrap();
    file.write_all_durable_at(&fill(3, 1), 0).unwrap();
    check(&disk, &[fill(3, 1), fill(2, 1), fill(1, 1)].concat());
}

#[test]
fn truncated_removed_and_swapped_files() {
    let (disk, file) = with_file(b"first");
    durable(&disk, "/b", b"second");
    disk.swap_files("/a", "/b").unwrap();
    check(&disk, b"second");
    assert_eq!(disk.read_file("/b").unwrap(), b"first");
    disk.swap_files("/a", "/a").unwrap();
    disk.truncate_file("/a", 3).unwrap();
    check(&disk, b"sec");
    assert_eq!(
        kind(disk.truncate_file("/a", 4)),
        Some(ErrorKind::InvalidInput)
    );
    drop(file);
    disk.remove_file("/a").unwrap();
    assert_eq!(disk.files(), [p("/b")]);
    assert_eq!(disk.crash(CrashPolicy::KeepNone).files(), [p("/b")]);
    assert_eq!(kind(disk.swap_files("/a", "/b")), Some(ErrorKind::NotFound));
}

#[test]
fn rot_of_pending_data_reaches_both_versions() {
    let (disk, file) = with_file(&fill(1, 1));
    file.write_all_at(&fill(2, 1), 0).unwrap();
    disk.flip_byte("/a", 0).unwrap();
    assert_eq!(disk.read_file("/a").unwrap()[0], !2);
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap()[0], !1);
    let after = disk.crash(CrashPolicy::KeepAll);
    assert_eq!(
        after.open(p("/a"), Open::read()).unwrap().len().unwrap(),
        S as u64
    );
    assert_eq!(after.read_file("/a").unwrap()[0], !2);
}
