//! Power lost in the middle of the nth call.

use std::io;

use factum_io::sim::{CrashPolicy, SimDisk, is_power_loss};
use factum_io::{Disk, DiskFileExt, Open};

use crate::support::{S, fill, kept, p, with_file};

/// One of every mutating call.
fn script(disk: &SimDisk) -> io::Result<()> {
    disk.create_dir(p("/d"))?;
    let file = disk.open(p("/d/a"), Open::create_new())?;
    file.allocate(4 * S as u64)?;
    file.write_all_at(&fill(1, 2), 0)?;
    file.sync()?;
    file.write_all_durable_at(&fill(2, 1), 0)?;
    file.set_len(2 * S as u64)?;
    file.sync_all()?;
    disk.link(p("/d/a"), p("/d/b"))?;
    disk.rename(p("/d/b"), p("/d/c"))?;
    disk.remove(p("/d/a"))?;
    disk.sync_dir(p("/d"))?;
    file.len().map(|_| ())
}

#[test]
fn every_mutating_call_can_be_the_last() {
    let clean = SimDisk::new();
    script(&clean).unwrap();
    assert_eq!(clean.op_count(), 12);
    for op in 1..=12 {
        let disk = SimDisk::new();
        disk.power_off_at(op);
        let error = script(&disk).unwrap_err();
        assert!(is_power_loss(&error), "{error}");
        assert!(error.to_string().contains("power lost"), "{error}");
        assert_eq!(
            disk.op_count(),
            op,
            "the interrupted call is counted, none after it"
        );
        assert!(is_power_loss(&disk.exists(p("/d")).unwrap_err()));
    }
    let disk = SimDisk::new();
    disk.power_off_at(13);
    script(&disk).unwrap();
}

#[test]
fn an_interrupted_durable_write_may_be_torn() {
    let (disk, file) = with_file(&fill(1, 2));
    disk.power_off_at(1);
    assert!(is_power_loss(
        &file.write_durable_at(&fill(2, 2), 0).unwrap_err()
    ));
    assert_eq!(disk.pending_units(), 2);
    assert_eq!(
        kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(),
        fill(1, 2)
    );
    let torn = [fill(1, 1), fill(2, 1)].concat();
    assert_eq!(kept(&disk, CrashPolicy::Mask(0b10), "/a").unwrap(), torn);
}

#[test]
fn an_interrupted_sync_makes_nothing_durable() {
    let (disk, file) = with_file(&fill(1, 1));
    file.write_all_at(&fill(2, 1), 0).unwrap();
    disk.open(p("/b"), Open::create_new()).unwrap();
    let dirs = disk.fork();
    disk.power_off_at(1);
    assert!(is_power_loss(&file.sync().unwrap_err()));
    assert_eq!(disk.pending_units(), 2);
    dirs.power_off_at(1);
    assert!(is_power_loss(&dirs.sync_dir(p("/")).unwrap_err()));
    assert_eq!(dirs.pending_units(), 2);
}

#[test]
fn an_interrupted_change_of_a_name_is_pending() {
    let (disk, _) = with_file(b"x");
    disk.power_off_at(1);
    assert!(is_power_loss(&disk.rename(p("/a"), p("/b")).unwrap_err()));
    assert_eq!(disk.crash(CrashPolicy::KeepNone).files(), [p("/a")]);
    assert_eq!(disk.crash(CrashPolicy::KeepAll).files(), [p("/b")]);
}

#[test]
fn reads_are_counted_apart_and_not_interrupted() {
    let (disk, file) = with_file(&fill(1, 1));
    let before = disk.op_count();
    disk.power_off_at(1);
    file.read_exact_at(&mut [0; 10], 0).unwrap();
    assert_eq!(disk.list(p("/")).unwrap(), ["a"]);
    assert_eq!((disk.read_count(), disk.op_count()), (1, before));
}

#[test]
fn same_script_same_trace_and_fingerprint() {
    let run = || {
        let disk = SimDisk::new();
        disk.set_trace(true);
        disk.power_off_at(6);
        script(&disk).unwrap_err();
        (
            disk.trace(),
            disk.crash(CrashPolicy::Random { seed: 3 }).fingerprint(),
        )
    };
    assert_eq!(run(), run());
    let (trace, _) = run();
    assert_eq!(
        trace.last().unwrap(),
        "write durably /d/a at offset 0, 512 bytes -> power lost"
    );
}
