//! Errors on command, locks, and full disks.

use std::io::ErrorKind;

use factum_io::sim::{Calls, CrashPolicy, Fault, FaultRule, OpKind, SimDisk};
use factum_io::{
    Advice, AlignedBuf, Disk, DiskFileExt, Open, is_out_of_space, raw_os_error, read_to_end,
};

use crate::support::{S, durable, fill, kept, kind, p, read_all, with_file};

#[test]
fn the_nth_call_fails_once_or_from_then_on() {
    let (disk, file) = with_file(&fill(1, 1));
    let pattern = |rule: FaultRule| {
        disk.clear_faults();
        disk.fail(rule);
        (0..4)
            .map(|_| file.write_at(b"x", 0).is_ok())
            .collect::<Vec<_>>()
    };
    let once = FaultRule::once(OpKind::Write, 2, Fault::Eio);
    assert_eq!(pattern(once), [true, false, true, true]);
    let sticky = FaultRule::from_then_on(Calls::Mutating, 3, Fault::Eio);
    assert_eq!(pattern(sticky), [true, true, false, false]);
    let elsewhere = FaultRule::from_then_on(Calls::Any, 1, Fault::Eio).on_path("/b");
    assert_eq!(pattern(elsewhere), [true; 4]);
    let here = FaultRule::once(Calls::Any, 1, Fault::Eio).on_path("a");
    assert_eq!(pattern(here), [false, true, true, true]);
}

#[test]
fn faults_look_like_the_systems_own() {
    let (disk, file) = with_file(&fill(1, 1));
    let check = |fault, number, kind: Option<ErrorKind>| {
        disk.fail(FaultRule::once(OpKind::Write, 1, fault));
        let error = file.write_at(b"xy", 7).unwrap_err();
        assert_eq!(raw_os_error(&error), Some(number));
        assert!(kind.is_none_or(|kind| error.kind() == kind), "{error:?}");
        let text = error.to_string();
        assert!(
            text.starts_with("write /a at offset 7, 2 bytes: "),
            "{text}"
        );
        is_out_of_space(&error)
    };
    assert!(check(Fault::Enospc, 28, Some(ErrorKind::StorageFull)));
    assert!(check(Fault::Edquot, 122, Some(ErrorKind::QuotaExceeded)));
    assert!(!check(Fault::Emfile, 24, None));
    assert!(!check(Fault::Eio, 5, None));
    assert!(!check(Fault::Interrupted, 4, Some(ErrorKind::Interrupted)));
    assert_eq!(read_all(&*file), fill(1, 1), "nothing was written");
}

#[test]
fn every_kind_of_call_can_fail() {
    let (disk, file) = with_file(&fill(1, 1));
    let check = |kind: OpKind, call: &dyn Fn() -> std::io::Result<()>| {
        disk.fail(FaultRule::once(kind, 1, Fault::Emfile));
        assert_eq!(raw_os_error(&call().unwrap_err()), Some(24), "{kind:?}");
        disk.clear_faults();
    };
    check(OpKind::CreateDir, &|| disk.create_dir(p("/d")));
    check(OpKind::List, &|| disk.list(p("/")).map(drop));
    check(OpKind::Open, &|| disk.open(p("/a"), Open::read()).map(drop));
    check(OpKind::Create, &|| {
        disk.open(p("/b"), Open::create_new()).map(drop)
    });
    check(OpKind::Exists, &|| disk.exists(p("/a")).map(drop));
    check(OpKind::Rename, &|| disk.rename(p("/a"), p("/b")));
    check(OpKind::Link, &|| disk.link(p("/a"), p("/b")));
    check(OpKind::Remove, &|| disk.remove(p("/a")));
    check(OpKind::SyncDir, &|| disk.sync_dir(p("/")));
    check(OpKind::Lock, &|| disk.lock(p("/LOCK")).map(drop));
    check(OpKind::FreeBytes, &|| disk.free_bytes(p("/")).map(drop));
    check(OpKind::Len, &|| file.len().map(drop));
    check(OpKind::Read, &|| file.read_at(&mut [0], 0).map(drop));
    check(OpKind::Write, &|| file.write_at(b"x", 0).map(drop));
    check(OpKind::WriteDurable, &|| {
        file.write_durable_at(b"x", 0).map(drop)
    });
    check(OpKind::Sync, &|| file.sync());
    check(OpKind::SyncAll, &|| file.sync_all());
    check(OpKind::SetLen, &|| file.set_len(0));
    check(OpKind::Allocate, &|| file.allocate(1 << 20).map(drop));
    check(OpKind::Advise, &|| file.advise(Advice::Random, 0, 0));
    assert_eq!(disk.files(), [p("/a")]);
    assert_eq!((read_all(&*file), disk.pending_units()), (fill(1, 1), 0));
}

