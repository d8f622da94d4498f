//! The simulated disk answers like the real one: random calls to both, the same results and the same kinds of error.

use std::io;
use std::path::Path;

use factum_io::real::RealDisk;
use factum_io::sim::SimDisk;
use factum_io::{Disk, DiskFile, DiskFileExt, Open, read_to_end};

use crate::support::{TempDir, p};

const NAMES: [&str; 5] = ["a", "b", "d/a", "missing/a", "d"];

/// One call by chance, and its answer as text.
fn step(disk: &dyn Disk, root: &Path, random: &mut fastrand::Rng) -> String {
    let name = NAMES[random.usize(..NAMES.len())];
    // Renaming and linking directories is not promised; only `d` may be one.
    let file = &root.join(if name == "d" { "a" } else { name });
    let path = &root.join(name);
    let other = &root.join(NAMES[random.usize(..NAMES.len())]);
    let (offset, len) = (random.u64(..10_000), random.usize(..5_000));
    let bytes = vec![random.u8(..); len];
    let op = random.u8(..13);
    let answer = match op {
        0 if name == "missing/a" => text(disk.create_dir(path)),
        0 => text(disk.create_dir(&root.join("d"))),
        1 => text(disk.list(path.parent().unwrap())),
        2 => text(
            disk.open(path, Open::create_new())
                .and_then(|file| file.len()),
        ),
        3 => text(disk.exists(path)),
        4 => text(disk.rename(file, other)),
        5 => text(disk.link(file, other)),
        6 => text(disk.remove(path)),
        7 => text(disk.sync_dir(&root.join("d"))),
        8 => text(in_file(disk, file, |file| {
            file.write_all_at(&bytes, offset)
        })),
        9 => text(in_file(disk, file, |file| {
            file.write_all_durable_at(&bytes, offset)
        })),
        10 => text(in_file(disk, file, |file| file.set_len(offset))),
        11 => text(in_file(disk, file, |file| file.allocate(offset).map(drop))),
        _ => text(read_to_end(disk, file)),
    };
    let tail = other.strip_prefix(root).unwrap();
    format!("call {op} on {name}, other {}: {answer}", tail.display())
}

fn in_file(
    disk: &dyn Disk,
    path: &Path,
    call: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
) -> io::Result<u64> {
    let file = disk.open(path, Open::write())?;
    call(&*file)?;
    file.sync()?;
    file.len()
}

fn text<T: std::fmt::Debug>(result: io::Result<T>) -> String {
    format!("{:?}", result.map_err(|error| error.kind()))
}

#[test]
fn both_disks_give_the_same_answers() {
    for seed in 0..20 {
        let dir = TempDir::new(&std::env::temp_dir());
        let (real, sim) = (RealDisk::new(), SimDisk::new());
        let (mut one, mut two) = (
            fastrand::Rng::with_seed(seed),
            fastrand::Rng::with_seed(seed),
        );
        for number in 0..150 {
            let answer = step(&real, &dir.0, &mut one);
            assert_eq!(
                step(&sim, p("/"), &mut two),
                answer,
                "seed {seed}, step {number}"
            );
        }
    }
}
