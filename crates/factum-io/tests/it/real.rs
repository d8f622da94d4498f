//! The real disk, in a temporary directory, and in shared memory where there is some.

use std::io::ErrorKind;
use std::path::Path;

use factum_io::real::RealDisk;
use factum_io::{Advice, AlignedBuf, Disk, DiskFileExt, Env, Open, raw_os_error, read_to_end};

use crate::support::{TempDir, kind, read_all};

/// A disk file system and a memory one. Whether they take direct files differs; both must work either way.
fn places() -> Vec<TempDir> {
    let shared = Path::new("/dev/shm");
    let mut places = vec![TempDir::new(&std::env::temp_dir())];
    if shared.is_dir() {
        places.push(TempDir::new(shared));
    } else {
        println!(
            "NOT TESTED on a memory file system: {} is missing",
            shared.display()
        );
    }
    places
}

#[test]
fn bytes_come_back_cached_and_direct() {
    let disk = RealDisk::new();
    for place in places() {
        for (name, create, write) in [
            ("cached", Open::create_new(), Open::write()),
            ("direct", Open::create_new_direct(), Open::write_direct()),
        ] {
            let path = place.0.join(name);
            let file = disk.open(&path, create).unwrap();
            println!("{}: direct {}", path.display(), file.is_direct());
            let mut page = AlignedBuf::zeroed(8192);
            page.as_mut_slice().fill(7);
            file.allocate(3 * 8192).unwrap();
            assert_eq!(file.len().unwrap(), 3 * 8192);
            file.write_all_at(page.as_slice(), 0).unwrap();
            file.sync().unwrap();
            page.as_mut_slice().fill(8);
            file.write_all_durable_at(page.as_slice(), 8192).unwrap();
            file.sync_all().unwrap();
            disk.sync_dir(&place.0).unwrap();
            let file = disk.open(&path, write).unwrap();
            let mut back = AlignedBuf::zeroed(3 * 8192);
            file.read_exact_at(back.as_mut_slice(), 0).unwrap();
            let expected = [vec![7; 8192], vec![8; 8192], vec![0; 8192]].concat();
            assert_eq!(back.as_slice(), expected);
            file.set_len(5000).unwrap();
            let error = file.read_exact_at(back.as_mut_slice(), 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            for advice in [
                Advice::Sequential,
                Advice::Random,
                Advice::WillNeed,
                Advice::DontNeed,
            ] {
                file.advise(advice, 0, 0).unwrap();
            }
            assert_eq!(
                kind(disk.open(&path, create)),
                Some(ErrorKind::AlreadyExists)
            );
        }
    }
}

#[test]
fn an_unaligned_direct_request_is_refused_with_offset_and_length() {
    let disk = RealDisk::new();
    for place in places() {
        let file = disk
            .open(&place.0.join("a"), Open::create_new_direct())
            .unwrap();
        let result = file.write_at(&[1; 100], 50);
        if file.is_direct() {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains("offset 50 of 100 bytes"),
                "{error}"
            );
        } else {
            assert_eq!(result.unwrap(), 100);
        }
    }
}

#[test]
fn allocating_never_cuts() {
    let place = TempDir::new(&std::env::temp_dir());
    let file = RealDisk::new()
        .open(&place.0.join("a"), Open::create_new())
        .unwrap();
    file.write_all_at(&[1; 100], 0).unwrap();
    file.allocate(10).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(read_all(&*file), [1; 100]);
}

#[test]
fn offsets_beyond_any_file_are_refused() {
    let place = TempDir::new(&std::env::temp_dir());
    let file = RealDisk::new()
        .open(&place.0.join("a"), Open::create_new())
        .unwrap();
    for offset in [u64::MAX, 1 << 63] {
        assert_eq!(
            kind(file.write_at(b"x", offset)),
            Some(ErrorKind::InvalidInput)
        );
        assert_eq!(
            kind(file.write_durable_at(b"x", offset)),
            Some(ErrorKind::InvalidInput)
        );
        assert_eq!(
            kind(file.read_at(&mut [0], offset)),
            Some(ErrorKind::InvalidInput)
        );
    }
    assert_eq!(file.len().unwrap(), 0);
}

#[test]
fn names() {
    let place = TempDir::new(&std::env::temp_dir());
    let disk = RealDisk::new();
    let [dir, a, b] = ["d", "d/a", "d/b"].map(|name| place.0.join(name));
    disk.create_dir(&dir).unwrap();
    disk.create_dir(&dir).unwrap();
    disk.open(&a, Open::create_new())
        .unwrap()
        .write_all_at(b"abc", 0)
        .unwrap();
    disk.link(&a, &b).unwrap();
    assert_eq!(disk.list(&dir).unwrap(), ["a", "b"]);
    disk.remove(&a).unwrap();
    disk.rename(&b, &a).unwrap();
    disk.sync_dir(&dir).unwrap();
    assert_eq!(read_to_end(&disk, &a).unwrap(), b"abc");
    assert!(disk.exists(&a).unwrap() && !disk.exists(&b).unwrap());
    assert_eq!(kind(disk.create_dir(&a)), Some(ErrorKind::AlreadyExists));
    assert!(disk.free_bytes(&dir).unwrap() > 0);
}

#[test]
fn errors_name_operation_and_path() {
    let place = TempDir::new(&std::env::temp_dir());
    let error = RealDisk::new()
        .open(&place.0.join("none"), Open::read())
        .unwrap_err();
    assert_eq!(
        (error.kind(), raw_os_error(&error)),
        (ErrorKind::NotFound, Some(2))
    );
    let text = error.to_string();
    assert!(
        text.starts_with("open ") && text.contains("none: "),
        "{text}"
    );
}

#[test]
fn a_full_device_says_so() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        println!("NOT TESTED: {} is missing", full.display());
        return;
    }
    let file = RealDisk::new().open(full, Open::write()).unwrap();
    let error = file.write_at(b"x", 0).unwrap_err();
    assert!(factum_io::is_out_of_space(&error), "{error}");
    assert!(error.to_string().contains("/dev/full"), "{error}");
}

#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = TempDir::new(&std::env::temp_dir());
    let disk = RealDisk::new();
    disk.open(&place.0.join("a"), Open::create_new()).unwrap();
    disk.create_dir(&place.0.join("d")).unwrap();
    for name in ["a", "d"] {
        let mode = std::fs::metadata(place.0.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn a_lock_excludes_until_dropped() {
    let place = TempDir::new(&std::env::temp_dir());
    let env = Env::real();
    let path = place.0.join("LOCK");
    let lock = env.disk.lock(&path).unwrap();
    assert_eq!(kind(env.disk.lock(&path)), Some(ErrorKind::WouldBlock));
    drop(lock);
    env.disk.lock(&path).unwrap();
}
