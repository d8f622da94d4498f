//! The machine, as a reader of the figures must know it.

use std::path::Path;

use factum_io::Env;
use factum_types::Timestamp;
use serde_json::json;

use crate::time;

/// The machine and the moment.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// What the processor calls itself.
    pub(super) processor: String,
    /// How many threads of it this process may use.
    pub(super) cores: usize,
    /// Memory, in bytes.
    pub(super) memory_bytes: u64,
    /// The kernel's release.
    pub(super) kernel: String,
    /// The type of the file system measured.
    pub(super) file_system: String,
    /// When, to the second.
    pub(super) when: String,
    /// The version of this program.
    pub(super) version: &'static str,
}

impl Machine {
    /// This machine; `place` is on the file system measured.
    pub(super) fn look(place: &Path, env: &Env) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let path = place
            .canonicalize()
            .unwrap_or_else(|_error| place.to_owned());
        Self {
            processor: value_of(&read("/proc/cpuinfo"), "model name")
                .unwrap_or("unknown")
                .to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/self/mountinfo"), &path)
                .unwrap_or("unknown")
                .to_owned(),
            when: time::short(Timestamp::from_micros(env.clock.now_us())),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Whether the file system is memory, so that nothing about a disk can be learnt.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }

    /// In one line.
    pub(super) fn words(&self) -> String {
        format!(
            "{}, {} cores, {:.0} GiB memory, Linux {}, {}",
            self.processor,
            self.cores,
            self.memory_bytes as f64 / 1_073_741_824.0,
            self.kernel,
            self.file_system
        )
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "processor": self.processor,
            "cores": self.cores,
            "memoryBytes": self.memory_bytes,
            "kernel": self.kernel,
            "fileSystem": self.file_system,
            "when": self.when,
            "version": self.version,
        })
    }
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn memory(meminfo: &str) -> u64 {
    let kib = value_of(meminfo, "MemTotal").and_then(|value| value.split(' ').next());
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default()
        * 1_024
}

/// The type of the file system that a path is on: of the mount point that is its longest beginning, and of those the last one made.
fn file_system<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
    // 36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/vda rw
    let mounts = mountinfo.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        let kind = line.split_once(" - ")?.1.split(' ').next()?;
        path.starts_with(point).then_some((point.len(), kind))
    });
    mounts
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::{file_system, memory, value_of};
    use std::path::Path;

    #[test]
    fn the_longest_mount_point_counts() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
            2 1 0:5 / /tmp rw shared:1 - tmpfs tmpfs rw\n\
            3 1 8:2 / /tmpfiles rw - xfs /dev/b rw\n";
        let check = |path: &str, expected: &str| {
            assert_eq!(
                file_system(mounts, Path::new(path)),
                Some(expected),
                "{path}"
            );
        };
        check("/var/lib", "ext4");
        check("/tmp/x", "tmpfs");
        check("/tmpfiles/x", "xfs");
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn values_are_found() {
        assert_eq!(
            value_of("a: 1\nmodel name\t: Chip 9\n", "model name"),
            Some("Chip 9")
        );
        assert_eq!(memory("MemTotal:       2048 kB\n"), 2 << 20);
    }
}
