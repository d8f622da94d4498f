//! What survives a power failure and what may not.

use factum_io::sim::{CrashPolicy, SectorSize, SimDisk, is_power_loss};
use factum_io::{Disk, DiskFileExt, Open};

use crate::support::{S, all_outcomes, durable, fill, kept, p, read_all, with_file};

#[test]
fn a_write_is_visible_and_pending_until_synced() {
    let (disk, file) = with_file(&fill(1, 2));
    file.write_all_at(&fill(2, 1), 0).unwrap();
    assert_eq!(
        disk.read_file("/a").unwrap(),
        [fill(2, 1), fill(1, 1)].concat()
    );
    assert_eq!(disk.pending_units(), 1);
    assert_eq!(
        kept(&disk.fork(), CrashPolicy::KeepNone, "/a").unwrap(),
        fill(1, 2)
    );
    file.sync().unwrap();
    assert_eq!(disk.pending_units(), 0);
    let new = [fill(2, 1), fill(1, 1)].concat();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(), new);
}

#[test]
fn a_durable_write_makes_only_its_own_sectors_durable() {
    let (disk, file) = with_file(&fill(1, 3));
    file.write_all_at(&fill(2, 1), 0).unwrap();
    file.write_all_durable_at(&fill(3, 1), 2 * S as u64)
        .unwrap();
    let expected = [fill(1, 2), fill(3, 1)].concat();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(), expected);
}

#[test]
fn a_durable_write_that_extends_makes_the_length_durable() {
    let (disk, file) = with_file(&fill(1, 1));
    file.write_all_durable_at(b"tail", S as u64).unwrap();
    let expected = [fill(1, 1), b"tail".to_vec()].concat();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(), expected);
}

#[test]
fn each_sector_is_old_or_new_and_never_half() {
    let (disk, file) = with_file(&fill(1, 3));
    file.write_all_at(&vec![2; 2 * S], 256).unwrap();
    let mut outcomes = 0;
    for outcome in all_outcomes(&disk, "/a") {
        let content = outcome.unwrap();
        let new = disk.read_file("/a").unwrap();
        for (sector, new) in content.chunks(S).zip(new.chunks(S)) {
            assert!(sector == fill(1, 1) || sector == new);
        }
        outcomes += 1;
    }
    assert_eq!(outcomes, 8);
}

#[test]
fn sectors_of_4096_survive_as_one() {
    let (disk, file) = with_file(&fill(1, 16));
    disk.set_sector_size(SectorSize::Bytes4096);
    file.write_all_at(&fill(2, 9), 0).unwrap();
    assert_eq!(disk.pending_units(), 2);
    let second = [fill(1, 8), fill(2, 1), fill(1, 7)].concat();
    assert_eq!(kept(&disk, CrashPolicy::Mask(0b10), "/a").unwrap(), second);
}

#[test]
fn rewriting_the_same_bytes_leaves_nothing_to_lose() {
    let (disk, file) = with_file(&fill(1, 8));
    let page = [fill(1, 5), fill(2, 1), fill(1, 2)].concat();
    file.write_all_at(&page, 0).unwrap();
    assert_eq!(disk.pending_units(), 1);
}

#[test]
fn policies() {
    let scene = || {
        let (disk, file) = with_file(&fill(1, 4));
        file.write_all_at(&fill(2, 1), 0).unwrap();
        file.write_all_at(&fill(3, 2), 4 * S as u64).unwrap(); // extends
        disk.open(p("/b"), Open::create_new()).unwrap();
        disk
    };
    let check = |policy, a: Vec<Vec<u8>>, b: Option<Vec<u8>>| {
        let after = scene().crash(policy);
        assert_eq!(after.read_file("/a").unwrap(), a.concat(), "{policy:?}");
        assert_eq!(after.read_file("/b"), b, "{policy:?}");
    };
    let new = vec![fill(2, 1), fill(1, 3), fill(3, 2)];
    assert_eq!(scene().pending_units(), 5);
    check(CrashPolicy::KeepAll, new.clone(), Some(vec![]));
    check(CrashPolicy::KeepNone, vec![fill(1, 4)], None);
    check(CrashPolicy::OnlyLast, vec![fill(1, 4), fill(3, 2)], None);
    check(
        CrashPolicy::OnlyMetadata,
        vec![fill(1, 4), fill(0, 2)],
        Some(vec![]),
    );
    check(CrashPolicy::OnlyData, vec![fill(2, 1), fill(1, 3)], None);
    check(CrashPolicy::Mask(0), vec![fill(1, 4)], None);
    check(CrashPolicy::Mask(u64::MAX), new, Some(vec![]));
    // Data of the first write; length, then sectors of the second; the name.
    check(
        CrashPolicy::Mask(0b00001),
        vec![fill(2, 1), fill(1, 3)],
        None,
    );
    check(
        CrashPolicy::Mask(0b01010),
        vec![fill(1, 4), fill(0, 1), fill(3, 1)],
        None,
    );
    check(CrashPolicy::Mask(0b10000), vec![fill(1, 4)], Some(vec![]));
}

