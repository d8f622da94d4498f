//! The simulated disk against a plain model: vectors of bytes, copied at each sync.
//!
//! Random operations by seed; a failure prints the seed. The model knows two versions of each file and each directory.
//! A cut is synced at once, since the model does not know what a pending one does.

use std::collections::BTreeMap;
use std::sync::Arc;

use factum_io::sim::{CrashPolicy, SimDisk};
use factum_io::{Disk, DiskFile, DiskFileExt, Open};

use crate::support::{S, p, read_all};

const NAMES: [&str; 4] = ["/d/a", "/d/b", "/d/c", "/d/e"];
const LEN_MAX: usize = 20 * S;

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Default)]
struct Model {
    files: Vec<Content>,
    names: BTreeMap<&'static str, usize>,
    durable_names: BTreeMap<&'static str, usize>,
}

struct Run {
    disk: SimDisk,
    model: Model,
    random: fastrand::Rng,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        disk.create_dir(p("/d")).unwrap();
        disk.sync_dir(p("/")).unwrap();
        Self {
            disk,
            model: Model::default(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn step(&mut self) {
        let name = NAMES[self.random.usize(..NAMES.len())];
        let other = NAMES[self.random.usize(..NAMES.len())];
        match (self.random.u8(0..10), self.model.names.get(name).copied()) {
            (_, None) => self.create(name),
            (0, Some(inode)) => {
                self.disk.rename(p(name), p(other)).unwrap();
                if self.model.names.get(other) != Some(&inode) {
                    self.model.names.remove(name);
                    self.model.names.insert(other, inode);
                }
            }
            (1, Some(_)) => {
                self.disk.remove(p(name)).unwrap();
                self.model.names.remove(name);
            }
            (2, Some(inode)) => {
                let free = !self.model.names.contains_key(other);
                assert_eq!(self.disk.link(p(name), p(other)).is_ok(), free);
                self.model.names.entry(other).or_insert(inode);
            }
            (3, Some(_)) => {
                self.disk.sync_dir(p("/d")).unwrap();
                self.model.durable_names = self.model.names.clone();
            }
            (_, Some(inode)) => self.step_in_file(name, inode),
        }
    }

    fn create(&mut self, name: &'static str) {
        self.disk.open(p(name), Open::create_new()).unwrap();
        self.model.names.insert(name, self.model.files.len());
        self.model.files.push(Content::default());
    }

    fn step_in_file(&mut self, name: &str, inode: usize) {
        let file = self.disk.open(p(name), Open::write()).unwrap();
        let content = &mut self.model.files[inode];
        let offset = self.random.usize(..LEN_MAX);
        let bytes = vec![self.random.u8(1..); self.random.usize(1..4 * S)];
        match self.random.u8(0..5) {
            0 => {
                file.write_all_at(&bytes, offset as u64).unwrap();
                content.write(&bytes, offset);
            }
            1 => {
                file.write_all_durable_at(&bytes, offset as u64).unwrap();
                content.write(&bytes, offset);
                content.sync_range(offset, offset + bytes.len());
            }
            2 => {
                file.sync().unwrap();
                content.durable = content.now.clone();
            }
            3 => {
                file.allocate(offset as u64).unwrap();
                content.now.resize(content.now.len().max(offset), 0);
            }
            _ => {
                file.set_len(offset as u64).unwrap();
                file.sync_all().unwrap();
                content.now.resize(offset, 0);
                content.durable = content.now.clone();
            }
        }
        assert_eq!(read_all(&*file), content.now);
    }

    fn check(&self) {
        let now = |inode: usize| &self.model.files[inode].now;
        let durable = |inode: usize| &self.model.files[inode].durable;
        let pending = self.disk.fork();
        assert_same(&self.disk, &self.model.names, now);
        assert_same(&pending.crash(CrashPolicy::KeepAll), &self.model.names, now);
        assert_same(
            &pending.crash(CrashPolicy::KeepNone),
            &self.model.durable_names,
            durable,
        );
        for seed in 0..4 {
            self.check_mixed(&pending.crash(CrashPolicy::Random { seed }));
        }
    }

    /// Every sector that survived is the old or the new one of some file, and its length the old or the new.
    fn check_mixed(&self, after: &SimDisk) {
        for path in after.files() {
            let content = after.read_file(&path).unwrap();
            assert!(
                self.model.files.iter().any(|file| file.may_leave(&content)),
                "{path:?}"
            );
        }
    }
}

impl Content {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.now.resize(self.now.len().max(end), 0);
        self.now[offset..end].copy_from_slice(bytes);
    }

    fn sync_range(&mut self, start: usize, end: usize) {
        let end = end.next_multiple_of(S);
        if end > self.durable.len() {
            self.durable.resize(self.now.len(), 0);
        }
        let end = end.min(self.durable.len());
        let start = start / S * S;
        self.durable[start..end].copy_from_slice(&self.now[start..end]);
    }

    fn may_leave(&self, content: &[u8]) -> bool {
        let lengths = [self.now.len(), self.durable.len()];
        let sector = |from: &[u8], index: usize| {
            let byte = |at: usize| from.get(at).copied().unwrap_or(0);
            (index * S..content.len().min((index + 1) * S))
                .map(byte)
                .collect::<Vec<_>>()
        };
        lengths.contains(&content.len())
            && content.chunks(S).enumerate().all(|(index, left)| {
                left == sector(&self.now, index) || left == sector(&self.durable, index)
            })
    }
}

fn assert_same<'a>(
    disk: &SimDisk,
    names: &BTreeMap<&'static str, usize>,
    content: impl Fn(usize) -> &'a Vec<u8>,
) {
    let expected: Vec<_> = names.keys().map(|name| p(name).to_path_buf()).collect();
    assert_eq!(disk.files(), expected);
    for (name, inode) in names {
        assert!(
            disk.read_file(name).unwrap() == *content(*inode),
            "content of {name}"
        );
    }
}

/// Prints the seed if the run panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", self.0);
        }
    }
}

#[test]
fn behaves_like_the_model() {
    for seed in 0..40 {
        let printed = Seed(seed);
        let mut run = Run::new(seed);
        for _ in 0..60 {
            run.step();
            run.check();
        }
        drop(printed);
    }
}

#[test]
fn handles_see_each_others_writes() {
    let disk = SimDisk::new();
    let one: Arc<dyn DiskFile> = disk.open(p("/a"), Open::create_new()).unwrap();
    let two = disk.open(p("/a"), Open::write()).unwrap();
    one.write_all_at(b"abc", 0).unwrap();
    two.write_all_at(b"d", 3).unwrap();
    assert_eq!(
        (read_all(&*one), read_all(&*two)),
        (b"abcd".to_vec(), b"abcd".to_vec())
    );
}