#[test]
fn short_and_interrupted_transfers_are_completed_by_the_helpers() {
    let (disk, file) = with_file(&fill(1, 2));
    disk.fail(FaultRule::once(OpKind::Write, 1, Fault::ShortWrite(100)));
    assert_eq!(file.write_at(&fill(2, 2), 0).unwrap(), 100);
    disk.fail(FaultRule::once(OpKind::Write, 1, Fault::ShortWrite(100)));
    disk.fail(FaultRule::once(OpKind::Write, 2, Fault::Interrupted));
    file.write_all_at(&fill(3, 2), 0).unwrap();
    disk.fail(FaultRule::once(OpKind::Read, 1, Fault::ShortWrite(7)));
    disk.fail(FaultRule::once(OpKind::Read, 2, Fault::Interrupted));
    assert_eq!(read_to_end(&disk, p("/a")).unwrap(), fill(3, 2));
    disk.fail(FaultRule::once(OpKind::Write, 1, Fault::ShortWrite(0)));
    assert_eq!(kind(file.write_all_at(b"x", 0)), Some(ErrorKind::WriteZero));
}

#[test]
fn short_transfers_of_direct_files_go_on_at_a_block() {
    let disk = SimDisk::new();
    let file = disk.open(p("/a"), Open::create_new_direct()).unwrap();
    let mut buf = AlignedBuf::zeroed(4 * 4096);
    buf.as_mut_slice().fill(5);
    disk.fail(FaultRule::once(
        OpKind::WriteDurable,
        1,
        Fault::ShortWrite(5000),
    ));
    file.write_all_durable_at(buf.as_slice(), 0).unwrap();
    let mut back = AlignedBuf::zeroed(4 * 4096);
    disk.fail(FaultRule::once(OpKind::Read, 1, Fault::ShortWrite(5000)));
    disk.fail(FaultRule::once(OpKind::Read, 2, Fault::ShortWrite(5000)));
    file.read_exact_at(back.as_mut_slice(), 0).unwrap();
    assert_eq!(back.as_slice(), buf.as_slice());
    file.set_len(4096 + 100).unwrap();
    let error = file.read_exact_at(back.as_mut_slice(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("offset 4196"), "{error}");
}

#[test]
fn direct_files_demand_alignment_and_can_be_refused() {
    let (disk, _) = with_file(&fill(1, 16));
    let file = disk.open(p("/a"), Open::write_direct()).unwrap();
    assert!(file.is_direct());
    let buf = AlignedBuf::zeroed(8192);
    assert_eq!(
        kind(file.write_at(&buf.as_slice()[..512], 0)),
        Some(ErrorKind::InvalidInput)
    );
    assert_eq!(
        kind(file.write_at(buf.as_slice(), 512)),
        Some(ErrorKind::InvalidInput)
    );
    disk.refuse_direct(true);
    let file = disk.open(p("/a"), Open::write_direct()).unwrap();
    assert!(!file.is_direct());
    file.write_all_at(b"abc", 3).unwrap();
}

#[test]
fn a_failed_sync_of_the_clean_kind_lies_to_the_next_one() {
    let (disk, file) = with_file(&fill(1, 8));
    file.write_all_at(&fill(2, 8), 0).unwrap();
    disk.fail(FaultRule::once(OpKind::Sync, 1, Fault::EioCleanPage));
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(read_all(&*file), fill(2, 8), "still in the page cache");
    assert_eq!(disk.pending_units(), 0);

    let direct = disk.open(p("/a"), Open::read_direct()).unwrap();
    let mut buf = AlignedBuf::zeroed(4096);
    direct.read_exact_at(buf.as_mut_slice(), 0).unwrap();
    assert_eq!(buf.as_slice(), fill(1, 8), "not on the device");
    assert_eq!(
        read_all(&*file),
        fill(2, 8),
        "a direct read leaves the page cache alone"
    );

    assert_eq!(
        kept(&disk.fork(), CrashPolicy::KeepAll, "/a").unwrap(),
        fill(1, 8)
    );
    file.advise(Advice::DontNeed, 0, 0).unwrap();
    assert_eq!(read_all(&*file), fill(1, 8));
}

#[test]
fn writing_again_after_a_clean_failure_makes_it_durable() {
    let (disk, file) = with_file(&fill(1, 1));
    disk.fail(FaultRule::once(
        OpKind::WriteDurable,
        1,
        Fault::EioCleanPage,
    ));
    assert!(file.write_durable_at(&fill(2, 1), 0).is_err());
    assert_eq!(read_all(&*file), fill(2, 1));
    assert_eq!(
        kept(&disk.fork(), CrashPolicy::KeepAll, "/a").unwrap(),
        fill(1, 1)
    );
    file.write_all_durable_at(&fill(2, 1), 0).unwrap();
    assert_eq!(
        kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(),
        fill(2, 1)
    );
}

#[test]
fn a_failed_sync_of_the_reverting_kind_brings_back_the_old() {
    let (disk, file) = with_file(&fill(1, 1));
    file.write_all_at(&fill(2, 1), 0).unwrap();
    disk.fail(FaultRule::once(OpKind::Sync, 1, Fault::EioRevert));
    assert!(file.sync().is_err());
    assert_eq!(read_all(&*file), fill(1, 1));
    assert_eq!(disk.pending_units(), 0);
}

#[test]
fn a_plain_failure_leaves_everything_pending() {
    let (disk, file) = with_file(&fill(1, 2));
    disk.fail(FaultRule::from_then_on(Calls::Mutating, 2, Fault::Eio));
    file.write_all_at(&fill(2, 1), 0).unwrap();
    assert!(file.sync().is_err());
    assert!(file.write_durable_at(&fill(2, 1), S as u64).is_err());
    assert_eq!(disk.pending_units(), 2);
    disk.clear_faults();
    file.sync().unwrap();
    assert_eq!(
        kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(),
        fill(2, 2)
    );
}

#[test]
fn a_full_disk_refuses_growth_until_something_is_removed() {
    let (disk, file) = with_file(&fill(1, 4));
    disk.set_capacity(Some(6 * S as u64));
    let other = durable(&disk, "/b", &fill(2, 2));
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 0);
    assert!(is_out_of_space(
        &other.write_at(b"x", 2 * S as u64).unwrap_err()
    ));
    assert!(is_out_of_space(&other.allocate(4 * S as u64).unwrap_err()));
    assert!(is_out_of_space(&other.set_len(4 * S as u64).unwrap_err()));
    assert!(is_out_of_space(
        &disk.open(p("/c"), Open::create_new()).unwrap_err()
    ));
    other.write_all_durable_at(&fill(3, 2), 0).unwrap();
    disk.remove(p("/a")).unwrap();
    assert_eq!(
        disk.free_bytes(p("/")).unwrap(),
        0,
        "a handle keeps the space"
    );
    drop(file);
    assert_eq!(disk.free_bytes(p("/")).unwrap(), 4 * S as u64);
    other.allocate(4 * S as u64).unwrap();
}

#[test]
fn a_lock_excludes_until_dropped() {
    let (disk, _) = with_file(b"");
    let lock = disk.lock(p("/LOCK")).unwrap();
    assert_eq!(
        kind(disk.clone().lock(p("/LOCK"))),
        Some(ErrorKind::WouldBlock)
    );
    let fork = disk.fork();
    let _other = fork.lock(p("/LOCK")).unwrap();
    drop(lock);
    disk.lock(p("/LOCK")).unwrap();
}

#[test]
fn garbage_offsets_are_errors() {
    let (_, file) = with_file(&fill(1, 1));
    assert!(file.write_all_at(b"x", u64::MAX).is_err());
    assert!(file.write_at(b"x", u64::MAX).is_err());
    assert!(file.write_at(b"x", 1 << 50).is_err());
    assert!(file.set_len(1 << 60).is_err());
    assert!(file.read_exact_at(&mut [0], u64::MAX).is_err());
    assert_eq!(file.read_at(&mut [0], u64::MAX).unwrap(), 0);
}

#[test]
fn a_file_opened_to_read_is_not_written() {
    let (disk, _) = with_file(&fill(1, 1));
    let file = disk.open(p("/a"), Open::read()).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert_eq!(read_all(&*file), fill(1, 1));
}