#[test]
fn random_choices_repeat_by_seed_and_reach_every_subset() {
    let (disk, file) = with_file(&fill(1, 3));
    file.write_all_at(&fill(2, 3), 0).unwrap();
    let outcome = |seed| disk.crash(CrashPolicy::Random { seed }).fingerprint();
    let all: Vec<_> = (0..500).map(outcome).collect();
    assert_eq!(all, (0..500).map(outcome).collect::<Vec<_>>());
    let mut distinct = all;
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 8);
}

#[test]
fn a_length_not_synced_may_be_the_old_one() {
    let (disk, file) = with_file(&fill(1, 1));
    file.set_len(3 * S as u64).unwrap();
    file.write_all_at(&fill(2, 1), 2 * S as u64).unwrap();
    let expected = [
        Some(fill(1, 1)),                        // length lost, with or without data
        Some([fill(1, 1), fill(0, 2)].concat()), // data lost
        Some([fill(1, 1), fill(0, 1), fill(2, 1)].concat()), // both kept
    ];
    assert_eq!(all_outcomes(&disk, "/a"), expected);
}

#[test]
fn a_cut_not_synced_may_be_undone_as_a_whole() {
    let (disk, file) = with_file(&fill(1, 4));
    file.set_len(S as u64).unwrap();
    file.set_len(3 * S as u64).unwrap();
    assert_eq!(
        disk.read_file("/a").unwrap(),
        [fill(1, 1), fill(0, 2)].concat()
    );
    let new = Some([fill(1, 1), fill(0, 2)].concat());
    assert_eq!(
        all_outcomes(&disk.fork(), "/a"),
        [new.clone(), Some(fill(1, 4))]
    );
    file.sync().unwrap();
    assert_eq!(all_outcomes(&disk, "/a"), [new]);
}

#[test]
fn a_durable_write_into_a_cut_range_brings_the_cut_along() {
    let (disk, file) = with_file(&fill(1, 4));
    file.set_len(0).unwrap();
    file.set_len(4 * S as u64).unwrap();
    file.write_all_durable_at(&fill(2, 1), 0).unwrap();
    let expected = [fill(2, 1), fill(0, 3)].concat();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(), expected);
}

/// Found by the model: the tail of the sector was dropped from the pending ones and then cut away by the length.
#[test]
fn a_durable_write_beside_a_cut_in_one_sector_loses_nothing() {
    let (disk, file) = with_file(&fill(1, 4));
    file.set_len(600).unwrap();
    file.write_all_at(&[2; 100], 600).unwrap();
    file.write_all_durable_at(&[3; 50], 512).unwrap();
    file.sync().unwrap();
    let expected = [vec![1; 512], vec![3; 50], vec![1; 38], vec![2; 100]].concat();
    assert_eq!(read_all(&*file), expected);
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(), expected);
}

#[test]
fn allocating_extends_with_zeros_and_never_cuts() {
    let (disk, file) = with_file(&fill(1, 2));
    file.allocate(S as u64).unwrap();
    assert_eq!(disk.read_file("/a").unwrap(), fill(1, 2));
    file.allocate(3 * S as u64).unwrap();
    assert_eq!(
        disk.read_file("/a").unwrap(),
        [fill(1, 2), fill(0, 1)].concat()
    );
    assert_eq!(disk.pending_units(), 1);
}

#[test]
fn a_created_file_needs_its_directory_synced() {
    let disk = SimDisk::new();
    let file = disk.open(p("/a"), Open::create_new()).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    file.sync_all().unwrap();
    assert_eq!(kept(&disk.fork(), CrashPolicy::KeepNone, "/a"), None);
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(), b"abc");
}

#[test]
fn a_synced_name_may_lead_to_an_empty_file() {
    let disk = SimDisk::new();
    let file = disk.open(p("/a"), Open::create_new()).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(), b"");
}

#[test]
fn a_rename_survives_whole_or_not_at_all() {
    let (disk, _) = with_file(b"old");
    durable(&disk, "/new", b"new");
    disk.rename(p("/new"), p("/a")).unwrap();
    assert_eq!(disk.read_file("/a").unwrap(), b"new");
    let undone = disk.crash(CrashPolicy::KeepNone);
    assert_eq!(undone.files(), [p("/a"), p("/new")]);
    assert_eq!(undone.read_file("/a").unwrap(), b"old");
    let done = disk.crash(CrashPolicy::KeepAll);
    assert_eq!(done.files(), [p("/a")]);
    assert_eq!(done.read_file("/a").unwrap(), b"new");
}

#[test]
fn a_rename_of_a_file_that_was_never_durable_survives_alone() {
    let disk = SimDisk::new();
    disk.open(p("/tmp"), Open::create_new()).unwrap();
    disk.rename(p("/tmp"), p("/a")).unwrap();
    assert_eq!(disk.pending_units(), 2);
    let files = |mask| disk.crash(CrashPolicy::Mask(mask)).files();
    assert_eq!(files(0b00), Vec::<&std::path::Path>::new());
    assert_eq!(files(0b01), [p("/tmp")]);
    assert_eq!(files(0b10), [p("/a")]);
    assert_eq!(files(0b11), [p("/a")]);
}

