//! The machine: its clock, its limits, and who holds the store.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use factum_io::Env;
use factum_types::Timestamp;

use super::Check;
use crate::time;

/// 2024-01-01T00:00:00Z: a clock before this was never set.
const EARLIEST_US: i64 = 1_704_067_200_000_000;
const OPEN_FILES_MIN: u64 = 1_024;
/// The file that a writing process locks.
const LOCK: &str = "LOCK";

pub(super) fn clock(env: &Env) -> Check {
    let now = env.clock.now_us();
    let found = time::short(Timestamp::from_micros(now));
    if now >= EARLIEST_US {
        return Check::ok("clock", found);
    }
    Check::fail(
        "clock",
        format!("{found} cannot be right"),
        "set the clock, for example by NTP",
    )
}

pub(super) fn open_files() -> Check {
    let name = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.current {
        None => Check::ok(name, "no limit"),
        Some(limit) if limit >= OPEN_FILES_MIN => Check::ok(name, format!("up to {limit}")),
        Some(limit) => Check::warn(name, format!("only {limit}"), "raise it: ulimit -n 65536"),
    }
}

/// Who has the store open for writing. The kernel's list of locks names processes of this machine only.
pub(super) fn lock_holder(data: &Path) -> Check {
    match holder_in_words(data) {
        None => Check::ok("lock", "free"),
        Some(holder) => Check::warn(
            "lock",
            format!("held by {holder}"),
            "reading works beside it; end it before writing from here",
        ),
    }
}

/// The process that holds the lock of a store.
fn holder(data: &Path) -> Option<u32> {
    let inode = std::fs::metadata(data.join(LOCK)).ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 1234 fe:00:567890 0 EOF
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid, file) = (words.next()?, words.nth(2)?, words.next()?);
        let is_ours = kind == "FLOCK" && file.rsplit(':').next() == Some(inode.as_str());
        if is_ours { pid.parse().ok() } else { None }
    })
}

/// Who has the store open for writing, in words.
pub(super) fn holder_in_words(data: &Path) -> Option<String> {
    holder(data).map(|pid| format!("process {pid}{}", name_of(pid)))
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(
        |_gone| String::new(),
        |name| format!(" ({})", name.trim_end()),
    )
}