#[test]
fn a_rename_across_directories_is_two_changes() {
    let (disk, _) = with_file(b"x");
    disk.create_dir(p("/d")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    disk.rename(p("/a"), p("/d/a")).unwrap();
    let files = |mask| disk.crash(CrashPolicy::Mask(mask)).files();
    assert_eq!(disk.pending_units(), 2);
    assert_eq!(files(0b00), [p("/a")]);
    assert_eq!(files(0b01), [p("/a"), p("/d/a")]);
    assert_eq!(files(0b10), Vec::<&std::path::Path>::new());
    assert_eq!(files(0b11), [p("/d/a")]);
}

#[test]
fn a_removed_file_may_come_back_with_its_content() {
    let (disk, file) = with_file(b"abc");
    disk.remove(p("/a")).unwrap();
    assert!(!disk.exists(p("/a")).unwrap());
    let mut content = [0; 3];
    file.read_exact_at(&mut content, 0).unwrap();
    assert_eq!(&content, b"abc");
    drop(file);
    assert_eq!(
        kept(&disk.fork(), CrashPolicy::KeepNone, "/a").unwrap(),
        b"abc"
    );
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/a"), None);
}

#[test]
fn a_link_is_a_second_name_of_one_file() {
    let (disk, file) = with_file(b"abc");
    disk.link(p("/a"), p("/b")).unwrap();
    file.write_all_durable_at(b"xyz", 0).unwrap();
    assert_eq!(disk.read_file("/b").unwrap(), b"xyz");
    assert_eq!(kept(&disk.fork(), CrashPolicy::KeepNone, "/b"), None);
    disk.sync_dir(p("/")).unwrap();
    disk.remove(p("/a")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/b").unwrap(), b"xyz");
}

#[test]
fn a_lost_directory_takes_its_files_along() {
    let disk = SimDisk::new();
    disk.create_dir(p("/d")).unwrap();
    durable(&disk, "/d/a", b"x");
    assert_eq!(kept(&disk.fork(), CrashPolicy::KeepNone, "/d/a"), None);
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/d/a").unwrap(), b"x");
}

#[test]
fn after_a_crash_the_old_handles_are_dead_and_the_new_disk_is_alive() {
    let (disk, file) = with_file(&fill(1, 1));
    let lock = disk.lock(p("/LOCK")).unwrap();
    let after = disk.crash(CrashPolicy::KeepAll);
    assert!(is_power_loss(&file.write_at(b"x", 0).unwrap_err()));
    assert!(is_power_loss(&file.read_at(&mut [0], 0).unwrap_err()));
    assert!(is_power_loss(&disk.list(p("/")).unwrap_err()));
    assert!(is_power_loss(&disk.lock(p("/LOCK")).unwrap_err()));
    let _held = after.lock(p("/LOCK")).unwrap();
    drop(lock);
    assert_eq!(after.list(p("/")).unwrap(), ["LOCK", "a"]);
}

#[test]
fn a_fork_shares_nothing() {
    let (disk, file) = with_file(&fill(1, 1));
    file.write_all_at(&fill(2, 1), 0).unwrap();
    let fork = disk.fork();
    file.sync().unwrap();
    assert_eq!((disk.pending_units(), fork.pending_units()), (0, 1));
    assert_ne!(disk.fingerprint(), fork.fingerprint());
    let other = fork.open(p("/a"), Open::write()).unwrap();
    other.sync().unwrap();
    assert_eq!(disk.fingerprint(), fork.fingerprint());
    other.write_all_durable_at(b"x", 0).unwrap();
    assert_eq!(disk.read_file("/a").unwrap(), fill(2, 1));
}

#[test]
fn a_lying_disk_says_yes_and_keeps_nothing() {
    let (disk, file) = with_file(&fill(1, 2));
    disk.lie_about_syncs(true);
    file.write_all_at(&fill(2, 1), 0).unwrap();
    file.sync().unwrap();
    file.write_all_durable_at(&fill(2, 1), S as u64).unwrap();
    disk.open(p("/b"), Open::create_new()).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(disk.pending_units(), 3);
    assert_eq!(
        kept(&disk, CrashPolicy::KeepNone, "/a").unwrap(),
        fill(1, 2)
    );
    assert_eq!(kept(&disk, CrashPolicy::KeepNone, "/b"), None);
}

#[test]
fn the_fingerprint_sees_all_that_is_durable_and_nothing_else() {
    let (disk, file) = with_file(&fill(0, 16));
    let empty = disk.fingerprint();
    file.write_all_at(&fill(0, 16), 0).unwrap();
    file.write_all_at(b"x", 5000).unwrap();
    assert_eq!(disk.fingerprint(), empty);
    file.sync().unwrap();
    let with_x = disk.fingerprint();
    assert_ne!(with_x, empty);
    file.write_all_durable_at(b"\0", 5000).unwrap();
    assert_eq!(disk.fingerprint(), empty);
    file.set_len(17).unwrap();
    file.sync().unwrap();
    assert_ne!(disk.fingerprint(), empty);
}
